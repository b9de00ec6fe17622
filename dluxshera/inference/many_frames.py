"""Fit of many frames at once, by Fisher scoring on the arrowhead."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .arrowhead import Arrowhead, covariance_of_shared, own_variance, reduce_arrowhead
from .engines import MOST_REJECTIONS, FitResult, check_max_steps, check_positive
from .fit import IdentifiabilityWarning
from .frame_stack import FrameStack
from .frame_steps import FrameState, next_state, start_state


class FrameSolution(eqx.Module):
    """What a fit of many frames found.

    Attributes
    ----------
    shared : Array (S,)
        θ of what the frames share, in the order of `stack.shared_labels`.
    own : Array (F, d)
        θ of each frame's own, in the order of `stack.own_labels`.
    covariance : Array (S, S)
        Of `shared`, marginalised over the frames' own; infinite where nothing constrains.
    own_variance : Array (F, d)
        Of `own`, marginalised over the shared; infinite where nothing constrains.
    loss : Array (T,)
        At the start and after every try.
    chi_square : Array (F,)
    result : FitResult
    stats : dict
        `steps`, `seconds`, `degrees_of_freedom`, `undetermined` (labels).
    state : FrameState
    """

    shared: Float[Array, " S"]
    own: Float[Array, "F d"]
    covariance: Float[Array, "S S"]
    own_variance: Float[Array, "F d"]
    loss: Float[Array, " T"]
    chi_square: Float[Array, " F"]
    result: FitResult = eqx.field(static=True)
    stats: dict[str, Any] = eqx.field(static=True)
    stack: FrameStack
    state: FrameState

    @property
    def converged(self) -> bool:
        """Whether no element moves any more."""
        return self.result.is_convergence

    def value(self, name: str) -> Float[Array, "..."]:
        """Estimate of a parameter or element, in its unit: of its shape, or (F, ...) where each frame has its own."""
        return self._read(name, jax.vmap(self.stack.space.physical)(self._thetas()))

    def sigma(self, name: str) -> Float[Array, "..."]:
        """One-sigma error, in the unit and shape of `value`."""
        sigmas = jax.vmap(self.stack.frame_theta, in_axes=(None, 0))(
            jnp.sqrt(jnp.diagonal(self.covariance)), jnp.sqrt(self.own_variance)
        )
        return self._read(name, sigmas * jax.vmap(self.stack.space.jacobian_diag)(self._thetas()))

    def _thetas(self) -> Float[Array, "F D"]:
        return jax.vmap(self.stack.frame_theta, in_axes=(None, 0))(self.shared, self.own)

    def _read(self, name: str, rows: Float[Array, "F D"]) -> Float[Array, "..."]:
        space = self.stack.space
        where = space.slice(name)
        shape = next((e.shape for e in space.index_map.entries if (e.start, e.stop) == (where.start, where.stop)), ())
        shaped = rows[:, where].reshape(-1, *shape)
        return shaped if set(range(space.dim)[where]) & set(self.stack.own) else shaped[0]


def fit_frames(
    stack: FrameStack,
    theta: Float[Array, " D"],
    own: Float[ArrayLike, "F d"] | None = None,
    *,
    max_steps: int = 50,
    tolerance: float = 1e-4,
    damping: float = 1e-6,
    on_step: Callable[[FrameState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FrameSolution:
    """Levenberg-Marquardt on a stack of frames; time and memory grow linearly with their number.

    Parameters
    ----------
    stack : FrameStack
    theta : Array (D,)
        Start of every frame, as `space.pack(model)` gives it.
    own : Array (F, d), optional
        Start of each frame's own elements, where they differ from those of `theta`.
    max_steps : int
        Most tries, refused ones included.
    tolerance : float
        Converged when the next full step moves no element by more than this many standard deviations.
    damping : float
        At the start, relative to the diagonal of the information.
    on_step, should_stop : callable
        As for `fit`.

    Raises
    ------
    ValueError
        If a start has another shape, or is not finite, or a setting is not above zero.

    Warns
    -----
    IdentifiabilityWarning
        Before the first step, naming what the frames do not determine; it is held along that.
    """
    check_max_steps(max_steps)
    for name, number in (("tolerance", tolerance), ("damping", damping)):
        check_positive(name, jnp.asarray(number, float))
    started = time.perf_counter()
    state = next_state(stack, start_state(stack, theta, own, damping))
    if np.isfinite(state.loss) and (missing := _undetermined(stack, state)):
        warnings.warn(f"{', '.join(missing)}: not determined by the frames.", IdentifiabilityWarning, stacklevel=2)
    losses = [float(state.loss)]
    on_step(state)
    while (result := _outcome(state, max_steps, tolerance, should_stop)) == FitResult.RUNNING:
        state = next_state(stack, state)
        losses.append(float(state.loss))
        on_step(state)
    return _solution(stack, state, losses, result, time.perf_counter() - started)


def _outcome(state: FrameState, max_steps: int, tolerance: float, should_stop: Callable[[], bool]) -> FitResult:
    if not np.isfinite(state.loss):
        return FitResult.NOT_FINITE
    if float(state.distance) < tolerance:
        return FitResult.CONVERGED
    if int(state.rejections) >= MOST_REJECTIONS:
        return FitResult.STALLED
    if int(state.step) >= max_steps:
        return FitResult.STEP_LIMIT
    return FitResult.INTERRUPTED if should_stop() else FitResult.RUNNING


@eqx.filter_jit
def _spread(system: Arrowhead) -> tuple[Float[Array, "S S"], Float[Array, "F d"]]:
    """Covariance of the shared elements, and variances of the frames' own."""
    reduced = reduce_arrowhead(system)
    return covariance_of_shared(reduced), own_variance(system, reduced)


def _undetermined(stack: FrameStack, state: FrameState) -> tuple[str, ...]:
    """Labels of what has an infinite variance, in any frame."""
    covariance, variance = _spread(state.system)
    unknown = [*~np.isfinite(np.diagonal(covariance)), *np.any(~np.isfinite(variance), axis=0)]
    labels = stack.shared_labels + stack.own_labels
    return tuple(label for label, lost in zip(labels, unknown, strict=True) if lost)


@eqx.filter_jit
def _chi_square(stack: FrameStack, shared, own) -> Float[Array, " F"]:
    return stack.chi_square(shared, own)


def _solution(stack, state, losses, result, seconds) -> FrameSolution:
    covariance, variance = _spread(state.system)
    return FrameSolution(
        shared=state.shared,
        own=state.own,
        covariance=covariance,
        own_variance=variance,
        loss=jnp.asarray(losses),
        chi_square=_chi_square(stack, state.shared, state.own),
        result=result,
        stats={
            "steps": len(losses) - 1,
            "seconds": seconds,
            "degrees_of_freedom": int(jnp.sum(stack.frames.mask)) - stack.dim,
            "undetermined": _undetermined(stack, state),
        },
        stack=stack,
        state=state,
    )
