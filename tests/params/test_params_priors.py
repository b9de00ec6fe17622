"""Priors: normalisation, support, samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.params import LogNormal, Normal, ParameterError, TruncatedNormal, Uniform

PRIORS = [
    Normal(1.0, 2.0),
    TruncatedNormal(1.0, 2.0, 0.0, 4.0),
    TruncatedNormal(-5.0, 1.0, 0.0, np.inf),
    LogNormal(0.2, 0.5),
    Uniform(-1.0, 3.0),
]


@pytest.mark.parametrize("prior", PRIORS)
def test_density_integrates_to_one(prior):
    x = jnp.linspace(-20.0, 30.0, 200_001)
    density = jnp.exp(prior.log_prob(x))
    assert np.isclose(jnp.trapezoid(density, x), 1.0, rtol=1e-3)
    mean = jnp.trapezoid(x * density, x)
    assert np.isclose(prior.std, jnp.sqrt(jnp.trapezoid((x - mean) ** 2 * density, x)), rtol=5e-3)


@pytest.mark.parametrize("prior", PRIORS)
def test_outside_the_support_the_density_is_zero(prior):
    lower, upper = prior.support
    outside = [x for x in (lower - 1e-3, upper + 1e-3) if np.isfinite(x)]
    assert all(prior.log_prob(x) == -jnp.inf for x in outside)


@pytest.mark.parametrize("prior", PRIORS)
def test_samples_follow_the_density(prior):
    samples = prior.sample(jax.random.key(1), (20_000,))
    lower, upper = prior.support
    assert samples.shape == (20_000,) and np.all((samples >= lower) & (samples <= upper))
    assert np.isclose(np.std(samples), prior.std, rtol=0.05)
    assert prior.sample(jax.random.key(1)).shape == ()


@settings(deadline=None, max_examples=20)
@given(x=st.floats(-5, 5), mean=st.floats(-3, 3), sigma=st.floats(0.1, 5))
def test_normal_formula(x, mean, sigma):
    expected = -0.5 * ((x - mean) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
    assert np.isclose(Normal(mean, sigma).log_prob(x), expected)


def test_a_wide_truncation_is_the_normal():
    assert np.isclose(TruncatedNormal(0.0, 1.0, -50.0, 50.0).log_prob(0.7), Normal(0.0, 1.0).log_prob(0.7))


@pytest.mark.parametrize("prior", PRIORS)
def test_gradients_are_finite_inside_and_outside(prior):
    slopes = jax.vmap(jax.grad(prior.log_prob))(jnp.array([-3.0, 0.5, 1.5]))
    assert np.all(np.isfinite(slopes[1:]))
    assert not np.isnan(slopes[0])


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan])
def test_bad_widths(sigma):
    for make in (Normal, LogNormal, lambda m, s: TruncatedNormal(m, s, 0, 1)):
        with pytest.raises(ParameterError, match="sigma > 0"):
            make(0.0, sigma)


def test_empty_intervals():
    with pytest.raises(ParameterError, match="Uniform: Expected lower < upper"):
        Uniform(1.0, 1.0)
    with pytest.raises(ParameterError, match="TruncatedNormal: Expected lower < upper"):
        TruncatedNormal(0.0, 1.0, 2.0, 1.0)


def test_numbers_are_dynamic_and_may_be_traced():
    traces = []

    @jax.jit
    def use(prior):
        traces.append(1)
        return prior.log_prob(0.0)

    assert use(Normal(0.0, 1.0)) > use(Normal(0.0, 2.0))
    assert len(traces) == 1
    assert np.isfinite(jax.grad(lambda s: Normal(0.0, s).log_prob(1.0))(2.0))
