"""Grid sizes chosen from the geometry at build, and the check of a model against them at use."""

import math
from typing import NamedTuple

import jax
import numpy as np

from .propagation import TAPER_START

PAD_FACTOR = 1.5  # period over pupil: room for the light that diffraction and the band's edge spread
FILTER_LIMIT = 0.45  # highest intensity frequency, cycles per pixel, that the pixel filter integrates well
CROP_WORTHWHILE = 0.85  # a band nearer than this to the full one is not cropped
SMALLEST_BAND = 160  # frequencies: fewer leave the smooth edge too steep to hold back wrap-around
FIELD_GUARD = 1.1  # angles beyond the image and stars that aberrations may mix in


class SamplingWarning(UserWarning):
    """A grid of the model is too coarse, too small or too short for its geometry."""


class GridPlan(NamedTuple):
    """Static grid sizes: period and band (pupil pixels, frequencies), focal samples per pixel."""

    pad_npix: int
    band_npix: int
    focal_samples: int


def fast_size(minimum: float | int) -> int:
    """Smallest even size with factors 2, 3 and 5 only, not below `minimum`."""
    size = 2 * math.ceil(minimum / 2)
    while _without_small_factors(size) > 1:
        size += 2
    return size


def _without_small_factors(size: int) -> int:
    for factor in (2, 3, 5):
        while size % factor == 0:
            size //= factor
    return size


def spread_npix(wavelength: float | int, distance: float | int, pixel: float | int) -> float:
    """How far diffraction spreads the finest detail over `distance`: wavelength |z| / (2 dx^2) pixels."""
    return wavelength * abs(distance) / (2 * pixel**2)


def intensity_cutoff(
    diameter: float | int, pixel_pitch: float | int, wavelength: float | int, focal_length: float | int
) -> float:
    """Highest spatial frequency of the intensity, in cycles per pixel: D pitch / (wavelength EFL)."""
    return diameter * pixel_pitch / (wavelength * abs(focal_length))


def wavelength_count(field_radius: float | int, diameter: float | int, centre: float | int, width: float | int) -> int:
    """Gauss-Legendre nodes that a flat band needs: a/2 + 4, a = 2 pi (theta D / lambda)(width / 2 lambda).

    Parameters
    ----------
    field_radius : float, radians
        Half the width of the image on the sky.
    diameter, centre, width : float, metres
        Of the pupil, and of the band.
    """
    phase = 2 * math.pi * (field_radius * diameter / centre) * (width / (2 * centre))
    return int(phase / 2 + 4) if width > 0 else 1


def plan_grid(
    pupil_npix: int,
    psf_npix: int,
    oversample: int,
    *,
    diameter: float | int,
    distances: tuple[float, ...],
    focal_length: float | int,
    pixel_pitch: float | int,
    wavelengths: tuple[float | int, float | int],
    star_angle: float | int,
    margin_npix: int,
) -> GridPlan:
    """Choose period, band and focal sampling for a geometry.

    Parameters
    ----------
    pupil_npix, psf_npix, oversample, margin_npix : int
        Grid sizes; `margin_npix` is what the detector adds on each side of the image.
    diameter, focal_length, pixel_pitch : float, metres
    distances : tuple of float, metres
        Collimated-equivalent distances between planes.
    wavelengths : (shortest, longest), metres
    star_angle : float, radians
        Largest distance of a star from the axis.
    """
    shortest, longest = wavelengths
    pixel = diameter / pupil_npix
    spread = sum(spread_npix(longest, z, pixel) for z in distances)
    pad = fast_size(max(PAD_FACTOR * pupil_npix, pupil_npix + 6 * spread))
    reach = (psf_npix / 2 + margin_npix) * pixel_pitch / abs(focal_length) + star_angle
    band = fast_size(max(SMALLEST_BAND, pad * FIELD_GUARD * reach * 2 * pixel / shortest / TAPER_START))
    cropped = band < CROP_WORTHWHILE * pad
    filtered = intensity_cutoff(diameter, pixel_pitch, shortest, focal_length) <= FILTER_LIMIT
    return GridPlan(pad, band if cropped else pad, 1 if filtered else oversample)


def sampling_problems(telescope, stars, pixel_pitch, margin_npix: int) -> list[str]:
    """What is wrong with a telescope's grids for these stars, in words; empty if nothing, or if values are traced.

    Parameters
    ----------
    telescope : AbstractTelescope
    stars : Stars
    pixel_pitch : Array (), metres
    margin_npix : int
        Pixels that the detector adds on each side of the image.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((telescope, stars, pixel_pitch))):
        return []
    wavelengths = np.asarray(stars.wavelengths)
    shortest, longest = float(wavelengths.min()), float(wavelengths.max())
    diameter, focal_length = float(telescope.m1.diameter), abs(float(telescope.focal_length))
    pixel, pitch = diameter / telescope.pupil_npix, float(pixel_pitch)
    star_angle = float(np.abs(np.asarray(stars.positions)).max())
    half_image = (telescope.psf_npix / 2 + margin_npix) * pitch / focal_length
    distances = [float(surface.distance) for surface in telescope.surfaces()]
    found = (
        _band_problem(telescope, shortest, pixel, half_image + star_angle),
        _pad_problem(telescope, longest, pixel, distances),
        _pixel_problem(telescope, intensity_cutoff(diameter, pitch, shortest, focal_length)),
        _wavelength_problem(wavelengths, telescope.psf_npix * pitch / focal_length / 2, diameter),
    )
    return [f"Sampling: {problem}." for problem in found if problem]


def _band_problem(telescope, shortest: float | int, pixel: float | int, reach: float | int) -> str | None:
    cropped = telescope.band_npix < telescope.pad_npix
    kept = shortest * telescope.band_npix / (2 * pixel * telescope.pad_npix) * (TAPER_START if cropped else 1.0)
    if reach <= kept:
        return None
    return (
        f"the image and stars reach {np.degrees(reach) * 3600:.3g} arcsec from each other, beyond the "
        f"{np.degrees(kept) * 3600:.3g} arcsec that the grid holds; build with these values, a larger "
        "`optics.pupil_npix` or a smaller `optics.psf_npix`"
    )


def _pad_problem(telescope, longest: float | int, pixel: float | int, distances: list) -> str | None:
    spread = sum(spread_npix(longest, z, pixel) for z in distances)
    reach = telescope.pad_npix * pixel**2 / longest
    if telescope.pad_npix - telescope.pupil_npix >= 4 * spread and all(abs(z) <= reach for z in distances):
        return None
    return (
        f"diffraction between the mirrors spreads by {spread:.3g} pupil pixels, too much for a period of "
        f"{telescope.pad_npix}; build with a larger `optics.pad_npix`"
    )


def _pixel_problem(telescope, cutoff: float | int) -> str | None:
    if telescope.oversample == 1 or telescope.focal_samples > 1 or cutoff <= FILTER_LIMIT:
        return None
    return (
        f"the image holds {cutoff:.3g} cycles per pixel, more than the {FILTER_LIMIT} that the pixel integral "
        "takes; build with these values, or with `optics.focal_samples` equal to `optics.oversample`"
    )


def _wavelength_problem(wavelengths: np.ndarray, field_radius: float | int, diameter: float | int) -> str | None:
    low, high = float(wavelengths.min()), float(wavelengths.max())
    needed = wavelength_count(field_radius, diameter, (low + high) / 2, high - low)
    if len(wavelengths) >= needed:
        return None
    return (
        f"{len(wavelengths)} wavelengths over {1e9 * (high - low):.0f} nm; a flat band of this width and field "
        f"needs {needed} Gauss-Legendre nodes"
    )
