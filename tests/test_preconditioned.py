"""Learning rates from curvature, schedules, and the descent that uses them."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Float
from toy import FREE, poisson, spots

import dluxshera as ds

POSITIVE = st.floats(1e-3, 1e3)


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
def optimum(objective, space, model):
    """Where Levenberg-Marquardt ends, and the standard deviations there."""
    found = ds.fit(objective, space.pack(model))
    return found.theta, jnp.sqrt(jnp.diagonal(found.covariance))


# Rates


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-10, 1e3), min_size=1, max_size=5), POSITIVE, st.floats(0, 1))
def test_scales_are_what_the_formulas_say(curvature, floor, eps):
    kept = np.maximum(curvature, floor) + eps
    curvature = jnp.asarray(curvature)
    np.testing.assert_allclose(ds.preconditioner(curvature, "inverse", floor, eps), 1 / kept, rtol=1e-12)
    np.testing.assert_allclose(ds.preconditioner(curvature, "inverse_sqrt", floor, eps), 1 / np.sqrt(kept), rtol=1e-12)


def test_without_a_floor_what_has_no_curvature_is_held():
    curvature = jnp.asarray([4.0, 0.0, -1.0])
    np.testing.assert_array_equal(ds.preconditioner(curvature), [0.25, 0, 0])
    np.testing.assert_array_equal(ds.preconditioner(curvature, clip=(1.0, 2.0)), [1, 0, 0])
    np.testing.assert_array_equal(ds.rate_vector(1.0, jnp.asarray([0.25, 0.0]), clip=(1.0, 2.0)), [1, 0])


def test_scales_and_rates_are_clipped():
    curvature = jnp.asarray([0.01, 1.0, 100.0])
    np.testing.assert_allclose(ds.preconditioner(curvature, clip=(0.1, 10.0)), [10, 1, 0.1])
    np.testing.assert_allclose(ds.rate_vector(0.5, jnp.asarray([10.0, 1.0]), clip=(0.0, 2.0)), [2, 0.5])
    np.testing.assert_allclose(ds.rate_vector(jnp.asarray([0.5, 2.0]), jnp.asarray([10.0, 1.0])), [5, 2])


def test_base_rates_by_block_parameter_and_label(space):
    found = ds.block_rates(space, {"shape": 0.5, "shape[1]": 0.25, "x": 3}, default=2)
    expected = dict.fromkeys(space.labels, 2.0) | {"shape[0]": 0.5, "shape[1]": 0.25, "x": 3.0}
    np.testing.assert_array_equal(found, [expected[label] for label in space.labels])
    np.testing.assert_array_equal(ds.block_rates(space, {"*": 0.1}), np.full(space.dim, 0.1))


@pytest.mark.parametrize("rates", [{"nothing": 1.0}, {"x": 0.0}, {"x": -1.0}])
def test_impossible_base_rates_are_refused(space, rates):
    with pytest.raises(ValueError, match="Expected"):
        ds.block_rates(space, rates)


class Bowl(eqx.Module):
    """Half x^T A x over a box, NaN outside."""

    matrix: Float[Array, "D D"]
    wall: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=jnp.inf)

    def loss(self, theta):
        inside = jnp.all(theta**2 * jnp.diagonal(self.matrix) < self.wall**2)
        return jnp.where(inside, 0.5 * theta @ self.matrix @ theta, jnp.nan)


UNITS = 10.0 ** np.linspace(-2, 2, 5)


def bowl(seed=1, **options):
    factor = np.random.default_rng(seed).normal(size=(5, 5))
    return Bowl(jnp.asarray(np.diag(UNITS) @ (factor @ factor.T + np.eye(5)) @ np.diag(UNITS)), **options)


@pytest.mark.parametrize("seed", range(4))
def test_the_stable_rate_is_one_over_the_largest_eigenvalue(seed):
    problem = bowl(seed=seed)
    scale = ds.preconditioner(jnp.diagonal(problem.matrix))
    root = np.sqrt(scale)
    largest = np.linalg.eigvalsh(root[:, None] * np.asarray(problem.matrix) * root)[-1]
    rate = float(ds.stable_rate(problem.loss, jnp.ones(5), scale))
    assert 1 / largest <= rate * (1 + 1e-12) and rate * largest < 1.2


# Schedules


def factors(schedule, steps):
    return np.asarray(jax.jit(jax.vmap(schedule.factor))(jnp.arange(steps)))


def test_schedules_are_what_they_are_called():
    np.testing.assert_array_equal(factors(ds.ConstantRate(), 3), 1)
    np.testing.assert_array_equal(factors(ds.PiecewiseRate([2, 4], [1.0, 0.5, 0.1]), 6), [1, 1, 0.5, 0.5, 0.1, 0.1])
    cosine = 0.1 + 0.9 * (1 + np.cos(np.pi * np.minimum(np.arange(6), 4) / 4)) / 2
    np.testing.assert_allclose(factors(ds.CosineRate(4, 0.1), 6), cosine, rtol=1e-12)
    np.testing.assert_allclose(factors(ds.WarmUp(4), 6), [0.2, 0.4, 0.6, 0.8, 1, 1], rtol=1e-12)
    np.testing.assert_allclose(factors(ds.WarmUp(2, ds.CosineRate(4, 0.1)), 8)[2:], cosine, rtol=1e-12)


def test_schedules_can_be_written_down():
    schedule = ds.WarmUp(5, ds.PiecewiseRate([10], [1.0, 0.1]))
    written = json.loads(json.dumps(schedule.settings()))
    expected = {"name": "piecewise", "boundaries": [10], "factors": [1.0, 0.1]}
    assert written == {"name": "warm_up", "steps": 5, "then": expected}
    assert ds.CosineRate(5).settings() == {"name": "cosine", "steps": 5, "last": 1e-3}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ds.WarmUp(0),
        lambda: ds.CosineRate(2.5),
        lambda: ds.CosineRate(3, 0.0),
        lambda: ds.PiecewiseRate([4, 2], [1, 1, 1]),
        lambda: ds.PiecewiseRate([4], [1]),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises((ValueError, TypeError)):
        make()


# The engine


@eqx.filter_jit
def stepped(engine, objective, state):
    return engine.step(objective, state)


def states(engine, objective, theta, steps, state=None):
    """The start and what follows."""
    found = [stepped(engine, objective, engine.init(theta) if state is None else state)]
    for _ in range(steps):
        found.append(stepped(engine, objective, found[-1]))
    return found


SIGNS = ds.Refreshed(ds.HutchinsonDiagonal(4, scale=1 / UNITS), 3)


@pytest.mark.parametrize("form", ["inverse", "inverse_sqrt"])
def test_moves_are_what_the_formula_says(form):
    problem, theta = bowl(), jnp.linspace(1, 2, 5)
    rates = 0.02 * jnp.asarray([1.0, 2.0, 1.0, 1.0, 1.0])
    schedule = ds.PiecewiseRate([2], [1.0, 0.5])
    engine = ds.PreconditionedGD(
        form=form,
        curvature=SIGNS,
        base_rate=rates,
        schedule=schedule,
        momentum=0.5,
        floor=1e-3,
        eps=0.01,
        monotone=False,
    )
    velocity, x, here = jnp.zeros(5), theta, SIGNS.init(theta)
    for step, state in enumerate(states(engine, problem, theta, 4)):
        np.testing.assert_allclose(state.theta, x, rtol=1e-9)
        assert float(state.loss) == pytest.approx(float(problem.loss(x)), rel=1e-9)
        diagonal, here = SIGNS.estimate(problem, x, here, jnp.asarray(step))
        scale = ds.preconditioner(diagonal, form, 1e-3, 0.01)
        velocity = 0.5 * velocity + problem.matrix @ x
        x = x - schedule.factor(step) * rates * scale * velocity


def test_it_ends_where_levenberg_marquardt_does(objective, optimum):
    theta, sigma = optimum
    start = theta + 10 * sigma * jnp.asarray([1.0, -1, 1, 1, -1, 1])
    found = ds.fit(objective, start, engine=ds.PreconditionedGD())
    assert found.converged and np.all(np.diff(found.trace.loss) <= 1e-9)
    np.testing.assert_allclose((found.theta - theta) / sigma, 0, atol=1e-3)


def test_a_loss_alone_is_enough():
    problem = bowl()
    engine = ds.PreconditionedGD(curvature=ds.Refreshed(ds.HutchinsonDiagonal(16, scale=1 / UNITS)), floor=1e-4)
    found = ds.fit(problem.loss, jnp.ones(5), engine=engine)
    assert found.converged and float(found.state.loss) < 1e-8
    with pytest.raises(ValueError, match="HutchinsonDiagonal"):
        ds.fit(problem.loss, jnp.ones(5), engine=ds.PreconditionedGD())


def test_squared_gradients_make_it_adaptive():
    average = ds.SquaredGradientAverage(0.9)
    engine = ds.PreconditionedGD(curvature=average, form="inverse_sqrt", base_rate=0.01, momentum=0.0, eps=1e-12)
    first, second = states(engine, bowl(), jnp.ones(5), 1)
    np.testing.assert_allclose(jnp.abs(second.theta - first.theta), 0.01, rtol=1e-6)  # whatever the units


def test_it_goes_on_bit_for_bit(tmp_path):
    curvature = ds.Refreshed(ds.Smoothed(0.5, ds.Blend(0.5, ds.HutchinsonDiagonal(2), ds.SquaredGradientAverage())), 3)
    engine = ds.PreconditionedGD(curvature=curvature, schedule=ds.CosineRate(20), floor=1e-6)
    problem, theta = bowl(), jnp.ones(5)
    whole = states(engine, problem, theta, 14)
    leaves, structure = jax.tree.flatten(whole[6])
    np.savez(tmp_path / "state.npz", *leaves)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        again = jax.tree.unflatten(structure, [jnp.asarray(stored[name]) for name in stored.files])
    resumed = states(engine, problem, theta, 7, again)
    for one, other in zip(jax.tree.leaves(whole[-1]), jax.tree.leaves(resumed[-1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_steps_to_nan_are_refused_and_shortened():
    problem = bowl(wall=5.0)
    engine = ds.PreconditionedGD(curvature=SIGNS, base_rate=40.0, momentum=0.0, floor=1e-3, tolerance=1e-30)
    found = states(engine, problem, jnp.asarray(1 / UNITS), 40)
    assert all(np.isfinite(state.loss) and np.isfinite(state.theta).all() for state in found)
    refused = [state for state in found if not state.accepted]
    assert refused and any(not state.finite for state in refused)
    assert float(found[-1].loss) < 0.5 * float(found[0].loss)
    assert float(refused[0].base_lr) == 20.0 and int(refused[0].rejections) == 1


def test_a_rate_beyond_the_stable_one_lowers_the_loss_all_the_same():
    problem, theta = bowl(), jnp.ones(5)
    scale = ds.preconditioner(jnp.diagonal(problem.matrix))
    rate = 6 * ds.stable_rate(problem.loss, theta, scale)
    curvature = ds.Refreshed(ds.HutchinsonDiagonal(64, scale=1 / UNITS))
    engine = ds.PreconditionedGD(curvature=curvature, floor=1e-4, base_rate=rate)
    losses = np.array([float(state.loss) for state in states(engine, problem, theta, 60)])
    assert np.all(np.diff(losses) <= 1e-12 * losses[0]) and losses[-1] < 1e-2 * losses[0]
    free = ds.PreconditionedGD(curvature=curvature, floor=1e-4, base_rate=rate, momentum=0.0, monotone=False)
    losses = [float(state.loss) for state in states(free, problem, theta, 60)]
    assert losses[-1] > losses[0]


class Saddle(eqx.Module):
    """x^2 - y^2: there is a way down that a positive diagonal does not see."""

    def loss(self, theta):
        return theta[0] ** 2 - theta[1] ** 2


def test_what_is_held_for_a_negative_curvature_has_not_converged():
    engine = ds.PreconditionedGD(curvature=ds.HutchinsonDiagonal(1), momentum=0.0, base_rate=1.0)
    last = states(engine, Saddle(), jnp.ones(2), 3)[-1]
    np.testing.assert_allclose(last.theta, [0, 1], atol=1e-12)
    assert not last.converged


def test_a_rate_that_has_died_away_has_not_converged():
    engine = ds.PreconditionedGD(curvature=SIGNS, floor=1e-4, schedule=ds.CosineRate(2, 1e-20))
    last = states(engine, bowl(), jnp.ones(5), 4)[-1]
    assert float(last.loss) > 1e-3 and not last.converged


def test_dead_parameters_stay_where_they_are(model):
    space = ds.ThetaSpace(model, ["x", "log_flux", "silent"])
    objective, theta = ds.Objective(model, space, poisson(model)), space.pack(spots(x=0.2, silent=0.7))
    with pytest.warns(ds.IdentifiabilityWarning, match="silent"):
        found = ds.fit(objective, theta, engine=ds.PreconditionedGD())
    place = space.labels.index("silent")
    assert found.converged and float(found.theta[place]) == float(theta[place]) == 0.7


def test_other_numbers_compile_nothing_anew():
    traced = []

    def step(engine, problem, state):
        traced.append(1)
        return engine.step(problem, state)

    compiled, problem = eqx.filter_jit(step), bowl()
    for seed, momentum, rate in ((0, 0.9, 0.1), (1, 0.5, 0.2)):
        curvature = ds.Refreshed(ds.HutchinsonDiagonal(2, seed), 3)
        engine = ds.PreconditionedGD(curvature=curvature, momentum=momentum, base_rate=rate, floor=10 * rate)
        state = compiled(engine, problem, engine.init(jnp.ones(5)))
        compiled(engine, problem, state)
    assert len(traced) == 1


def test_many_starts_at_once():
    problem, engine = bowl(), ds.PreconditionedGD(curvature=SIGNS, floor=1e-3)
    starts = jnp.stack([jnp.ones(5), jnp.linspace(1, 2, 5)])
    together = jax.vmap(engine.init)(starts)
    step = eqx.filter_jit(jax.vmap(lambda state: engine.step(problem, state)))
    for _ in range(4):
        together = step(together)
    for i, start in enumerate(starts):
        np.testing.assert_allclose(together.theta[i], states(engine, problem, start, 3)[-1].theta, rtol=1e-9)


def test_what_a_run_records():
    engine = ds.PreconditionedGD(curvature=SIGNS, base_rate=0.1, floor=[1.0, 2.0], rate_clip=(0.0, 3.0))
    written = json.loads(json.dumps(engine.settings()))
    assert written["base_lr"] == 0.1 and written["momentum"] == 0.9 and written["schedule"] == {"name": "constant"}
    scaling = written["preconditioning"]
    assert scaling["method"] == "hutchinson" and scaling["probes"] == 4 and scaling["refresh_every"] == 3
    assert scaling["floor"] == [1.0, 2.0] and scaling["clipping"] == {"scale": None, "rate": [0.0, 3.0]}
    assert scaling["form"] == "inverse" and scaling["updated"] is True


@pytest.mark.parametrize(
    "bad",
    [
        {"max_steps": 0},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"base_rate": 0.0},
        {"base_rate": [1.0, -1.0]},
        {"floor": -1.0},
        {"eps": jnp.nan},
        {"form": "square"},
        {"tolerance": 0.0},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        ds.PreconditionedGD(**bad)


@pytest.mark.parametrize(
    ("bad", "kind", "naming"),
    [
        ({"scale_clip": (-3.0, -1.0)}, ValueError, "scale_clip as 0 <= least <= greatest"),
        ({"scale_clip": (0.0, np.nan)}, ValueError, "scale_clip as 0 <= least <= greatest"),
        ({"scale_clip": (3.0,)}, ValueError, "scale_clip as a pair"),
        ({"scale_clip": 3.0}, ValueError, "scale_clip as a pair"),
        ({"rate_clip": (3.0, 1.0)}, ValueError, "rate_clip as 0 <= least <= greatest"),
        ({"curvature": "fisher"}, TypeError, "curvature as a curvature"),
        ({"curvature": ds.FisherDiagonal}, TypeError, "curvature as a curvature"),
        ({"schedule": np.sqrt}, TypeError, "schedule as a schedule"),
        ({"momentum": [0.1, 0.2]}, ValueError, "momentum in"),
    ],
)
def test_refusals_name_the_setting(bad, kind, naming):
    with pytest.raises(kind, match=naming):
        ds.PreconditionedGD(**bad)


def test_limits_may_be_open_and_differ_by_element():
    clip = (np.zeros(2), np.array([1.0, np.inf]))
    assert ds.PreconditionedGD(scale_clip=clip, rate_clip=np.array([0.0, 1.0])).scale_clip[1].shape == (2,)


@pytest.mark.parametrize("name", ["base_rate", "floor", "scale_clip", "curvature"])
def test_settings_of_another_length_than_theta_are_refused(name):
    wrong = [1.0, 1.0]
    value = {"scale_clip": (0.0, wrong), "curvature": ds.HutchinsonDiagonal(scale=wrong)}.get(name, wrong)
    naming = {"scale_clip": "scale_clip.1.", "curvature": "scale"}.get(name, name)
    with pytest.raises(ValueError, match=rf"Expected {naming} as a number or of shape \(3,\)"):
        ds.PreconditionedGD(**{name: value}).init(jnp.zeros(3))


@pytest.mark.parametrize(
    ("make", "kind", "naming"),
    [
        (lambda: ds.PiecewiseRate([1.5], [1, 2]), ValueError, "boundaries as whole numbers"),
        (lambda: ds.PiecewiseRate([-3], [1, 2]), ValueError, "boundaries of zero or more"),
        (lambda: ds.PiecewiseRate([1], [1, -2]), ValueError, "factors of zero or more"),
        (lambda: ds.PiecewiseRate([1], [1, np.nan]), ValueError, "factors of zero or more"),
        (lambda: ds.WarmUp(3, then=np.sqrt), TypeError, "then as a schedule"),
    ],
)
def test_schedules_say_what_is_wrong(make, kind, naming):
    with pytest.raises(kind, match=naming):
        make()
