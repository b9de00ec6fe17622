"""The gradient of an image by every parameter, against central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import ABERRATED, edit, tiny

import dluxshera as ds
from dluxshera.params import parameter_paths

PROFILES = {"three": "shera_flight", "two": "shera_flight_two_plane"}
DETECTOR = {
    "detector.dark_current_e": 20.0,
    "detector.background_e": 3.0,
    "detector.quantum_efficiency": 0.8,
    "detector.exposure_time_s": 0.1,
    "detector.jitter_sigma_as": 0.06,
    "optics.throughput": 0.7,
    "optics.focus_shift": 4e-4,
}
# Steps in the unit of the parameter: small enough for a central difference, large enough for its rounding.
STEPS = {
    "optics.m1.diameter": 1e-6,
    "optics.m1.focal_length": 3e-8,
    "optics.m2.diameter": 5e-7,
    "optics.m2.focal_length": 3e-9,
    "optics.plane_separation": 3e-8,
    "optics.focal_length": 1e-5,
    "optics.focus_shift": 1e-6,
    "optics.diffractive_pupil_step_m": 1e-12,
    "detector.pixel_pitch": 1e-11,
    "detector.jitter_sigma_as": 1e-4,
    "binary.log_flux_total": 1e-6,
}
# What `model()` leaves to `simulate` and to the likelihood.
SILENT = {"detector.read_noise_e", "detector.gain_e_per_adu", "detector.full_well_e"}


def paths_of(kind):
    return parameter_paths(tiny(PROFILES[kind]))


WEIGHT = np.random.default_rng(1).normal(size=(16, 16))


def split(model):
    """Parameters, and everything else."""
    return eqx.partition(model, ds.parameter_mask(model))


@eqx.filter_jit
def score(parameters, rest):
    """The image against random weights; compiled once for each variant."""
    return jnp.sum(WEIGHT * jnp.sqrt(eqx.combine(parameters, rest).model() + 1))


slope = eqx.filter_jit(eqx.filter_grad(score))


def at(kind, aberrated, detector):
    """The values at which gradients are taken."""
    model = tiny(PROFILES[kind])
    values = {path: value for path, value in ABERRATED.items() if aberrated and path in paths_of(kind)}
    if kind == "three" and aberrated:
        values["optics.m2.diameter"] = 0.0175  # cuts into the beam, so that its edge matters
    return edit(model, values | (DETECTOR if detector else {}))


def directions(value):
    """One direction for a scalar, a random one and the first element for a vector."""
    if value.ndim == 0:
        return [jnp.ones(())]
    random = np.random.default_rng(2).normal(size=value.shape)
    return [jnp.asarray(random), jnp.zeros(value.shape).at[0].set(1.0)]


def check(kind, model):
    parameters, rest = split(model)
    gradient = slope(parameters, rest)
    for path in paths_of(kind):
        value, found = ds.get_value(model, path), ds.get_value(gradient, path)
        assert np.isfinite(found).all(), path
        if path in SILENT:
            np.testing.assert_array_equal(found, np.zeros(found.shape), err_msg=path)
            continue
        step = STEPS.get(path, 1e-4)
        for direction in directions(value):
            moved = [edit_leaf(parameters, path, value + n * step * direction) for n in (2, 1, -1, -2)]
            far, near, low, lowest = (float(score(m, rest)) for m in moved)
            numeric = (8 * (near - low) - (far - lowest)) / (12 * step)
            exact = float(jnp.sum(found * direction))
            scale = max(abs(exact), 1e-9 / step, 1e-6)
            assert abs(numeric - exact) < 1e-5 * scale, f"{path}: gradient {exact}, differences {numeric}"


def edit_leaf(leaves, path, value):
    *parents, name = path.split(".")

    def where(tree):
        for parent in parents:
            tree = getattr(tree, parent)
        return getattr(tree, name)

    return eqx.tree_at(where, leaves, value)


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize("aberrated", [False, True])
@pytest.mark.parametrize("detector", [False, True])
def test_every_gradient_is_that_of_finite_differences(kind, aberrated, detector):
    """Without the detector's effects jitter is zero, where the image is an even function of it."""
    check(kind, at(kind, aberrated, detector))


@pytest.mark.parametrize("kind", PROFILES)
def test_zero_jitter_has_a_zero_gradient(kind):
    assert float(slope(*split(tiny(PROFILES[kind]))).detector.jitter_sigma_as) == 0


def test_without_a_diffractive_pupil_an_even_zernike_is_flat_at_zero():
    """Focus is even and the pupil symmetric: the two-plane image is even in it."""
    model = tiny("shera_flight_two_plane", optics__diffractive_pupil="none")
    moved = edit(model, {"optics.m1.zernike_coeffs_nm": 5.0 * (np.arange(8) == 0)})
    flat, steep = (slope(*split(m)).optics.m1.zernike_coeffs_nm[0] for m in (model, moved))
    assert abs(flat) < 1e-9 * abs(steep)


def test_forward_and_reverse_mode_agree():
    parameters, rest = split(tiny())
    direction = jax.tree.map(lambda leaf: 1e-3 * jnp.maximum(jnp.abs(leaf), 1e-6), parameters)
    _, forward = eqx.filter_jvp(lambda p: score(p, rest), (parameters,), (direction,))
    products = jax.tree.map(lambda g, d: jnp.sum(g * d), slope(parameters, rest), direction)
    assert float(forward) == pytest.approx(float(sum(jax.tree.leaves(products))), rel=1e-9)


def test_the_plate_scale_has_a_gradient_by_the_geometry():
    parameters, rest = split(tiny())
    by = eqx.filter_grad(lambda dynamic: eqx.combine(dynamic, rest).plate_scale_as)(parameters)
    geometry = {"optics.m1.focal_length", "optics.m2.focal_length", "optics.plane_separation", "detector.pixel_pitch"}
    assert {path for path in paths_of("three") if np.any(ds.get_value(by, path) != 0)} == geometry


def test_the_memory_of_a_gradient_does_not_grow_with_the_wavelengths():
    def temporary_bytes(count):
        parameters, rest = split(tiny("shera_flight", **{"binary.n_wavelengths": count}))
        gradient = jax.jit(jax.grad(lambda p: score(p, rest)))
        return gradient.lower(parameters).compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes(12) < 1.1 * temporary_bytes(4)
