"""Gauss-Newton steps by conjugate gradients, without a matrix."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from ..inference import AbstractEngine, EngineState, initial_state
from .batches import split_evenly
from .epoch_engine import number, whole
from .scaled_objective import raised_curvature


class _Memory(NamedTuple):
    """Gradient at the present θ (D,), and damping relative to the curvature."""

    gradient: Float[Array, " D"]
    damping: Float[Array, ""]


class GaussNewtonCG(AbstractEngine):
    """Damped Fisher scoring of a whole scan: (F + mu diag F) move = -gradient, by preconditioned conjugate gradients
    (lineax), with products of F and a vector batch by batch.

    The damping falls after a step that lowers the loss and grows after one that does not, which is refused.

    Parameters
    ----------
    max_steps : int
        Tries.
    inner : int
        Most products in a step, each of the cost of an epoch and a half.
    accuracy : float
        Of the linear system, relative.
    damping : float
        mu at the start.
    """

    max_steps: Int[Array, ""] = whole(20)
    inner: int = eqx.field(static=True, default=10)
    accuracy: Float[Array, ""] = number(0.05)
    damping: Float[Array, ""] = number(0.1)
    chunk: ClassVar[int] = 1

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """The gradient is found by the first step."""
        return initial_state(theta, None, _Memory(jnp.zeros_like(theta), self.damping.astype(theta.dtype)))

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """One try; the first evaluates the start."""
        start, memory = state.step < 0, state.memory
        solve = lambda: self._move(objective, state.theta, memory)  # noqa: E731
        move = jax.lax.cond(start, lambda: jnp.zeros_like(state.theta), solve)
        loss, gradient = jax.value_and_grad(objective.loss)(state.theta + move)
        finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        accepted = start | (finite & (loss < state.loss))
        pick = lambda new, old: jnp.where(accepted, new, old)  # noqa: E731
        damping = jnp.where(start, memory.damping, memory.damping * jnp.where(accepted, 0.3, 5.0))
        gradient = pick(gradient, memory.gradient)
        return EngineState(
            theta=pick(state.theta + move, state.theta),
            loss=pick(loss, state.loss),
            step=state.step + 1,
            grad_norm=jnp.linalg.norm(gradient),
            step_norm=jnp.linalg.norm(move),
            accepted=accepted,
            rejections=pick(0, state.rejections + 1),
            converged=jnp.linalg.norm(gradient) == 0,
            information=None,
            memory=_Memory(gradient, damping),
            finite=finite,
            tally=state.tally,
        )

    def _move(self, objective: Any, theta: Float[Array, " D"], memory: _Memory) -> Float[Array, " D"]:
        diagonal = raised_curvature(objective, theta)
        product = lambda v: information_times(objective, theta, v) + memory.damping * diagonal * v  # noqa: E731
        positive = lx.positive_semidefinite_tag
        operator = lx.FunctionLinearOperator(product, jax.eval_shape(lambda: theta), positive)
        inverse = lx.TaggedLinearOperator(lx.DiagonalLinearOperator(1 / (diagonal * (1 + memory.damping))), positive)
        solver = lx.CG(rtol=self.accuracy.astype(theta.dtype), atol=0.0, max_steps=self.inner)
        options = {"preconditioner": inverse}
        return lx.linear_solve(operator, -memory.gradient, solver, options=options, throw=False).value


def information_times(objective: Any, theta: Float[Array, " D"], vector: Float[Array, " D"]) -> Float[Array, " D"]:
    """Product J^T W J v of a scan's expected information per pixel, W = 1/lambda, and a vector, batch by batch.

    Parameters
    ----------
    objective : ScanObjective
        Its likelihood does not matter: both have this information.
    theta, vector : Array (D,)
    """
    index, real = split_evenly(objective.counts.shape[0], objective.model.batch)

    def add(total, batch):
        index, real = batch
        expected = lambda theta: objective.at(theta).patterns(index)  # noqa: E731
        here, change = jax.jvp(expected, (theta,), (vector,))
        weight = jnp.where(real[:, None, None], 1 / (here + objective.floor), 0.0)
        used = objective.used_in(index)
        weight = weight if used is None else jnp.where(used, weight, 0.0)
        return total + jax.vjp(expected, theta)[1](weight * change)[0], None

    total, _ = jax.lax.scan(add, jnp.zeros_like(theta), (jnp.asarray(index), jnp.asarray(real)))
    return total / objective.pixels
