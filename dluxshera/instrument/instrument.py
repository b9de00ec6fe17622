"""The instrument: source, optics and detector joined into one differentiable image."""

import dLux.utils as dlu
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..optics import AbstractTelescope, sampling_problems
from ..params import Model, derived
from .detector import Detector
from .pixels import MARGIN_NPIX, bin_samples
from .source import BinarySource


def _solve_focal_length(instrument: "Instrument", value) -> "Instrument":
    """The instrument whose focal length (metres) is `value`."""
    return eqx.tree_at(lambda m: m.optics, instrument, instrument.optics.with_focal_length(value))


def _solve_plate_scale(instrument: "Instrument", value) -> "Instrument":
    """The instrument whose plate scale (arcsec/pixel) is `value`, its image turned as it was."""
    focal_length = instrument.detector.pixel_pitch / dlu.arcsec2rad(value)
    return _solve_focal_length(instrument, jnp.sign(instrument.optics.focal_length) * focal_length)


def _focal_length_primitive(instrument: "Instrument") -> tuple[str, ...]:
    return (f"optics.{instrument.optics.focal_length_primitive}",)


class Instrument(Model):
    """A binary star seen by a telescope with a detector."""

    binary: BinarySource
    optics: AbstractTelescope
    detector: Detector

    def __check_init__(self):
        if self.detector.npix != self.optics.psf_npix:
            raise ValueError(
                f"Expected detector.pixel_response of shape {(self.optics.psf_npix,) * 2} as optics.psf_npix says, "
                f"got {self.detector.pixel_response.shape}."
            )

    @derived(
        "arcsec/pixel",
        "Angle on the sky of one pixel.",
        symbol="p_s",
        bounds=(0.0, None),
        solve=_solve_plate_scale,
        solves_for=_focal_length_primitive,
    )
    def plate_scale_as(self) -> Float[Array, ""]:
        """Pitch over |EFL|, arcsec/pixel."""
        return dlu.rad2arcsec(self.detector.pixel_pitch / jnp.abs(self.optics.focal_length))

    @derived("m", "System focal length.", symbol="f", solve=_solve_focal_length, solves_for=_focal_length_primitive)
    def effective_focal_length(self) -> Float[Array, ""]:
        """The focal length of the optics, metres, as something a fit may move."""
        return self.optics.focal_length

    def model(self) -> Float[Array, "n n"]:
        """Expected photo-electrons per pixel and exposure.

        Returns
        -------
        Array (psf_npix, psf_npix)
            Dark current and background included; no noise, no clipping.
        """
        return _expected(self)

    def variance(self, expected: Float[Array, "..."]) -> Float[Array, "..."]:
        """Noise variance (electron^2) of one exposure with this expected signal: photons, read noise, quantisation."""
        return expected + self.detector.read_variance

    def sampling_problems(self) -> list[str]:
        """What is wrong with the grids of the model, in words; empty if nothing."""
        return sampling_problems(self.optics, self.binary.stars(), self.detector.pixel_pitch, MARGIN_NPIX)


@eqx.filter_jit
def _expected(instrument: Instrument) -> Float[Array, "n n"]:
    optics, detector = instrument.optics, instrument.detector
    factor = optics.focal_samples
    pitch = detector.pixel_pitch / factor
    samples = optics.intensity(instrument.binary.stars(), pitch, detector.sample_npix * factor)
    oversample = optics.oversample if factor == 1 else 1
    return detector.expected(bin_samples(samples, factor), instrument.plate_scale_as, oversample)
