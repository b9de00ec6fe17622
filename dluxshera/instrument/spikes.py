"""The spectra ("spikes") that a grating in the pupil throws to the four corners of the detector.

Each corner holds both stars, drawn out along the diagonal by wavelength. dLuxToliman has them too (`TolimanSpikes`),
with a fixed fifth of the light; here the fraction follows from the grating's depth.
"""

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..optics import AbstractTelescope, SamplingWarning, Stars, wavelength_count
from ..params.checks import is_traced
from .instrument import Instrument
from .pixels import MARGIN_NPIX, bin_samples

CORNERS = ((-1, 1), (1, 1), (-1, -1), (1, -1))  # signs of (x, y) on the detector


def spike_centres(model: Instrument) -> Float[Array, "4 2"]:
    """Middles (x, y) of the four windows of `spikes`, pixels from the optical axis, in the order of `CORNERS`.

    Where the middle of the band falls, to a whole pixel, so that the windows' pixels are those of the detector.

    Raises
    ------
    ValueError
        If the instrument has no grating.
    """
    wavelengths = model.binary.wavelengths_m
    middle = (wavelengths.min() + wavelengths.max()) / 2
    pixels = _grating(model).deflection(middle) / (model.detector.pixel_pitch / jnp.abs(model.optics.focal_length))
    return jax.lax.stop_gradient(jnp.round(pixels)) * jnp.asarray(CORNERS, pixels.dtype)


def spikes(model: Instrument, npix: int = 256) -> Float[Array, "4 n n"]:
    """Expected photo-electrons per pixel and exposure in a window about each corner's spectrum.

    Parameters
    ----------
    model : Instrument
        With a `grating`, and wavelengths close enough for a continuous spectrum.
    npix : int, pixels
        Width of the windows; even for an image of an even number of pixels, else their pixels lie in between.

    Returns
    -------
    Array (4, npix, npix)
        In the order of `CORNERS`, about `spike_centres(model)`; each with the light of its own order, without the
        faint wings of the image and of the other corners. Dark current and background included, pixel response
        one, no noise, no clipping.

    Raises
    ------
    ValueError
        If the instrument has no grating.

    Warns
    -----
    SamplingWarning
        Where the wavelengths are too few for a continuous spectrum, or the pupil's pixels too coarse for the window.
    """
    _grating(model)
    for problem in spike_problems(model, npix):
        warnings.warn(problem, SamplingWarning, stacklevel=2)
    return _windows(model, npix)


def spike_problems(model: Instrument, npix: int) -> list[str]:
    """What is wrong with the model's grids for its spikes, in words; empty if nothing, or if values are traced."""
    if any(is_traced(leaf) for leaf in jax.tree.leaves(model)):
        return []
    optics, wavelengths = model.optics, np.asarray(model.binary.wavelengths_m)
    shortest, longest, diameter = float(wavelengths.min()), float(wavelengths.max()), float(optics.m1.diameter)
    far, near = (float(_grating(model).deflection(jnp.asarray(end))) for end in (longest, shortest))
    found = []
    needed = wavelength_count(far * 2**0.5, diameter, (shortest + longest) / 2, longest - shortest)
    if len(wavelengths) < needed:
        found.append(f"{len(wavelengths)} wavelengths; continuous spectra in the corners need {needed}")
    scale = float(model.detector.pixel_pitch / jnp.abs(optics.focal_length))
    reach = (npix / 2 + MARGIN_NPIX) * scale + (far - near) / 2 + float(np.abs(model.binary.stars().positions).max())
    kept = shortest * optics.pupil_npix / (2 * diameter)
    if reach > kept:
        angles = [f"{np.degrees(angle) * 3600:.3g}" for angle in (reach, kept)]
        found.append(
            f"the window and the spectrum reach {angles[0]} arcsec from each other, beyond the {angles[1]} arcsec "
            "that the pupil's pixels hold; take a smaller window or build with a larger `optics.pupil_npix`"
        )
    return [f"Spikes: {problem}." for problem in found]


def _grating(model: Instrument):
    if model.grating is None:
        raise ValueError(
            "Expected an instrument with a grating, got none. Build it with overrides such as "
            "{'grating.depth_nm': 100, 'grating.period': 300e-6}."
        )
    return model.grating


@eqx.filter_jit
def _windows(model: Instrument, npix: int) -> Float[Array, "4 n n"]:
    optics, detector = _whole_band(model.optics), _plain_detector(model, npix)
    factor, pitch = optics.focal_samples, detector.pixel_pitch
    middles = spike_centres(model)

    def window(corner_and_middle):
        corner, middle = corner_and_middle
        place = pitch / factor, detector.sample_npix * factor, pitch * middle
        samples = bin_samples(_spectrum(model, optics, corner, *place), factor)
        return detector.expected(samples, model.plate_scale_as, optics.oversample if factor == 1 else 1)

    return jax.lax.map(window, (jnp.asarray(CORNERS, middles.dtype), middles))


def _spectrum(model: Instrument, optics: AbstractTelescope, corner, pitch, count: int, centre) -> Float[Array, "m m"]:
    """Photons of both stars about one corner: at every wavelength, stars displaced by the grating's deflection."""
    stars, grating = model.binary.stars(), model.grating
    photons = stars.photons * grating.corner_efficiency(stars.wavelengths)
    # A negative focal length inverts the image: this corner is lit by the order that leaves the other way.
    shifts = jnp.sign(optics.focal_length) * corner * grating.deflection(stars.wavelengths)[:, None]

    def add_wavelength(image, inputs):
        wavelength, shift, flux = inputs
        moved = Stars(stars.positions + shift, flux[:, None], wavelength[None])
        return image + optics.intensity(moved, pitch, count, centre), None

    start = jnp.zeros((count, count), photons.dtype)
    return jax.lax.scan(add_wavelength, start, (stars.wavelengths, shifts, photons.T))[0]


def _whole_band(optics: AbstractTelescope) -> AbstractTelescope:
    """The telescope with every frequency of its grid: a spectrum reaches further than an image."""
    return dataclasses.replace(optics, band_npix=optics.pad_npix)


def _plain_detector(model: Instrument, npix: int):
    values = jnp.ones((npix, npix)), jnp.zeros((npix, npix, 2))
    return eqx.tree_at(lambda d: (d.pixel_response, d.pixel_offsets), model.detector, values)
