"""The instrument: source, optics and detector joined into one differentiable image."""

import warnings
from typing import Any

import dLux.utils as dlu
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..optics import AbstractTelescope, Grating, SamplingWarning, Stars, sampling_problems
from ..params import Model, Recipe, derived, rebuilt, static
from .detector import Detector
from .pixels import MARGIN_NPIX, bin_samples
from .sky import north_east_angle
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
    """A binary star seen by a telescope with a detector, through a grating where there is one."""

    binary: BinarySource
    optics: AbstractTelescope
    detector: Detector
    grating: Grating | None = None
    recipe: Recipe | None = static("How the instrument was built, for `rebuild`.", default=None)

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
        bounds=(1e-9, None),  # a pixel of no width would need an endless focal length
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

    @derived(
        "deg",
        "Position angle of star B from star A on the sky, from north through east.",
        symbol=r"\theta_\mathrm{NE}",
        follows_from=("binary.position_angle_deg", "detector.sky_roll_deg"),
    )
    def north_east_position_angle_deg(self) -> Float[Array, ""] | None:
        """As catalogues of double stars give it, in [0, 360); None where the detector's roll is not known."""
        if self.detector.sky_roll_deg is None:
            return None
        return north_east_angle(self.binary.position_angle_deg, self.detector.sky_roll_deg, self.detector.parity)

    def starlight(self) -> Stars:
        """The stars as they reach the image: less what a grating takes out of it."""
        stars = self.binary.stars()
        if self.grating is None:
            return stars
        return stars._replace(photons=stars.photons * self.grating.central_efficiency(stars.wavelengths))

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

    def rebuild(self, **changes: Any) -> "Instrument":
        """The instrument built anew from its profile, with another structure and its present values.

        Parameters
        ----------
        **changes
            Values by dotted path, as the overrides of `load_profile`: `rebuild(**{"optics.psf_npix": 64})`. Values of
            parameters may be among them.

        Returns
        -------
        Instrument
            Equal to the one that is built from scratch with this structure and the same values. Parameters are
            carried where they have the same shape, Zernike coefficients by Noll index. Arrays that are as they were
            built (masks, maps, the spectrum) are built anew; your own are carried where they still fit. Grids
            whose size was planned are planned again, for the present geometry.

        Raises
        ------
        ParameterError
            If the instrument was not built from a profile, is a stack, has a telescope of a class of your own, or
            inside a JAX transformation.
        ConfigError
            For what a profile may not hold.

        Warns
        -----
        RebuildWarning
            Naming what could not be carried, also in its `paths`.
        SamplingWarning
            As `load_profile`.
        """
        new = rebuilt(self, self.recipe, changes)
        for problem in new.sampling_problems():
            warnings.warn(problem, SamplingWarning, stacklevel=3)
        return new

    def sampling_problems(self) -> list[str]:
        """What is wrong with the grids of the model, in words; empty if nothing."""
        return sampling_problems(self.optics, self.binary.stars(), self.detector.pixel_pitch, MARGIN_NPIX)


@eqx.filter_jit
def _expected(instrument: Instrument) -> Float[Array, "n n"]:
    optics, detector = instrument.optics, instrument.detector
    factor = optics.focal_samples
    pitch = detector.pixel_pitch / factor
    samples = optics.intensity(instrument.starlight(), pitch, detector.sample_npix * factor)
    oversample = optics.oversample if factor == 1 else 1
    return detector.expected(bin_samples(samples, factor), instrument.plate_scale_as, oversample)
