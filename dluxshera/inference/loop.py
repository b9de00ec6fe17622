"""The compiled loop of a fit: steps in chunks, without Python between them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .engines import AbstractEngine, EngineState, FitResult
from .stopping import StoppingRules, code_of, counted, outcome


class Rows(NamedTuple):
    """Rows of a trace, (T,) each and theta (T, D); theta (T, 0) where it is not recorded."""

    loss: Float[Array, " T"]
    theta: Float[Array, "T D"]
    grad_norm: Float[Array, " T"]
    step_norm: Float[Array, " T"]
    accepted: Bool[Array, " T"]
    base_lr: Float[Array, " T"] | None


class Course(NamedTuple):
    """A fit under way: where it is, the best state so far, and the code of how it stands."""

    state: EngineState
    best: EngineState
    code: Int[Array, ""]


def begin(state: EngineState, best: EngineState | None = None) -> Course:
    """A course at a state; with a best one of before, where there is one."""
    strong = jax.tree.map(lambda leaf: _cast(leaf, jnp.asarray(leaf).dtype), state)
    tally = strong.tally._replace(start_loss=strong.tally.start_loss.astype(strong.loss.dtype))
    strong = eqx.tree_at(lambda s: s.tally, strong, tally)
    code = jnp.asarray(code_of(FitResult.RUNNING), int)
    return Course(strong, strong if best is None else _like(best, strong), code)


def advance(engine: AbstractEngine, objective: Any, rules: StoppingRules, course: Course) -> Course:
    """One step, counted and judged."""
    before = course.state
    state = _with_last_nonfinite_try(_like(engine.step(objective, before), before), before)
    tally = jax.tree.map(lambda new, old: new.astype(old.dtype), counted(rules, before, state), before.tally)
    state = eqx.tree_at(lambda s: s.tally, state, tally)
    better = (state.loss < course.best.loss) | (state.step <= 0)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state, course.best)
    return Course(state, best, outcome(engine, rules, before, state).astype(course.code.dtype))


def _with_last_nonfinite_try(state: EngineState, before: EngineState) -> EngineState:
    """A state that remembers the last try that was not finite, once there has been one: it names what is at fault."""
    if state.tried is None:
        return state
    kept = jnp.where(state.finite & (before.tally.nonfinite > 0), before.tried, state.tried)
    return eqx.tree_at(lambda s: s.tried, state, kept)


def _like(state: EngineState, before: EngineState) -> EngineState:
    """A state with the types of the one before, which it must match in structure and shapes."""
    wanted, got = jax.tree.structure(before), jax.tree.structure(state)
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(s)] for s in (before, state)]
    if wanted != got or shapes[0] != shapes[1]:
        raise TypeError(f"Expected an engine's step to give a state like its init, {wanted} {shapes[0]}, got {got}.")
    return jax.tree.map(lambda new, old: _cast(new, old.dtype), state, before)


def _cast(leaf: Any, dtype: Any) -> Array:
    """Of that type, strongly; random keys as they are."""
    return leaf if jnp.issubdtype(dtype, jax.dtypes.extended) else jax.lax.convert_element_type(leaf, dtype)


def is_running(code: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether a fit goes on."""
    return code == code_of(FitResult.RUNNING)


@eqx.filter_jit
def run_chunk(
    engine: AbstractEngine,
    objective: Any,
    rules: StoppingRules,
    course: Course,
    limit: Int[Array, ""],
    capacity: int,
    with_theta: bool,
) -> tuple[Course, Rows, Int[Array, ""]]:
    """Take steps until `limit` of them are done or the fit has ended.

    Parameters
    ----------
    limit : Array () of int
        At most `capacity`, which is compiled in.

    Returns
    -------
    course, rows, number of steps taken
        Rows beyond that number are zero.
    """
    if capacity == 1:  # no loop: an expensive step is compiled as it is
        course = advance(engine, objective, rules, course)
        return course, jax.tree.map(lambda x: x[None], _row(course.state, with_theta)), jnp.ones_like(limit)
    blank = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), _row(course.state, with_theta))

    def goes_on(carry):
        course, _, done = carry
        return is_running(course.code) & (done < limit)

    def body(carry):
        course, rows, done = carry
        course = advance(engine, objective, rules, course)
        row = _row(course.state, with_theta)
        return course, jax.tree.map(lambda all_rows, x: all_rows.at[done].set(x), rows, row), done + 1

    return jax.lax.while_loop(goes_on, body, (course, blank, jnp.zeros_like(limit)))


def run_to_the_end(engine: AbstractEngine, objective: Any, rules: StoppingRules, course: Course) -> Course:
    """All steps of a fit, without rows; under `vmap` each member stops by itself."""
    go = lambda course: advance(engine, objective, rules, course)  # noqa: E731
    return jax.lax.while_loop(lambda course: is_running(course.code), go, course)


def row_of(state: EngineState, with_theta: bool) -> Rows:
    """The one row of a state, as of a chunk."""
    return jax.tree.map(lambda x: x[None], _row(state, with_theta))


def _row(state: EngineState, with_theta: bool) -> Rows:
    theta = state.theta if with_theta else state.theta[:0]
    return Rows(state.loss, theta, state.grad_norm, state.step_norm, state.accepted, state.base_lr)
