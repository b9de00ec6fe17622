"""Files of scans: the format by suffix, and what may be asked for while reading."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from .bad_pixels import BadPixels, find_bad_pixels
from .data import ScanData, blocks, select_fields
from .data_checks import checked_counts, checked_mask
from .data_hdf5 import read_hdf5, write_hdf5
from .data_npz import read_npz, write_npz
from .scan_errors import ScanError
from .whole_file import whole_file

HDF5_SUFFIXES = (".cxi", ".h5", ".hdf5", ".nxs")


def read_scan(
    path: str | os.PathLike[str],
    *,
    dc: str = "centre",
    find_bad: bool = False,
    drop_empty: bool = False,
    photons: float | int | None = None,
) -> ScanData:
    """Read a scan from an NPZ or a CXI / NeXus HDF5 file, and check it.

    NPZ: `counts` (or `diff3d`, amplitudes), `xcoords`, `ycoords` and `probeGuess`; optional `objectGuess`,
    `scan_index`, `mask`, `background`, `energy_ev`, `distance`, `detector_pixel`, `interpolation`.
    HDF5: `entry_1/data_1/data` and what the CXI format says of geometry, energy and detector; its patterns stay in
    the file and are read in blocks, so that it may be larger than memory.

    Parameters
    ----------
    path : path of a file that ends in .npz, .cxi, .h5, .hdf5 or .nxs
    dc : str
        Where the file has the zero frequency: "centre", at [N//2, N//2], or "corner", at [0, 0].
    find_bad : bool
        Mask gaps, dead and hot pixels that `find_bad_pixels` finds.
    drop_empty : bool
        Leave out patterns without a count.
    photons : float, optional
        Mean photons per pattern, where a file of amplitudes does not say.

    Raises
    ------
    ScanError
        Naming file and key, for everything that is missing, damaged or wrong.
    ImportError
        Where h5py is needed and missing.

    Warns
    -----
    UncalibratedWarning
        Where the dose of a file of amplitudes cannot be known.
    """
    path = Path(path)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "none"
        raise ScanError(f"{path}: Expected a file of a scan, got {what}. Check the path.")
    kind = _kind(path)
    if kind == "hdf5" and photons is not None:
        raise ScanError(f"{path}: Expected photons only for an NPZ file of amplitudes, got {photons}. Leave it out.")
    if dc not in ("centre", "corner"):
        raise ScanError(f'{path}: Expected dc "centre" or "corner", got {dc!r}.')
    fields = read_hdf5(path, dc == "corner") if kind == "hdf5" else read_npz(path, dc == "corner", photons)
    fields["source"] = str(path)
    if find_bad or drop_empty:
        fields |= _checked_patterns(fields, path)
    if find_bad:
        fields["mask"] = _joined(fields.get("mask"), find_bad_pixels(fields["counts"], fields.get("mask")))
    if drop_empty:
        fields = select_fields(fields, _not_empty(fields, path))
    return ScanData(**fields)


def write_scan(
    path: str | os.PathLike[str], data: ScanData, *, overwrite: bool = False, amplitudes: bool = False
) -> None:
    """Write a scan to a file, whole or not at all, in the format of its suffix.

    Parameters
    ----------
    path : path of a file that ends in .npz, .cxi, .h5, .hdf5 or .nxs
    data : ScanData
    overwrite : bool
        Replace an existing file.
    amplitudes : bool
        NPZ only: `diff3d`, single-precision amplitudes divided by the square root of the dose, in place of `counts`.

    Raises
    ------
    ScanError
        Naming the file, if its suffix or folder is not acceptable or it exists.
    """
    path = Path(path)
    kind = check_format(path, amplitudes)
    with whole_file(path, overwrite) as temporary:
        if kind == "hdf5":
            write_hdf5(temporary, data)
        else:
            write_npz(temporary, data, amplitudes)


def check_format(path: Path, amplitudes: bool = False) -> str:
    """Refuse a name that no scan can be written to; return the format, "npz" or "hdf5".

    Raises
    ------
    ScanError
        For another suffix, or amplitudes in an HDF5 file.
    """
    kind = _kind(path)
    if kind == "hdf5" and amplitudes:
        raise ScanError(
            f"{path}: Expected counts in an HDF5 file, got amplitudes=True (--amplitudes). Write an NPZ file."
        )
    return kind


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix != ".npz" and suffix not in HDF5_SUFFIXES:
        raise ScanError(f"{path}: Expected a name that ends in .npz, {', '.join(HDF5_SUFFIXES)}, got {path.name!r}.")
    return "npz" if suffix == ".npz" else "hdf5"


def _checked_patterns(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """Counts and mask, checked before they are looked at."""
    counts = checked_counts(fields["counts"], str(path))
    n, npix = counts.shape[:2]
    return {"counts": counts, "mask": checked_mask(fields.get("mask"), n, npix, str(path))}


def _joined(mask: np.ndarray | None, bad: BadPixels) -> np.ndarray:
    return bad.mask if mask is None else mask & bad.mask


def _not_empty(fields: dict[str, Any], path: Path) -> np.ndarray:
    counts, mask = fields["counts"], fields.get("mask")
    used = np.True_ if mask is None else mask
    keep = [
        np.any((block > 0) & (used[rows] if used.ndim == 3 else used), axis=(1, 2)) for rows, block in blocks(counts)
    ]
    rows = np.flatnonzero(np.concatenate(keep))
    if not rows.size:
        raise ScanError(f"{path}: counts: Expected patterns that hold counts, got none.")
    return rows
