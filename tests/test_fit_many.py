"""Many fits at once are the same fits one by one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decay import counts, decay, engines, objective

import dluxshera as ds
from dluxshera.inference import RESULTS

COUNT = 7


@pytest.fixture(scope="module")
def problem():
    return objective()


@pytest.fixture(scope="module")
def images():
    return np.stack([counts(decay(), seed) for seed in range(COUNT)])


@pytest.fixture(scope="module")
def start(problem):
    return problem.space.pack(decay(level=300.0, rate=1.2, slope=0.0))


@pytest.fixture(scope="module")
def singles(problem, start):
    return [ds.fit(objective(seed=seed), start) for seed in range(COUNT)]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 50])
def test_noise_draws_are_the_single_fits(batch_size, problem, start, images, singles):
    found = ds.fit_many(problem, start, images=images, batch_size=batch_size)
    assert found.theta.shape == (COUNT, 3) and found.converged.all()
    np.testing.assert_array_equal(found.steps, [s.stats["steps"] for s in singles])
    np.testing.assert_allclose(found.loss, [s.stats["loss"] for s in singles], rtol=1e-12)
    sigma = np.sqrt(np.diagonal(singles[0].covariance))
    for i, single in enumerate(singles):
        np.testing.assert_allclose(found.theta[i] / sigma, single.theta / sigma, atol=1e-7)
        np.testing.assert_allclose(found.covariance[i], single.covariance, rtol=1e-6, atol=1e-12)
    for name in ("level", "rate"):
        np.testing.assert_allclose(found.sigma(name), [s.sigma(name) for s in singles], rtol=1e-6)
        np.testing.assert_allclose(found.values(name), [ds.get_value(s.model, name) for s in singles], rtol=1e-8)


@pytest.mark.parametrize("name", ["gauss_newton", "dogleg", "bfgs", "lbfgs"])
def test_every_engine_that_converges_does_so_for_each(name, problem, start, images, singles):
    found = ds.fit_many(problem, start, engines()[name], images=images[:3])
    assert found.converged.all()
    np.testing.assert_allclose(found.loss, [s.stats["loss"] for s in singles[:3]], atol=1e-6)


def test_a_list_of_objectives_shares_what_is_the_same(start, singles):
    targets = [objective(seed=seed) for seed in range(COUNT)]
    found = ds.fit_many(targets, start)
    np.testing.assert_allclose(found.loss, [s.stats["loss"] for s in singles], rtol=1e-12)
    assert [leaf.shape for leaf in jax.tree.leaves(found.members)] == [(COUNT, 6, 6)]
    other = [objective(seed=0), objective(seed=1, truth=decay(level=500.0))]
    both = ds.fit_many(other, start)
    assert len(jax.tree.leaves(both.members)) == 2  # image and variance
    np.testing.assert_allclose(both.sigma("level")[1], ds.fit(other[1], start).sigma("level"), rtol=1e-6)
    with pytest.raises(ValueError, match="one structure"):
        ds.fit_many([objective(), objective(("level",))], start)


def test_leaves_may_be_picked(problem, start, images):
    stacked = eqx.tree_at(lambda o: o.image, problem, jnp.asarray(images))
    found = ds.fit_many(stacked, start, where=lambda o: o.image)
    np.testing.assert_array_equal(found.theta, ds.fit_many(problem, start, images=images).theta)


def test_many_starts_lead_to_one_point(problem, start):
    starts = start + 0.3 * np.random.default_rng(0).normal(size=(20, 3))
    found = ds.fit_many(problem, starts)
    assert found.converged.all() and len(set(found.steps.tolist())) > 1
    np.testing.assert_allclose(found.loss, float(ds.fit(problem, start).stats["loss"]), rtol=1e-9)


def test_a_plain_loss_will_do():
    loss = lambda theta: jnp.sum((theta - 3.0) ** 4 + theta**2)  # noqa: E731
    found = ds.fit_many(loss, np.linspace(-5, 5, 6)[:, None] * np.ones(2), batch_size=4)
    assert found.converged.all() and found.covariance is None and found.theta.shape == (6, 2)
    np.testing.assert_allclose(found.theta, found.theta[0, 0], atol=1e-3)
    with pytest.raises(ValueError, match="expected information"):
        found.sigma("x")


def test_a_member_that_fails_does_not_touch_the_others(problem, start):
    starts = jnp.stack([start, start.at[1].set(-1.0), start])
    found = ds.fit_many(problem, starts)
    assert [r.value for r in found.results] == ["converged", "loss or gradient not finite", "converged"]
    np.testing.assert_array_equal(found.theta[0], found.theta[2])
    np.testing.assert_array_equal(found.theta[1], starts[1])
    assert found.converged.tolist() == [True, False, True]


def test_steps_are_limited_for_each(problem, start, images):
    found = ds.fit_many(problem, start, ds.LevenbergMarquardt(max_steps=1), images=images)
    assert found.results == (ds.FitResult.STEP_LIMIT,) * COUNT and (found.steps == 1).all()
    assert RESULTS[int(found.codes[0])] == "step limit reached"


def test_it_can_be_stopped_between_batches(problem, start, images):
    seen = []
    found = ds.fit_many(
        problem, start, images=images, batch_size=3, on_batch=seen.append, should_stop=lambda: seen[-1] >= 3
    )
    assert seen == [3, 6, 7]
    assert found.converged.tolist() == [True] * 3 + [False] * 4
    assert found.results[3] == "interrupted" and np.isnan(found.loss[3:]).all()
    np.testing.assert_array_equal(found.theta[3:], np.tile(start, (4, 1)))


class Counting(ds.AbstractObjective):
    """Counts how often it is traced."""

    at: jax.Array
    count: tuple = eqx.field(static=True)

    def loss(self, theta):
        self.count[0].append(1)
        return jnp.sum((theta - self.at) ** 2)


class Traces(list):
    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


def test_batches_of_one_shape_compile_once():
    traces = Traces()
    target = Counting(jnp.zeros(2), (traces,))
    engine = ds.SimpleGD(learning_rate=0.1)
    ds.fit_many(target, np.ones((4, 2)), engine, batch_size=4)
    once = len(traces)
    found = ds.fit_many(Counting(jnp.ones(2), (traces,)), np.ones((11, 2)), engine, batch_size=4)
    assert len(traces) == once and found.theta.shape == (11, 2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"thetas": np.ones((2, 3))}, r"\(7, D\)"),
        ({"thetas": np.full(3, np.nan)}, "finite"),
        ({"images": np.ones((3, 5, 5))}, r"6, 6"),
        ({"images": np.full((2, 6, 6), np.nan)}, "image 0"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_impossible_requests_are_refused(change, match, problem, start, images):
    given = {"thetas": start, "images": images} | change
    with pytest.raises(ValueError, match=match):
        ds.fit_many(problem, **given)


def test_scatter_of_many_draws_is_what_the_information_says(problem, start):
    """400 noisy images: pulls of unit scatter, no bias; the model is mildly nonlinear."""
    images = np.random.default_rng(1).poisson(np.asarray(decay().model()), size=(400, 6, 6)).astype(float)
    found = ds.fit_many(problem, start, images=images, batch_size=COUNT)
    assert found.converged.all()
    for name, truth in (("rate", 2.0), ("level", 400.0), ("slope", 30.0)):
        pulls = (np.asarray(found.values(name)) - truth) / np.asarray(found.sigma(name))
        assert abs(pulls.mean()) < 4 / np.sqrt(400) and abs(pulls.std() - 1) < 4 / np.sqrt(800)


def test_eigen_coefficients_have_the_errors_of_the_parameters(problem, start, images, singles):
    target = problem.with_space(ds.EigenSpace.of(problem, start, whiten=True))
    found = ds.fit_many(target, jnp.zeros(3), images=images[:2])
    np.testing.assert_allclose(found.loss, [s.stats["loss"] for s in singles[:2]], rtol=1e-9)
    for name in ("level", "slope"):
        np.testing.assert_allclose(found.sigma(name), [s.sigma(name) for s in singles[:2]], rtol=1e-4)
        np.testing.assert_allclose(found.values(name), [ds.get_value(s.model, name) for s in singles[:2]], rtol=1e-5)
