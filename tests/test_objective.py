"""The objective: losses, masks, priors, and what it refuses."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tiny import edit
from toy import NPIX, poisson, spots

import dluxshera as ds

NAMES = ["separation", "log_flux", "contrast", "shape"]


@pytest.fixture(scope="module")
def model():
    return spots()


@pytest.fixture(scope="module")
def space(model):
    return ds.ThetaSpace(model, NAMES)


@pytest.fixture(scope="module")
def observation(model):
    return poisson(model, 1)


@eqx.filter_jit
def loss(objective, theta):
    return objective.loss(theta)


@eqx.filter_jit
def slope(objective, theta):
    return jax.grad(objective.loss)(theta)


def with_image(observation, image, mask=None):
    return ds.Observation(image, observation.variance, mask, observation.exposures)


def test_it_has_the_density_of_poisson_counts(model, space, observation):
    objective, theta = ds.Objective(model, space, observation), space.pack(model)
    other = theta + 0.01
    counts = np.asarray(observation.image)
    logpmf = [stats.poisson.logpmf(counts, np.asarray(objective.expected(t))).sum() for t in (theta, other)]
    assert float(loss(objective, other) - loss(objective, theta)) == pytest.approx(logpmf[0] - logpmf[1], rel=1e-9)
    assert float(objective.log_prob(theta)) == pytest.approx(-float(loss(objective, theta)), rel=1e-12)


def test_the_gaussian_loss_is_half_the_chi_square_of_the_residuals(model, space, observation):
    objective, theta = ds.Objective(model, space, observation, "gaussian"), space.pack(model) + 0.003
    residuals = objective.residuals(theta)
    assert float(loss(objective, theta)) == pytest.approx(0.5 * float(jnp.sum(residuals**2)), rel=1e-12)


@pytest.mark.float32
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian", "gaussian_model"])
def test_residuals_scatter_by_one_at_the_truth(likelihood, model, space, observation):
    residuals = np.asarray(ds.Objective(model, space, observation, likelihood).residuals(space.pack(model)))
    assert residuals.shape == (NPIX, NPIX)
    assert residuals.std() == pytest.approx(1, abs=5 / np.sqrt(2 * NPIX**2)) and abs(residuals.mean()) < 5 / NPIX


def test_many_exposures_are_one_sum(model, space):
    theta = space.pack(model)
    summed = ds.Observation(36000 * model.model(), exposures=36000)
    objective = ds.Objective(model, space, summed)
    np.testing.assert_allclose(objective.expected(theta), 36000 * model.model(), rtol=1e-12)
    assert float(loss(objective, theta)) == pytest.approx(0, abs=1e-6)
    noisy = edit(model, {"read_noise": 3.0})
    variance = ds.Objective(noisy, space, summed, "gaussian_model")
    expected = 0.5 * float(jnp.sum(jnp.log(summed.image + 36000 * 9)))
    assert float(loss(variance, theta)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian_model"])
def test_the_read_noise_is_known_even_where_it_is_free(likelihood, model, observation):
    noisy = edit(model, {"read_noise": 3.0})
    objective = ds.Objective(noisy, ds.ThetaSpace(noisy, ["log_flux", "read_noise"]), observation, likelihood)
    theta = objective.space.pack(noisy)
    assert float(loss(objective, theta.at[1].set(4.0))) == float(loss(objective, theta))
    assert float(slope(objective, theta)[1]) == 0
    with pytest.warns(ds.IdentifiabilityWarning, match="read_noise"):
        solution = ds.fit(objective, theta)
    assert not np.isfinite(solution.sigma("read_noise")) and np.isfinite(solution.sigma("log_flux"))


@pytest.mark.float32
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian", "gaussian_model"])
def test_masked_pixels_do_not_matter(likelihood, model, space, observation):
    theta = space.pack(model) + 0.002
    mask = np.random.default_rng(0).random((NPIX, NPIX)) < 0.7
    image = np.asarray(observation.image)
    spoilt = [np.where(mask, image, bad) for bad in (0.0, 1e12, -1e9, np.nan)]
    objectives = [ds.Objective(model, space, with_image(observation, im, mask), likelihood) for im in spoilt]
    for function in (loss, slope, lambda o, t: o.residuals(t)):
        first, *others = (np.asarray(function(objective, theta)) for objective in objectives)
        assert np.isfinite(first).all()
        for other in others:
            np.testing.assert_array_equal(other, first)


@pytest.mark.float32
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian", "gaussian_model"])
def test_an_observation_of_another_kind_may_have_holes(likelihood, model, space, observation):
    """Only `image`, `variance`, `mask` and `exposures` are asked for; what is masked may be NaN."""
    mask = np.ones((NPIX, NPIX), bool)
    mask[3, 4] = False
    hole = np.where(mask, np.asarray(observation.image), np.nan)
    foreign = SimpleNamespace(image=hole, variance=np.where(mask, hole + 1, np.nan), mask=mask, exposures=1)
    objective, theta = ds.Objective(model, space, foreign, likelihood), space.pack(model)
    assert np.isfinite(loss(objective, theta)) and np.isfinite(slope(objective, theta)).all()
    assert np.isfinite(objective.residuals(theta)).all()


def test_zero_and_negative_pixels_are_legal(model, space, observation):
    image = np.array(observation.image)
    image[:4] = 0
    image[5, 5], image[6, 6] = -3.0, -40.0
    objective, theta = ds.Objective(model, space, with_image(observation, image)), space.pack(model)
    gradient = slope(objective, theta)
    assert np.isfinite(gradient).all()
    numeric = [
        float(loss(objective, theta + 1e-6 * unit) - loss(objective, theta - 1e-6 * unit)) / 2e-6 for unit in np.eye(5)
    ]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-2)


@pytest.mark.float32
def test_an_image_of_zeros_in_part_has_no_nan_anywhere(model, space, observation):
    dark = edit(model, {"log_flux": -4.0, "background": np.zeros((NPIX, NPIX))})
    theta = space.pack(dark)
    for likelihood in ("poisson", "gaussian_model"):
        objective = ds.Objective(dark, space, with_image(observation, observation.image), likelihood)
        expansion = eqx.filter_jit(lambda o, t: o.expansion(t))(objective, theta)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(expansion))


@settings(max_examples=10, deadline=None)
@given(mean=st.floats(3.5, 4.5), sigma=st.floats(1e-3, 1))
def test_priors_enter_the_loss_at_their_physical_value(model, observation, mean, sigma):
    priors = {"separation": ds.Normal(mean, sigma)}
    bounded = ds.ThetaSpace(model, NAMES, priors=priors)
    plain = ds.ThetaSpace(model, NAMES)
    theta = plain.pack(model)
    difference = loss(ds.Objective(model, bounded, observation), theta) - loss(
        ds.Objective(model, plain, observation), theta
    )
    assert float(difference) == pytest.approx(-stats.norm.logpdf(4.0, mean, sigma), rel=1e-9, abs=1e-9)


def test_the_expansion_is_loss_gradient_and_information(model, observation):
    bounded = ds.ThetaSpace(model, NAMES, priors={"contrast": ds.Normal(3.0, 0.1)})
    objective = ds.Objective(model, bounded, observation)
    theta = bounded.pack(model) + 0.002
    expansion = eqx.filter_jit(lambda o, t: o.expansion(t))(objective, theta)
    np.testing.assert_allclose(expansion.loss, loss(objective, theta), rtol=1e-12)
    np.testing.assert_allclose(expansion.gradient, slope(objective, theta), rtol=1e-9)
    np.testing.assert_allclose(expansion.information, expansion.information.T, rtol=1e-12)
    contrast = bounded.slice("contrast").start
    value = float(bounded.physical(theta)[contrast])
    expected = np.zeros((5, 5))
    expected[contrast, contrast] = (value / 0.1) ** 2  # contrast is exp(θ)
    np.testing.assert_allclose(expansion.prior_information, expected, rtol=1e-9)


@pytest.mark.float32
def test_images_of_another_shape_are_refused(model, space):
    with pytest.raises(ValueError, match=r"shape \(12, 12\).*got \(15, 15\).*psf_npix"):
        ds.Objective(model, space, ds.Observation(np.ones((15, 15))))


@pytest.mark.float32
def test_the_gaussian_likelihood_needs_a_variance_above_zero(model, space, observation):
    with pytest.raises(ValueError, match="needs Observation.variance"):
        ds.Objective(model, space, ds.Observation(observation.image), "gaussian")
    variance = np.array(observation.variance)
    variance[2, 2] = 0
    with pytest.raises(ValueError, match="above zero"):
        ds.Objective(model, space, ds.Observation(observation.image, variance), "gaussian")
    mask = variance > 0
    ds.Objective(model, space, ds.Observation(observation.image, variance, mask), "gaussian")


@pytest.mark.float32
def test_models_that_are_not_valid_are_refused_by_path(model, space, observation):
    for value, reason in ((9.9, "asarray"), (jnp.asarray(np.nan), "finite"), (jnp.asarray(-1.0), "-1")):
        broken = eqx.tree_at(lambda m: m.separation, model, value)
        with pytest.raises(ds.ParameterError, match=f"separation.*{reason}"):
            ds.Objective(broken, space, observation)


@pytest.mark.float32
def test_what_the_model_does_not_move_stays_as_it_is(model, space, observation):
    objective = ds.Objective(model, space, observation)
    moved = objective.space.unpack(space.pack(model) + 0.1, objective.model)
    for path in ("x", "area", "throughput", "background"):
        np.testing.assert_array_equal(ds.get_value(moved, path), ds.get_value(model, path))


def test_a_total_is_fitted_with_its_standard_error():
    """Thirteen electrons on a dark detector, from a start whose full Newton step overshoots."""
    dark = spots(log_flux=1.0, background=np.zeros((NPIX, NPIX)))
    counts = np.random.default_rng(0).poisson(np.asarray(dark.model())).astype(float)
    space = ds.ThetaSpace(dark, ["log_flux"])
    start = edit(dark, {"log_flux": 0.5})
    solution = ds.fit(ds.Objective(dark, space, ds.Observation(counts)), space.pack(start))
    assert solution.converged
    best = 1 + np.log10(counts.sum() / float(dark.model().sum()))
    assert float(solution.model.log_flux) == pytest.approx(best, abs=1e-4)
    assert float(solution.sigma("log_flux")) == pytest.approx(1 / np.sqrt(counts.sum()) / np.log(10), rel=1e-3)


def test_a_used_pixel_that_is_not_finite_is_refused(model, space, observation):
    """Also from what is no `Observation`, which would mask it."""
    image = np.array(observation.image)
    image[3, 4] = np.nan
    bare = SimpleNamespace(image=image, variance=None, mask=np.ones_like(image, bool), exposures=1.0)
    with pytest.raises(ValueError, match="finite counts in every used pixel, got 1"):
        ds.Objective(model, space, bare)
    bare.mask[3, 4] = False
    assert np.isfinite(loss(ds.Objective(model, space, bare), space.pack(model)))
