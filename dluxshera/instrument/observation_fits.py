"""Observations as FITS: the image in PRIMARY, with VARIANCE and MASK extensions and checksums."""

import gzip
import io
import warnings
import zlib
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from .raw_image import RawImage
from .sky import Sky, sky_of_header

_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    MemoryError,
    zlib.error,
)
_KEYWORDS = {
    "unit": "BUNIT",
    "gain": "GAIN",
    "exposures": "NEXP",
    "exposure_time_s": "EXPTIME",
    "saturation": "SATURATE",
}
_CORNER = ("XCORNER", "YCORNER")
_BAD_PIXELS = ("DQ", "BPM", "BADPIX")


def read_fits(path: Path, extension: int | str | None) -> RawImage:
    """Read one image, and the VARIANCE, MASK and bad-pixel (DQ, BPM, BADPIX) extensions where there are any.

    Parameters
    ----------
    path : Path
    extension : int or str, optional
        Index or name of the image; PRIMARY when None.

    Raises
    ------
    ValueError
        Naming the file, and the extension where it is known, if the file is no FITS file, is damaged, fails
        its checksums or holds no such image.
    """
    hdus = _load(path)
    hdu = _select(path, hdus, 0 if extension is None else extension)
    where = f"{path}[{hdu['name']}]"
    variance, mask = (_named(hdus, name) for name in ("VARIANCE", "MASK"))
    return RawImage(
        where,
        hdu["data"],
        variance=None if variance is None else variance["data"],
        variance_unit=None if variance is None else variance["header"].get("BUNIT"),
        mask=_mask(path, hdus, mask, hdu["data"].shape),
        corner=_corner(where, hdu["header"]),
        **_orientation(where, hdu["header"])._asdict(),
        **{field: hdu["header"].get(keyword) for field, keyword in _KEYWORDS.items()},
    )


def read_image(path: Path) -> tuple[str, np.ndarray]:
    """The only image of a FITS file, and its file and extension in words.

    Raises
    ------
    ValueError
        Naming the file, if it is not sound or holds no image, or several.
    """
    hdus = _load(path)
    images = [index for index, hdu in enumerate(hdus) if hdu["data"] is not None]
    if len(images) != 1:
        names = [hdus[index]["name"] or index for index in images]
        raise ValueError(
            f"{path}: Expected one image, got {len(images)}: {names}. Name the extension, as in {path.name}[1]."
        )
    return f"{path}[{hdus[images[0]]['name']}]", hdus[images[0]]["data"]


def read_named_image(path: Path, extension: int | str) -> tuple[str, np.ndarray]:
    """The image of one extension, by name or number, and its file and extension in words. Raises as `read_fits`."""
    hdu = _select(path, _load(path), extension)
    return f"{path}[{hdu['name']}]", hdu["data"]


def fits_bytes(arrays: Mapping[str, np.ndarray], *, saturation_e: Real | None, compress: bool) -> bytes:
    """Pack `image`, `mask`, `exposures` and, where given, `variance` into a FITS file with checksums."""
    from astropy.io import fits

    primary = fits.PrimaryHDU(arrays["image"])
    exposures = float(arrays["exposures"])
    primary.header["BUNIT"] = ("electron", "photo-electrons, summed over the exposures")
    primary.header["NEXP"] = (int(exposures), "number of exposures summed")
    if saturation_e is not None:
        primary.header["SATURATE"] = (float(saturation_e), "[electron] saturation level of one exposure")
    _write_place(primary.header, arrays)
    primary.header["ORIGIN"] = ("dluxshera", "software that wrote this file")
    hdus = [primary]
    if "variance" in arrays:
        hdus.append(fits.ImageHDU(arrays["variance"], name="VARIANCE"))
        hdus[-1].header["BUNIT"] = ("electron2", "noise variance of the image")
    hdus.append(fits.ImageHDU(arrays["mask"].astype(np.uint8), name="MASK"))
    hdus[-1].header["EXTNAME"] = ("MASK", "1 where a pixel is used, 0 where it is not")
    primary.header["NEXTEND"] = (len(hdus) - 1, "number of extensions")
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer, checksum=True)
    return gzip.compress(buffer.getvalue(), mtime=0) if compress else buffer.getvalue()


def _write_place(header: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Where the image was cut out, and how it lies on the sky, where that is known."""
    for keyword, axis, value in zip(_CORNER, ("column", "row"), arrays.get("corner", ()), strict=False):
        header[keyword] = (float(value), f"{axis} of the first pixel before the cut")
    if "sky_roll_deg" in arrays:
        header["SKYROLL"] = (float(arrays["sky_roll_deg"]), "[deg] of +row, from north through east")
    if "parity" in arrays:
        header["PARITY"] = (int(arrays["parity"]), "1: +row to +column turns as north to east")


def _load(path: Path) -> list[dict[str, Any]]:
    """Name, header and data of every extension, verified; astropy only warns of damage, this refuses it."""
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # untidy headers
            warnings.filterwarnings("error", "Error validating header", fits.verify.VerifyWarning)
            hdus = fits.open(_stream(path), checksum=True)
            found = [_hdu_content(hdu) for hdu in hdus]
    except (*_UNREADABLE, AstropyUserWarning, fits.VerifyError) as error:
        text = " ".join(str(error).split())
        reason = text.rstrip(".") or type(error).__name__
        raise ValueError(f"{path}: Expected a sound FITS file, got: {reason}. Copy it again.") from error
    _check_count(path, found)
    return found


def _stream(path: Path) -> io.BytesIO:
    """The file's bytes, unpacked; astropy leaves a file open when it meets damage."""
    data = path.read_bytes()
    return io.BytesIO(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)


def _hdu_content(hdu) -> dict[str, Any]:
    data = np.asarray(hdu.data, float) if hdu.is_image and hdu.data is not None else None
    return {
        "name": hdu.name,
        "header": hdu.header,
        "data": data,
    }


def _check_count(path: Path, hdus: list[dict[str, Any]]) -> None:
    expected = hdus[0]["header"].get("NEXTEND")
    if isinstance(expected, int) and expected != len(hdus) - 1:
        raise ValueError(f"{path}: Expected {expected} extensions (NEXTEND), got {len(hdus) - 1}. Copy it again.")


def _select(path: Path, hdus: list[dict[str, Any]], extension: int | str) -> dict[str, Any]:
    named = _named(hdus, extension) if isinstance(extension, str) else None
    if isinstance(extension, int) and 0 <= extension < len(hdus):
        named = hdus[extension]
    if named is None or named["data"] is None:
        images = [hdu["name"] or index for index, hdu in enumerate(hdus) if hdu["data"] is not None]
        got = "no such extension" if named is None else "one without an image"
        raise ValueError(
            f"{path}[{extension if named is None else named['name']}]: Expected an image, got {got}. "
            f"Pass extension= one of {images}."
        )
    return named


def _named(hdus: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((hdu for hdu in hdus if hdu["name"].upper() == name.upper()), None)


def _mask(path: Path, hdus: list[dict[str, Any]], mask: dict[str, Any] | None, shape: tuple[int, ...]):
    """True where both a mask and the bad-pixel maps let a pixel be used; None where there is neither."""
    used = [] if mask is None else [_as_mask(f"{path}[MASK]", mask["data"])]
    for name in _BAD_PIXELS:
        found = _named(hdus, name)
        if found is not None and found["data"] is not None:
            if found["data"].shape != shape:
                raise ValueError(
                    f"{path}[{name}]: Expected the shape {shape} of the image, got {found['data'].shape}. "
                    "Correct or remove the extension."
                )
            used.append(found["data"] == 0)
    return np.logical_and.reduce(used) if used else None


def _corner(where: str, header: Any) -> np.ndarray | None:
    values = [header.get(keyword) for keyword in _CORNER]
    if None in values:
        return None
    if not all(isinstance(value, Real) and np.isfinite(value) for value in values):
        raise ValueError(f"{where}: Expected numbers for {', '.join(_CORNER)}, got {values}. Correct or remove them.")
    return np.asarray(values, float)


def _orientation(where: str, header: Any) -> Sky:
    try:
        return sky_of_header(header)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _as_mask(where: str, data: np.ndarray | None) -> np.ndarray:
    if data is None or not np.isin(data, (0, 1)).all():
        raise ValueError(f"{where}: Expected 1 where a pixel is used and 0 elsewhere, got other values.")
    return data == 1
