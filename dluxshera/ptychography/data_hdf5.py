"""Scans in HDF5 files: the CXI format (cxidb.org) and the ptychography part of NeXus, which share their paths.

The format gives the translation of the *sample*, in metres, in a frame where y points up and x to the left as the
light flies, while the rows and columns of a pattern go down and to the right as seen against it. The two reversals
cancel: the window moves over the object, in rows and columns, by plus the translation over the pixel size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .data import PLANCK_LIGHTSPEED, ScanData, blocks
from .extras import extra
from .scan_errors import ScanError
from .stored_patterns import UNREADABLE, StoredPatterns

JOULES_PER_EV = 1.602176634e-19
UNITS = {
    "energy": {"J": 1 / JOULES_PER_EV, "eV": 1.0, "keV": 1e3},
    "length": {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9},
}
ENTRY, DETECTOR, SOURCE = "entry_1", "entry_1/instrument_1/detector_1", "entry_1/instrument_1/source_1"
DATA = (f"{ENTRY}/data_1/data", f"{DETECTOR}/data", "entry/data/data")
TRANSLATION = (
    f"{ENTRY}/sample_1/geometry_1/translation",
    f"{ENTRY}/data_1/translation",
    f"{DETECTOR}/translation",
)
ENERGY = (f"{SOURCE}/energy", f"{ENTRY}/instrument_1/beam_1/energy")
MOST_PACKED = 4096  # declared bytes for each stored one; more is an array that was never written


def read_hdf5(path: Path, corner: bool) -> dict[str, Any]:
    """Read the arguments of a `ScanData`, patterns excepted: they stay in the file.

    Raises
    ------
    ScanError
        Naming file and key, for what is missing, damaged, or larger than the file can hold.
    ImportError
        Where h5py is missing.
    """
    h5py = extra("h5py")
    try:
        with h5py.File(path, "r") as file:
            return _fields(file, path, corner)
    except ScanError:
        raise
    except UNREADABLE as error:
        raise ScanError(f"{path}: Expected a sound HDF5 file, got one that cannot be read: {error}.") from error


def _fields(file: Any, path: Path, corner: bool) -> dict[str, Any]:
    data = _dataset(file, DATA, path)
    _check_stored(data, path)
    corner = corner or bool(data.attrs.get("is_fft_shifted", False))
    n, npix = data.shape[0], data.shape[-1]
    numbers = {
        "energy_ev": _number(file, ENERGY, "energy", "J", path),
        "distance": _number(file, (f"{DETECTOR}/distance",), "length", "m", path),
        "detector_pixel": _pixel(file, path),
    }
    arrays = {
        "probe": _optional(file, f"{SOURCE}/illumination"),
        "object": _optional(file, f"{ENTRY}/sample_1/object_guess"),
        "mask": _mask(file, path, corner),
        "background": _centred(_optional(file, f"{DETECTOR}/background"), corner),
        "scan_index": _optional(file, f"{ENTRY}/data_1/scan_index"),
    }
    interpolation = data.attrs.get("interpolation", "bilinear")
    return {
        "counts": StoredPatterns(str(path), data.name, np.arange(n), npix, data.dtype, corner),
        "positions": _positions(file, n, npix, numbers, path),
        "interpolation": str(interpolation),
        **numbers,
        **arrays,
    }


def _dataset(file: Any, names: Sequence[str], path: Path) -> Any:
    """The first of several datasets that is there."""
    h5py = extra("h5py")
    for name in names:
        found = file.get(name)
        if isinstance(found, h5py.Dataset):
            return found
    raise ScanError(f"{path}: Expected a dataset {' or '.join(names)}, got none. Check the file's layout.")


def _check_stored(data: Any, path: Path) -> None:
    if data.ndim != 3 or data.shape[1] != data.shape[2] or data.dtype.kind not in "uif":
        raise ScanError(
            f"{path}: {data.name}: Expected patterns of real numbers, shape (n, N, N), got {data.dtype} of shape "
            f"{data.shape}. Crop the patterns to squares."
        )
    stored = data.id.get_storage_size()
    if not data.is_virtual and data.external is None and data.nbytes > MOST_PACKED * max(stored, 16):
        raise ScanError(
            f"{path}: {data.name}: Expected an array that fits its file, got one that declares {data.nbytes} bytes "
            f"in {stored}. Write the file again."
        )


def _optional(file: Any, name: str) -> np.ndarray | None:
    h5py = extra("h5py")
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        return None
    if found.nbytes > MOST_PACKED * max(found.id.get_storage_size(), 16):
        raise ScanError(f"{file.filename}: {name}: Expected an array that fits its file, got {found.nbytes} bytes.")
    return np.asarray(found[()])


def _units(dataset: Any, kind: str, default: str, path: Path) -> float | None:
    """Factor to the unit of the package; None for pixels."""
    unit = dataset.attrs.get("units", default)
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit == "pixel" and kind == "length":
        return None
    if unit not in UNITS[kind]:
        raise ScanError(f"{path}: {dataset.name}: Expected units of {', '.join(UNITS[kind])}, got {unit!r}.")
    return UNITS[kind][unit]


def _number(file: Any, names: Sequence[str], kind: str, default: str, path: Path) -> float | None:
    name = next((name for name in names if file.get(name) is not None), None)
    if name is None:
        return None
    value = np.asarray(file[name][()])
    factor = _units(file[name], kind, default, path)
    if value.dtype.kind not in "uif" or factor is None or not value.size or np.ptp(value) > 1e-3 * abs(value.flat[0]):
        raise ScanError(f"{path}: {name}: Expected one number with a unit, got {value.dtype} of shape {value.shape}.")
    return float(value.flat[0]) * factor


def _pixel(file: Any, path: Path) -> float | None:
    x, y = (_number(file, (f"{DETECTOR}/{axis}_pixel_size",), "length", "m", path) for axis in "xy")
    if x is not None and y is not None and abs(x - y) > 1e-6 * x:
        raise ScanError(f"{path}: {DETECTOR}/y_pixel_size: Expected square pixels of {x:g} m, got {y:g} m. Bin them.")
    return y if x is None else x


def _positions(file: Any, n: int, npix: int, numbers: dict[str, float | None], path: Path) -> np.ndarray:
    dataset = _dataset(file, TRANSLATION, path)
    if dataset.ndim != 2 or dataset.shape[0] != n or dataset.shape[1] not in (2, 3) or dataset.dtype.kind not in "uif":
        raise ScanError(
            f"{path}: {dataset.name}: Expected ({n}, 3) numbers, x, y and z of each pattern, got {dataset.dtype} of "
            f"shape {dataset.shape}."
        )
    positions = np.asarray(dataset[:, :2], float)[:, ::-1]
    factor = _units(dataset, "length", "m", path)
    if factor is None:
        return positions
    missing = [name for name, value in numbers.items() if value is None]
    if missing:
        raise ScanError(
            f"{path}: Expected energy, distance and detector pixel size, to turn the translations into pixels, got no "
            f"{', no '.join(missing)}. Add {ENERGY[0]}, {DETECTOR}/distance and {DETECTOR}/x_pixel_size."
        )
    pixel = PLANCK_LIGHTSPEED / numbers["energy_ev"] * numbers["distance"] / (npix * numbers["detector_pixel"])
    if not (np.isfinite(pixel) and pixel > 0):
        raise ScanError(f"{path}: Expected energy, distance and detector pixel above zero, got {numbers}.")
    return positions * factor / pixel


def _mask(file: Any, path: Path, corner: bool) -> np.ndarray | None:
    """The format's mask has bits for what is wrong with a pixel; zero is a good one."""
    flags = _optional(file, f"{DETECTOR}/mask")
    if flags is None:
        return None
    if flags.dtype.kind not in "uib":
        raise ScanError(f"{path}: {DETECTOR}/mask: Expected flags, zero for a good pixel, got dtype {flags.dtype}.")
    return _centred(flags == 0, corner)


def _centred(array: np.ndarray | None, corner: bool) -> np.ndarray | None:
    if array is None or array.ndim < 2 or not corner:
        return array
    return np.fft.fftshift(array, axes=(-2, -1))


def write_hdf5(path: Path, data: ScanData) -> None:
    """Write a scan as CXI to a path that is new; positions are pixels where the pixel size is not known."""
    h5py = extra("h5py")
    with h5py.File(path, "x") as file:
        file["cxi_version"] = 160
        _write_patterns(file, data)
        pixel = data.pixel_size or 1.0
        translation = np.pad(data.positions[:, ::-1] * pixel, ((0, 0), (0, 1)))
        file[TRANSLATION[0]] = translation
        file[TRANSLATION[0]].attrs["units"] = "m" if data.pixel_size else "pixel"
        file[TRANSLATION[1]] = h5py.SoftLink(f"/{TRANSLATION[0]}")
        for name, value, unit in _entries(data):
            if value is not None:
                file[name] = value
                file[name].attrs["units"] = unit


def _write_patterns(file: Any, data: ScanData) -> None:
    options = {"chunks": (1, data.npix, data.npix), "compression": "gzip", "compression_opts": 4}
    patterns = file.create_dataset(
        DATA[0], data.counts.shape, data.counts.dtype, shuffle=True, fletcher32=True, **options
    )
    for rows, block in blocks(data.counts):
        patterns[rows] = block
    patterns.attrs["is_fft_shifted"] = False
    patterns.attrs["interpolation"] = data.interpolation
    file[DATA[1]] = extra("h5py").SoftLink(f"/{DATA[0]}")


def _entries(data: ScanData) -> list[tuple[str, Any, str]]:
    return [
        (ENERGY[0], None if data.energy_ev is None else data.energy_ev * JOULES_PER_EV, "J"),
        (f"{DETECTOR}/distance", data.distance, "m"),
        (f"{DETECTOR}/x_pixel_size", data.detector_pixel, "m"),
        (f"{DETECTOR}/y_pixel_size", data.detector_pixel, "m"),
        (f"{DETECTOR}/mask", None if data.mask is None else (~data.mask).astype(np.uint32), ""),
        (f"{DETECTOR}/background", data.background, "photons"),
        (f"{SOURCE}/illumination", data.probe, "sqrt(photons)"),
        (f"{ENTRY}/sample_1/object_guess", data.object, ""),
        (f"{ENTRY}/data_1/scan_index", data.scan_index, ""),
    ]
