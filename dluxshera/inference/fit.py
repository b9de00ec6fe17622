"""One call that fits, whatever the engine."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..params import get_value
from .engines import AbstractEngine, EngineState, FitResult
from .fisher import Identifiability, covariance, fisher_information, identifiability, prior_information
from .levenberg_marquardt import LevenbergMarquardt
from .objective import Objective
from .trace import Trace

MOST_REJECTIONS = 12  # tries in a row that did not lower the loss


class PrecisionWarning(UserWarning):
    """Single precision cannot carry the precision that the fit asks for."""


class IdentifiabilityWarning(UserWarning):
    """The data do not determine some of the parameters that are free."""


class Solution(eqx.Module):
    """What a fit found.

    Attributes
    ----------
    theta : Array (D,)
    model : eqx.Module
        The model at the optimum.
    information : Array (D, D)
        Expected information of the data about θ at the optimum, without priors.
    covariance : Array (D, D)
        Of θ, from the expected information and the curvature of the priors; infinite where nothing constrains.
    trace : Trace
    engine : AbstractEngine
    result : FitResult
    stats : dict
        `steps`, `seconds`, `loss`, `chi_square`, `degrees_of_freedom`, `reduced_chi_square`, `at_bounds`.
    state : EngineState
        From which to go on.
    identifiability : Identifiability
    """

    theta: Float[Array, " D"]
    model: Any
    information: Float[Array, "D D"]
    covariance: Float[Array, "D D"]
    trace: Trace
    engine: AbstractEngine
    result: FitResult = eqx.field(static=True)
    stats: dict[str, Any] = eqx.field(static=True)
    objective: Objective
    state: EngineState
    identifiability: Identifiability = eqx.field(static=True)

    @property
    def converged(self) -> bool:
        """Whether the engine's own criterion was met."""
        return self.result == FitResult.CONVERGED

    def sigma(self, name: str) -> Float[Array, "..."]:
        """One-sigma error of a parameter, alias or derived quantity, in its unit and shape.

        Parameters
        ----------
        name : str
            A dotted path; it need not be free in the fit, as long as it follows from what was.
        """
        space, model = self.objective.space, self.objective.model
        read = lambda theta: get_value(space.unpack(theta, model), name)  # noqa: E731
        slope = jax.jacfwd(read)(self.theta)
        infinite = ~jnp.isfinite(jnp.diagonal(self.covariance))
        finite = jnp.where(infinite[:, None] | infinite[None, :], 0.0, self.covariance)
        variance = jnp.einsum("...i,ij,...j->...", slope, finite, slope)
        unknown = jnp.any((slope != 0) & infinite, axis=-1)
        return jnp.where(unknown, jnp.inf, jnp.sqrt(variance))


def fit(
    objective: Objective,
    theta: Float[Array, " D"],
    engine: AbstractEngine | None = None,
    *,
    on_step: Callable[[EngineState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """Lower an objective from a start.

    Parameters
    ----------
    objective : Objective
    theta : Array (D,)
        The start, as `ThetaSpace.pack` gives it.
    engine : AbstractEngine
        Levenberg-Marquardt by default.
    on_step : callable
        Called with the state after the start and after every step: progress, checkpoints.
    should_stop : callable
        Asked after every step; true ends the fit as interrupted, with everything found so far.

    Raises
    ------
    ValueError
        If `theta` has another length than the objective's space, or the loss is not finite at the start.

    Warns
    -----
    PrecisionWarning
        In single precision.
    IdentifiabilityWarning
        Naming dead parameters and degenerate combinations, which are held.
    """
    engine = LevenbergMarquardt() if engine is None else engine
    theta = _checked_start(objective, theta)
    started = time.perf_counter()
    states, result = _run(engine, objective, theta, on_step, should_stop)
    return _solution(engine, objective, states, result, time.perf_counter() - started)


def _checked_start(objective: Objective, theta: Any) -> Float[Array, " D"]:
    theta = jnp.asarray(theta)
    if theta.shape != (objective.space.dim,):
        raise ValueError(f"Expected theta of shape ({objective.space.dim},), got {theta.shape}. Use space.pack(model).")
    if theta.dtype != jnp.float64:
        warnings.warn(
            f"Fitting in {theta.dtype}: a step at 10 arcsec is about a micro-arcsecond. Turn on double precision "
            'with jax.config.update("jax_enable_x64", True).',
            PrecisionWarning,
            stacklevel=3,
        )
    return theta


@eqx.filter_jit
def _step(engine: AbstractEngine, objective: Objective, state: EngineState) -> EngineState:
    return engine.step(objective, state)


def _run(engine, objective, theta, on_step, should_stop) -> tuple[list[EngineState], FitResult]:
    """Every state, without the big arrays of all but the last, and how it ended."""
    state = _step(engine, objective, engine.init(theta))
    if not np.isfinite(state.loss):
        raise ValueError(f"Expected a finite loss at the start, got {float(state.loss)}. Start from other values.")
    states = [state]
    on_step(state)
    while (result := _outcome(engine, state, should_stop)) == FitResult.RUNNING:
        state = _step(engine, objective, state)
        states = [*states[:-1], _light(states[-1]), state]
        on_step(state)
    return states, result


def _light(state: EngineState) -> EngineState:
    drop = lambda s: (s.information, s.memory)  # noqa: E731
    return eqx.tree_at(drop, state, (None, None), is_leaf=lambda leaf: leaf is None)


def _outcome(engine: AbstractEngine, state: EngineState, should_stop: Callable[[], bool]) -> FitResult:
    if bool(state.converged):
        return FitResult.CONVERGED
    if int(state.rejections) >= MOST_REJECTIONS:
        return FitResult.STALLED
    if int(state.step) >= engine.max_steps:
        return FitResult.STEP_LIMIT
    return FitResult.INTERRUPTED if should_stop() else FitResult.RUNNING


def _solution(engine, objective, states: list[EngineState], result: FitResult, seconds: float) -> Solution:
    best = states[int(np.argmin([float(s.loss) for s in states]))]
    information = best.information
    if information is None:
        information = fisher_information(objective, best.theta)
    curvature = information + prior_information(objective, best.theta)
    report = identifiability(curvature, objective.space.labels)
    if report.dead or report.degenerate:
        warnings.warn(str(report), IdentifiabilityWarning, stacklevel=3)
    column = lambda name: jnp.stack([getattr(s, name) for s in states])  # noqa: E731
    return Solution(
        theta=best.theta,
        model=objective.space.unpack(best.theta, objective.model),
        information=information,
        covariance=covariance(curvature),
        trace=Trace(*(column(name) for name in ("loss", "theta", "grad_norm", "step_norm", "accepted"))),
        engine=engine,
        result=result,
        stats={"steps": len(states) - 1, "seconds": seconds, **_goodness(objective, best.theta)},
        objective=objective,
        state=states[-1],
        identifiability=report,
    )


@eqx.filter_jit
def _residuals(objective: Objective, theta: Float[Array, " D"]) -> Float[Array, "n n"]:
    return objective.residuals(theta)


def _goodness(objective: Objective, theta: Float[Array, " D"]) -> dict[str, Any]:
    """Loss, chi-square and the parameters that stand at a bound."""
    chi_square = float(jnp.sum(_residuals(objective, theta) ** 2))
    freedom = int(jnp.sum(objective.mask)) - theta.shape[0]
    physical, (lower, upper) = (
        np.asarray(objective.space.physical(theta)),
        map(np.asarray, objective.space.bounds),
    )
    near = 1e-6 * np.where(np.isfinite(upper - lower), upper - lower, np.maximum(np.abs(physical), 1e-300))
    touching = (physical - lower < near) | (upper - physical < near)
    return {
        "chi_square": chi_square,
        "degrees_of_freedom": freedom,
        "reduced_chi_square": chi_square / freedom if freedom > 0 else np.nan,
        "at_bounds": tuple(label for label, t in zip(objective.space.labels, touching, strict=True) if t),
    }
