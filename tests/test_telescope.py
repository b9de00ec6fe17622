"""Telescope variants against each other, closed forms and symmetries."""

import dataclasses

import dLux.utils as dlu
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import j1
from tiny import ABERRATED, ARCSEC, CLEAR, edit, intensity, one_star, relative, tiny, whole_plane, without_step

import dluxshera as ds
from dluxshera.params import replace_paths


def with_grid(model, **sizes):
    return dataclasses.replace(model, optics=dataclasses.replace(model.optics, **sizes))


def test_an_open_circle_gives_the_airy_pattern():
    optics = tiny("shera_flight_two_plane", optics__pupil_npix=192, **CLEAR).optics
    pitch, npix, wavelength = jnp.asarray(2e-6), 33, 550e-9
    image = np.asarray(intensity(optics, one_star(), pitch, npix))
    at = float(pitch) * (np.arange(npix) - 16)
    radius = np.hypot(at[:, None], at) + 1e-12
    v = np.pi * 0.22 * radius / (wavelength * float(optics.focal_length))
    np.testing.assert_allclose(image / image[16, 16], (2 * j1(v) / v) ** 2, atol=3e-4)
    peak = np.pi / 4 * 0.22**2 * float(pitch) ** 2 / (wavelength * float(optics.focal_length)) ** 2
    assert image[16, 16] == pytest.approx(peak, rel=0.02)


@pytest.mark.parametrize("name", ["two", "three"])
def test_every_photon_reaches_the_focal_plane(name, request):
    optics = without_step(request.getfixturevalue(name).optics)
    assert float(whole_plane(optics, one_star(1e-6, 2e-6)).sum()) == pytest.approx(1, rel=2e-3)


def test_two_planes_lose_nothing_at_all(two):
    assert float(whole_plane(without_step(two.optics), one_star()).sum()) == pytest.approx(1, rel=1e-12)


def test_steps_finer_than_a_pixel_send_light_out_of_the_plane(two):
    """A pixel half of which has half a wave of step is dark."""
    fraction, mask = np.asarray(two.optics.diffractive_pupil_fraction), np.asarray(two.optics.m1.transmission) ** 2
    expected = (mask * (1 - 2 * fraction) ** 2).sum() / mask.sum()
    assert float(whole_plane(two.optics, one_star()).sum()) == pytest.approx(expected, rel=1e-9)


def test_without_distance_three_planes_are_two(three, two):
    """Both mirrors at the pupil, M2 open."""
    f1 = float(three.optics.m1.focal_length)
    f2 = 1 / (1 / float(two.optics.focal_length) - 1 / f1)
    same = {"optics.plane_separation": 0.0, "optics.m2.focal_length": f2, "optics.m2.diameter": 2.0}
    joined = edit(three, same | {"optics.m2.zernike_coeffs_nm": np.zeros(8)})
    np.testing.assert_allclose(joined.model(), two.model(), rtol=1e-10)
    aberrated = edit(joined, {"optics.m2.zernike_coeffs_nm": [0, 300, 0, 0, 0, 0, 0, 0]})
    u = (np.arange(32) - 15.5) / 32 * 0.22
    astigmatism = 300e-9 * np.sqrt(6) * 2 * np.outer(u, u)  # Z5 over a radius of one metre
    mapped = edit(two, {"optics.m1.wavefront_error_m": astigmatism})
    assert relative(mapped.model(), two.model()) > 1e-3
    np.testing.assert_allclose(aberrated.model(), mapped.model(), rtol=1e-9)


def test_a_neutral_second_mirror_changes_nothing_as_the_grid_grows(three, two):
    neutral = edit(three, {"optics.m2.zernike_coeffs_nm": np.zeros(8), "optics.m2.diameter": 1.0})
    errors = [
        relative(with_grid(neutral, pad_npix=pad, band_npix=pad).model(), two.model()) for pad in (36, 48, 96, 192)
    ]
    assert errors[-1] < 1e-4 and errors[-1] < errors[0] / 5


@pytest.mark.parametrize("psf_npix", [32, 64])
def test_a_cropped_band_gives_the_image_of_the_full_one(psf_npix):
    sizes = {"optics__pupil_npix": 128, "optics__psf_npix": psf_npix, "binary__n_wavelengths": 1}
    model = tiny(**sizes, **{key.replace(".", "__"): value for key, value in ABERRATED.items()})
    assert model.optics.band_npix < model.optics.pad_npix
    full = with_grid(model, band_npix=model.optics.pad_npix)
    assert relative(model.model(), full.model()) < 5e-5


@pytest.mark.parametrize("name", ["shera_flight", "shera_testbed_two_plane"])
def test_the_pixel_filter_sums_sub_pixels(name):
    model = tiny(name, optics__oversample=3)
    assert model.optics.focal_samples == 1
    assert relative(model.model(), with_grid(model, focal_samples=3).model()) < 5e-6
    single = tiny(name, optics__oversample=1)
    assert relative(single.model(), model.model()) > 1e-3


def test_images_are_linear_in_flux_and_throughput(three):
    image = three.model()
    brighter = edit(three, {"binary.log_flux_total": three.binary.log_flux_total + np.log10(2.5)})
    np.testing.assert_allclose(brighter.model(), 2.5 * image, rtol=1e-11)
    np.testing.assert_allclose(edit(three, {"optics.throughput": 0.3}).model(), 0.3 * image, rtol=1e-11)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_star_one_pixel_further_is_the_image_one_pixel_further(two, axis):
    """+x is +column and +y is +row."""
    path = ("binary.y_position_as", "binary.x_position_as")[axis]
    moved = edit(two, {path: ds.get_value(two, path) + two.plate_scale_as}).model()
    expected, got = (np.moveaxis(np.asarray(image), axis, 0) for image in (two.model(), moved))
    np.testing.assert_allclose(got[1:], expected[:-1], rtol=1e-9, atol=1e-9)


def test_a_negative_focal_length_inverts_the_image(two):
    inverted = edit(two, {"optics.focal_length": -two.optics.focal_length})
    np.testing.assert_allclose(inverted.model(), np.asarray(two.model())[::-1, ::-1], rtol=1e-9)
    assert float(inverted.plate_scale_as) == pytest.approx(float(two.plate_scale_as))


@pytest.mark.parametrize("name", ["two", "three"])
def test_swapping_the_stars_changes_nothing(name, request):
    model = request.getfixturevalue(name)
    turned = {
        "binary.position_angle_deg": model.binary.position_angle_deg + 180,
        "binary.contrast": 1 / model.binary.contrast,
    }
    np.testing.assert_allclose(edit(model, turned).model(), model.model(), rtol=1e-9)


def test_arrays_of_ones_own_take_effect(three):
    image = three.model()
    stopped = np.asarray(three.optics.m1.transmission) * (np.arange(32) < 16)
    assert relative(edit(three, {"optics.m1.transmission": stopped}).model(), image) > 0.1
    flat = edit(three, {"optics.diffractive_pupil_fraction": np.zeros((32, 32))})
    assert relative(flat.model(), image) > 0.1
    stepless = edit(three, {"optics.diffractive_pupil_step_m": 0.0})
    np.testing.assert_allclose(flat.model(), stepless.model(), rtol=1e-9)
    full = edit(three, {"optics.diffractive_pupil_fraction": np.ones((32, 32))})
    np.testing.assert_allclose(full.model(), flat.model(), rtol=1e-8)


def test_spectra_of_ones_own_take_effect(three):
    narrow = {"binary.wavelengths_m": [540e-9, 560e-9], "binary.spectral_weights": [3.0, 1.0]}
    both = edit(three, narrow).model()
    each = [
        edit(three, {"binary.wavelengths_m": [w], "binary.spectral_weights": [7.0]}).model() for w in (540e-9, 560e-9)
    ]
    np.testing.assert_allclose(both, 0.75 * each[0] + 0.25 * each[1], rtol=1e-9)
    rows = edit(three, narrow | {"binary.spectral_weights": [[3.0, 1.0], [0.5, 0.5]]}).model()
    assert relative(rows, both) > 1e-3
    alike = edit(three, narrow | {"binary.spectral_weights": [[6.0, 2.0], [3.0, 1.0]]}).model()
    np.testing.assert_allclose(alike, both, rtol=1e-12)
    dim = edit(three, narrow | {"binary.spectral_weights": [[3.0, 1.0], [1.0, 0.0]], "binary.contrast": 1e-9})
    only_b = edit(three, {"binary.wavelengths_m": [540e-9], "binary.spectral_weights": [1.0], "binary.contrast": 1e-9})
    np.testing.assert_allclose(dim.model(), only_b.model(), rtol=1e-7)


def test_maps_of_both_mirrors_take_effect(three):
    tilt = 5e-8 * np.outer(np.ones(32), (np.arange(32) - 15.5) / 32)
    image = np.asarray(edit(three, {"optics.m1.wavefront_error_m": tilt}).model())
    angle = 5e-8 / float(three.optics.m1.diameter) / ARCSEC
    moved = edit(three, {"binary.x_position_as": three.binary.x_position_as + angle})
    assert relative(image, moved.model()) < 2e-3 < relative(image, three.model())
    second = edit(three, {"optics.m2.wavefront_error_m": np.full((16, 16), 1e-7)})
    np.testing.assert_allclose(second.model(), three.model(), rtol=2e-3, atol=1.0)


def test_angles_are_those_of_dlux(three):
    expected = dlu.positions_from_sep(jnp.asarray([0.02, -0.03]), 0.8, dlu.deg2rad(60.0))
    np.testing.assert_allclose(three.binary.positions_as, expected)
    assert three.binary.positions_as[0, 0] > 0.02 and three.binary.positions_as[0, 1] > -0.03


def test_a_bare_float_works_in_model(three):
    bare = eqx.tree_at(lambda m: (m.binary.separation_as, m.optics.m1.diameter), three, (0.9, 0.22))
    np.testing.assert_allclose(bare.model(), edit(three, {"binary.separation_as": 0.9}).model(), rtol=1e-12)


def test_models_map_over_batches(three):
    at = lambda separation: replace_paths(three, {"binary.separation_as": separation}).model()  # noqa: E731
    images = jax.vmap(at)(jnp.asarray([0.5, 0.8]))
    np.testing.assert_allclose(images[1], three.model(), rtol=1e-11)
    assert relative(images[0], images[1]) > 0.01


def test_a_star_alone_is_half_of_two_like_it_and_its_slope_too(three):
    """One star takes another way through the compiled code than several; dark or without a number, it stays itself."""
    star, pitch = one_star(1e-6, 2e-6), three.detector.pixel_pitch
    twins = star._replace(positions=jnp.tile(star.positions, (2, 1)), photons=jnp.tile(star.photons / 2, (2, 1)))

    @jax.jit
    def image_and_slope(photons):
        return jax.jvp(lambda p: three.optics.intensity(star._replace(photons=p), pitch, 5), (photons,), (photons + 1,))

    bright, slope = image_and_slope(star.photons)
    np.testing.assert_allclose(bright, intensity(three.optics, twins, pitch, 5), rtol=1e-12)
    np.testing.assert_allclose(slope, 2 * bright, rtol=1e-12)
    dark, from_dark = image_and_slope(0 * star.photons)
    np.testing.assert_array_equal(dark, 0)
    np.testing.assert_allclose(from_dark, bright, rtol=1e-12)
    assert np.isnan(image_and_slope(np.nan * star.photons)[0]).all()
