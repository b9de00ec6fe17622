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


def read_fits(path: Path, extension: int | str | None) -> RawImage:
    """Read one image, and the VARIANCE and MASK extensions where there are any.

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
        mask=None if mask is None else _as_mask(f"{path}[MASK]", mask["data"]),
        **{field: hdu["header"].get(keyword) for field, keyword in _KEYWORDS.items()},
    )


def fits_bytes(arrays: Mapping[str, np.ndarray], *, saturation_e: Real | None, compress: bool) -> bytes:
    """Pack `image`, `mask`, `exposures` and, where given, `variance` into a FITS file with checksums."""
    from astropy.io import fits

    primary = fits.PrimaryHDU(arrays["image"])
    exposures = float(arrays["exposures"])
    primary.header["BUNIT"] = ("electron", "photo-electrons, summed over the exposures")
    primary.header["NEXP"] = (int(exposures), "number of exposures summed")
    if saturation_e is not None:
        primary.header["SATURATE"] = (float(saturation_e), "[electron] saturation level of one exposure")
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
        "header": {key: hdu.header.get(key) for key in (*_KEYWORDS.values(), "NEXTEND")},
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


def _as_mask(where: str, data: np.ndarray | None) -> np.ndarray:
    if data is None or not np.isin(data, (0, 1)).all():
        raise ValueError(f"{where}: Expected 1 where a pixel is used and 0 elsewhere, got other values.")
    return data == 1
