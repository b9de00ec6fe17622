"""Fits of a model in closed form: engines, errors, warnings, and what compiles again."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Float
from toy import FREE, NPIX, poisson, spots

import dluxshera as ds

START = {"x": 0.0, "separation": 3.5, "log_flux": 4.8, "contrast": 1.5, "shape": [0.0, 0.0]}
ENGINES = {"lm": ds.LevenbergMarquardt(), "gd": ds.SimpleGD(max_steps=20)}


@pytest.fixture(scope="module")
def model():
    return spots()


@pytest.fixture(scope="module")
def space(model):
    return ds.ThetaSpace(model, FREE)


@pytest.fixture(scope="module")
def objective(model, space):
    return ds.Objective(model, space, poisson(model))


@pytest.fixture(scope="module")
def solution(model, space, objective):
    return ds.fit(objective, space.pack(spots(**START)))


def test_it_converges_on_the_truth(model, space, solution):
    assert solution.converged and solution.result == "converged"
    pulls = (solution.theta - space.pack(model)) / jnp.sqrt(jnp.diagonal(solution.covariance))
    assert float(jnp.abs(pulls).max()) < 4
    freedom = NPIX**2 - space.dim
    assert solution.stats["degrees_of_freedom"] == freedom
    assert abs(solution.stats["reduced_chi_square"] - 1) < 4 * np.sqrt(2 / freedom)


def test_the_trace_begins_at_the_start_and_ends_at_the_best(space, objective, solution):
    trace, steps = solution.trace, solution.stats["steps"]
    start = spots(**START)
    assert trace.loss.shape == (steps + 1,) and trace.theta.shape == (steps + 1, space.dim)
    np.testing.assert_array_equal(trace.theta[0], space.pack(start))
    assert (
        float(trace.loss.min()) == pytest.approx(float(objective.loss(solution.theta)), rel=1e-12) and trace.accepted[0]
    )
    assert np.all(np.diff(trace.loss) <= 0)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_any_start_a_few_sigma_off_leads_to_the_same_point(objective, solution, units):
    sigma = jnp.sqrt(jnp.diagonal(solution.covariance))
    again = ds.fit(objective, solution.theta + jnp.asarray(units) * sigma)
    assert again.converged
    np.testing.assert_allclose((again.theta - solution.theta) / sigma, 0, atol=2e-3)


@settings(max_examples=8, deadline=None)
@given(x=st.floats(-1.5, 1.5), separation=st.floats(2.5, 5.5), log_flux=st.floats(4.4, 6.5), contrast=st.floats(0.8, 5))
def test_a_start_far_away_leads_there_too(objective, solution, space, x, separation, log_flux, contrast):
    start = spots(x=x, separation=separation, log_flux=log_flux, contrast=contrast, shape=[0.0, 0.0])
    again = ds.fit(objective, space.pack(start))
    assert again.converged
    sigma = jnp.sqrt(jnp.diagonal(solution.covariance))
    np.testing.assert_allclose((again.theta - solution.theta) / sigma, 0, atol=2e-3)


def test_errors_are_physical_and_of_the_parameters_shape(space, solution):
    slope = np.asarray(space.jacobian_diag(solution.theta))
    sigma = slope * np.sqrt(np.diagonal(solution.covariance))
    np.testing.assert_allclose(solution.sigma("separation"), sigma[1], rtol=1e-9)
    np.testing.assert_allclose(solution.sigma("shape"), sigma[-2:], rtol=1e-9)
    assert solution.sigma("shape").shape == (2,) and solution.sigma("x").shape == ()
    np.testing.assert_allclose(solution.sigma("shape[1]"), sigma[-1], rtol=1e-9)


def test_errors_of_derived_quantities_follow_from_what_was_fitted(space, model, solution):
    read = lambda theta: space.unpack(theta, model).fluxes  # noqa: E731
    slope = jax.jacobian(read)(solution.theta)
    expected = np.sqrt(np.diagonal(slope @ solution.covariance @ slope.T))
    np.testing.assert_allclose(solution.sigma("fluxes"), expected, rtol=1e-9)
    assert float(solution.sigma("width")) == 0  # held, so known


def test_an_alias_is_fitted_with_its_own_error(model):
    pair = [ds.ThetaSpace(model, [name]) for name in ("area", "width")]
    area, width = (ds.fit(ds.Objective(model, space, poisson(model)), space.pack(spots(area=2.3))) for space in pair)
    assert float(width.model.area) == pytest.approx(float(area.model.area), rel=1e-6)
    for name in ("area", "width"):
        assert float(width.sigma(name)) == pytest.approx(float(area.sigma(name)), rel=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_lowers_the_loss(name, space, objective, solution):
    theta = solution.theta + 3 * jnp.sqrt(jnp.diagonal(solution.covariance))
    found = ds.fit(objective, theta, engine=ENGINES[name])
    assert float(found.trace.loss[-1]) < float(found.trace.loss[0])
    np.testing.assert_allclose(
        found.covariance, ds.covariance(ds.fisher_information(objective, found.theta)), rtol=1e-9
    )


def test_gradient_descent_takes_the_rate_it_is_given(objective, solution):
    rate = 1e-7
    engine = ds.SimpleGD(max_steps=3, learning_rate=rate)
    trace = ds.fit(objective, solution.theta + 0.01, engine=engine).trace
    losses, thetas = ds.run_simple_gd(objective.loss, trace.theta[0], rate, 3)
    np.testing.assert_allclose(trace.theta, thetas, rtol=1e-12)
    np.testing.assert_allclose(trace.loss, losses, rtol=1e-9)


def test_run_simple_gd_on_a_quadratic():
    losses, thetas = ds.run_simple_gd(lambda t: 0.5 * jnp.sum(jnp.asarray([1.0, 4.0]) * t**2), jnp.ones(2), 0.1, 5)
    expected = np.array([[0.9**n, 0.6**n] for n in range(6)])
    np.testing.assert_allclose(thetas, expected, rtol=1e-12)
    np.testing.assert_allclose(losses, 0.5 * (expected**2 * [1, 4]).sum(1), rtol=1e-12)


class Wall(ds.Model):
    """A level that may be read from its logarithm only: NaN below zero, where the first full step leads."""

    level: Float[Array, ""] = ds.param("", "Square root of the expected signal, less one.")

    def model(self):
        return jnp.full((3, 3), (1 + jnp.log(self.level)) ** 2 + 1)

    def variance(self, expected):
        return expected


@pytest.mark.parametrize("name", ["lm", "gd"])
def test_a_step_to_where_the_loss_is_nan_is_refused(name):
    wall = Wall(3.0)
    space = ds.ThetaSpace(wall, ["level"])
    objective = ds.Objective(wall, space, ds.Observation(np.full((3, 3), 1.05)))
    rate = 3.0  # the first step of gradient descent leads below zero, too
    engine = {"lm": ds.LevenbergMarquardt(), "gd": ds.SimpleGD(learning_rate=rate)}[name]
    start = jnp.asarray([3.0 if name == "lm" else 1.5])
    assert not np.isfinite(objective.loss(start - rate * jax.grad(objective.loss)(start)))
    found = ds.fit(objective, start, engine=engine)
    assert np.isfinite(found.trace.loss).all() and np.isfinite(found.trace.theta).all()
    assert not found.trace.accepted.all() or name == "lm"
    if name == "lm":
        assert found.converged and float(found.trace.loss[-1]) < float(found.trace.loss[0])
    else:
        assert found.result == "loss or gradient not finite" and found.stats["first_bad"] == "level"


def test_a_start_that_is_not_finite_is_refused(objective, space):
    with pytest.raises(ValueError, match="finite"):
        ds.fit(objective, jnp.full(space.dim, jnp.nan))


@pytest.mark.parametrize("shape", [(5,), (7,)])
def test_a_theta_of_another_shape_is_refused(objective, shape):
    with pytest.raises(ValueError, match=r"shape \(6,\).*space.pack"):
        ds.fit(objective, jnp.zeros(shape))


@pytest.mark.slow
def test_single_precision_warns_and_works():
    code = """
import warnings
import dluxshera as ds
from toy import FREE, poisson, spots
model = spots()
space = ds.ThetaSpace(model, FREE)
objective, start = ds.Objective(model, space, poisson(model)), space.pack(spots(x=0.2, separation=3.9))
for engine in (ds.LevenbergMarquardt(), ds.SimpleGD(max_steps=5)):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solution = ds.fit(objective, start, engine=engine)
    assert [w.category for w in caught] == [ds.PrecisionWarning], [str(w.message) for w in caught]
    assert "jax_enable_x64" in str(caught[0].message) and caught[0].filename == "<string>"
    assert solution.theta.dtype == "float32" and solution.trace.loss[-1] < solution.trace.loss[0]
"""
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_theta_of_single_precision_in_double_precision_is_promoted(objective, space, model):
    start = space.pack(model).astype(jnp.float32)
    for engine in (ds.LevenbergMarquardt(max_steps=1), ds.SimpleGD(max_steps=1)):
        assert ds.fit(objective, start, engine=engine).theta.dtype == jnp.float64


def test_a_lower_bound_at_zero_is_noticed():
    model = spots(contrast=1e-9)
    space = ds.ThetaSpace(model, ["contrast", "log_flux"])
    observation = ds.Observation(model.model())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.IdentifiabilityWarning)
        found = ds.fit(ds.Objective(model, space, observation), space.pack(spots(contrast=1e-3)))
    assert float(found.model.contrast) < 1e-4
    assert found.stats["at_bounds"] == ("contrast",)


def test_the_caller_sees_every_step_and_may_stop(objective, solution):
    seen = []
    theta = solution.theta + 0.05
    found = ds.fit(
        objective, theta, on_step=lambda state: seen.append(int(state.step)), should_stop=lambda: len(seen) > 2
    )
    assert seen == [0, 1, 2] and found.result == "interrupted" and not found.converged
    assert found.trace.loss.shape == (3,)


def test_the_step_limit_is_said(objective, solution):
    found = ds.fit(objective, solution.theta + 0.05, engine=ds.LevenbergMarquardt(max_steps=1))
    assert found.result == "step limit reached" and found.stats["steps"] == 1


@pytest.mark.parametrize("bad", [{"max_steps": 0}, {"max_steps": 2.5}, {"tolerance": 0.0}, {"damping": -1.0}])
def test_engines_refuse_impossible_settings(bad):
    with pytest.raises((ValueError, TypeError)):
        ds.LevenbergMarquardt(**bad)


@pytest.mark.parametrize("bad", [{"max_steps": -1}, {"learning_rate": 0.0}, {"tolerance": -1.0}])
def test_gradient_descent_refuses_impossible_settings(bad):
    with pytest.raises((ValueError, TypeError)):
        ds.SimpleGD(**bad)


def test_stats_are_what_the_docstring_lists(solution, objective):
    assert {"steps", "seconds", "loss", "chi_square", "degrees_of_freedom", "reduced_chi_square", "at_bounds"} <= set(
        solution.stats
    )
    assert solution.stats["loss"] == pytest.approx(float(objective.loss(solution.theta)), rel=1e-12)


def test_scatter_of_many_fits_is_what_the_covariance_says(space, model):
    """Pulls of sixty noisy images scatter by one, and are not biased."""
    found = []
    for seed in range(60):
        solution = ds.fit(ds.Objective(model, space, poisson(model, seed)), space.pack(model))
        found.append((solution.theta - space.pack(model)) / jnp.sqrt(jnp.diagonal(solution.covariance)))
    found = np.array(found)
    assert np.abs(found.mean(0)).max() < 4 / np.sqrt(60)
    assert found.std() == pytest.approx(1, abs=0.15)


def test_scaling_the_variance_of_a_gaussian_fit_scales_its_errors(space, model):
    image, sigmas = poisson(model).image, []
    for factor in (1.0, 4.0):
        observation = ds.Observation(image, factor * model.model())
        solution = ds.fit(ds.Objective(model, space, observation, "gaussian"), space.pack(model))
        sigmas.append(np.asarray(solution.sigma("shape")))
    np.testing.assert_allclose(sigmas[1], 2 * sigmas[0], rtol=1e-3)
