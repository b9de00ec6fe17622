"""exp(i x) by polynomials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.optics.phasor import phasor, wave


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 1e6))
def test_it_is_the_exponential(x):
    assert abs(complex(phasor(jnp.asarray(x))) - np.exp(1j * x)) < 1e-15 + 4e-16 * max(1.0, abs(x) * 1e-3)


def test_it_is_the_exponential_at_the_quadrants_edges():
    quarters = np.arange(-200, 201) * np.pi / 4
    x = np.concatenate([quarters, np.nextafter(quarters, np.inf), np.nextafter(quarters, -np.inf)])
    np.testing.assert_allclose(phasor(jnp.asarray(x)), np.exp(1j * x), atol=1e-15)


def test_it_has_modulus_one_and_conjugates():
    x = jnp.linspace(-300, 300, 5001)
    np.testing.assert_allclose(jnp.abs(phasor(x)), 1, atol=1e-15)
    np.testing.assert_allclose(phasor(-x), jnp.conj(phasor(x)), atol=1e-15)


def test_derivatives_in_both_modes_and_of_second_order():
    x = jnp.linspace(-7, 7, 23)
    value, slope = jax.jvp(phasor, (x,), (jnp.full_like(x, 2.0),))
    np.testing.assert_allclose(slope, 2j * np.exp(1j * x), atol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda t: phasor(t).real))(x), -np.sin(x), atol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda t: phasor(t).imag))(x), np.cos(x), atol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.hessian(lambda t: phasor(t).real))(x), -np.cos(x), atol=1e-14)


def test_batches_and_compilation_change_nothing():
    x = jnp.linspace(-20, 20, 30).reshape(5, 6)
    np.testing.assert_allclose(jax.jit(jax.vmap(phasor))(x), phasor(x), atol=1e-15)


def test_a_wave_is_its_amplitude_times_the_exponential():
    x = jnp.linspace(-7, 7, 23)
    value, slope = jax.jvp(wave, (x, 3 * x), (jnp.ones_like(x), jnp.full_like(x, 2.0)))
    np.testing.assert_allclose(value, x * np.exp(3j * x), atol=1e-14)
    np.testing.assert_allclose(slope, (1 + 2j * x) * np.exp(3j * x), atol=1e-13)


@pytest.mark.parametrize("limit", [10.0, 1e3])
def test_single_precision_stays_single(limit):
    x = jnp.linspace(-limit, limit, 1001, dtype=jnp.float32)
    value = phasor(x)
    assert value.dtype == jnp.complex64
    exact = np.exp(1j * np.asarray(x, float))
    assert np.abs(np.asarray(value) - exact).max() < 2e-7
