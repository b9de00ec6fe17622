"""BFGS and L-BFGS: the Hessian learned from gradients, with a backtracking line search."""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .engines import (
    MOST_REJECTIONS,
    AbstractEngine,
    EngineState,
    check_max_steps,
    check_positive,
    initial_state,
    positive_number,
)

ARMIJO = 1e-4  # share of the predicted fall that a step must reach
LEAST_CURVATURE = 1e-10  # cosine between step and change of gradient below which a pair teaches nothing


class _Memory(NamedTuple):
    """Gradient and direction (D,) at the present θ, length of the next step, pairs learned, and what they taught."""

    gradient: Float[Array, " D"]
    direction: Float[Array, " D"]
    length: Float[Array, ""]
    pairs: Int[Array, ""]
    hessian: Any


class AbstractQuasiNewton(AbstractEngine):
    """theta <- theta - length * H gradient, H learned from the changes of θ and gradient.

    Every try costs one loss and gradient. One that does not lower the loss by enough (Armijo's condition, Nocedal
    and Wright, Numerical Optimization, 2006, section 3.1), or whose gradient is not finite, is refused, and
    the next goes along the same direction to the minimum of the parabola through what is known (or half as far).
    Pairs without positive curvature are left out. After half of the refusals that end a fit, H is forgotten. Converged
    when the predicted gain of the next step, half gradient H gradient, is below the tolerance or the rounding of
    the loss.
    """

    chunk: ClassVar[int] = 50
    tolerance: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def blank(self, theta: Float[Array, " D"]) -> Any:
        """What is known of the Hessian at the start: nothing."""

    @abc.abstractmethod
    def learn(self, hessian: Any, pairs: Int[Array, ""], step: Float[Array, " D"], change: Float[Array, " D"]) -> Any:
        """With one more pair of a step and the change of gradient along it, whose product is positive."""

    @abc.abstractmethod
    def inverse_times(self, hessian: Any, pairs: Int[Array, ""], gradient: Float[Array, " D"]) -> Float[Array, " D"]:
        """H gradient, where at least one pair is known."""

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """The gradient is found by the first step."""
        zero, one = jnp.zeros_like(theta), jnp.ones((), theta.dtype)
        memory = _Memory(zero, zero, one, jnp.asarray(0, int), self.blank(theta))
        return initial_state(theta, None, memory, tried=theta)

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """One try along the present direction."""
        start, memory = state.step < 0, state.memory
        move = jnp.where(start, 0.0, -memory.length * memory.direction)
        theta = state.theta + move
        loss, gradient = jax.value_and_grad(objective.loss)(theta)
        finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        slope = jnp.sum(move * memory.gradient)
        accepted = start | (finite & (loss <= state.loss + ARMIJO * slope) & (slope < 0))
        rejections = jnp.where(accepted, 0, state.rejections + 1)
        forget = (rejections == MOST_REJECTIONS // 2) & (memory.pairs > 0)
        taught = self._taught(memory, accepted & ~start, move, gradient)
        pick = lambda new, old: jnp.where(accepted, new, old)  # noqa: E731
        gradient, loss_here = pick(gradient, memory.gradient), pick(loss, state.loss)
        pairs = jnp.where(forget, 0, taught.pairs)
        direction = self._direction(taught.hessian, pairs, gradient)
        shorter = _shorter(memory.length, slope, loss - state.loss)
        as_long = jnp.linalg.norm(move) / jnp.maximum(jnp.linalg.norm(gradient), jnp.finfo(loss.dtype).tiny)
        shorter = jnp.where(forget, 0.1 * as_long, shorter)  # the gradient itself, a tenth as far
        length = jnp.where(accepted, _first_length(pairs, gradient), shorter)
        gain = 0.5 * jnp.sum(direction * gradient)
        rounding = jnp.finfo(loss.dtype).eps * jnp.abs(loss_here)
        return EngineState(
            theta=pick(theta, state.theta),
            loss=loss_here,
            step=state.step + 1,
            grad_norm=jnp.linalg.norm(gradient),
            step_norm=jnp.linalg.norm(move),
            accepted=accepted,
            rejections=rejections,
            converged=((pairs > 0) & (gain < jnp.maximum(self.tolerance, rounding))) | (gain == 0),
            information=None,
            memory=_Memory(gradient, direction, length, pairs, taught.hessian),
            finite=finite,
            tried=theta,
        )

    def _taught(self, memory: _Memory, taken: Bool[Array, ""], move, gradient) -> _Memory:
        """With the pair of a step that was taken, where its curvature is positive."""
        change = jnp.where(taken, gradient - memory.gradient, 0.0)
        product = jnp.sum(move * change)
        good = taken & (product > LEAST_CURVATURE * jnp.linalg.norm(move) * jnp.linalg.norm(change))
        more = lambda: (self.learn(memory.hessian, memory.pairs, move, change), memory.pairs + 1)  # noqa: E731
        hessian, pairs = jax.lax.cond(good, more, lambda: (memory.hessian, memory.pairs))
        return memory._replace(hessian=hessian, pairs=pairs)

    def _direction(self, hessian: Any, pairs, gradient) -> Float[Array, " D"]:
        """H gradient; the gradient itself while nothing is known, or where H has lost its sign."""
        direction = self.inverse_times(hessian, pairs, gradient)
        usable = (pairs > 0) & jnp.all(jnp.isfinite(direction)) & (jnp.sum(direction * gradient) > 0)
        return jnp.where(usable, direction, gradient)


def _first_length(pairs: Int[Array, ""], gradient: Float[Array, " D"]) -> Float[Array, ""]:
    """One; while nothing is known, what makes the step no longer than one unit of θ."""
    norm = jnp.linalg.norm(gradient)
    return jnp.where(pairs > 0, 1.0, 1 / jnp.maximum(norm, 1.0))


def _shorter(length, slope, rise) -> Float[Array, ""]:
    """Next length along a direction: the minimum of a parabola, between a tenth and a half of the last."""
    bend = rise - slope
    share = jnp.where(bend > 0, -0.5 * slope / jnp.where(bend > 0, bend, 1.0), 0.5)
    return length * jnp.clip(jnp.where(jnp.isfinite(share), share, 0.5), 0.1, 0.5)


class BFGS(AbstractQuasiNewton):
    """Quasi-Newton descent with the whole inverse Hessian, (D, D), by the formula of Broyden, Fletcher, Goldfarb
    and Shanno (Nocedal and Wright, Numerical Optimization, 2006, equation 6.17).

    Parameters
    ----------
    max_steps : int
        Most tries, refused ones included.
    tolerance : float
        Converged when the predicted gain of the next step, in units of the loss, is below this.
    """

    max_steps: int = eqx.field(static=True, default=1000)
    tolerance: Float[Array, ""] = positive_number(1e-10)

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)

    def blank(self, theta):
        """The unit matrix."""
        return jnp.eye(theta.size, dtype=theta.dtype)

    def learn(self, hessian, pairs, step, change):
        """The update of rank two; before the first, the unit matrix is scaled by the curvature of the pair."""
        product = jnp.sum(step * change)
        unit = jnp.eye(step.size, dtype=step.dtype)
        before = jnp.where(pairs == 0, unit * product / jnp.sum(change**2), hessian)
        left = unit - jnp.outer(step, change) / product
        return left @ before @ left.T + jnp.outer(step, step) / product

    def inverse_times(self, hessian, pairs, gradient):
        """A matrix product."""
        return hessian @ gradient


class LBFGS(AbstractQuasiNewton):
    """Quasi-Newton descent with the last pairs of steps and changes of gradient in place of a matrix (the two-loop
    recursion: Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.4).

    Parameters
    ----------
    max_steps : int
        Most tries, refused ones included.
    tolerance : float
        Converged when the predicted gain of the next step, in units of the loss, is below this.
    memory_size : int
        Pairs that are kept, each of twice the size of θ.
    """

    max_steps: int = eqx.field(static=True, default=1000)
    tolerance: Float[Array, ""] = positive_number(1e-10)
    memory_size: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)
        if self.memory_size < 1:
            raise ValueError(f"Expected memory_size of 1 or more, got {self.memory_size}.")

    def blank(self, theta):
        """No pairs: steps and changes, (memory_size, D) each."""
        rows = jnp.zeros((self.memory_size, theta.size), theta.dtype)
        return rows, rows

    def learn(self, hessian, pairs, step, change):
        """The pair in place of the oldest."""
        at = pairs % self.memory_size
        return hessian[0].at[at].set(step), hessian[1].at[at].set(change)

    def inverse_times(self, hessian, pairs, gradient):
        """The two-loop recursion over the pairs that are known."""
        steps, changes = hessian
        order = (pairs - 1 - jnp.arange(self.memory_size)) % self.memory_size  # newest first
        known = jnp.arange(self.memory_size) < pairs
        products = jnp.sum(steps * changes, axis=1)
        weights = jnp.where(products > 0, 1 / jnp.where(products > 0, products, 1.0), 0.0)[order] * known

        def first(direction, item):
            at, weight = item
            share = weight * jnp.sum(steps[at] * direction)
            return direction - share * changes[at], share

        def second(direction, item):
            at, weight, share = item
            return direction + (share - weight * jnp.sum(changes[at] * direction)) * steps[at], None

        direction, shares = jax.lax.scan(first, gradient, (order, weights))
        newest = changes[order[0]]
        size = jnp.sum(newest**2)
        scale = jnp.where(size > 0, products[order[0]] / jnp.where(size > 0, size, 1.0), 1.0)
        return jax.lax.scan(second, scale * direction, (order, weights, shares), reverse=True)[0]
