"""When a fit is good enough, besides what its engine says."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .engines import (
    CONVERGENCE,
    MOST_REJECTIONS,
    RESULTS,
    AbstractEngine,
    EngineState,
    FitResult,
    Tally,
    check_positive,
    check_whole,
    positive_number,
)

MOST_NONFINITE = 0.2  # share of tries that were not finite, above which a step limit is a failure: the fit hangs there
MOST_RISES = 30  # accepted steps in a row, each to a higher loss and above the start's, after which a fit has failed


def _as_count(patience: Any) -> Int[Array, ""]:
    if not isinstance(patience, jax.Array):
        check_whole("patience", patience)
    return jnp.asarray(patience)


class StoppingRules(eqx.Module):
    """Tolerances that end a fit, each optional; the first that is met for `patience` accepted steps in a row does.

    Parameters
    ----------
    loss : float, optional
        Absolute: the step changed the loss by no more than this (half a unit of chi-square is 0.5).
    relative_loss : float, optional
        The step changed the loss by no more than this times its size.
    step : float, optional
        Length of the step in the engine's metric (`Trace.step_norm`): standard deviations for Levenberg-Marquardt,
        Gauss-Newton and the dogleg, θ for the others unless they say otherwise.
    gradient : float, optional
        Length of the gradient in the engine's metric (`Trace.grad_norm`).
    seconds : float, optional
        Wall time, looked at between chunks of steps.
    patience : int
    """

    loss: Float[Array, ""] | None = positive_number(None)
    relative_loss: Float[Array, ""] | None = positive_number(None)
    step: Float[Array, ""] | None = positive_number(None)
    gradient: Float[Array, ""] | None = positive_number(None)
    seconds: Float[Array, ""] | None = positive_number(None)
    patience: Int[Array, ""] = eqx.field(converter=_as_count, default=1)

    def __check_init__(self):
        for name in ("loss", "relative_loss", "step", "gradient", "seconds"):
            check_positive(name, getattr(self, name))


def _met(rules: StoppingRules, before: EngineState, state: EngineState) -> list[tuple[FitResult, Bool[Array, ""]]]:
    """Which rules one accepted step meets."""
    change = jnp.abs(before.loss - state.loss)
    size = jnp.maximum(jnp.abs(state.loss), jnp.finfo(change.dtype).tiny)
    rows = (
        (FitResult.LOSS_SETTLED, rules.loss, change),
        (FitResult.LOSS_SETTLED, rules.relative_loss, change / size),
        (FitResult.STEP_SETTLED, rules.step, state.step_norm),
        (FitResult.GRADIENT_SETTLED, rules.gradient, state.grad_norm),
    )
    return [(result, number <= tolerance) for result, tolerance, number in rows if tolerance is not None]


def counted(rules: StoppingRules, before: EngineState, state: EngineState) -> Tally:
    """The tally after a step."""
    old, started = before.tally, state.step == 0
    one = lambda condition: jnp.where(condition & ~started, 1, 0)  # noqa: E731
    met = jnp.any(jnp.asarray([condition for _, condition in _met(rules, before, state)] or [False]))
    in_a_row = lambda count, goes_on: jnp.where(  # noqa: E731
        started, 0, jnp.where(state.accepted, jnp.where(goes_on, count + 1, 0), count)
    )
    return Tally(
        start_loss=jnp.where(started, state.loss, old.start_loss),
        nonfinite=old.nonfinite + one(~state.finite),
        refused=old.refused + one(~state.accepted),
        rising=in_a_row(old.rising, state.loss > before.loss),
        settled=in_a_row(old.settled, met),
    )


def outcome(engine: AbstractEngine, rules: StoppingRules, before: EngineState, state: EngineState) -> Int[Array, ""]:
    """Code of the result after a step, among `RESULTS`; the first of these that holds."""
    tally, at_start = state.tally, state.step <= 0
    rounding = 100 * jnp.finfo(state.loss.dtype).eps * jnp.abs(tally.start_loss)
    above = state.loss > tally.start_loss + rounding
    settled = (tally.settled >= rules.patience) & ~at_start & ~above
    stuck = state.rejections >= MOST_REJECTIONS
    cases = [
        (FitResult.NOT_FINITE, at_start & ~(jnp.isfinite(state.loss) & state.finite)),
        (FitResult.CONVERGED, state.converged),
        *((result, settled & met) for result, met in _met(rules, before, state)),
        (FitResult.NOT_FINITE, stuck & ~state.finite),
        (FitResult.STALLED, stuck),
        (FitResult.RISING, (tally.rising >= MOST_RISES) & above),
        (FitResult.RISING, (state.step >= engine.max_steps) & above),
        (FitResult.NOT_FINITE, (state.step >= engine.max_steps) & _hangs(tally, state)),
        (FitResult.STEP_LIMIT, state.step >= engine.max_steps),
    ]
    conditions = [jnp.asarray(condition) for _, condition in cases]
    return jnp.select(conditions, [code_of(result) for result, _ in cases], code_of(FitResult.RUNNING))


def _hangs(tally: Tally, state: EngineState) -> Bool[Array, ""]:
    """Whether tries ran again and again into what is not finite, as at a wall that first-order engines creep along."""
    return (tally.nonfinite >= MOST_REJECTIONS) & (tally.nonfinite > MOST_NONFINITE * state.step)


def code_of(result: FitResult) -> int:
    """Position of a result in `RESULTS`."""
    return RESULTS.index(result)


def has_converged(codes: Any) -> Bool[Array, "..."]:
    """Which codes stand for convergence."""
    return jnp.isin(jnp.asarray(codes), jnp.asarray([code_of(result) for result in CONVERGENCE]))
