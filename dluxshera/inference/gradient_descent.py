"""Plain gradient descent as an engine."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .abstract_objective import check_informed
from .engines import (
    MOST_REJECTIONS,
    AbstractEngine,
    EngineState,
    check_max_steps,
    check_positive,
    initial_state,
    positive_number,
)


class _Memory(NamedTuple):
    """Rate (), gradient (D,) at the present θ, and the curvature () that the last step met; zero before one has."""

    rate: Float[Array, ""]
    gradient: Float[Array, " D"]
    curvature: Float[Array, ""]


class SimpleGD(AbstractEngine):
    """theta <- theta - learning_rate * gradient: one rate, nothing else.

    Parameters
    ----------
    max_steps : int
    learning_rate : float, optional
        By default one over the largest eigenvalue of the information at the start, the largest rate that is
        stable there.
    tolerance : float
        Converged when the predicted gain of a step to the bottom along the gradient is below this: gradient squared
        over twice the curvature that the last step met, or half rate times gradient squared where that is more. A small
        rate is no convergence.
    """

    max_steps: int = eqx.field(static=True, default=500)
    learning_rate: Float[Array, ""] | None = positive_number(None)
    tolerance: Float[Array, ""] = positive_number(1e-8)

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)
        check_positive("learning_rate", self.learning_rate)

    def settings(self) -> Mapping[str, Any]:
        """Plain values for the record of a run; a rate of None is found from the information at the start."""
        rate = None if self.learning_rate is None else float(self.learning_rate)
        return {"base_lr": rate, "schedule": {"name": "constant"}, "preconditioning": None}

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """Rate and gradient are found by the first step."""
        zero = jnp.zeros((), theta.dtype)
        return initial_state(theta, None, _Memory(zero, jnp.zeros_like(theta), zero), tried=theta, base_lr=zero)

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """One step down the gradient; a step to a loss or gradient that is not finite is refused,
        which ends the descent: the same gradient would lead there again.
        """
        start = state.step < 0
        rate, gradient, curvature = state.memory
        move = jnp.where(start, 0.0, rate * gradient)
        loss, slope = jax.value_and_grad(objective.loss)(state.theta - move)
        finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(slope))
        accepted = finite | start
        rate = jax.lax.cond(start, lambda: self._rate(objective, state.theta), lambda: rate)
        pick = lambda new, old: jnp.where(accepted, new, old)  # noqa: E731
        norm = jnp.linalg.norm(pick(slope, gradient))
        curvature = jnp.where(accepted & ~start, _curvature_along(move, slope - gradient, curvature), curvature)
        return EngineState(
            theta=pick(state.theta - move, state.theta),
            loss=pick(loss, state.loss),
            step=state.step + 1,
            grad_norm=norm,
            step_norm=jnp.linalg.norm(move),
            accepted=accepted,
            rejections=pick(0, MOST_REJECTIONS),
            converged=_gain(norm, rate, curvature) < self.tolerance,
            information=None,
            memory=_Memory(rate, pick(slope, gradient), curvature),
            finite=finite,
            tried=state.theta - move,
            base_lr=rate,
        )

    def _rate(self, objective: Any, theta: Float[Array, " D"]) -> Float[Array, ""]:
        if self.learning_rate is not None:
            return self.learning_rate.astype(theta.dtype)
        check_informed(objective, "the default rate of SimpleGD, where no learning_rate is given")
        expansion = objective.expansion(theta)
        largest = jnp.linalg.eigvalsh(expansion.information + expansion.prior_information)[-1]
        return jnp.where(largest > 0, 1 / jnp.where(largest > 0, largest, 1.0), 1.0)


def _curvature_along(move: Float[Array, " D"], change: Float[Array, " D"], before) -> Float[Array, ""]:
    """Of the loss along a step down `move`, from the gradients at its ends; the one before where it is not positive."""
    squared = jnp.sum(move**2)
    found = -jnp.sum(move * change) / jnp.where(squared > 0, squared, 1.0)
    return jnp.where(jnp.isfinite(found) & (found > 0), found, before)


def _gain(norm: Float[Array, ""], rate: Float[Array, ""], curvature: Float[Array, ""]) -> Float[Array, ""]:
    """Of a step to the bottom along the gradient; without end where no curvature is known, unless there is no slope."""
    longest = jnp.where(curvature > 0, jnp.maximum(rate, 1 / jnp.where(curvature > 0, curvature, 1.0)), jnp.inf)
    return jnp.where(norm > 0, 0.5 * norm**2 * longest, 0.0)
