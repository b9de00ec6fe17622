"""`Observation`: a measured or simulated image, its noise and the pixels that count."""

import dataclasses
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..params.checks import is_traced
from ..params.coerce import as_float
from .crop import cut
from .observation_files import read_raw_image, write_arrays
from .raw_image import to_electrons
from .saturation import warn_saturated


class Observation(eqx.Module):
    """An image in electrons, the sum of `exposures` exposures.

    Every field is a leaf, so that new data of the same shape never compile anything again.

    Parameters
    ----------
    image : array (n, n), electrons
        Not finite where unknown: such pixels are masked and set to zero.
    variance : array (n, n), electrons^2, optional
        Noise variance, for the Gaussian likelihood. A pixel without a finite one is masked.
    mask : bool array (n, n), optional
        True where a pixel is used; kept as it is, but for pixels that are not finite.
    exposures : int, optional
        How many exposures the image sums.
    corner : array (2,), pixels, optional
        Column and row of the image's first pixel in the larger one that it was cut out of.
    sky_roll_deg : float, degrees, optional
        Direction of +row on the sky, from north through east.
    parity : int, optional
        1 where the turn from +row to +column is the one from north to east, else -1.

    Raises
    ------
    TypeError
        If an argument is not made of real numbers, or the mask of booleans.
    ValueError
        If shapes disagree, the image is empty or cannot be counts, a variance is negative, or more than half
        of the pixels are masked. Traced values are not looked at.
    """

    image: Float[Array, "n n"]
    variance: Float[Array, "n n"] | None
    mask: Bool[Array, "n n"]
    exposures: Float[Array, ""]
    corner: Float[Array, "2"] | None
    sky_roll_deg: Float[Array, ""] | None
    parity: Float[Array, ""] | None

    def __init__(
        self,
        image: Any,
        variance: Any = None,
        mask: Any = None,
        exposures: Any = 1,
        corner: Any = None,
        sky_roll_deg: Any = None,
        parity: Any = None,
    ):
        image = _coerce("image", image, "electron")
        variance = None if variance is None else _coerce("variance", variance, "electron2")
        mask = jnp.ones(image.shape, bool) if mask is None else _coerce_mask(mask)
        exposures = _coerce("exposures", exposures, "")
        _check_shapes(image, variance, mask, exposures)
        known = jnp.isfinite(image) if variance is None else jnp.isfinite(image) & jnp.isfinite(variance)
        self.image = jnp.where(jnp.isfinite(image), image, 0.0)
        # One, not zero: a masked residual is still divided by it.
        self.variance = None if variance is None else jnp.where(jnp.isfinite(variance), variance, 1.0)
        self.mask = mask & known
        self.exposures = exposures
        self.corner = None if corner is None else _coerce("corner", corner, "pixel")
        self.sky_roll_deg = None if sky_roll_deg is None else _coerce("sky_roll_deg", sky_roll_deg, "deg")
        self.parity = None if parity is None else _coerce("parity", parity, "")
        if not any(is_traced(value) for value in (image, variance, mask, exposures)):
            _check_values(self)
            _check_place(self)

    @property
    def masked_count(self) -> int:
        """Number of pixels that are not used."""
        return int(jnp.sum(~self.mask))

    @property
    def centre(self) -> tuple[float, float] | None:
        """Middle (x, y) of the image, pixels of the larger one that it was cut out of; None where it was not cut.

        Column and row from zero at the middle of the first pixel, one less than in FITS. Of an even number of
        pixels the middle lies between two. Positions of a model are counted from here: the binary is at column
        `centre[0] + x_position_as / plate_scale_as`, and so for the row.
        """
        if self.corner is None:
            return None
        x, y = (float(value) + (self.image.shape[0] - 1) / 2 for value in self.corner)
        return x, y

    @property
    def overrides(self) -> dict[str, Any]:
        """What the image says that a profile must say too, by path: its size; roll and parity where they are known."""
        known = {"optics.psf_npix": self.image.shape[0]}
        if self.sky_roll_deg is not None:
            known["detector.sky_roll_deg"] = float(self.sky_roll_deg)
        if self.parity is not None:
            known["detector.parity"] = int(self.parity)
        return known

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        extension: int | str | None = None,
        bad_pixels: str | Path | int | None = None,
        crop: int | None = None,
        centre: Sequence[Real] | None = None,
        unit: str | None = None,
        gain_e_per_adu: Real | None = None,
        exposures: Real | None = None,
        exposure_time_s: Real | None = None,
        saturation_e: Real | None = None,
    ) -> "Observation":
        """Read a FITS (`.fits`, `.fit`, `.fits.gz`) or NPZ file; options override what the file says.

        Parameters
        ----------
        path : str or Path
        extension : int or str, optional
            FITS extension of the image, by name or number; PRIMARY when None. VARIANCE, MASK (1: used) and
            bad-pixel maps (DQ, BPM or BADPIX, 0: used) are found by name.
        bad_pixels : str, Path or int, optional
            A map of the image's shape whose pixels other than zero are masked: a FITS file, also as
            `map.fits[DQ]`, an .npy file, or an extension of the image's own file by name or number.
        crop : int, pixels, optional
            Width of the square to cut out.
        centre : (x, y), pixels, optional
            Column and row about which to cut, from zero at the middle of the first pixel. By default about
            the centroid of the light; `Observation.centre` says where the cut was made.
        unit : str, optional
            `electron`, `adu` (DN, counts), `electron/s` or `adu/s`; keyword BUNIT. One of the two is needed.
        gain_e_per_adu : float, electrons per adu, optional
            Keyword GAIN; needed for adu.
        exposures : float, optional
            Number of exposures summed; keyword NEXP, else one.
        exposure_time_s : float, seconds, optional
            Of one exposure; keyword EXPTIME; needed for rates, which are multiplied by it and by `exposures`.
        saturation_e : float, electrons, optional
            Level of one exposure (keyword SATURATE, in electrons, or in adu for such an image). Pixels at or
            above it, times `exposures`, are masked.

        Raises
        ------
        ValueError
            Naming the file, and the extension where it is known, with what to do.

        Warns
        -----
        SaturationWarning
            With the number of pixels that saturation masks.

        Notes
        -----
        Roll and parity come from the header, and only from there: SKYROLL and PARITY, a celestial WCS, or ROLL,
        ORIENTAT, PA_APER or PA_V3, in this order.
        """
        raw = read_raw_image(Path(path), extension, bad_pixels)
        if crop is None and centre is not None:
            raise ValueError(f"{raw.where}: Expected crop= with centre=, got none. Pass the width of the cut.")
        raw = raw if crop is None else cut(raw, crop, centre)
        options = {"unit": unit, "gain_e_per_adu": gain_e_per_adu, "exposure_time_s": exposure_time_s}
        try:
            counts = to_electrons(raw, exposures=exposures, saturation_e=saturation_e, **options)
            place = {"corner": raw.corner, "sky_roll_deg": raw.sky_roll_deg, "parity": raw.parity}
            observed = cls(counts.image, counts.variance, raw.mask, counts.exposures, **place)
            saturated = np.asarray(observed.mask) & counts.saturated
            good = np.asarray(observed.mask) & ~saturated
            observed = cls(observed.image, observed.variance, good, counts.exposures, **place)
        except (ValueError, TypeError) as error:
            text = str(error)
            raise ValueError(text if text.startswith(raw.where) else f"{raw.where}: {text}") from error
        warn_saturated(int(saturated.sum()), raw.where)
        return observed

    def write(self, path: str | Path, *, overwrite: bool = True, saturation_e: Real | None = None) -> None:
        """Write a FITS or NPZ file, by its suffix; `read` gives the same observation back.

        Parameters
        ----------
        path : str or Path
        overwrite : bool, optional
            Whether an existing file may be replaced.
        saturation_e : float, electrons, optional
            Saturation level of one exposure, to be kept in the file.

        Raises
        ------
        ValueError
            Naming the file, if its suffix or folder is not acceptable, or it exists and `overwrite` is False.
        """
        write_arrays(Path(path), self.arrays(), overwrite=overwrite, saturation_e=saturation_e)

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields by name, on the host; `Observation(**arrays)` is the same observation."""
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: np.asarray(value) for name, value in named.items() if value is not None}


def _coerce(name: str, value: Any, unit: str) -> Float[Array, "..."]:
    try:
        return as_float(value, unit)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _coerce_mask(mask: Any) -> Bool[Array, "..."]:
    if not is_traced(mask):
        mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(
            f"mask: Expected booleans, True where a pixel is used, got {mask.dtype}. Give mask.astype(bool)."
        )
    return jnp.asarray(mask)


def _check_shapes(image: Array, variance: Array | None, mask: Array, exposures: Array) -> None:
    if image.ndim != 2 or image.shape[0] != image.shape[1] or image.size == 0:
        raise ValueError(
            f"image: Expected a square two-dimensional image, got shape {image.shape}. "
            "Cut it to a square, as with crop=; sum a stack of frames and give their number as exposures."
        )
    for name, array in (("variance", variance), ("mask", mask)):
        if array is not None and array.shape != image.shape:
            raise ValueError(f"{name}: Expected the shape {image.shape} of the image, got {array.shape}.")
    if exposures.shape != ():
        raise ValueError(f"exposures: Expected one number, got shape {exposures.shape}.")


def _check_place(observation: Observation) -> None:
    corner, roll, parity = observation.corner, observation.sky_roll_deg, observation.parity
    if corner is not None and not (corner.shape == (2,) and np.isfinite(corner).all()):
        raise ValueError(f"corner: Expected two pixels (column, row), got {corner}.")
    if roll is not None and not (roll.shape == () and np.isfinite(roll)):
        raise ValueError(f"sky_roll_deg: Expected one angle, got {roll}.")
    if parity is not None and not (parity.shape == () and abs(parity) == 1):
        raise ValueError(f"parity: Expected 1 or -1, got {parity}.")


def _check_values(observation: Observation) -> None:
    arrays = observation.arrays()
    image, mask, exposures = arrays["image"], arrays["mask"], arrays["exposures"]
    if not (np.isfinite(exposures) and exposures >= 1 and exposures == np.round(exposures)):
        raise ValueError(f"exposures: Expected a whole number from one up, got {exposures}.")
    if np.any(arrays.get("variance", 0.0) < 0):
        raise ValueError(
            f"variance: Expected none below zero, got {arrays['variance'].min():.6g}. Give the noise "
            "variance, electron^2, and NaN where it is unknown."
        )
    if 2 * np.sum(~mask) > mask.size:
        raise ValueError(
            f"mask: Expected at least half of the pixels in use, got {mask.sum()} of {mask.size}. A mask is "
            "True where a pixel is used; pixels that are not finite or saturate are left out."
        )
    used = image[mask]
    if used.sum() <= 0 or 2 * np.sum(used < 0) > used.size:
        raise ValueError(
            f"image: Expected counts, got a sum of {used.sum():.6g} and {np.sum(used < 0)} of {used.size} "
            "pixels below zero. Give electrons, with no more than the detector's offset subtracted."
        )
