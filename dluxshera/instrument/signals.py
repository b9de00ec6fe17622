"""Residuals of an instrument against the truth, in the units of figures: plain functions of two instruments."""

import dLux.utils as dlu
import jax.numpy as jnp
from jaxtyping import Array, Float

from .instrument import Instrument

_MICRO = 1e6


def x_error_uas(model: Instrument, truth: Instrument) -> Float[Array, ""]:
    """Error of the binary's column position, micro-arcseconds."""
    return _MICRO * (model.binary.x_position_as - truth.binary.x_position_as)


def y_error_uas(model: Instrument, truth: Instrument) -> Float[Array, ""]:
    """Error of the binary's row position, micro-arcseconds."""
    return _MICRO * (model.binary.y_position_as - truth.binary.y_position_as)


def separation_error_uas(model: Instrument, truth: Instrument) -> Float[Array, ""]:
    """Error of the separation, micro-arcseconds."""
    return _MICRO * (model.binary.separation_as - truth.binary.separation_as)


def position_angle_error_uas(model: Instrument, truth: Instrument) -> Float[Array, ""]:
    """Error of the position angle as an arc at the true separation, micro-arcseconds; the shorter way round."""
    turn = model.binary.position_angle_deg - truth.binary.position_angle_deg
    return _MICRO * truth.binary.separation_as * dlu.deg2rad(turn - 360 * jnp.round(turn / 360))


def contrast_error_ppm(model: Instrument, truth: Instrument) -> Float[Array, ""]:
    """Relative error of the contrast, parts per million."""
    return _relative_ppm(model.binary.contrast, truth.binary.contrast)


def raw_flux_error_ppm(model: Instrument, truth: Instrument) -> Float[Array, "2"]:
    """Relative errors of the photons of star A and of star B, parts per million."""
    return _relative_ppm(model.binary.raw_fluxes, truth.binary.raw_fluxes)


def plate_scale_error_ppm(model: Instrument, truth: Instrument) -> Float[Array, ""]:
    """Relative error of the plate scale, parts per million."""
    return _relative_ppm(model.plate_scale_as, truth.plate_scale_as)


def primary_zernike_error_nm(model: Instrument, truth: Instrument) -> Float[Array, " k"]:
    """Errors of the Zernike coefficients of M1 (of the pupil, in a two-plane telescope), nanometres."""
    return model.optics.m1.zernike_coeffs_nm - truth.optics.m1.zernike_coeffs_nm


def secondary_zernike_error_nm(model: Instrument, truth: Instrument) -> Float[Array, " k"]:
    """Errors of the Zernike coefficients of M2, nanometres."""
    return model.optics.m2.zernike_coeffs_nm - truth.optics.m2.zernike_coeffs_nm


def relay_zernike_error_nm(model: Instrument, truth: Instrument) -> Float[Array, " k"]:
    """Errors of the Zernike coefficients of the relay, nanometres."""
    return model.optics.relay.zernike_coeffs_nm - truth.optics.relay.zernike_coeffs_nm


def _relative_ppm(value: Float[Array, "..."], truth: Float[Array, "..."]) -> Float[Array, "..."]:
    return _MICRO * (value - truth) / truth
