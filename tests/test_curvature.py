"""Estimates of curvature against exact diagonals."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Float
from linear import counts, linear

import dluxshera as ds

STEP = jnp.asarray(0)
FRAMES = 600


class Quadratic(eqx.Module):
    """Half x^T A x: its Hessian is A everywhere."""

    matrix: Float[Array, "D D"]

    def loss(self, theta):
        return 0.5 * theta @ self.matrix @ theta


def quadratic(seed=0, size=4):
    factor = np.random.default_rng(seed).normal(size=(size, size))
    return Quadratic(jnp.asarray(factor @ factor.T + np.diag(np.arange(1.0, size + 1))))


@eqx.filter_jit
def once(curvature, objective, theta, step=STEP):
    return curvature.estimate(objective, theta, curvature.init(theta), step)[0]


@pytest.fixture(scope="module")
def model():
    return linear()


@pytest.fixture(scope="module")
def space(model):
    return ds.ThetaSpace(model, ["weights"])


@pytest.fixture(scope="module")
def truth(space, model):
    return space.pack(model)


@pytest.fixture(scope="module")
def stack(model, space):
    return ds.FrameStack(model, space, [counts(model, seed) for seed in range(FRAMES)])


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_fisher_and_gauss_newton_where_the_hessian_is_known(likelihood, model, space, truth):
    observation, theta = counts(model, 1), truth * 1.1
    objective = ds.Objective(model, space, observation, likelihood)
    expected, squared = np.asarray(model.model()) * 1.1, np.asarray(model.patterns) ** 2
    image, variance = np.asarray(observation.image), np.asarray(observation.variance)
    fisher = squared / (expected if likelihood == "poisson" else variance)
    exact = squared * image / expected**2 if likelihood == "poisson" else fisher
    np.testing.assert_allclose(once(ds.FisherDiagonal(), objective, theta), fisher.sum((1, 2)), rtol=1e-10)
    np.testing.assert_allclose(once(ds.GaussNewtonDiagonal(), objective, theta), exact.sum((1, 2)), rtol=1e-10)
    hessian = jax.hessian(objective.loss)(theta)
    np.testing.assert_allclose(once(ds.GaussNewtonDiagonal(), objective, theta), jnp.diagonal(hessian), rtol=1e-9)


def test_priors_curve_the_loss_too(model):
    prior = ds.Normal(1.0, 1e-4)
    space = ds.ThetaSpace(model, ["weights"], overrides={"weights": {"prior": prior}})
    objective, theta = ds.Objective(model, space, counts(model, 1)), space.pack(model)
    plain = ds.Objective(model, ds.ThetaSpace(model, ["weights"]), counts(model, 1))
    for curvature in (ds.FisherDiagonal(), ds.GaussNewtonDiagonal()):
        added = once(curvature, objective, theta) - once(curvature, plain, theta)
        np.testing.assert_allclose(added, 1e8, rtol=1e-6)


def test_hutchinson_is_exact_for_a_diagonal_hessian():
    problem = Quadratic(jnp.diag(jnp.asarray([1.0, 20.0, -3.0])))
    np.testing.assert_allclose(once(ds.HutchinsonDiagonal(1), problem, jnp.ones(3)), [1.0, 20.0, -3.0], rtol=1e-12)


@pytest.fixture(scope="module")
def scatter():
    """Variance (P, D) of Hutchinson's estimates over 400 seeds, for P numbers of probes."""
    problem, theta = quadratic(), jnp.ones(4)
    of_seed = lambda n: jax.jit(jax.vmap(lambda seed: once(ds.HutchinsonDiagonal(n, seed), problem, theta)))  # noqa: E731
    draws = {n: np.asarray(of_seed(n)(jnp.arange(400))) for n in (1, 4, 16, 64)}
    return problem, draws


def test_hutchinson_is_unbiased(scatter):
    problem, draws = scatter
    exact = np.diagonal(problem.matrix)
    for found in draws.values():
        error = found.std(0) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(0) - exact) < 4 * error)


def test_variance_of_hutchinson_falls_as_one_over_probes(scatter):
    problem, draws = scatter
    matrix = np.asarray(problem.matrix)
    of_one = (matrix**2).sum(1) - np.diagonal(matrix) ** 2
    probes, variance = np.array(list(draws)), np.array([found.var(0, ddof=1) for found in draws.values()])
    slopes = np.polyfit(np.log(probes), np.log(variance), 1)[0]
    np.testing.assert_allclose(slopes, -1, atol=0.08)
    np.testing.assert_allclose(variance * probes[:, None] / of_one, 1, atol=0.3)


@settings(max_examples=5, deadline=None)
@given(st.floats(1e-4, 1e4))
def test_scaled_probes_do_not_see_the_units(unit):
    problem, units = quadratic(), jnp.asarray([1.0, unit, 1.0, 1 / unit])
    other = Quadratic(units[:, None] * problem.matrix * units)
    plain = once(ds.HutchinsonDiagonal(2), problem, jnp.ones(4))
    scaled = once(ds.HutchinsonDiagonal(2, scale=1 / units), other, jnp.ones(4) / units)
    np.testing.assert_allclose(scaled, plain * units**2, rtol=1e-9)


def test_probes_differ_from_step_to_step_and_from_seed_to_seed_only():
    problem, theta = quadratic(), jnp.ones(4)
    first = once(ds.HutchinsonDiagonal(2), problem, theta)
    np.testing.assert_array_equal(first, once(ds.HutchinsonDiagonal(2), problem, theta))
    assert not np.array_equal(first, once(ds.HutchinsonDiagonal(2), problem, theta, jnp.asarray(1)))
    assert not np.array_equal(first, once(ds.HutchinsonDiagonal(2, seed=1), problem, theta))


def test_the_empirical_fisher_is_the_sum_of_squared_gradients(model, stack, truth):
    image, expected = np.asarray(stack.frames.image), np.asarray(model.model())
    gradients = np.einsum("kij,fij->fk", np.asarray(model.patterns), 1 - image / expected)
    np.testing.assert_allclose(once(ds.EmpiricalFisher(), stack, truth), (gradients**2).sum(0), rtol=1e-8)


def test_the_empirical_fisher_scatters_about_the_fisher_information(model, stack, truth):
    exact = FRAMES * (np.asarray(model.patterns) ** 2 / np.asarray(model.model())).sum((1, 2))
    # A sum of squares of nearly normal gradients has a relative variance of two over their number.
    np.testing.assert_allclose(once(ds.EmpiricalFisher(), stack, truth) / exact, 1, atol=4 * np.sqrt(2 / FRAMES))


def test_the_average_of_a_whole_gradient_vanishes_at_the_optimum_and_that_of_observations_does_not(model, stack, truth):
    newton = eqx.filter_jit(lambda s, x: x - jnp.linalg.solve(jax.hessian(s.loss)(x), jax.grad(s.loss)(x)))
    optimum = truth
    for _ in range(6):
        optimum = newton(stack, optimum)
    empirical = once(ds.EmpiricalFisher(), stack, optimum)
    assert np.all(once(ds.SquaredGradientAverage(), stack, optimum) < 1e-9 * empirical)
    averaged = once(ds.SquaredGradientAverage(per_observation=True), stack, optimum)
    np.testing.assert_allclose(averaged, empirical, rtol=1e-12)


def run(curvature, gradients):
    """Estimates along given gradients."""
    theta = jnp.zeros(2)
    state, found = curvature.init(theta), []
    for step, gradient in enumerate(jnp.asarray(gradients)):
        value, state = curvature.estimate(None, theta, state, jnp.asarray(step), gradient=gradient)
        found.append(value)
    return np.array(found)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=6), st.floats(0, 0.99))
def test_squared_gradients_are_averaged_with_known_weights(values, decay):
    gradients = np.array([[v, 1.0] for v in values])
    weights = decay ** np.arange(len(values))[::-1]
    found = run(ds.SquaredGradientAverage(decay), gradients)[-1]
    np.testing.assert_allclose(found, weights @ gradients**2 / weights.sum(), rtol=1e-9)
    started = run(ds.SquaredGradientAverage(decay, initial=5.0), gradients)[-1]
    expected = (1 - decay) * weights @ gradients**2 + decay ** len(values) * 5.0
    np.testing.assert_allclose(started, expected, rtol=1e-9)


def test_the_gradient_is_found_where_it_is_not_given():
    problem, theta = quadratic(), jnp.ones(4)
    found = once(ds.SquaredGradientAverage(), problem, theta)
    np.testing.assert_allclose(found, (problem.matrix @ theta) ** 2, rtol=1e-12)


class Counting(ds.AbstractCurvature):
    """Says at which step it was asked."""

    def init(self, theta):
        return ()

    def estimate(self, objective, theta, state, step, gradient=None):
        return jnp.full(2, 1.0 + step), state

    def settings(self):
        return {"method": "counting"}


NONE = np.zeros((7, 2))


@pytest.mark.parametrize(("every", "asked"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 0, 0, 3, 3, 3, 6]), (None, [0] * 7)])
def test_refreshes_come_when_they_are_due(every, asked):
    np.testing.assert_array_equal(run(ds.Refreshed(Counting(), every), NONE)[:, 0], 1.0 + np.array(asked))


def test_refreshes_are_what_is_smoothed():
    found = run(ds.Refreshed(ds.Smoothed(0.5, Counting()), 3), NONE)[:, 1]
    second = (0.5 * 1 + 4) / 1.5
    third = (0.25 * 1 + 0.5 * 4 + 7) / 1.75
    np.testing.assert_allclose(found, [1, 1, 1, second, second, second, third], rtol=1e-12)


def test_smoothing_lowers_the_variance():
    problem, theta = quadratic(), jnp.ones(4)
    smoothed = ds.Smoothed(0.9, ds.HutchinsonDiagonal(1))

    def advance(state, step):
        value, state = smoothed.estimate(problem, theta, state, step)
        return state, value

    found = np.asarray(jax.jit(lambda s: jax.lax.scan(advance, s, jnp.arange(2000))[1])(smoothed.init(theta)))[200:]
    matrix = np.asarray(problem.matrix)
    of_one = (matrix**2).sum(1) - np.diagonal(matrix) ** 2
    np.testing.assert_allclose(found.var(0) / of_one, 0.1 / 1.9, rtol=0.35)


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 1))
def test_a_blend_lies_between_its_parts(alpha):
    gradients = np.array([[2.0, 3.0], [1.0, 1.0]])
    average = ds.SquaredGradientAverage(0.5)
    expected = alpha * run(average, gradients) + (1 - alpha) * run(Counting(), gradients)
    np.testing.assert_allclose(run(ds.Blend(alpha, average, Counting()), gradients), expected, rtol=1e-12)


def test_settings_can_be_written_down():
    hutchinson = ds.HutchinsonDiagonal(16, seed=3)
    nested = ds.Refreshed(ds.Smoothed(0.5, hutchinson), 10)
    written = json.loads(json.dumps(nested.settings()))
    assert written == {
        "method": "hutchinson",
        "probes": 16,
        "seed": 3,
        "scale": 1.0,
        "smoothing": 0.5,
        "refresh_every": 10,
        "updated": True,
    }
    blend = ds.Blend(0.25, ds.FisherDiagonal(), ds.SquaredGradientAverage(0.9, initial=2.0))
    written = json.loads(json.dumps(blend.settings()))
    assert written["alpha"] == 0.25 and written["a"] == {"method": "fisher_diagonal"}
    assert written["b"]["beta"] == 0.9 and written["b"]["initial"] == 2.0 and written["b"]["gradients"] == "whole_loss"


def test_states_are_plain_arrays():
    theta = jnp.ones(3)
    curvature = ds.Refreshed(ds.Smoothed(0.5, ds.Blend(0.5, ds.HutchinsonDiagonal(), ds.SquaredGradientAverage())), 2)
    leaves = jax.tree.leaves(curvature.init(theta))
    assert leaves and all(isinstance(leaf, jax.Array) and leaf.dtype.kind in "fi" for leaf in leaves)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ds.HutchinsonDiagonal(0),
        lambda: ds.HutchinsonDiagonal(scale=[1.0, 0.0]),
        lambda: ds.SquaredGradientAverage(1.0),
        lambda: ds.Smoothed(-0.1, ds.FisherDiagonal()),
        lambda: ds.Blend(1.5, ds.FisherDiagonal(), ds.FisherDiagonal()),
        lambda: ds.Refreshed(ds.FisherDiagonal(), 0),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(ValueError, match="Expected"):
        make()


@pytest.mark.parametrize(
    ("make", "kind", "naming"),
    [
        (lambda: ds.Refreshed(ds.FisherDiagonal(), 1.5), ValueError, "every of 1 or more, a whole number"),
        (lambda: ds.Refreshed("fisher", 2), TypeError, "of as a curvature"),
        (lambda: ds.Smoothed(0.1, ds.FisherDiagonal), TypeError, "of as a curvature"),
        (lambda: ds.Blend(0.5, ds.FisherDiagonal(), None), TypeError, "b as a curvature"),
        (lambda: ds.SquaredGradientAverage(initial=-5.0), ValueError, "initial as a finite number"),
        (lambda: ds.SquaredGradientAverage(initial=np.nan), ValueError, "initial as a finite number"),
        (lambda: ds.SquaredGradientAverage(initial=[1.0, 2.0]), ValueError, "initial as a finite number"),
        (lambda: ds.HutchinsonDiagonal(seed=1.5), ValueError, "seed as a whole number"),
    ],
)
def test_refusals_name_the_setting(make, kind, naming):
    with pytest.raises(kind, match=naming):
        make()


def test_single_images_have_no_observations_to_square():
    for curvature in (ds.EmpiricalFisher(), ds.SquaredGradientAverage(per_observation=True)):
        theta = jnp.zeros(2)
        with pytest.raises(ValueError, match="several observations(.|\n)*LossObjective(.|\n)*FrameStack"):
            curvature.estimate(ds.LossObjective(jnp.sum), theta, curvature.init(theta), jnp.asarray(0))
