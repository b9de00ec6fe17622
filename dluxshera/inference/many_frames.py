"""Fit of many frames at once, by Fisher scoring on the arrowhead."""

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .arrowhead import Arrowhead, covariance_of_shared, own_variance, reduce_arrowhead
from .engines import EngineState, FitResult
from .fit import IdentifiabilityWarning, Solution, fit
from .frame_scoring import FrameScoring
from .frame_stack import FrameStack
from .stopping import StoppingRules
from .trace import Trace


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
    trace : Trace
        Of the start and of every try, without θ.
    chi_square : Array (F,)
    result : FitResult
    stats : dict
        As of any `Solution`, and `degrees_of_freedom`, `undetermined` (labels).
    state : EngineState
    """

    shared: Float[Array, " S"]
    own: Float[Array, "F d"]
    covariance: Float[Array, "S S"]
    own_variance: Float[Array, "F d"]
    trace: Trace
    chi_square: Float[Array, " F"]
    result: FitResult = eqx.field(static=True)
    stats: dict[str, Any] = eqx.field(static=True)
    stack: FrameStack
    state: EngineState

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
    stack: Any,
    theta: Float[Array, " D"],
    own: Float[ArrayLike, "F d"] | None = None,
    *,
    max_steps: int = 50,
    tolerance: float = 1e-4,
    damping: float = 1e-6,
    on_step: Callable[[EngineState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
    stopping: StoppingRules | None = None,
    state: EngineState | None = None,
) -> FrameSolution:
    """Levenberg-Marquardt on a stack of frames; time and memory grow linearly with their number.

    It is `fit` with `FrameScoring` as engine, and errors of what the frames share and of what each has for itself.

    Parameters
    ----------
    stack : FrameStack
    theta : Array (D,)
        Start of every frame, as `space.pack(model)` gives it.
    own : Array (F, d), optional
        Start of each frame's own elements, where they differ from those of `theta`.
    max_steps, tolerance, damping
        As `FrameScoring` has them.
    on_step, should_stop, stopping
        As for `fit`.
    state : EngineState
        Go on from a saved state of the same stack (`solution.state`), bit for bit; `theta` and `own` are not looked at.

    Raises
    ------
    TypeError
        If `stack` is no `FrameStack`.
    ValueError
        If a start has another shape, or is not finite, a setting is not above zero, or `state` is of another stack.

    Warns
    -----
    IdentifiabilityWarning
        Before the first step, naming what the frames do not determine; it is held along that.
    """
    engine = FrameScoring.of(stack, max_steps=max_steps, tolerance=tolerance, damping=damping)

    def tell(state: EngineState) -> None:
        if state.step == 0 and np.isfinite(state.loss) and (missing := _undetermined(stack, state)):
            warnings.warn(f"{', '.join(missing)}: not determined by the frames.", IdentifiabilityWarning, stacklevel=4)
        on_step(state)

    begin = _start(stack, theta, own) if state is None else state.theta
    course = {"on_step": tell, "should_stop": should_stop, "stopping": stopping, "record_theta": False}
    return _frame_solution(stack, fit(stack, begin, engine, chunk=1, state=state, **course))


def _start(stack: FrameStack, theta: Any, own: Any) -> Float[Array, " D"]:
    """θ of the stack."""
    theta = jnp.asarray(theta, float)
    if theta.shape != (stack.space.dim,):
        raise ValueError(f"Expected theta of shape ({stack.space.dim},), got {theta.shape}. Use space.pack(model).")
    shape = (stack.num_observations, len(stack.own))
    same = jnp.broadcast_to(theta[np.array(stack.own, int)], shape)
    own = same if own is None else jnp.asarray(own, float)
    if own.shape != shape:
        raise ValueError(f"Expected own of shape {shape}, one row for each frame, got {own.shape}.")
    return stack.join(theta[np.array(stack.shared)], own)


@eqx.filter_jit
def _spread(system: Arrowhead) -> tuple[Float[Array, "S S"], Float[Array, "F d"]]:
    """Covariance of the shared elements, and variances of the frames' own."""
    reduced = reduce_arrowhead(system)
    return covariance_of_shared(reduced), own_variance(system, reduced)


def _undetermined(stack: FrameStack, state: EngineState) -> tuple[str, ...]:
    """Labels of what has an infinite variance, in any frame."""
    covariance, variance = _spread(state.memory.system)
    unknown = [*~np.isfinite(np.diagonal(covariance)), *np.any(~np.isfinite(variance), axis=0)]
    labels = stack.shared_labels + stack.own_labels
    return tuple(label for label, lost in zip(labels, unknown, strict=True) if lost)


@eqx.filter_jit
def _chi_square(stack: FrameStack, shared, own) -> Float[Array, " F"]:
    return stack.chi_square(shared, own)


def _frame_solution(stack: FrameStack, found: Solution) -> FrameSolution:
    best = found.best_state
    shared, own = stack.split(best.theta)
    covariance, variance = _spread(best.memory.system)
    more = {
        "degrees_of_freedom": int(jnp.sum(stack.frames.mask)) - stack.dim,
        "undetermined": _undetermined(stack, best),
    }
    return FrameSolution(
        shared=shared,
        own=own,
        covariance=covariance,
        own_variance=variance,
        trace=found.trace,
        chi_square=_chi_square(stack, shared, own),
        result=found.result,
        stats=found.stats | more,
        stack=stack,
        state=found.state,
    )
