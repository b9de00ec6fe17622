"""What the detector adds to an image: jitter, pixels, displacement, response, dark current."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_instrument import small_instrument
from tiny import edit, relative

import dluxshera as ds
from dluxshera.instrument.pixels import MARGIN_NPIX, bin_samples, filter_taps, integrate_pixels, jitter

NPIX = 24
SIZE = NPIX + 2 * MARGIN_NPIX
CENTRES = np.arange(SIZE) - (SIZE - 1) / 2


def gaussian(width, x=0.0, y=0.0):
    """Samples (SIZE, SIZE) of a normalised Gaussian of standard deviation `width` pixels."""
    rows, columns = np.exp(-((CENTRES - y) ** 2) / (2 * width**2)), np.exp(-((CENTRES - x) ** 2) / (2 * width**2))
    return jnp.asarray(np.outer(rows, columns) / (2 * np.pi * width**2))


def wave(fx, fy, phase=0.3, x=0.0, y=0.0):
    """One plane wave, sampled with the given displacement."""
    return np.cos(2 * np.pi * (fx * (CENTRES[None, :] + x) + fy * (CENTRES[:, None] + y)) + phase)


def inner(array):
    return np.asarray(array)[MARGIN_NPIX:-MARGIN_NPIX, MARGIN_NPIX:-MARGIN_NPIX]


def no_offsets():
    return jnp.zeros((NPIX, NPIX, 2))


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0, 2), x=st.floats(-2, 2), y=st.floats(-2, 2))
def test_jitter_widens_a_gaussian(sigma, x, y):
    expected = gaussian(np.hypot(2.0, sigma), x, y)
    np.testing.assert_allclose(jitter(gaussian(2.0, x, y), jnp.asarray(sigma)), expected, atol=1e-9)


def test_jitter_of_zero_width_changes_nothing_and_has_a_gradient():
    image = gaussian(1.0)
    np.testing.assert_allclose(jitter(image, jnp.asarray(0.0)), image, atol=1e-15)
    peak = lambda sigma: jitter(image, sigma)[SIZE // 2, SIZE // 2]  # noqa: E731
    assert float(jax.grad(peak)(0.0)) == 0
    numeric = (peak(jnp.asarray(0.5 + 1e-5)) - peak(jnp.asarray(0.5 - 1e-5))) / 2e-5
    assert float(jax.grad(peak)(0.5)) == pytest.approx(float(numeric), rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0, 3))
def test_jitter_keeps_the_photons(sigma):
    image = jnp.asarray(np.random.default_rng(0).random((SIZE, SIZE)))
    np.testing.assert_allclose(jitter(image, jnp.asarray(sigma)).sum(), image.sum(), rtol=1e-12)


@pytest.mark.parametrize("oversample", [1, 2, 3, 5])
@pytest.mark.parametrize(("fx", "fy"), [(0.0, 0.0), (0.1, 0.0), (0.25, 0.31), (0.0, 0.4), (0.33, -0.2)])
def test_the_pixel_integral_is_the_mean_of_the_sub_samples(oversample, fx, fy):
    at = (np.arange(oversample) - (oversample - 1) / 2) / oversample
    expected = np.mean([wave(fx, fy, x=dx, y=dy) for dx in at for dy in at], axis=0)
    found = integrate_pixels(jnp.asarray(wave(fx, fy)), oversample, no_offsets())
    np.testing.assert_allclose(found, inner(expected), atol=1e-4)


@pytest.mark.parametrize(("fx", "fy"), [(0.05, 0.02), (0.2, 0.1), (0.35, 0.05)])
def test_many_sub_samples_are_the_sinc_of_a_square_pixel(fx, fy):
    expected = np.sinc(fx) * np.sinc(fy) * wave(fx, fy)
    found = integrate_pixels(jnp.asarray(wave(fx, fy)), 32, no_offsets())
    np.testing.assert_allclose(found, inner(expected), atol=3e-4)


@pytest.mark.parametrize("oversample", [1, 3])
def test_a_filter_keeps_a_flat_image_flat(oversample):
    sums = [filter_taps(oversample, derivative).sum() for derivative in (0, 1, 2)]
    np.testing.assert_allclose(sums, [1, 0, 0], atol=5e-5)
    value, slope, curvature = (filter_taps(oversample, derivative) for derivative in (0, 1, 2))
    np.testing.assert_allclose(value, value[::-1], atol=1e-12)
    np.testing.assert_allclose(slope, -slope[::-1], atol=1e-12)
    np.testing.assert_allclose(curvature, curvature[::-1], atol=1e-12)


@pytest.mark.parametrize("oversample", [1, 3])
@pytest.mark.parametrize(("x", "y"), [(0.02, 0.0), (0.0, -0.03), (0.02, 0.03)])
def test_displaced_pixels_see_the_image_displaced(oversample, x, y):
    offsets = jnp.broadcast_to(jnp.asarray([x, y]), (NPIX, NPIX, 2))
    fx, fy = 0.21, 0.13
    found = integrate_pixels(jnp.asarray(wave(fx, fy)), oversample, offsets)
    expected = integrate_pixels(jnp.asarray(wave(fx, fy, x=x, y=y)), oversample, no_offsets())
    np.testing.assert_allclose(found, expected, atol=(2 * np.pi * 0.25 * 0.04) ** 3)
    assert (
        np.abs(np.asarray(found) - integrate_pixels(jnp.asarray(wave(fx, fy)), oversample, no_offsets())).max() > 1e-3
    )


def test_every_pixel_has_its_own_displacement():
    offsets = np.zeros((NPIX, NPIX, 2))
    offsets[3, 7] = 0.05, -0.02
    moved = integrate_pixels(gaussian(1.5), 3, jnp.asarray(offsets)) - integrate_pixels(gaussian(1.5), 3, no_offsets())
    assert set(zip(*np.nonzero(np.abs(np.asarray(moved)) > 1e-15), strict=True)) == {(3, 7)}


def test_binning_sums_blocks():
    samples = jnp.arange(36.0).reshape(6, 6)
    np.testing.assert_allclose(bin_samples(samples, 3), samples.reshape(2, 3, 2, 3).sum((1, 3)))
    assert bin_samples(samples, 1) is samples


@pytest.fixture(scope="module")
def model():
    return small_instrument()


def test_dark_current_and_background_are_a_floor(model):
    floor = {"detector.dark_current_e": 40.0, "detector.exposure_time_s": 0.25, "detector.background_e": 3.0}
    np.testing.assert_allclose(edit(model, floor).model(), model.model() + 13.0, rtol=1e-12)


def test_quantum_efficiency_and_response_scale_the_photons_but_not_the_floor(model):
    response = np.random.default_rng(0).uniform(0.9, 1.1, (16, 16))
    changed = {"detector.quantum_efficiency": 0.5, "detector.pixel_response": response, "detector.background_e": 2.0}
    np.testing.assert_allclose(edit(model, changed).model(), 0.5 * response * model.model() + 2, rtol=1e-12)


def test_offsets_of_a_pixel_are_offsets_of_the_image(model):
    """Pixels displaced by +0.05 columns see what they saw of stars displaced by -0.05."""
    offsets = np.zeros((16, 16, 2))
    offsets[..., 0] = 0.05
    displaced = edit(model, {"detector.pixel_offsets": offsets}).model()
    moved = edit(model, {"binary.x_position_as": model.binary.x_position_as - 0.05 * model.plate_scale_as}).model()
    assert relative(displaced, moved) < 2e-4 < relative(model.model(), moved)


def test_jitter_in_arcsec_is_the_width_on_the_sky(model):
    """Second moments grow by the jitter's variance, in pixels."""
    wide = edit(model, {"detector.jitter_sigma_as": 0.05})
    blurred = jitter(jnp.pad(model.model(), MARGIN_NPIX), 0.05 / wide.plate_scale_as)
    assert relative(np.asarray(wide.model())[4:-4, 4:-4], inner(blurred)[4:-4, 4:-4]) < 2e-3
    assert relative(wide.model(), model.model()) > 0.02


def test_variance_is_photons_read_noise_and_quantisation(model):
    noisy = edit(model, {"detector.read_noise_e": 3.0, "detector.gain_e_per_adu": 2.0})
    np.testing.assert_allclose(noisy.variance(jnp.asarray([0.0, 10.0])), [9 + 4 / 12, 19 + 4 / 12])
    assert float(noisy.detector.adc_limit_e) == 2.0 * 4095 and float(model.detector.adc_limit_e) == np.inf


def test_another_image_size_is_refused(model):
    with pytest.raises(ValueError, match="optics.psf_npix"):
        ds.Instrument(model.binary, model.optics, small_instrument(psf_npix=17).detector)
