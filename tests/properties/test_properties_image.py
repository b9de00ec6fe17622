"""Physics that every variant shares: flux, shifts, symmetries and scales."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from precision import tolerance
from tiny import edit, intensity, one_star, whole_plane, without_step
from variants import VARIANTS, binaries, few, image, paths, variant

import dluxshera as ds

every_variant = pytest.mark.parametrize("kind", VARIANTS)
LENGTHS = ("diameter", "focal_length", "zernike_coeffs_nm", "separation", "plane_separation", "focus_shift")
MAPS = ("binary.wavelengths_m", "optics.m1.wavefront_error_m")
LENGTHS += ("diffractive_pupil_step_m", "pixel_pitch")


def close(got, expected, double=1e-9, single=2e-4):
    """Within a fraction of the brightest pixel."""
    allowed = tolerance(double, single) * float(np.abs(np.asarray(expected)).max())
    np.testing.assert_allclose(got, expected, rtol=0, atol=allowed)


@pytest.mark.float32
@every_variant
@few
@given(values=binaries(), fluxes=st.tuples(st.floats(1e2, 1e7), st.floats(1e2, 1e7)))
def test_the_image_is_linear_in_the_flux_of_each_star(kind, values, fluxes):
    """I(F_A, F_B) = F_A I_A + F_B I_B, and so are throughput and quantum efficiency."""
    model = edit(variant(kind), values)
    lit = lambda a, b: image(ds.params.replace_paths(model, {"binary.raw_fluxes": jnp.asarray([a, b], float)}))  # noqa: E731
    a, b = (np.asarray(f) for f in fluxes)
    both, other = np.asarray(lit(a, b)), np.asarray(lit(3 * a, b / 2))
    swapped = np.asarray(lit(a, b / 2))
    star_a, star_b = (other - swapped) / 2, 2 * (both - swapped)
    close(star_a + star_b, both, 1e-8, 1e-3)
    dimmer = edit(model, {"optics.throughput": 0.4, "detector.quantum_efficiency": 0.5})
    close(image(dimmer), 0.2 * np.asarray(image(model)))


@pytest.mark.float32
@every_variant
@few
@given(x=st.floats(-2e-6, 2e-6), y=st.floats(-2e-6, 2e-6), wavelength=st.floats(500e-9, 600e-9))
def test_no_light_is_lost_between_pupil_and_focus(kind, x, y, wavelength):
    """But for what stops take; here they are wider than the beam."""
    optics = without_step(variant(kind).optics)
    total = float(whole_plane(optics, one_star(x, y, wavelength)).sum())
    assert total == pytest.approx(1, rel=tolerance(1e-12, 1e-5) if kind == "two" else 5e-3)


@pytest.mark.float32
@every_variant
@few
@given(values=binaries(separation=(0.2, 0.5)), axis=st.sampled_from([0, 1]), steps=st.sampled_from([-2, -1, 1, 2]))
def test_a_star_some_pixels_further_is_the_image_some_pixels_further(kind, values, axis, steps):
    """Exactly in the two-plane; to 1e-5 where light travels between mirrors, whose aberrations would not move along."""
    flat = {path: 0 * ds.get_value(variant(kind), path) for path in paths(kind) if path.endswith("zernike_coeffs_nm")}
    flat.pop("optics.m1.zernike_coeffs_nm")
    model = edit(variant(kind), values | flat)
    path = ("binary.y_position_as", "binary.x_position_as")[axis]
    moved = image(edit(model, {path: ds.get_value(model, path) + steps * model.plate_scale_as}))
    still, moved = np.asarray(image(model)), np.asarray(moved)
    inner, shifted = [slice(4, -4)] * 2, [slice(4, -4)] * 2
    shifted[axis] = slice(4 + steps, 12 + steps)
    close(moved[tuple(shifted)], still[tuple(inner)], 1e-10 if kind == "two" else 1e-5, 2e-4)


@pytest.mark.float32
@every_variant
@few
@given(values=binaries(), seed=st.integers(0, 99))
def test_swapping_the_stars_with_their_spectra_changes_nothing(kind, values, seed):
    """Inverse contrast, half a turn, rows of the spectral weights exchanged."""
    weights = np.random.default_rng(seed).uniform(0.1, 1, (2, 3))
    model = edit(variant(kind), values)
    model = eqx.tree_at(lambda m: m.binary.spectral_weights, model, jnp.asarray(weights, float))
    turned = edit(
        model,
        {
            "binary.position_angle_deg": model.binary.position_angle_deg + 180,
            "binary.contrast": 1 / model.binary.contrast,
            "binary.spectral_weights": weights[::-1],
        },
    )
    close(image(turned), image(model), 1e-9, 5e-4)
    kept = edit(turned, {"binary.spectral_weights": weights})
    if values["binary.contrast"] > 2:
        assert float(jnp.abs(image(kept) - image(model)).max()) > 1e-4 * float(image(model).max())


@pytest.mark.float32
@every_variant
@few
@given(values=binaries(), factor=st.floats(0.3, 3))
def test_scaling_every_length_leaves_the_image_in_pixels(kind, values, factor):
    """Wavelengths, path differences, diameters, distances and the pitch."""
    model = edit(variant(kind), values | {"optics.focus_shift": 1e-3})
    roughness = jnp.asarray(np.random.default_rng(4).normal(0, 5e-9, model.optics.m1.transmission.shape), float)
    model = eqx.tree_at(lambda m: m.optics.m1.wavefront_error_m, model, roughness, is_leaf=lambda leaf: leaf is None)
    lengths = [path for path in paths(kind) if path.startswith(("optics.", "detector.")) and path.endswith(LENGTHS)]
    scaled = {path: factor * ds.get_value(model, path) for path in (*lengths, *MAPS)}
    if kind == "four":
        scaled["optics.relay.power"] = model.optics.relay.power / factor
    assert len(lengths) >= {"two": 6, "three": 10, "four": 13}[kind]
    close(image(edit(model, scaled)), image(model), 1e-8, 2e-3)


@every_variant
def test_each_length_by_itself_does_change_the_image(kind):
    """So the property above is one of all of them together."""
    model = variant(kind)
    for path in ("optics.m1.diameter", "detector.pixel_pitch", "binary.wavelengths_m"):
        alone = image(edit(model, {path: 1.01 * ds.get_value(model, path)}))
        assert float(jnp.abs(alone - image(model)).max()) > 1e-3 * float(image(model).max())


@every_variant
def test_a_star_to_the_right_and_up_lands_at_a_later_column_and_row(kind):
    optics = without_step(variant(kind).optics)
    plane = np.asarray(intensity(optics, one_star(2e-6, 1e-6), variant(kind).detector.pixel_pitch, 16))
    rows, columns = np.indices(plane.shape) - 7.5
    assert (plane * columns).sum() / plane.sum() > 1 and (plane * rows).sum() / plane.sum() > 0.5
