"""A fit that is broken off, saved as plain arrays and resumed is the fit that never stopped, bit for bit."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decay import decay, engines, objective

import dluxshera as ds
from dluxshera.inference import AbstractEngine, initial_state

STEPS, CHUNK = 14, 3
RULES = ds.StoppingRules(relative_loss=1e-14, patience=3)  # its counter is part of the state, too
ENGINES = engines(STEPS) | {
    "preconditioned": ds.inference.PreconditionedGD(max_steps=STEPS),
    "limited": ds.LBFGS(max_steps=STEPS, memory_size=3),
    "schedule": ds.adam(lambda n: 0.1 / (1 + n), max_steps=STEPS),
}
START = {"level": 150.0, "rate": 0.6, "slope": -40.0}


@pytest.fixture(scope="module")
def problem():
    return objective()


@pytest.fixture(scope="module")
def start(problem):
    return problem.space.pack(decay(**START))


def through_a_file(path, arrays):
    """The arrays as a file gives them back; no pickling."""
    np.savez(path, **arrays)
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def same(trace, other):
    for name in ("loss", "theta", "grad_norm", "step_norm", "accepted"):
        np.testing.assert_array_equal(getattr(trace, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.full) if name in ("undamped", "schedule", "sgd") else name
        for name in ENGINES
    ],
)
def test_resuming_is_bit_for_bit(name, problem, start, tmp_path):
    go = functools.partial(ds.fit, problem, engine=ENGINES[name], stopping=RULES, chunk=CHUNK)
    whole, seen = go(theta=start), []
    assert whole.stats["steps"] > CHUNK
    first = go(theta=start, on_step=seen.append, should_stop=lambda: len(seen) == 2)
    assert first.result == "interrupted" and first.stats["steps"] == CHUNK
    saved = [through_a_file(tmp_path / "state.npz", ds.state_arrays(s)) for s in (first.state, first.best_state)]
    state, best = (ds.state_from_arrays(ENGINES[name], arrays, start.size) for arrays in saved)
    rest = go(theta=state.theta, state=state, best_state=best)
    same(first.trace.followed_by(rest.trace), whole.trace)
    assert rest.result == whole.result and rest.stats["nonfinite_steps"] == whole.stats["nonfinite_steps"]
    for one, other in ((rest.state, whole.state), (rest.best_state, whole.best_state)):
        for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ENGINES)
def test_states_are_plain_arrays(name, problem, start):
    engine = ENGINES[name]
    found = ds.fit(problem, start, engine, stopping=RULES, chunk=CHUNK)
    arrays = ds.state_arrays(found.state)
    assert {"theta", "loss", "step"} <= set(arrays)
    assert all(type(a) is np.ndarray and a.dtype.kind in "fiub" for a in arrays.values())
    again = ds.state_from_arrays(engine, arrays, start.size)
    assert jax.tree.structure(again) == jax.tree.structure(found.state)
    for left, right in zip(jax.tree.leaves(again), jax.tree.leaves(found.state), strict=True):
        assert left.dtype == right.dtype and left.shape == right.shape
        np.testing.assert_array_equal(left, right)


def test_a_state_that_has_ended_stays_ended(problem, start):
    found = ds.fit(problem, start)
    again = ds.fit(problem, found.state.theta, state=found.state)
    assert again.converged and again.stats["steps"] == 0 and again.trace.loss.shape == (1,)
    np.testing.assert_array_equal(again.theta, found.theta)


class Walk(AbstractEngine):
    """A random walk that takes what is lower: its memory is a random key."""

    max_steps: int = eqx.field(static=True, default=STEPS)

    def init(self, theta):
        return initial_state(theta, None, jax.random.key(7))

    def step(self, objective, state):
        key, now = jax.random.split(state.memory)
        theta = state.theta + jnp.where(state.step < 0, 0.0, 0.1) * jax.random.normal(now, state.theta.shape)
        loss = objective.loss(theta)
        accepted = (loss < state.loss) | (state.step < 0)
        return dataclasses.replace(
            state,
            theta=jnp.where(accepted, theta, state.theta),
            loss=jnp.where(accepted, loss, state.loss),
            step=state.step + 1,
            accepted=accepted,
            memory=key,
        )


def test_random_keys_are_kept(tmp_path):
    loss = lambda t: jnp.sum(t**2)  # noqa: E731
    whole = ds.fit(loss, jnp.ones(3), Walk())
    first = ds.fit(loss, jnp.ones(3), Walk(max_steps=CHUNK))
    arrays = through_a_file(tmp_path / "state.npz", ds.state_arrays(first.state))
    rest = ds.fit(loss, first.state.theta, Walk(), state=ds.state_from_arrays(Walk(), arrays, 3))
    same(first.trace.followed_by(rest.trace), whole.trace)
    assert 0 < whole.trace.accepted[1:].sum() < STEPS


def test_arrays_of_another_engine_or_size_are_refused(problem, start):
    arrays = ds.state_arrays(ds.fit(problem, start, ENGINES["gd"]).state)
    with pytest.raises(ValueError, match=r"memory.*BFGS"):
        ds.state_from_arrays(ENGINES["bfgs"], arrays, 3)
    with pytest.raises(ValueError, match=r"'theta'.*\(4,\)"):
        ds.state_from_arrays(ENGINES["gd"], arrays, 4)
    with pytest.raises(ValueError, match="'loss'"):
        ds.state_from_arrays(ENGINES["gd"], {k: v for k, v in arrays.items() if k != "loss"}, 3)


def test_a_state_of_another_objective_or_place_is_refused(problem, start):
    state = ds.fit(problem, start, ENGINES["gd"]).state
    with pytest.raises(ValueError, match="warm="):
        ds.fit(objective(seed=1), state.theta, ENGINES["gd"], state=state)
    with pytest.raises(ValueError, match="state's own"):
        ds.fit(problem, start, ENGINES["gd"], state=state)
    with pytest.raises(ValueError, match="another engine"):
        ds.fit(problem, start, ENGINES["bfgs"], warm=state)
    with pytest.raises(ValueError, match="another engine"):
        ds.fit(problem, state.theta, ENGINES["bfgs"], state=state)
    with pytest.raises(ValueError, match="4 elements.*or size"):
        ds.fit(lambda theta: jnp.sum(theta**2), jnp.ones(4), ENGINES["gd"], warm=state)


@pytest.mark.parametrize("name", ENGINES)
def test_a_warm_start_begins_where_it_is_told(name, problem, start):
    go, other = functools.partial(ds.fit, engine=ENGINES[name], stopping=RULES, chunk=CHUNK), objective(seed=1)
    before = go(problem, start)
    warm = go(other, before.theta, warm=before.state)
    np.testing.assert_array_equal(warm.trace.theta[0], before.theta)
    assert float(warm.trace.loss[0]) == pytest.approx(float(other.loss(before.theta)), rel=1e-12)
    assert warm.stats["loss"] <= float(warm.trace.loss[0]) and int(warm.state.step) == warm.stats["steps"]


def test_a_warm_start_saves_what_was_learned(problem, start):
    """Curvature pairs of one data set serve the next."""
    engine = ds.BFGS()
    before = ds.fit(problem, start, engine)
    cold, warm = (ds.fit(objective(seed=1), before.theta, engine, **o) for o in ({}, {"warm": before.state}))
    assert cold.converged and warm.converged and warm.stats["steps"] < cold.stats["steps"]
    np.testing.assert_allclose(warm.theta, cold.theta, atol=1e-4)
