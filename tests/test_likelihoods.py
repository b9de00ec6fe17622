"""Likelihoods of pixels against closed forms and the information that they claim."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dluxshera.inference.likelihoods import (
    LIKELIHOODS,
    Gaussian,
    GaussianModel,
    PixelData,
    Poisson,
    likelihood_named,
)


def data(image, variance=None, read_variance=0.0):
    image = jnp.asarray(image, float)
    return PixelData(
        image, None if variance is None else jnp.asarray(variance, float), lambda mean: mean + read_variance
    )


def loss(likelihood, mean, pixels):
    return np.asarray(likelihood.loss(jnp.asarray(mean, float).reshape(pixels.image.shape), pixels))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 10**7), ratio=st.floats(0.5, 2))
def test_poisson_loss_is_half_the_deviance(count, ratio):
    mean = max(count, 1) * ratio
    exact = stats.poisson.logpmf(count, max(count, 1e-300)) - stats.poisson.logpmf(count, mean)
    assert loss(Poisson(), [[mean]], data([[count]]))[0, 0] == pytest.approx(exact, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("count", [1.0, 1e3, 3e8, 1e12])
def test_poisson_loss_keeps_its_precision_near_a_perfect_fit(count):
    offset = 0.1 * np.sqrt(count)
    found = loss(Poisson(), [[count + offset]], data([[count]]))[0, 0]
    r = (count + offset) / count - 1
    assert found == pytest.approx(count * (r - np.log1p(r)), rel=1e-6)
    assert loss(Poisson(), [[count]], data([[count]]))[0, 0] == 0


def test_read_noise_enters_in_the_shifted_form():
    found = loss(Poisson(), [[5.0]], data([[3.0]], read_variance=4.0))
    np.testing.assert_allclose(found, loss(Poisson(), [[9.0]], data([[7.0]])), rtol=1e-12)


@pytest.mark.parametrize("read_variance", [0.0, 4.0])
@pytest.mark.parametrize("count", [-20.0, -3.0, -1e-9, 0.0, 1e-9, 2.0])
@pytest.mark.parametrize("mean", [0.0, 1e-200, 1e-6, 0.5, 30.0])
def test_poisson_is_finite_with_its_gradients_wherever_counts_fall(count, mean, read_variance):
    pixels = data([[count]], read_variance=read_variance)
    at = lambda m: Poisson().loss(m, pixels)[0, 0]  # noqa: E731
    mean = jnp.asarray([[mean]])
    assert np.isfinite(at(mean)) and np.isfinite(jax.grad(at)(mean)).all()
    assert np.isfinite(Poisson().information(mean, pixels)).all()


@pytest.mark.parametrize("mean", [-1e-9, -5.0])
def test_a_negative_signal_cannot_explain_a_count_and_teaches_nothing(mean):
    assert loss(Poisson(), [[mean]], data([[3.0]]))[0, 0] > loss(Poisson(), [[1e-9]], data([[3.0]]))[0, 0]
    assert float(Poisson().information(jnp.asarray([[mean]]), data([[3.0]]))[0, 0]) == 0


@pytest.mark.parametrize("mean", [0.0, 1e-6, 30.0])
def test_poisson_is_finite_in_single_precision(mean):
    pixels = PixelData(jnp.full((1, 1), 100.0, jnp.float32), None, lambda m: m)
    at = lambda m: Poisson().loss(m, pixels)[0, 0]  # noqa: E731
    mean = jnp.full((1, 1), mean, jnp.float32)
    assert at(mean).dtype == jnp.float32
    assert np.isfinite(at(mean)) and np.isfinite(jax.grad(at)(mean)).all()


@settings(max_examples=40, deadline=None)
@given(mean=st.floats(0.1, 1e6), count=st.floats(0, 1e6))
def test_poisson_slope_is_one_minus_counts_over_mean(mean, count):
    slope = jax.grad(lambda m: Poisson().loss(m, data([[count]]))[0, 0])(jnp.asarray([[mean]]))
    assert float(slope[0, 0]) == pytest.approx(1 - count / mean, rel=1e-6, abs=1e-9)


def test_negative_counts_still_have_an_unbiased_slope():
    """The slope is linear in the counts, through zero and below."""
    counts = np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
    slopes = [
        float(jax.grad(lambda m, c=c: Poisson().loss(m, data([[c]]))[0, 0])(jnp.asarray([[2.0]]))[0, 0]) for c in counts
    ]
    np.testing.assert_allclose(slopes, 1 - counts / 2, atol=1e-12)


def test_gaussian_losses_are_the_normal_density():
    pixels = data([[3.0, 8.0]], variance=[[2.0, 5.0]], read_variance=1.5)
    mean = np.array([[2.5, 9.0]])
    known = -stats.norm.logpdf([[3.0, 8.0]], mean, np.sqrt([[2.0, 5.0]])) - 0.5 * np.log(
        2 * np.pi * np.array([[2.0, 5.0]])
    )
    np.testing.assert_allclose(loss(Gaussian(), mean, pixels), known, rtol=1e-12)
    modelled = -stats.norm.logpdf([[3.0, 8.0]], mean, np.sqrt(mean + 1.5)) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(loss(GaussianModel(), mean, pixels), modelled, rtol=1e-12)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("mean", [3.0, 40.0, 1e4])
def test_information_is_the_curvature_of_the_expected_loss(name, mean):
    """E over the data of d2 loss / d mean2, with moments of the noise that the likelihood assumes."""
    likelihood, read_variance = likelihood_named(name), 2.0
    spread = np.sqrt(mean + read_variance)
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()

    def expected_curvature(node):
        pixels = data([[mean + spread * node]], [[spread**2]], read_variance)
        return jax.hessian(lambda m: likelihood.loss(m.reshape(1, 1), pixels)[0, 0])(jnp.asarray(mean))

    total = sum(w * float(expected_curvature(n)) for w, n in zip(weights, nodes, strict=True))
    pixels = data([[mean]], [[spread**2]], read_variance)
    found = float(likelihood.information(jnp.asarray([[mean]]), pixels)[0, 0])
    assert found == pytest.approx(total, rel=1e-9)


def test_the_scatter_of_the_model_variance_scores_confirms_the_information():
    """Monte Carlo: variance of the score is the information, the log v term included."""
    mean, read_variance = 6.0, 1.0
    draws = np.random.default_rng(0).normal(mean, np.sqrt(mean + read_variance), 200_000)
    pixels = data(draws[None, :], read_variance=read_variance)
    scores = jax.grad(lambda m: GaussianModel().loss(m, pixels).sum())(jnp.full((1, 200_000), mean))
    information = float(GaussianModel().information(jnp.asarray([[mean]]), pixels)[0, 0])
    assert float(scores.mean()) == pytest.approx(0, abs=5 * np.sqrt(information / 200_000))
    assert float(scores.var()) == pytest.approx(information, rel=0.02)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_variances_whiten(name):
    likelihood = likelihood_named(name)
    pixels = data([[10.0]], [[30.0]], read_variance=4.0)
    expected = 30.0 if name == "gaussian" else 16.0
    assert float(likelihood.variance(jnp.asarray([[12.0]]), pixels)[0, 0]) == expected


def test_unknown_likelihoods_are_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="poisson, gaussian, gaussian_model, got 'chi2'"):
        likelihood_named("chi2")


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_count_that_is_not_a_number_is_never_taken_for_one(name):
    pixels = data([[np.nan, 3.0]], variance=[[1.0, 1.0]])
    found = loss(likelihood_named(name), [[2.0, 2.0]], pixels)
    assert np.isnan(found[0, 0]) and np.isfinite(found[0, 1])
