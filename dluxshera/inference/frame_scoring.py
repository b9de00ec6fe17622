"""Fisher scoring on the arrowhead of many frames as an engine, damped as Marquardt does."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .arrowhead import Arrowhead, covariance_of_shared, own_variance, reduce_arrowhead, solve_arrowhead
from .engines import AbstractEngine, EngineState, check_max_steps, check_positive, initial_state, positive_number
from .frame_stack import FrameStack

LEAST_GAIN = 0.01  # share of the predicted gain that a step must bring


class FrameMemory(NamedTuple):
    """Damping (), and the quadratic at θ."""

    damping: Float[Array, ""]
    system: Arrowhead


class FrameScoring(AbstractEngine):
    """Levenberg-Marquardt for a `FrameStack`: time and memory of a step grow linearly with the frames.

    Lengths of steps and gradients are in standard deviations.

    Parameters
    ----------
    sizes : tuple of int
        Frames, shared elements, and own elements of a frame; `FrameScoring.of(stack)` takes them from a stack.
    max_steps : int
        Most tries, refused ones included.
    tolerance : float
        Converged when the next full step moves no element by more than this many standard deviations.
    damping : float
        At the start, relative to the diagonal of the information.
    """

    sizes: tuple[int, int, int] = eqx.field(static=True, converter=tuple)
    max_steps: int = eqx.field(static=True, default=50)
    tolerance: Float[Array, ""] = positive_number(1e-4)
    damping: Float[Array, ""] = positive_number(1e-6)
    chunk = 1

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)
        check_positive("damping", self.damping)

    @classmethod
    def of(cls, stack: Any, **settings: Any) -> "FrameScoring":
        """For the frames of a `FrameStack`; raises TypeError for anything else."""
        _check_stack(stack)
        return cls((stack.num_observations, len(stack.shared), len(stack.own)), **settings)

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """The quadratic is found by the first step."""
        frames, s, d = self.sizes
        shapes = [(s, s), (frames, s, d), (frames, d, d), (s,), (frames, d)]
        nothing = Arrowhead(*(jnp.zeros(shape, theta.dtype) for shape in shapes))
        return initial_state(theta, None, FrameMemory(self.damping.astype(theta.dtype), nothing), tried=theta)

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """One damped step, taken where it lowers the loss by enough of what was predicted.

        Raises
        ------
        TypeError, ValueError
            For an objective that is no `FrameStack`, or one of other sizes.
        """
        _check_stack(objective)
        if (own := FrameScoring.of(objective).sizes) != self.sizes:
            raise ValueError(f"Expected a stack of sizes {self.sizes}, got {own}. Use FrameScoring.of(stack).")
        start, system = state.step < 0, state.memory.system
        damped = system.damped(state.memory.damping)
        moves = [jnp.where(start, 0.0, move) for move in solve_arrowhead(damped, reduce_arrowhead(damped))]
        theta = state.theta + objective.join(*moves)
        loss, fresh = objective.expansion(*objective.split(theta))
        gain = _gain(state.loss, loss, -system.change(*moves))
        finite = _is_finite(loss, fresh)
        accepted = start | (finite & (gain > LEAST_GAIN))
        taken = self._taken(state, theta, loss, fresh)
        chosen = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), taken, state)
        damping = jnp.where(start, state.memory.damping, _next_damping(state.memory.damping, gain, accepted))
        found = {
            "step": state.step + 1,
            "step_norm": _length(system, moves),
            "accepted": accepted,
            "rejections": jnp.where(accepted, 0, state.rejections + 1),
            "finite": finite,
            "tried": theta,
            "memory": chosen.memory._replace(damping=damping),
        }
        return eqx.tree_at(lambda s: [getattr(s, name) for name in found], chosen, list(found.values()))

    def _taken(self, state: EngineState, theta, loss, system: Arrowhead) -> EngineState:
        """The state at a try, with its quadratic, and whether nothing moves any more."""
        reduced = reduce_arrowhead(system)
        newton = solve_arrowhead(system, reduced)
        spread = jnp.diagonal(covariance_of_shared(reduced)), own_variance(system, reduced)
        ratios = [jnp.max(jnp.where(v > 0, m**2 / v, 0.0), initial=0.0) for m, v in zip(newton, spread, strict=True)]
        converged = jnp.maximum(*ratios) < self.tolerance**2
        found = (theta, loss, _length(system, newton), converged, state.memory._replace(system=system))
        return eqx.tree_at(lambda s: (s.theta, s.loss, s.grad_norm, s.converged, s.memory), state, found)


def _check_stack(stack: Any) -> None:
    if not isinstance(stack, FrameStack):
        raise TypeError(
            f"Expected a FrameStack for FrameScoring and fit_frames, got {type(stack).__name__}. "
            "Use fit and another engine for a single image."
        )


def _gain(before, loss, predicted) -> Float[Array, ""]:
    """Gain over what was predicted; a rise within rounding is none."""
    rounding = 8 * jnp.finfo(loss.dtype).eps * jnp.abs(before)
    return (before - loss + rounding) / (predicted + rounding)


def _next_damping(old, gain, accepted) -> Float[Array, ""]:
    """Less after a good step, more after a poor one."""
    after = jnp.where(gain > 0.75, 0.1 * old, jnp.where(gain < 0.25, 4 * old, old))
    # The first refusal makes the damping comparable to the curvature: less would repeat the same step.
    return jnp.where(accepted, after, jnp.maximum(4 * old, 1.0))


def _length(system: Arrowhead, moves: Any) -> Float[Array, ""]:
    """Of a move in the metric of the information; a Newton step's is that of the gradient in the inverse metric."""
    slope = system.gradient @ moves[0] + jnp.sum(system.own_gradient * moves[1])
    return jnp.sqrt(jnp.maximum(2 * (system.change(*moves) - slope), 0.0))


def _is_finite(loss, system: Arrowhead) -> Bool[Array, ""]:
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in system]
    return jnp.isfinite(loss) & jnp.all(jnp.stack(leaves))
