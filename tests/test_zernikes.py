"""Noll Zernikes against dLux, and as polynomials."""

import dLux.utils as dlu
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.optics.apertures import pixel_centres
from dluxshera.optics.zernikes import noll_to_nm, zernike_sum

ALL = tuple(range(1, 37))
NOLL = {1: (0, 0), 2: (1, 1), 3: (1, -1), 4: (2, 0), 5: (2, -2), 6: (2, 2), 7: (3, -1), 8: (3, 1), 9: (3, -3)}
NOLL |= {10: (3, 3), 11: (4, 0), 22: (6, 0), 23: (6, -2), 24: (6, 2), 36: (7, 7)}


def one(noll_index, x, y):
    """A single Zernike on the grid of columns x and rows y."""
    return zernike_sum(jnp.ones(1), (noll_index,), jnp.asarray(x), jnp.asarray(y))


def disc(npix):
    u = 2 * pixel_centres(npix)
    return u, np.hypot(*np.meshgrid(u, u)) <= 1


@pytest.mark.parametrize("index", NOLL)
def test_noll_orders(index):
    assert noll_to_nm(index) == NOLL[index]


@pytest.mark.parametrize("index", [0, -3])
def test_indices_begin_at_one(index):
    with pytest.raises(ValueError, match=f"got {index}"):
        noll_to_nm(index)


def test_orders_fill_the_triangle_once():
    found = {noll_to_nm(j) for j in ALL}
    assert found == {(n, m) for n in range(8) for m in range(-n, n + 1, 2)}


@pytest.mark.parametrize("index", ALL)
def test_inside_the_disc_they_are_those_of_dlux(index):
    u, inside = disc(24)
    coordinates = jnp.stack(jnp.meshgrid(jnp.asarray(u), jnp.asarray(u)))
    expected = np.asarray(dlu.zernike(index, coordinates, 2))
    np.testing.assert_allclose(np.where(inside, one(index, u, u), 0), expected, atol=2e-12)


def test_they_are_orthonormal_over_the_disc():
    radii, radial_weights = np.polynomial.legendre.leggauss(12)
    radii, radial_weights = (radii + 1) / 2, radial_weights / 2
    angles = 2 * np.pi * np.arange(32) / 32
    r, a = (grid.ravel() for grid in np.meshgrid(radii, angles, indexing="ij"))
    weights = (radial_weights[:, None] * radii[:, None] * np.full(32, 2 / 32)).ravel()
    at = jax.jit(jax.vmap(lambda x, y: jnp.stack([one(j, x[None], y[None])[0, 0] for j in ALL])))
    values = np.asarray(at(jnp.asarray(r * np.cos(a)), jnp.asarray(r * np.sin(a))))
    np.testing.assert_allclose(np.einsum("pi,pj,p->ij", values, values, weights), np.eye(36), atol=1e-12)


@pytest.mark.parametrize("index", ALL)
def test_turning_by_half_a_turn_gives_the_parity_of_the_order(index):
    u, _ = disc(11)
    values = np.asarray(one(index, u, u))
    np.testing.assert_allclose(values[::-1, ::-1], (-1) ** noll_to_nm(index)[0] * values, atol=1e-12)


@pytest.mark.parametrize("index", ALL)
def test_mirroring_in_the_rows_tells_cosine_from_sine(index):
    u, _ = disc(11)
    values = np.asarray(one(index, u, u))
    np.testing.assert_allclose(values[::-1], (-1 if noll_to_nm(index)[1] < 0 else 1) * values, atol=1e-12)


@pytest.mark.parametrize("index", [1, 2, 4, 7, 11, 36])
def test_the_gradient_is_that_of_finite_differences_at_the_centre_too(index):
    height = lambda x, y: one(index, x[None], y[None])[0, 0]  # noqa: E731
    for x, y in ((0.0, 0.0), (0.3, -0.4)):
        slope = jax.grad(height, (0, 1))(jnp.asarray(x), jnp.asarray(y))
        numeric = [
            float(height(jnp.asarray(x + dx), jnp.asarray(y + dy)) - height(jnp.asarray(x - dx), jnp.asarray(y - dy)))
            for dx, dy in ((1e-5, 0.0), (0.0, 1e-5))
        ]
        np.testing.assert_allclose(slope, np.array(numeric) / 2e-5, atol=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.permutations(ALL[:6]), st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_the_sum_is_linear_and_follows_the_order_of_the_indices(order, coefficients):
    u = jnp.linspace(-1, 1, 5)
    total = zernike_sum(jnp.asarray(coefficients), tuple(order), u, u)
    expected = sum(c * np.asarray(one(j, u, u)) for c, j in zip(coefficients, order, strict=True))
    np.testing.assert_allclose(total, expected, atol=1e-12)


def test_no_index_at_all_is_a_flat_wavefront():
    u = jnp.linspace(-1, 1, 5)
    np.testing.assert_array_equal(zernike_sum(jnp.zeros(0), (), u, u), np.zeros((5, 5)))


def test_precision_and_batches_are_kept():
    u = jnp.linspace(-1, 1, 7, dtype=jnp.float32)
    single = zernike_sum(jnp.ones(2, jnp.float32), (4, 11), u, u)
    assert single.dtype == jnp.float32
    many = jax.vmap(lambda c: zernike_sum(c, (4, 11), u, u))(jnp.eye(2, dtype=jnp.float32))
    np.testing.assert_allclose(many.sum(0), single, rtol=1e-5)
