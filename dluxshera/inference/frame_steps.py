"""Steps of a fit of many frames: Fisher scoring on the arrowhead, damped as Marquardt does."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .arrowhead import Arrowhead, covariance_of_shared, own_variance, reduce_arrowhead, solve_arrowhead
from .frame_stack import FrameStack


class FrameState(eqx.Module):
    """Where a fit of many frames is: plain arrays.

    Attributes
    ----------
    shared : Array (S,)
    own : Array (F, d)
    loss, damping : Array ()
    step : Array () of int
        Tries so far; -1 before the start has been evaluated.
    rejections : Array () of int
        Tries refused in a row.
    distance : Array ()
        Largest move to the minimum of the quadratic, in standard deviations of each element.
    system : Arrowhead
        Quadratic at θ.
    """

    shared: Float[Array, " S"]
    own: Float[Array, "F d"]
    loss: Float[Array, ""]
    damping: Float[Array, ""]
    step: Int[Array, ""]
    rejections: Int[Array, ""]
    distance: Float[Array, ""]
    system: Arrowhead


def start_state(stack: FrameStack, theta: Any, own: Any, damping: float) -> FrameState:
    """State before the start has been evaluated."""
    theta = jnp.asarray(theta, float)
    if theta.shape != (stack.space.dim,):
        raise ValueError(f"Expected theta of shape ({stack.space.dim},), got {theta.shape}. Use space.pack(model).")
    frames, d, s = stack.num_observations, len(stack.own), len(stack.shared)
    same = jnp.broadcast_to(theta[np.array(stack.own, int)], (frames, d))
    own = same if own is None else jnp.asarray(own, float)
    if own.shape != (frames, d):
        raise ValueError(f"Expected own of shape {(frames, d)}, one row for each frame, got {own.shape}.")
    if not (np.isfinite(theta).all() and np.isfinite(own).all()):
        raise ValueError("Expected a finite start, got infinite or undefined numbers. Use space.pack(model).")
    blank = [(s, s), (frames, s, d), (frames, d, d), (s,), (frames, d)]
    nothing = Arrowhead(*(jnp.zeros(shape, theta.dtype) for shape in blank))
    infinite, zero = jnp.asarray(jnp.inf, theta.dtype), jnp.asarray(0)
    damping = jnp.asarray(damping, theta.dtype)
    return FrameState(theta[np.array(stack.shared)], own, infinite, damping, zero - 1, zero, infinite, nothing)


@eqx.filter_jit
def next_state(stack: FrameStack, state: FrameState) -> FrameState:
    """One damped step, taken where it lowers the loss by enough of what was predicted; the start is always taken."""
    damped = state.system.damped(state.damping)
    move, own_move = solve_arrowhead(damped, reduce_arrowhead(damped))
    shared, own = state.shared + move, state.own + own_move
    loss, system = stack.expansion(shared, own)
    gain, accepted = _judge(state, loss, system, -state.system.change(move, own_move))
    counters = _damping(state, gain, accepted), state.step + 1, jnp.where(accepted, 0, state.rejections + 1)
    tried = FrameState(shared, own, loss, *counters, _distance(system), system)
    kept = eqx.tree_at(lambda s: (s.damping, s.step, s.rejections), state, counters)
    return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), tried, kept)


def _damping(state: FrameState, gain, accepted) -> Float[Array, ""]:
    """Less after a good step, more after a poor one, as it was after the start."""
    old = state.damping
    after = jnp.where(gain > 0.75, 0.1 * old, jnp.where(gain < 0.25, 4 * old, old))
    # The first refusal makes the damping comparable to the curvature: less would repeat the same step.
    return jnp.where(state.step < 0, old, jnp.where(accepted, after, jnp.maximum(4 * old, 1.0)))


def _judge(state: FrameState, loss, system, predicted) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Gain over what was predicted, and whether it is enough; a rise within rounding is none."""
    rounding = 8 * jnp.finfo(loss.dtype).eps * jnp.abs(state.loss)
    gain = (state.loss - loss + rounding) / (predicted + rounding)
    finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(system.gradient)) & jnp.all(jnp.isfinite(system.own_gradient))
    return gain, (state.step < 0) | (finite & (gain > 0.01))


def _distance(system: Arrowhead) -> Float[Array, ""]:
    """Largest full step, in standard deviations."""
    reduced = reduce_arrowhead(system)
    moves = solve_arrowhead(system, reduced)
    spread = jnp.diagonal(covariance_of_shared(reduced)), own_variance(system, reduced)
    ratios = [jnp.max(jnp.where(v > 0, m**2 / v, 0.0), initial=0.0) for m, v in zip(moves, spread, strict=True)]
    return jnp.sqrt(jnp.maximum(*ratios))
