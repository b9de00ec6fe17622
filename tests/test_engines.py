"""Every engine against every kind of trouble, and each against what is known of it."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from decay import NAMES, QUASI_NEWTON, SECOND_ORDER, counts, decay, engines, objective
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Float

import dluxshera as ds
from dluxshera.inference import AbstractEngine, engine_settings
from dluxshera.inference.fit import chosen_engine
from dluxshera.inference.fit_record import outcome_summary
from dluxshera.inference.stopping import MOST_RISES

FREE = ("level", "rate", "slope", "factor", "silent")  # factor is degenerate with level, silent is dead
START = {"level": 300.0, "rate": 1.2, "slope": 0.0}
ENGINES = engines()
pytestmark = pytest.mark.filterwarnings("ignore::dluxshera.IdentifiabilityWarning")


@pytest.fixture(scope="module")
def problem():
    return objective(FREE)


@pytest.fixture(scope="module")
def start(problem):
    return problem.space.pack(decay(**START))


@pytest.fixture(scope="module")
def best(problem, start):
    return ds.fit(problem, start)


def with_image(problem, image):
    """The same objective with other data: nothing is compiled anew."""
    return eqx.tree_at(lambda o: o.image, problem, jnp.asarray(image))


# A rank-deficient information matrix and a dead parameter, all engines


@pytest.mark.parametrize("name", NAMES)
def test_a_degenerate_pair_and_a_dead_parameter_do_no_harm(name, problem, start, best):
    with pytest.warns(ds.IdentifiabilityWarning, match=r"silent: the image does not respond"):
        found = ds.fit(problem, start, engine=ENGINES[name])
    assert found.identifiability.dead == ("silent",)
    assert [set(pair) for pair in found.identifiability.degenerate] == [{"level", "factor"}]
    assert np.isinf(found.sigma("silent")) and np.isinf(found.sigma("factor")) and np.isfinite(found.sigma("rate"))
    assert float(found.theta[4]) == float(start[4])
    assert np.isfinite(found.trace.loss).all() and found.stats["nonfinite_steps"] == 0
    if name in SECOND_ORDER + QUASI_NEWTON:
        assert found.converged
        assert found.stats["loss"] == pytest.approx(best.stats["loss"], abs=1e-6)
        np.testing.assert_allclose(found.model.rate, best.model.rate, atol=1e-3 * best.sigma("rate"))
    else:  # the flat directions take first-order steps thousands
        assert found.result == "step limit reached" and found.stats["loss"] < 0.5 * float(found.trace.loss[0])
    assert found.stats["loss"] == float(found.trace.loss.min()) == float(found.best_state.loss)
    assert found.stats["best_step"] == int(np.argmin(found.trace.loss))


# A half-space where the loss is NaN, all engines


@pytest.mark.parametrize("name", NAMES)
def test_an_optimum_behind_a_wall_of_nan_is_not_claimed(name, problem):
    """The data rise where the model can only fall: every engine runs into rate < 0."""
    rising = with_image(problem, counts(decay(rate=0.0, slope=0.0)) * np.linspace(0.6, 1.4, 36).reshape(6, 6))
    begin = problem.space.pack(decay(rate=0.05, slope=-100.0))
    found = ds.fit(rising, begin, engine=ENGINES[name])
    assert np.isfinite(found.trace.loss).all() and np.isfinite(found.trace.theta).all()
    assert float(found.model.rate) >= 0 and found.stats["loss"] <= float(found.trace.loss[0])
    assert found.result in ("loss or gradient not finite", "no step lowers the loss", "step limit reached") or (
        found.converged and float(jnp.linalg.norm(jax.grad(rising.loss)(found.theta))) < 1e-2
    )
    if not found.converged:
        assert found.stats["nonfinite_steps"] > 0 and found.stats["refused_steps"] >= found.stats["nonfinite_steps"]
    if found.result == "loss or gradient not finite":
        assert found.stats["first_bad"] == "rate"


def test_a_step_limit_in_front_of_a_wall_of_nan_names_it():
    walled = ds.LossObjective(lambda theta: jnp.where(theta[1] < 0, jnp.nan, jnp.sum(theta)), labels=("free", "walled"))
    found = ds.fit(walled, jnp.array([1.0, 0.05]), ds.sgd(0.1, max_steps=1))
    assert found.result == "step limit reached" and found.stats["nonfinite_steps"] == 1
    assert found.stats["first_bad"] == "walled"
    assert outcome_summary(found)["message"] == ("step limit reached; 1 try was not finite, first by walled")


def test_a_descent_that_creeps_along_a_wall_of_nan_says_so():
    """Its last try was accepted, by chance; half of all were not finite."""
    walled = ds.LossObjective(lambda theta: jnp.where(theta[1] < 0, jnp.nan, jnp.sum(theta)), labels=("free", "walled"))
    found = ds.fit(walled, jnp.array([1.0, 0.07]), ds.sgd(0.1, max_steps=60))
    assert found.result == "loss or gradient not finite" and found.stats["first_bad"] == "walled"
    assert found.stats["steps"] == 60 and 12 < found.stats["nonfinite_steps"] < 60
    assert np.isfinite(found.trace.loss).all()
    assert outcome_summary(found)["status"] == "failed"


@pytest.mark.parametrize("name", NAMES)
def test_a_start_that_is_not_finite_ends_at_once_and_is_named(name, problem):
    begin = problem.space.pack(decay()).at[1].set(-0.3)
    found = ds.fit(problem, begin, engine=ENGINES[name])
    assert found.result == "loss or gradient not finite" and not found.converged and found.result.is_failure
    assert found.stats["first_bad"] == "rate" and found.stats["steps"] == 0
    np.testing.assert_array_equal(found.theta, begin)
    assert np.isnan(found.covariance).all() and found.trace.loss.shape == (1,)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_derivative_that_is_not_a_number_is_no_dead_parameter(name):
    """The signal is finite at the kink, its slope is not."""

    class Kink(ds.Model):
        at: Float[Array, ""] = ds.param("", "Signal squared, less ten.")

        def model(self):
            return jnp.full((2, 2), 10 + jnp.sqrt(self.at))

        def variance(self, expected):
            return jnp.ones_like(expected)

    model = Kink(0.0)
    target = ds.Objective(model, ds.ThetaSpace(model, ["at"]), ds.Observation(np.full((2, 2), 10.5)), "gaussian_model")
    found = ds.fit(target, jnp.zeros(1), engine=ENGINES[name])
    assert found.result == "loss or gradient not finite" and found.stats["first_bad"] == "at"
    assert not found.identifiability.dead


# A bound, all engines


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("gd", "adam", "sgd", "undamped")])
def test_an_optimum_beyond_a_bound_is_said_to_be_on_it(name):
    """The data want a rate of five, three are allowed; nothing is known of an error there."""
    space = ds.ThetaSpace(decay(), ["level", "rate"], overrides={"rate": {"bounds": (0.5, 3.0)}})
    steep = decay(rate=5.0)
    found = ds.fit(
        ds.Objective(decay(), space, ds.Observation(counts(steep), steep.model()), "gaussian"),
        space.pack(decay()),
        ENGINES[name],
    )
    assert found.result == "ended on a bound" and found.stats["at_bounds"] == found.stats["pinned"] == ("rate",)
    assert np.isinf(found.sigma("rate")) and 0 < found.sigma("level") < np.inf
    assert float(found.model.rate) == pytest.approx(3.0, abs=1e-6)


def test_what_the_data_do_not_determine_is_in_the_result(best):
    assert best.converged and best.result == "converged, but the data do not determine everything"
    assert np.isinf(best.sigma("silent")) and np.isinf(best.sigma("factor"))


def test_a_rising_loss_never_settles():
    found = ds.fit(lambda x: jnp.sum(x**2), jnp.ones(2), ds.sgd(1.001), stopping=ds.StoppingRules(loss=0.1))
    assert found.result == "the loss rises" and not found.converged


@pytest.mark.parametrize(("stiff", "begin"), [(1.0, (1.0, 1.0)), (1e12, (0.0, 100.0))])
def test_a_small_rate_is_no_convergence(stiff, begin):
    engine = ds.SimpleGD(learning_rate=1e-12, max_steps=5)
    found = ds.fit(lambda x: 0.5 * (stiff * x[0] ** 2 + x[1] ** 2), jnp.array(begin), engine)
    assert found.result == "step limit reached" and found.stats["steps"] == 5


@pytest.mark.parametrize("name", NAMES)
def test_a_bound_hit_is_a_finding(name, problem):
    """Data without the signal whose level may not be negative."""
    empty = with_image(problem, counts(decay(level=1e-9)) - 8.0)
    found = ds.fit(empty, problem.space.pack(decay(level=30.0)), engine=ENGINES[name])
    assert np.isfinite(found.stats["loss"]) and float(found.model.level * found.model.factor) < 30
    assert np.isinf(found.sigma("level"))  # with its factor free
    assert found.result not in ("running", "converged") and "level" not in (found.stats["first_bad"] or "")
    assert float(found.model.level) >= 0


def test_a_bound_hit_is_named():
    target = objective(("level",), truth=decay(level=0.01))
    found = ds.fit(target, target.space.pack(decay(level=3.0)))
    assert found.stats["at_bounds"] == ("level",)


# A loss that rises


@pytest.mark.parametrize("name", ["gd", "sgd", "adam"])
def test_a_loss_that_rises_is_said_and_the_best_is_kept(name, problem, best):
    rate = {"gd": ds.SimpleGD(learning_rate=3e-3), "sgd": ds.sgd(3e-3), "adam": ds.adam(3.0)}[name]
    found = ds.fit(problem, best.theta + 1e-4, engine=rate)
    assert found.result in ("the loss rises", "loss or gradient not finite", "step limit reached")
    assert not found.converged and found.stats["loss"] <= float(found.trace.loss[0])


def test_a_step_that_is_far_too_long_ends_as_a_rising_loss():
    found = ds.fit(lambda t: jnp.sum(jnp.sqrt(1 + t**2) + t**2), jnp.ones(2), ds.sgd(1.05))
    assert found.result == "the loss rises" and found.result.is_failure
    assert found.stats["steps"] == MOST_RISES and found.stats["best_step"] == 0
    slow = ds.fit(lambda t: jnp.sum(t**2), jnp.ones(2), ds.sgd(1.01, max_steps=7))
    assert slow.result == "the loss rises" and slow.stats["steps"] == 7
    assert float(slow.theta[0]) == 1.0 and float(slow.state.theta[0]) == pytest.approx(-(1.02**7))


def test_a_loss_without_a_minimum_ends_as_not_finite():
    found = ds.fit(lambda t: -jnp.exp(jnp.sum(t)), jnp.ones(2), ds.sgd(1.0))
    assert found.result == "loss or gradient not finite" and np.isfinite(found.stats["loss"])
    assert found.stats["first_bad"] in ("theta[0]", "theta[1]")


# What is known of each


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_linear_model_takes_one_step(name):
    target = objective(("slope",))
    found = ds.fit(target, target.space.pack(decay(slope=0.0)), engine=ENGINES[name])
    assert found.converged and found.stats["steps"] == 1
    again = ds.fit(target, found.theta, engine=ENGINES[name])
    assert again.converged and again.stats["steps"] == 0


def test_gauss_newton_with_a_line_search_gets_there_where_full_steps_do_not():
    class Arctan(ds.Model):
        at: Float[Array, ""] = ds.param("", "Where the signal is zero.")

        def model(self):
            return jnp.full((2, 2), 10 + jnp.arctan(self.at))

        def variance(self, expected):
            return jnp.ones_like(expected)

    model = Arctan(0.0)
    observation = ds.Observation(np.full((2, 2), 10.0), np.ones((2, 2)))
    target = ds.Objective(model, ds.ThetaSpace(model, ["at"]), observation, "gaussian")
    searched = ds.fit(target, jnp.asarray([3.0]), engine=ds.GaussNewton())
    assert searched.converged and abs(float(searched.theta[0])) < 1e-4 and searched.stats["refused_steps"] > 0
    full = ds.fit(target, jnp.asarray([3.0]), engine=ds.GaussNewton(line_search=False, max_steps=5))
    assert not full.converged and full.result == "the loss rises"
    for engine in (ds.Dogleg(), ds.LevenbergMarquardt()):
        assert abs(float(ds.fit(target, jnp.asarray([3.0]), engine=engine).theta[0])) < 1e-3


def rosenbrock(theta):
    return jnp.sum(100 * (theta[1:] - theta[:-1] ** 2) ** 2 + (1 - theta[:-1]) ** 2)


@pytest.mark.parametrize("engine", [ds.BFGS(), ds.LBFGS(), ds.LBFGS(memory_size=3)])
def test_the_banana_valley(engine):
    begin = jnp.asarray([-1.2, 1.0, -0.5, 0.8])
    found = ds.fit(rosenbrock, begin, engine=engine)
    independent = scipy.optimize.minimize(rosenbrock, begin, jac=jax.grad(rosenbrock), method="BFGS", tol=1e-8)
    assert found.converged and np.all(np.diff(found.trace.loss) <= 0)
    np.testing.assert_allclose(found.theta, independent.x, atol=1e-5)
    assert found.stats["steps"] < 3 * independent.nfev


@pytest.mark.parametrize("engine", [ds.BFGS(), ds.LBFGS()])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6])
def test_the_unit_of_theta_does_not_matter(engine, scale):
    """A step of one unit is a hundred million times too long, or a millionth of what is needed."""
    found = ds.fit(lambda t: jnp.sum(jnp.cosh(t / scale - 1.0)), jnp.zeros(2), engine=engine)
    assert found.converged
    np.testing.assert_allclose(found.theta / scale, 1.0, atol=1e-4)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_quasi_newton_learns_the_secant(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(4, 4))
    hessian = jnp.asarray(matrix @ matrix.T + np.eye(4))
    for engine in (ds.BFGS(), ds.LBFGS(memory_size=6)):
        known, pairs = engine.blank(jnp.zeros(4)), jnp.asarray(0)
        for _ in range(4):
            step = jnp.asarray(rng.normal(size=4))
            known, pairs = engine.learn(known, pairs, step, hessian @ step), pairs + 1
            np.testing.assert_allclose(engine.inverse_times(known, pairs, hessian @ step), step, atol=1e-8)


def test_the_two_loops_agree_with_optax():
    rng = np.random.default_rng(3)
    hessian = jnp.asarray(np.diag([1.0, 5.0, 30.0]))
    transform, engine = optax.scale_by_lbfgs(memory_size=3), ds.LBFGS(memory_size=3)
    points = jnp.asarray(rng.normal(size=(6, 3)))
    theirs, ours, pairs = transform.init(points[0]), engine.blank(points[0]), jnp.asarray(0)
    for i, point in enumerate(points):
        expected, theirs = transform.update(hessian @ point, theirs, point)
        if i:
            step = point - points[i - 1]
            ours, pairs = engine.learn(ours, pairs, step, hessian @ step), pairs + 1
            np.testing.assert_allclose(engine.inverse_times(ours, pairs, hessian @ point), expected, rtol=1e-9)


def quadratic(theta):
    return 0.5 * jnp.sum(jnp.asarray([1.0, 4.0]) * (theta - 1) ** 2)


def by_hand(optimiser, theta, steps):
    """A loop over an optax optimiser, in Python."""
    state, thetas = optimiser.init(theta), [theta]
    for _ in range(steps):
        update, state = optimiser.update(jax.grad(quadratic)(thetas[-1]), state, thetas[-1])
        thetas.append(optax.apply_updates(thetas[-1], update))
    return jnp.stack(thetas)


SCHEDULE = optax.schedules.exponential_decay(0.1, 3, 0.5)
OPTAX = {
    "adam": (lambda: ds.adam(0.1, max_steps=9), lambda: optax.adam(0.1)),
    "adam with options": (lambda: ds.adam(0.1, max_steps=9, b1=0.5), lambda: optax.adam(0.1, b1=0.5)),
    "schedule": (lambda: ds.adam(SCHEDULE, max_steps=9), lambda: optax.adam(SCHEDULE)),
    "momentum": (lambda: ds.sgd(0.1, max_steps=9, momentum=0.8), lambda: optax.sgd(0.1, momentum=0.8)),
    "any other": (lambda: ds.OptaxEngine(optax.rmsprop(0.1), max_steps=9), lambda: optax.rmsprop(0.1)),
}


@pytest.mark.parametrize("name", OPTAX)
def test_optax_engines_are_the_optimisers(name):
    engine, optimiser = (make() for make in OPTAX[name])
    found = ds.fit(quadratic, jnp.asarray([3.0, -2.0]), engine=engine)
    np.testing.assert_allclose(found.trace.theta, by_hand(optimiser, jnp.asarray([3.0, -2.0]), 9), rtol=1e-8)
    if name == "schedule":
        np.testing.assert_allclose(found.trace.base_lr, [SCHEDULE(n) for n in range(10)], rtol=1e-6)


def test_plain_sgd_is_simple_gradient_descent():
    found = [ds.fit(quadratic, jnp.zeros(2), engine=e) for e in (ds.sgd(0.1, 20), ds.SimpleGD(20, 0.1))]
    np.testing.assert_allclose(found[0].trace.theta, found[1].trace.theta, rtol=1e-12)
    np.testing.assert_allclose(found[0].trace.theta, ds.run_simple_gd(quadratic, jnp.zeros(2), 0.1, 20)[1], rtol=1e-12)


def test_a_refused_step_of_an_optimiser_is_shortened_until_it_is_finite():
    loss = lambda t: jnp.sum(jnp.log(t) ** 2)  # noqa: E731 - NaN below zero
    found = ds.fit(loss, jnp.asarray([0.3]), ds.sgd(0.01), stopping=ds.StoppingRules(gradient=1e-6))
    assert found.converged and float(found.theta[0]) == pytest.approx(1.0, abs=1e-5)
    steep = ds.fit(loss, jnp.asarray([1.6]), ds.sgd(4.0, max_steps=60))
    assert steep.stats["nonfinite_steps"] > 0 and np.isfinite(steep.trace.loss).all()


# Requests that cannot be met


@pytest.mark.parametrize("name", (*SECOND_ORDER, "gd"))
def test_engines_that_need_information_say_so(name):
    with pytest.raises(ValueError, match=r"expected information.*LossObjective"):
        ds.fit(quadratic, jnp.zeros(2), engine=ENGINES[name])


@pytest.mark.parametrize("engine", [ds.BFGS, "bfgs"])
def test_what_is_no_engine_is_refused(engine):
    with pytest.raises(TypeError, match=r"Expected an engine, such as LevenbergMarquardt\(\)"):
        chosen_engine(ds.LossObjective(quadratic), engine)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ds.BFGS(max_steps=0),
        lambda: ds.LBFGS(memory_size=0),
        lambda: ds.GaussNewton(tolerance=-1.0),
        lambda: ds.Dogleg(max_steps=1.5),
        lambda: ds.adam(-0.1),
        lambda: ds.StoppingRules(loss=0.0),
        lambda: ds.StoppingRules(patience=0),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises((ValueError, TypeError)):
        make()


# The loop


class Counting(AbstractEngine):
    """Gradient descent that counts how often it is traced."""

    count: list = eqx.field(static=True)
    max_steps: int = eqx.field(static=True, default=500)
    inner: ds.SimpleGD = ds.SimpleGD(learning_rate=0.001)

    def init(self, theta):
        return self.inner.init(theta)

    def step(self, objective, state):
        self.count.append(1)
        return self.inner.step(objective, state)


class Counted(list):
    __hash__ = object.__hash__


class Target(ds.AbstractObjective):
    """A quadratic whose minimum is an array, and so an argument."""

    at: Float[Array, " D"]

    def loss(self, theta):
        return 0.5 * jnp.sum((theta - self.at) ** 2)


def test_many_chunks_and_other_data_are_one_compilation():
    count = Counted()
    for at in (1.0, 2.0):
        seen = []
        found = ds.fit(Target(jnp.full(3, at)), jnp.zeros(3), Counting(count), chunk=50, on_step=seen.append)
        assert len(count) == 1 and found.trace.loss.shape == (501,)
        assert [int(s.step) for s in seen] == [0, *range(50, 501, 50)]
        np.testing.assert_array_equal(seen[3].theta, found.trace.theta[150])


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_length_of_a_chunk_changes_nothing(chunk):
    found = [ds.fit(quadratic, jnp.zeros(2), ds.adam(0.1, 100), chunk=c).trace for c in (100, chunk)]
    np.testing.assert_allclose(found[0].theta, found[1].theta, rtol=1e-14)
    assert found[0].theta.shape == found[1].theta.shape == (101, 2)


def test_a_long_theta_needs_little():
    target = jnp.linspace(0.0, 1.0, 300_000)
    found = ds.fit(Target(target), jnp.zeros_like(target), record_theta=False)
    assert found.converged and found.trace.theta.shape == (len(found.trace.loss), 0)
    np.testing.assert_allclose(found.theta, target, atol=1e-4)
    assert isinstance(found.engine, ds.LBFGS) and found.covariance is None and found.model is None


@pytest.mark.slow
@pytest.mark.float32
@pytest.mark.filterwarnings("ignore::dluxshera.PrecisionWarning")
@pytest.mark.parametrize("name", NAMES)
def test_either_precision_will_do(name):
    target = objective()
    begin = target.space.pack(decay(**START))
    found = ds.fit(target, begin, engine=ENGINES[name])
    assert found.theta.dtype == begin.dtype == jnp.result_type(float)
    assert found.stats["loss"] < 0.5 * float(found.trace.loss[0]) and found.stats["nonfinite_steps"] == 0
    if name in SECOND_ORDER + QUASI_NEWTON:
        assert found.stats["loss"] == pytest.approx(16.9, abs=0.1)


@pytest.mark.parametrize("name", ["bfgs", "lbfgs", "adam", "sgd"])
def test_a_loss_in_single_precision_is_fitted_in_it(name):
    found = ds.fit(quadratic, jnp.zeros(2, jnp.float32), ENGINES[name] if name != "sgd" else ds.sgd(0.1))
    assert found.theta.dtype == found.trace.loss.dtype == jnp.float32 and found.stats["loss"] < 1e-3
    again = ds.state_from_arrays(found.engine, ds.state_arrays(found.state), 2)
    np.testing.assert_array_equal(again.theta, found.state.theta)


# Stopping rules


RULES = {
    "loss": (ds.StoppingRules(loss=1e-3), "loss settled"),
    "relative_loss": (ds.StoppingRules(relative_loss=0.05), "loss settled"),
    "step": (ds.StoppingRules(step=1e-2), "step below its tolerance"),
    "gradient": (ds.StoppingRules(gradient=1e-2), "gradient below its tolerance"),
}


@pytest.mark.parametrize("name", RULES)
def test_stopping_rules_end_a_fit_where_they_are_met(name):
    rules, result = RULES[name]
    offset = 1.0 if name == "relative_loss" else 0.0
    found = ds.fit(lambda t: quadratic(t) + offset, jnp.zeros(2), ds.sgd(0.1), stopping=rules)
    trace, tolerance = found.trace, float(getattr(rules, name))
    change = np.abs(np.diff(trace.loss))
    number = {
        "loss": change,
        "relative_loss": change / np.asarray(trace.loss[1:]),
        "step": np.asarray(trace.step_norm[1:]),
        "gradient": np.asarray(trace.grad_norm[1:]),
    }[name]
    assert found.result == result and found.converged
    assert number[-1] <= tolerance and (number[:-1] > tolerance).all()


def test_patience_waits():
    once, thrice = (
        ds.fit(quadratic, jnp.zeros(2), ds.sgd(0.1), stopping=ds.StoppingRules(loss=1e-3, patience=p)) for p in (1, 3)
    )
    assert thrice.stats["steps"] == once.stats["steps"] + 2


def test_a_time_limit_is_kept():
    found = ds.fit(quadratic, jnp.zeros(2), ds.sgd(1e-9, max_steps=10**9), stopping=ds.StoppingRules(seconds=0.2))
    assert found.result == "time limit reached" and not found.converged and found.stats["seconds"] < 20


def test_other_tolerances_compile_nothing():
    count = Counted()
    for rules in (ds.StoppingRules(loss=1e-3), ds.StoppingRules(loss=1e-5, patience=2)):
        ds.fit(Target(jnp.ones(3)), jnp.zeros(3), Counting(count), stopping=rules)
    assert len(count) == 1


def test_what_ends_a_fit_does_not_depend_on_what_came_before_it(problem, start, best):
    """From the optimum nothing is to be gained: no engine that has a criterion goes on."""
    for name in SECOND_ORDER + QUASI_NEWTON:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ds.IdentifiabilityWarning)
            found = ds.fit(problem, best.theta, engine=ENGINES[name])
        assert found.result == "no step lowers the loss" or found.converged, name
        assert found.stats["loss"] <= best.stats["loss"] * (1 + 1e-12)


# The record


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_plain(name):
    import json

    found = json.loads(json.dumps(engine_settings(ENGINES[name])))
    assert found["max_steps"] == ENGINES[name].max_steps
    assert {"base_lr", "schedule", "preconditioning"} <= found.keys()
    if name in ("gd", "adam", "sgd"):
        assert found["schedule"] == {"name": "constant"}
    if found["name"] == "PreconditionedGD":
        assert found["preconditioning"]["method"] and "refresh_every" in found["preconditioning"]
    if name == "adam":
        assert found["name"] == "adam" and found["learning_rate"] == 0.02
