"""Windows, far field and expected counts against closed forms, plain NumPy and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_scan import NPIX, small_probe, smooth_object

from dluxshera.ptychography import cut_windows, expected_counts, far_field
from dluxshera.ptychography.propagation import WINDOWS, shift_windows, windows_transposed

CORNERS = np.array([[0.0, 0.0], [3.0, 5.0], [2.25, 7.5], [14.9, 0.125], [15.0, 15.0]])


def by_hand(object, corner, npix):
    """Bilinear window, written out."""
    j, i = np.floor(corner).astype(int)
    y, x = corner - np.floor(corner)
    block = np.pad(object, 1, mode="edge")[1:, 1:][j : j + npix + 1, i : i + npix + 1]
    rows = (1 - y) * block[:-1] + y * block[1:]
    return (1 - x) * rows[:, :-1] + x * rows[:, 1:]


def test_windows_are_bilinear():
    object = smooth_object()
    windows = np.asarray(cut_windows(object, CORNERS, NPIX))
    for window, corner in zip(windows, CORNERS, strict=True):
        np.testing.assert_allclose(window, by_hand(object, corner, NPIX), atol=1e-14)


def test_corners_stay_on_the_canvas():
    object = smooth_object()
    outside = cut_windows(object, np.array([[-3.0, 99.0]]), NPIX)
    np.testing.assert_array_equal(outside, cut_windows(object, np.array([[0.0, 16.0]]), NPIX))


def test_fourier_shift_is_exact_for_a_wave():
    y, x = np.mgrid[:33, :33]
    wave = np.exp(2j * np.pi * (3 * y - 2 * x) / NPIX)
    corner = np.array([[2.3, 5.8]])
    moved = np.exp(2j * np.pi * (3 * (y[:NPIX, :NPIX] + 2.3) - 2 * (x[:NPIX, :NPIX] + 5.8)) / NPIX)
    np.testing.assert_allclose(shift_windows(wave, corner, NPIX)[0], moved, atol=1e-12)
    assert np.abs(np.asarray(cut_windows(wave, corner, NPIX))[0] - moved).max() > 0.05


def test_both_kinds_of_window_agree_on_pixels():
    object, corners = smooth_object(), np.array([[3.0, 4.0], [7.0, 0.0]])
    np.testing.assert_allclose(cut_windows(object, corners, NPIX), shift_windows(object, corners, NPIX), atol=1e-12)


@given(seed=st.integers(0, 2**20))
@settings(max_examples=10, deadline=None)
def test_transposed_windows_are_the_adjoint(seed):
    rng = np.random.default_rng(seed)
    object, patches = rng.normal(size=(32, 32)), rng.normal(size=(3, NPIX, NPIX))
    corners = rng.uniform(0, 15, (3, 2))
    left = np.sum(np.asarray(cut_windows(object, corners, NPIX)) * patches)
    right = np.sum(object * np.asarray(windows_transposed(jnp.asarray(patches), jnp.asarray(corners), (32, 32))))
    assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("npix", [16, 15])
def test_zero_frequency_is_in_the_middle(npix):
    field = np.asarray(far_field(np.ones((npix, npix))))
    assert abs(field[npix // 2, npix // 2]) == pytest.approx(npix)
    assert np.abs(field).sum() == pytest.approx(npix)


@pytest.mark.parametrize("npix", [16, 15])
def test_expected_counts_are_those_of_numpy(npix):
    rng = np.random.default_rng(0)
    object = smooth_object()
    probe = rng.normal(size=(2, npix, npix)) + 1j * rng.normal(size=(2, npix, npix))
    corners = rng.uniform(0, 32 - npix - 1, (4, 2))
    background = rng.uniform(0, 1, (npix, npix))
    found = np.asarray(expected_counts(object, probe, corners, background))
    for pattern, corner in zip(found, corners, strict=True):
        fields = np.fft.fftshift(np.fft.fft2(probe * by_hand(object, corner, npix), norm="ortho"), axes=(1, 2))
        np.testing.assert_allclose(pattern, (np.abs(fields) ** 2).sum(0) + background, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.complex128, 1e-12), (np.complex64, 1e-6)])
def test_photons_are_conserved(dtype, tolerance):
    object, probe = smooth_object().astype(dtype), small_probe(2).astype(dtype)
    corners = CORNERS.astype(np.float32 if dtype == np.complex64 else float)
    counts = np.asarray(expected_counts(object, probe, corners)).astype(float)
    windows = np.asarray(cut_windows(object, corners, NPIX))
    sent = (np.abs(probe.astype(complex)[:, None] * windows) ** 2).sum((0, 2, 3))
    np.testing.assert_allclose(counts.sum((1, 2)), sent, rtol=tolerance)


@pytest.mark.parametrize("interpolation", WINDOWS)
def test_gradients_by_object_probe_and_corners(interpolation):
    rng = np.random.default_rng(1)
    corners = rng.uniform(0.2, 0.8, (3, 2)) + rng.integers(0, 14, (3, 2))
    weights = rng.normal(size=(3, NPIX, NPIX))
    parts = tuple(map(jnp.asarray, (smooth_object(), small_probe(2), corners)))
    split = lambda o, p, c: (o.real, o.imag, p.real, p.imag, c)  # noqa: E731

    def total(a, b, c, d, e):
        return jnp.sum(weights * expected_counts(a + 1j * b, c + 1j * d, e, 0.0, interpolation))

    values = split(*parts)
    slopes = jax.grad(total, argnums=tuple(range(5)))(*values)
    for i, (value, slope) in enumerate(zip(values, slopes, strict=True)):
        along = jnp.asarray(rng.normal(size=value.shape))
        h = 1e-6
        moved = [total(*(v + s * h * along if k == i else v for k, v in enumerate(values))) for s in (1, -1)]
        assert float(jnp.sum(slope * along)) == pytest.approx(float(moved[0] - moved[1]) / (2 * h), rel=2e-7)


def test_forward_mode_and_vmap():
    object, probe, corners = smooth_object(), small_probe(1), CORNERS[1:3] + 0.3
    push = jax.jvp(lambda c: expected_counts(object, probe, c), (corners,), (np.ones_like(corners),))[1]
    h = 1e-6
    ends = [expected_counts(object, probe, corners + s * h) for s in (1, -1)]
    np.testing.assert_allclose(push, (ends[0] - ends[1]) / (2 * h), atol=1e-6 * np.abs(push).max())
    many = jax.vmap(lambda p: expected_counts(object, p[None], corners))(jnp.asarray(small_probe(2)))
    np.testing.assert_allclose(many.sum(0), expected_counts(object, small_probe(2), corners), rtol=1e-12)


def test_a_canvas_without_a_spare_row_is_refused():
    with pytest.raises(ValueError, match="at least 17 x 17"):
        cut_windows(np.ones((16, 20)), CORNERS, NPIX)
