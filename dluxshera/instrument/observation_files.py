"""Files of observations: the format by suffix, NPZ, and writing in one step."""

import io
import os
import secrets
import zipfile
import zlib
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

import numpy as np

from .bad_pixels import without_bad_pixels
from .observation_fits import fits_bytes, read_fits
from .raw_image import RawImage

_FITS_SUFFIXES, _GZIP_SUFFIXES = (".fits", ".fit"), (".fits.gz", ".fit.gz")
_NPZ_VALUES = ("unit", "exposures", "saturation", "sky_roll_deg", "parity")
_NPZ_NAMES = ("image", "variance", "mask", "corner", *_NPZ_VALUES)
_MAX_BYTES = 2**30
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    EOFError,
    MemoryError,
    zlib.error,
    zipfile.BadZipFile,
)


def read_raw_image(path: Path, extension: int | str | None, bad_pixels: str | Path | int | None = None) -> RawImage:
    """Read an image from a FITS or NPZ file, in the file's own unit, with the pixels of a bad-pixel map masked.

    Raises
    ------
    ValueError
        Naming the file, if it is missing, of another kind, or damaged.
    """
    kind = _kind(path)
    if not path.is_file():
        raise ValueError(f"{path}: Expected an image file, got none. Check the path.")
    if kind == "npz" and extension is not None:
        raise ValueError(f"{path}: Expected no extension for an NPZ file, got {extension!r}.")
    raw = _read_npz(path) if kind == "npz" else read_fits(path, extension)
    return raw if bad_pixels is None else without_bad_pixels(raw, bad_pixels, path)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, overwrite: bool, saturation_e: Real | None) -> None:
    """Write an observation's arrays by name (electrons), whole or not at all.

    Raises
    ------
    ValueError
        Naming the file, if its suffix or folder is not acceptable, or it exists and `overwrite` is False.
    """
    kind = _kind(path)
    if not path.parent.is_dir():
        raise ValueError(f"{path}: Expected an existing folder, got {path.parent}. Create it first.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ValueError(
            f"{path}: Expected a new file, got one that exists. Choose another name or pass overwrite=True."
        )
    if kind == "npz":
        level = {} if saturation_e is None else {"saturation": np.asarray(saturation_e, float)}
        data = _npz_bytes({**arrays, **level, "unit": np.asarray("electron")})
    else:
        data = fits_bytes(arrays, saturation_e=saturation_e, compress=kind == "gzip")
    _write_whole(path, data)


def _kind(path: Path) -> str:
    name = path.name.lower()
    for kind, suffixes in (("gzip", _GZIP_SUFFIXES), ("fits", _FITS_SUFFIXES), ("npz", (".npz",))):
        if name.endswith(suffixes):
            return kind
    raise ValueError(f"{path}: Expected a name that ends in .fits, .fit, .fits.gz or .npz, got {path.name!r}.")


def _read_npz(path: Path) -> RawImage:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive)
            stored = set(archive.namelist())
            arrays = {name: _member(archive, name) for name in _NPZ_NAMES if f"{name}.npy" in stored}
        values = {name: arrays.pop(name).item() for name in _NPZ_VALUES if name in arrays}
        if "image" not in arrays or arrays["image"].dtype.kind not in "fiu":
            raise ValueError(f"arrays named {sorted(stored)}")
    except _UNREADABLE as error:
        raise ValueError(
            f"{path}: Expected an NPZ file with an array of real numbers named image, got: {error}. "
            "Write it with numpy.savez(path, image=..., unit='electron')."
        ) from error
    return RawImage(str(path), **arrays, **values)


def _check_archive(archive: zipfile.ZipFile) -> None:
    if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
        raise ValueError(f"arrays of more than {_MAX_BYTES} bytes")
    damaged = archive.testzip()  # all members: damage to a name would hide its array
    if damaged is not None:
        raise ValueError(f"a damaged array {damaged}")


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    data = io.BytesIO(archive.read(f"{name}.npy"))
    return np.lib.format.read_array(data, allow_pickle=False)


def _npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
