"""Scans in NPZ files: counts, or the amplitudes of a common older layout."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..inference._artifact_npz import UNREADABLE, read_member
from .data import ScanData, blocks
from .scan_errors import ScanError, UncalibratedWarning

MAX_BYTES = 2**32  # of the arrays that are read; larger scans belong in HDF5 files, which are streamed
MOST_PACKED = 1032  # the highest ratio that the deflate algorithm reaches
NUMBERS = ("energy_ev", "distance", "detector_pixel")
KEYS = {  # in the file -> argument of ScanData
    "counts": "counts",
    "xcoords": "x",
    "ycoords": "y",
    "probeGuess": "probe",
    "objectGuess": "object",
    "scan_index": "scan_index",
    "mask": "mask",
    "background": "background",
    "diff3d": "amplitudes",
    "intensity_scale": "intensity_scale",
    "interpolation": "interpolation",
    **{name: name for name in NUMBERS},
}
INTEGER_TOLERANCE, LARGEST_EXACT = 0.02, 1e4  # squares of single-precision amplitudes tell integers up to there


def read_npz(path: Path, corner: bool, photons: float | int | None) -> dict[str, Any]:
    """Read the arguments of a `ScanData` from an NPZ file; keys that are not known are not looked at.

    Raises
    ------
    ScanError
        Naming file and key, for what is missing, damaged, pickled, or larger than the file can hold.
    """
    stored = _arrays(path)
    _check_keys(stored, path)
    _check_coordinates(stored, path)
    fields = {KEYS[key]: value for key, value in stored.items()}
    fields["positions"] = np.stack([np.asarray(fields.pop(axis), float) for axis in "yx"], axis=-1)
    amplitudes, scale = fields.pop("amplitudes", None), fields.pop("intensity_scale", None)
    if "counts" in fields and photons is not None:
        raise ScanError(f"{path}: Expected photons only for a file of amplitudes, got {photons}. Leave it out.")
    if "counts" not in fields:
        fields["counts"], factor = counts_of(amplitudes, scale, photons, path)
        fields["probe"] = fields["probe"] * factor
    if "interpolation" in fields:
        fields["interpolation"] = str(fields["interpolation"])
    return {key: _centred(value, key) for key, value in fields.items()} if corner else fields


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist() if m.filename.endswith(".npy")}
            wanted = {key: members[key] for key in KEYS if key in members}
            _check_sizes(list(wanted.values()), path)
            return {key: _read(archive, member, key, path) for key, member in wanted.items()}
    except ScanError:
        raise
    except (OSError, *UNREADABLE) as error:
        raise ScanError(f"{path}: Expected a sound NPZ file, got one that cannot be read: {error}.") from error


def _check_sizes(members: list[zipfile.ZipInfo], path: Path) -> None:
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise ScanError(
            f"{path}: Expected arrays of at most {MAX_BYTES} bytes, got {total}. "
            "Store larger scans as CXI (HDF5), which is read in blocks."
        )
    for member in members:
        if member.file_size > MOST_PACKED * member.compress_size + 4096:
            raise ScanError(
                f"{path}: {member.filename.removesuffix('.npy')}: Expected an array that fits its file, got one that "
                f"declares {member.file_size} bytes in {member.compress_size}. Write the file again."
            )


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, key: str, path: Path) -> np.ndarray:
    try:
        return read_member(archive, member)
    except UNREADABLE as error:
        raise ScanError(f"{path}: {key}: Expected a plain, sound array, got: {error}. Write the file again.") from error


def _check_keys(stored: dict[str, np.ndarray], path: Path) -> None:
    missing = [key for key in ("xcoords", "ycoords", "probeGuess") if key not in stored]
    if "counts" not in stored and "diff3d" not in stored:
        missing.insert(0, "counts (or diff3d)")
    if missing:
        raise ScanError(
            f"{path}: Expected the keys counts (or diff3d), xcoords, ycoords and probeGuess, got no "
            f"{', no '.join(missing)}. Write the file with write_scan, or add them."
        )


def _check_coordinates(stored: dict[str, np.ndarray], path: Path) -> None:
    patterns = stored.get("counts", stored.get("diff3d"))
    for key in ("xcoords", "ycoords"):
        array = stored[key]
        if array.dtype.kind not in "uif" or array.shape != patterns.shape[:1]:
            raise ScanError(
                f"{path}: {key}: Expected {patterns.shape[0] if patterns.ndim else 'as many'} numbers, one for each "
                f"pattern, got {array.dtype} of shape {array.shape}."
            )
        if not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ScanError(f"{path}: {key}: Expected finite pixels, got {array[bad]} for pattern {bad}.")


def counts_of(
    amplitudes: np.ndarray, scale: np.ndarray | None, photons: float | int | None, path: Path
) -> tuple[np.ndarray, float]:
    """Turn amplitudes that were divided by a scale s into counts: n = (s a)^2; and return s.

    s is `scale` where the file has it, follows from `photons` where that is given, or from the squared amplitudes
    being multiples of 1/s^2. Otherwise the counts are relative, with s = 1.

    Raises
    ------
    ScanError
        For amplitudes that are not finite numbers, (n, N, N), of zero or more, or a scale that is not positive.
    """
    if amplitudes.dtype.kind not in "uif" or amplitudes.ndim != 3:
        raise ScanError(
            f"{path}: diff3d: Expected amplitudes of shape (n, N, N), got {amplitudes.dtype} of {amplitudes.shape}."
        )
    if not (np.isfinite(amplitudes).all() and (amplitudes >= 0).all()):
        raise ScanError(f"{path}: diff3d: Expected finite amplitudes of zero or more, got others. Replace them.")
    squares = amplitudes.astype(float) ** 2
    factor = _given_scale(squares, scale, photons, path)
    if factor is None:
        warnings.warn(
            f"{path}: diff3d does not tell its dose: its squares are no multiples of one count. Counts and probe are "
            "relative; give the mean photons per pattern (photons, --photons).",
            UncalibratedWarning,
            stacklevel=2,
        )
        return squares, 1.0
    counts = squares * factor**2
    exact = np.abs(counts - np.round(counts))[counts < LARGEST_EXACT].max(initial=0.0) < INTEGER_TOLERANCE
    return np.round(counts) if exact else counts, factor


def _given_scale(
    squares: np.ndarray, scale: np.ndarray | None, photons: float | int | None, path: Path
) -> float | None:
    if photons is not None:
        mean = float(squares.sum((1, 2)).mean()) if squares.size else 0.0
        if not (0 < photons < np.inf and mean > 0):
            raise ScanError(f"{path}: Expected photons above zero per pattern, got {photons} for a mean of {mean:g}.")
        return float(np.sqrt(photons / mean))
    if scale is not None:
        if scale.dtype.kind not in "uif" or scale.size != 1 or not 0 < float(scale.item()) < np.inf:
            raise ScanError(f"{path}: intensity_scale: Expected one number above zero, got {scale!r}.")
        return float(scale.item())
    return _quantum_scale(squares)


def _quantum_scale(squares: np.ndarray) -> float | None:
    """s for which the squared amplitudes are whole numbers over s^2; None where there is none."""
    positive = squares[squares > 0]
    if positive.size < 2:
        return None
    multiples = positive / positive.min()
    small = multiples[multiples < LARGEST_EXACT]
    whole = np.abs(small - np.round(small)).max() < INTEGER_TOLERANCE
    return float(positive.min() ** -0.5) if whole and np.unique(np.round(small)).size > 2 else None


def _centred(value: Any, key: str) -> Any:
    """Move the zero frequency of what lies on the detector from [0, 0] to [N//2, N//2]."""
    if key not in ("counts", "mask", "background") or np.ndim(value) < 2:
        return value
    return np.fft.fftshift(value, axes=(-2, -1))


def write_npz(path: Path, data: ScanData, amplitudes: bool) -> None:
    """Write a scan as NPZ to a path that is new; `amplitudes` for `diff3d` in place of `counts`."""
    arrays = {"xcoords": data.positions[:, 1], "ycoords": data.positions[:, 0], "interpolation": data.interpolation}
    if data.probe is None:
        raise ScanError(f"{data.source}: probe: Expected a probe, which an NPZ file must hold, got none. Give a guess.")
    probe = data.probe
    if amplitudes:
        scale = float(np.sqrt(data.photons.mean()))
        probe = probe / scale
        arrays |= {"diff3d": _amplitudes(data, scale), "intensity_scale": scale}
    else:
        arrays["counts"] = np.asarray(data.counts)
    arrays["probeGuess"] = probe[0] if len(probe) == 1 else probe
    names = ("scan_index", "mask", "background", *NUMBERS)
    optional = {"objectGuess": data.object, **{name: getattr(data, name) for name in names}}
    arrays |= {key: value for key, value in optional.items() if value is not None}
    with open(path, "xb") as stream:
        np.savez_compressed(stream, **arrays)


def _amplitudes(data: ScanData, scale: float) -> np.ndarray:
    stored = np.empty(data.counts.shape, np.float32)
    for rows, block in blocks(data.counts):
        stored[rows] = np.sqrt(block) / scale
    return stored
