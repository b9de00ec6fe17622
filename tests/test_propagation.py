"""Propagation against Gaussian beams, direct sums and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.optics.focal import focal_field
from dluxshera.optics.propagation import Lattice, band_spectrum, taper, transfer_function

WAVELENGTH = 550e-9
GRIDS = [
    Lattice(8, 12, 12),
    Lattice(8, 12, 10),
    Lattice(9, 16, 8),
    Lattice(8, 8, 8),
    Lattice(9, 16, 16),
    Lattice(8, 15, 11),
]


def random_field(*shape, seed=0):
    parts = np.random.default_rng(seed).normal(size=(2, *shape))
    return jnp.asarray(parts[0] + 1j * parts[1])


def propagated(field, grid, pixel, distance):
    """The field behind free space, on the lattice."""
    frequency = jnp.asarray(grid.harmonics / grid.pad_npix / pixel)
    step = transfer_function(frequency, jnp.asarray(WAVELENGTH), jnp.asarray(distance))
    return jnp.fft.ifft2(band_spectrum(field, grid) * (step[:, None] * step))


@pytest.mark.parametrize("distance", [-3.0, 0.0, 0.5, 8.0])
def test_a_gaussian_beam_spreads_as_it_should(distance):
    pixel, waist, grid = 1e-4, 8e-4, Lattice(128, 192, 192)
    x = pixel * (np.arange(128) - 63.5)
    field = jnp.asarray(np.exp(-(x[:, None] ** 2 + x**2) / waist**2), complex)
    spread = 1 + 1j * distance * WAVELENGTH / (np.pi * waist**2)
    at = pixel * grid.steps
    expected = np.exp(-(at[:, None] ** 2 + at**2) / (waist**2 * spread)) / spread
    np.testing.assert_allclose(propagated(field, grid, pixel, distance), expected, atol=2e-9)


@settings(max_examples=20, deadline=None)
@given(distance=st.floats(-100, 100), seed=st.integers(0, 99))
def test_the_energy_and_the_way_back_are_kept(distance, seed):
    grid, field = Lattice(8, 12, 12), random_field(8, 8, seed=seed)
    there = propagated(field, grid, 1e-3, distance)
    assert float(jnp.sum(jnp.abs(there) ** 2)) == pytest.approx(float(jnp.sum(jnp.abs(field) ** 2)), rel=1e-12)
    frequency = jnp.asarray(grid.harmonics / grid.pad_npix / 1e-3)
    step = transfer_function(frequency, jnp.asarray(WAVELENGTH), jnp.asarray(-distance))
    back = jnp.fft.ifft2(jnp.fft.fft2(there) * (step[:, None] * step))
    np.testing.assert_allclose(back[2:10, 2:10], field, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_lattice_covers_a_period_around_the_pupil_and_holds_its_first_pixel(grid):
    steps, spacing = grid.steps, grid.pad_npix / grid.band_npix
    assert np.abs(steps + (grid.pupil_npix - 1) / 2).min() < 1e-12
    np.testing.assert_allclose(np.diff(steps), spacing)
    assert abs(steps[0] + steps[-1]) <= spacing * (1 + 1e-12)
    np.testing.assert_allclose(grid.centred_steps - steps, -np.mean(steps), atol=1e-12)


@pytest.mark.parametrize("grid", [grid for grid in GRIDS if grid.pad_npix == grid.band_npix])
def test_a_whole_band_gives_the_pupil_field_back(grid):
    field = random_field(grid.pupil_npix, grid.pupil_npix)
    inside = np.abs(grid.steps) <= (grid.pupil_npix - 1) / 2
    padded = np.zeros((grid.pad_npix,) * 2, complex)
    padded[np.ix_(inside, inside)] = field
    np.testing.assert_allclose(jnp.fft.ifft2(band_spectrum(field, grid)), padded, atol=1e-14)


def test_a_cropped_band_keeps_what_is_inside_it():
    full, cropped = Lattice(8, 12, 12), Lattice(8, 12, 6)
    field = random_field(8, 8)
    kept = full.harmonics[np.isin(full.harmonics, cropped.harmonics)]
    assert set(kept) == set(cropped.harmonics)
    origin = np.outer(cropped.origin_phases, cropped.origin_phases)
    expected = origin * np.fft.fft2(field, (12, 12))[np.ix_(cropped.harmonics % 12, cropped.harmonics % 12)]
    np.testing.assert_allclose(band_spectrum(field, cropped), expected, atol=1e-12)
    axis = jnp.arange(1.0, 7.0)
    np.testing.assert_allclose(band_spectrum(field, cropped, axis), expected * np.outer(axis, axis), atol=1e-11)


def test_the_taper_is_one_in_the_middle_falls_and_is_symmetric():
    grid = Lattice(128, 192, 96)
    edge, distance = taper(grid), np.abs(grid.harmonics) * 2 / 96
    assert np.all(edge[distance < 0.65] == 1) and np.all(np.diff(edge[np.argsort(distance)]) <= 1e-15)
    np.testing.assert_allclose(edge[1:48], edge[:-48:-1])
    np.testing.assert_array_equal(taper(Lattice(8, 12, 12)), np.ones(12))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("npix", [1, 4, 5])
def test_focal_field_is_the_double_sum(grid, npix):
    field, phase_step = random_field(grid.band_npix, grid.band_npix), 0.037
    points, middle = np.arange(npix) - (npix - 1) / 2, np.mean(grid.steps)
    kernel = np.exp(-2j * np.pi * phase_step * np.outer(points, grid.steps - middle))
    expected = np.einsum("ya,ab,xb->yx", kernel, field, kernel)
    np.testing.assert_allclose(focal_field(field, jnp.asarray(phase_step), grid, npix), expected, atol=1e-11)


@pytest.mark.parametrize("grid", [*GRIDS[:3], GRIDS[-1]])
def test_the_derivative_of_focal_field_is_that_of_finite_differences(grid):
    field, change = (random_field(grid.band_npix, grid.band_npix, seed=seed) for seed in (1, 2))
    at = lambda t: focal_field(field + t * change, 0.05 + 0.3 * t, grid, 5)  # noqa: E731
    _, slope = jax.jvp(at, (jnp.asarray(0.0),), (jnp.asarray(1.0),))
    step = jnp.asarray(1e-5)
    numeric = (at(step) - at(-step)) / 2e-5
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-6)


def test_reverse_mode_agrees_with_forward_mode_under_compilation():
    grid = Lattice(8, 12, 10)
    weight = jnp.asarray(np.random.default_rng(3).normal(size=(5, 5)))
    field = random_field(10, 10)

    @jax.jit
    def score(scale, phase_step):
        focal = focal_field(scale * field, phase_step, grid, 5)
        return jnp.sum(weight * (focal.real**2 + focal.imag**2))

    at = (jnp.asarray(1.3), jnp.asarray(0.05))
    backward = jax.grad(score, (0, 1))(*at)
    np.testing.assert_allclose(backward, jax.jacfwd(score, (0, 1))(*at), rtol=1e-12)
    numeric = (score(1.3, 0.05 + 1e-6) - score(1.3, 0.05 - 1e-6)) / 2e-6
    assert float(backward[1]) == pytest.approx(float(numeric), rel=1e-7)


def test_focal_field_maps_over_steps_and_fields():
    grid, field = Lattice(8, 12, 10), random_field(3, 10, 10)
    steps = jnp.asarray([0.01, 0.02, 0.03])
    many = jax.vmap(lambda f, s: focal_field(f, s, grid, 4))(field, steps)
    for index in range(3):
        np.testing.assert_allclose(many[index], focal_field(field[index], steps[index], grid, 4), atol=1e-12)
    tangents = jax.vmap(lambda t: jax.jvp(lambda s: focal_field(field[0], s, grid, 4), (steps[0],), (t,))[1])(steps)
    np.testing.assert_allclose(tangents[1], 2 * tangents[0], atol=1e-10)


def test_a_tangent_of_one_argument_alone_is_its_part_of_the_whole():
    grid, field, change = Lattice(8, 12, 10), random_field(10, 10), random_field(10, 10, seed=1)
    step, at = jnp.asarray(0.05), lambda f, s: focal_field(f, s, grid, 4)
    by_field = jax.jvp(lambda f: at(f, step), (field,), (change,))[1]
    by_step = jax.jvp(lambda s: at(field, s), (step,), (jnp.asarray(1.0),))[1]
    np.testing.assert_allclose(by_field, at(change, step), atol=1e-12)
    both = jax.jvp(at, (field, step), (change, jnp.asarray(1.0)))[1]
    np.testing.assert_allclose(both, by_field + by_step, atol=1e-12)


def test_second_derivatives_exist():
    grid, field = Lattice(8, 12, 10), random_field(10, 10)
    peak = lambda s: jnp.sum(jnp.abs(focal_field(field, s, grid, 3)) ** 2 * jnp.arange(3))  # noqa: E731
    here, slope = jnp.asarray(0.05), jax.jit(jax.grad(peak))
    curve = jax.jacfwd(slope)(here)
    numeric = (slope(here + 1e-6) - slope(here - 1e-6)) / 2e-6
    assert float(curve) == pytest.approx(float(numeric), rel=1e-5)
