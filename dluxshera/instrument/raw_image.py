"""An image as a file holds it, and its conversion to electrons by what the file or the caller says."""

import math
import re
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

_ELECTRONS = {"electron", "electrons", "e", "e-", "photoelectron", "photoelectrons"}
_DIGITAL = {"adu", "adus", "dn", "dns", "count", "counts", "ct", "cts"}
_PER_SECOND = re.compile(r"(/s|/sec|/second|s-1|s\^-1|s\*\*-1)$")
_ROUNDING = 1e-9  # a level times a gain times a count is not exact


class RawImage(NamedTuple):
    """Arrays in the file's own unit, and what the file says about them (None where it is silent).

    Attributes
    ----------
    where : str
        File and extension, for messages.
    image, variance, mask : array (n, n)
        In `unit`, in its square, and True where a pixel is used.
    unit, variance_unit : str
    gain : float, electrons per adu
    exposures : float
        Number of exposures that the image sums.
    exposure_time_s : float, seconds
        Of one exposure.
    saturation : float
        Level of one exposure, in the counting unit of `unit` (electron or adu).
    corner : array (2,), pixels
        Column and row, in the file first read, of the first pixel of an image that was cut out of it.
    sky_roll_deg : float, degrees
    parity : int
        Orientation, see `sky`.
    """

    where: str
    image: np.ndarray
    variance: np.ndarray | None = None
    mask: np.ndarray | None = None
    unit: Any = None
    variance_unit: Any = None
    gain: Any = None
    exposures: Any = None
    exposure_time_s: Any = None
    saturation: Any = None
    corner: Any = None
    sky_roll_deg: Any = None
    parity: Any = None


class Unit(NamedTuple):
    """Whether an image counts digital units (else electrons), and whether it is a rate per second."""

    digital: bool
    rate: bool


class Electrons(NamedTuple):
    """An image in electrons, the variance in electrons^2, and the pixels at or above the saturation level."""

    image: np.ndarray
    variance: np.ndarray | None
    exposures: float
    saturated: np.ndarray


def parse_unit(text: Any, where: str) -> Unit:
    """Read a unit such as `electron`, `adu` (also called DN or counts) or `electron/s`.

    Raises
    ------
    ValueError
        Naming `where`, if there is none or it is another one.
    """
    if text is None or not str(text).strip():
        raise ValueError(f"{where}: Expected a unit (BUNIT), got none. Pass unit='electron' or unit='adu'.")
    name = re.sub(r"\s", "", str(text)).lower()
    counted = _PER_SECOND.sub("", name)
    if counted not in _ELECTRONS | _DIGITAL:
        raise ValueError(
            f"{where}: Expected the unit electron, adu (DN, counts), electron/s or adu/s, got {text!r}. "
            "Pass one as unit=."
        )
    return Unit(counted in _DIGITAL, counted != name)


def to_electrons(
    raw: RawImage,
    *,
    unit: str | None = None,
    gain_e_per_adu: Real | None = None,
    exposures: Real | None = None,
    exposure_time_s: Real | None = None,
    saturation_e: Real | None = None,
) -> Electrons:
    """Convert to electrons; an option takes the place of what the file says.

    Raises
    ------
    ValueError
        Naming the file, if the unit, or a gain or exposure time that it needs, is unknown.
    """
    where, wanted = raw.where, parse_unit(raw.unit if unit is None else unit, raw.where)
    _check_variance_unit(raw, wanted)
    if gain_e_per_adu is not None and not wanted.digital:
        raise ValueError(f"{where}: Expected no gain for an image in electrons, got {gain_e_per_adu}. Pass unit='adu'.")
    count = _positive(exposures, raw.exposures, 1.0, where, "exposures", "NEXP")
    gain = _positive(gain_e_per_adu, raw.gain, None, where, "gain_e_per_adu", "GAIN") if wanted.digital else 1.0
    scale = gain
    if wanted.rate:
        scale *= count * _positive(exposure_time_s, raw.exposure_time_s, None, where, "exposure_time_s", "EXPTIME")
    image = raw.image * scale
    variance = None if raw.variance is None else raw.variance * scale**2
    return Electrons(image, variance, count, image >= _level(raw, saturation_e, gain) * count * (1 - _ROUNDING))


def _level(raw: RawImage, saturation_e: Real | None, gain: float) -> float:
    if saturation_e is None and raw.saturation is None:
        return math.inf
    if saturation_e is None:
        return gain * _positive(None, raw.saturation, None, raw.where, "saturation_e", "SATURATE")
    return _positive(saturation_e, None, None, raw.where, "saturation_e", "SATURATE")


def _positive(given: Any, stored: Any, default: float | None, where: str, option: str, keyword: str) -> float:
    value = next((v for v in (given, stored, default) if v is not None), None)
    if value is None:
        raise ValueError(f"{where}: Expected {keyword} or {option}=, got neither. Pass {option}=NUMBER.")
    if isinstance(value, bool) or not (isinstance(value, Real) and 0 < value < math.inf):
        raise ValueError(f"{where}: Expected a positive number for {keyword} or {option}=, got {value!r}.")
    return float(value)


def _check_variance_unit(raw: RawImage, wanted: Unit) -> None:
    if raw.variance is None or raw.variance_unit is None:
        return
    text = str(raw.variance_unit)
    where = f"{raw.where}, variance"
    if "2" not in text or parse_unit(re.sub(r"\*\*2|\^2|2|[()]", "", text), where) != wanted:
        raise ValueError(f"{where}: Expected the square of the image's unit, got {text!r}. Convert one of them.")
