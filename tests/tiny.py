"""Tiny instruments built from the packaged profiles, and the reference images, for tests of the physics."""

import dataclasses
import functools
import json
import warnings
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import dluxshera as ds
from dluxshera.optics import Stars
from dluxshera.params import replace_paths

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
REFERENCE = SHARED / "data" / "psf_reference"
TINY = {
    "optics.pupil_npix": 32,
    "optics.psf_npix": 16,
    "optics.oversample": 1,
    "binary.n_wavelengths": 3,
    "binary.separation_as": 0.8,
    "binary.position_angle_deg": 60.0,
    "binary.x_position_as": 0.02,
    "binary.y_position_as": -0.03,
    "detector.dark_current_e": 0.0,
    "detector.read_noise_e": 0.0,
    "detector.gain_e_per_adu": 0.0,
    "detector.full_well_e": 1e9,
}
ABERRATED = {
    "optics.m1.zernike_coeffs_nm": [4.0, -3.0, 2.5, -2.0, 3.0, -1.5, 1.0, -2.5],
    "optics.m2.zernike_coeffs_nm": [-2.0, 3.0, -4.0, 1.5, -3.5, 2.0, -1.0, 2.5],
}
ARCSEC = np.pi / (180 * 3600)
CLEAR = {"optics__diffractive_pupil": "none", "optics__aperture": {"secondary_ratio": 0.0, "strut_count": 0}}
PARAMETERS = ["binary.*", "optics.m1.zernike_coeffs_nm", "optics.m2.zernike_coeffs_nm", "plate_scale_as"]


def load(name, overrides):
    """A profile on grids that may be too coarse for it: what is tested does not depend on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        return ds.load_profile(name, overrides=overrides)


def tiny(name="shera_flight", **overrides):
    """A 32 pixel pupil, a 16 pixel image, a binary 0.8 arcsec wide; `optics__psf_npix=24` changes what is not."""
    return load(name, TINY | {key.replace("__", "."): value for key, value in overrides.items()})


def edit(model, values):
    """The model with arrays in place of what the paths name, unchecked."""
    return replace_paths(model, {path: jnp.asarray(value, float) for path, value in values.items()})


def relative(image, reference):
    """Sum of absolute differences over the sum of the reference."""
    image, reference = np.asarray(image), np.asarray(reference)
    return np.abs(image - reference).sum() / np.abs(reference).sum()


def rms(image):
    """Root of the mean square."""
    return float(jnp.sqrt(jnp.mean(jnp.asarray(image) ** 2)))


@functools.cache
def reference_file(name):
    """Arrays of a reference file and its meta; skips where the shared data are absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared reference data at {SHARED}")
    with np.load(REFERENCE / name) as stored:
        arrays = {key: stored[key] for key in stored.files}
    return arrays, json.loads(str(arrays.pop("meta")))


@functools.cache
def reference_model(name):
    """The instrument of a reference file, with the file's own mask, diffractive pupil and spectrum."""
    arrays, meta = reference_file(name)
    given = {
        "optics.m1.transmission": arrays["m1_transmission"],
        "optics.diffractive_pupil_fraction": (arrays["diffractive_pupil_opd_m"] > 0).astype(float),
        "optics.diffractive_pupil_step_m": float(arrays["diffractive_pupil_opd_m"].max()),
        "binary.wavelengths_m": arrays["wavelengths_m"],
        "binary.spectral_weights": arrays["spectral_weights"],
    }
    return load(meta["profile"], meta["overrides"] | given)


@eqx.filter_jit
def intensity(optics, star, pitch, npix):
    """What a telescope makes of stars, compiled."""
    return optics.intensity(star, pitch, npix)


def one_star(x=0.0, y=0.0, wavelength=550e-9):
    """One photon from a star at angles `x` and `y`, radians, at one wavelength, metres."""
    return Stars(jnp.asarray([[x, y]]), jnp.ones((1, 1)), jnp.asarray([wavelength]))


def whole_plane(optics, star):
    """Intensity over one full period of the focal plane, where Parseval's theorem is exact."""
    focus, pixel = optics.focus(), optics.m1.diameter / optics.pupil_npix
    pitch = star.wavelengths[0] * focus.detector_distance / (pixel * focus.height * optics.band_npix)
    return intensity(optics, star, pitch * optics.band_npix / optics.pad_npix, optics.pad_npix)


def without_step(optics):
    """The telescope with a diffractive pupil that does nothing."""
    return dataclasses.replace(optics, diffractive_pupil_step_m=0.0)
