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
from .engines import MOST_REJECTIONS, AbstractEngine, EngineState, FitResult
from .fisher import Identifiability, covariance, fisher_information, identifiability, prior_information
from .levenberg_marquardt import LevenbergMarquardt
from .objective import Objective
from .trace import Trace


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
        Before the first step, naming dead parameters and degenerate combinations, which are held.
    """
    engine = LevenbergMarquardt() if engine is None else engine
    theta = _checked_start(objective, theta)
    started = time.perf_counter()
    state = _step(engine, objective, engine.init(theta))  # evaluates the start
    if not np.isfinite(state.loss):
        raise ValueError(f"Expected a finite loss at the start, got {float(state.loss)}. Start from other values.")
    report = identifiability(_curvature(objective, state)[1], objective.space.labels)
    if report.dead or report.degenerate:
        warnings.warn(str(report), IdentifiabilityWarning, stacklevel=2)
    states, result = _run(engine, objective, state, on_step, should_stop)
    return _solution(engine, objective, states, result, report, time.perf_counter() - started)


def _checked_start(objective: Objective, theta: Any) -> Float[Array, " D"]:
    theta = jnp.asarray(theta, float)
    if theta.shape != (objective.space.dim,):
        raise ValueError(f"Expected theta of shape ({objective.space.dim},), got {theta.shape}. Use space.pack(model).")
    if not np.isfinite(theta).all():
        raise ValueError("Expected a finite theta, got infinite or undefined numbers. Use space.pack(model).")
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


def _curvature(objective: Objective, state: EngineState) -> tuple[Float[Array, "D D"], Float[Array, "D D"]]:
    """Expected information of the data at a state's θ, and the same with that of the priors."""
    information = state.information
    if information is None:
        information = fisher_information(objective, state.theta)
    return information, information + prior_information(objective, state.theta)


def _run(engine, objective, state, on_step, should_stop) -> tuple[list[EngineState], FitResult]:
    """Every state, without the big arrays of all but the last, and how it ended."""
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


def _solution(engine, objective, states, result, report, seconds) -> Solution:
    best = states[int(np.argmin([float(s.loss) for s in states]))]
    information, curvature = _curvature(objective, best)
    spread = covariance(curvature)
    column = lambda name: jnp.stack([getattr(s, name) for s in states])  # noqa: E731
    return Solution(
        theta=best.theta,
        model=objective.space.unpack(best.theta, objective.model),
        information=information,
        covariance=spread,
        trace=Trace(*(column(name) for name in ("loss", "theta", "grad_norm", "step_norm", "accepted"))),
        engine=engine,
        result=result,
        stats={
            "steps": len(states) - 1,
            "seconds": seconds,
            **_goodness(objective, best, spread),
        },
        objective=objective,
        state=states[-1],
        identifiability=report,
    )


@eqx.filter_jit
def _residuals(objective: Objective, theta: Float[Array, " D"]) -> Float[Array, "n n"]:
    return objective.residuals(theta)


def _goodness(objective: Objective, best: EngineState, covariance_of_theta: Float[Array, "D D"]) -> dict[str, Any]:
    """Loss, chi-square, and the parameters within a standard deviation of a bound."""
    theta = best.theta
    chi_square = float(jnp.sum(_residuals(objective, theta) ** 2))
    freedom = int(jnp.sum(objective.mask)) - theta.shape[0]
    space = objective.space
    physical, (lower, upper) = np.asarray(space.physical(theta)), map(np.asarray, space.bounds)
    sigma = np.asarray(space.jacobian_diag(theta)) * np.sqrt(np.diagonal(np.asarray(covariance_of_theta)))
    touching = np.isfinite(sigma) & ((physical - lower < sigma) | (upper - physical < sigma))
    return {
        "loss": float(best.loss),
        "chi_square": chi_square,
        "degrees_of_freedom": freedom,
        "reduced_chi_square": chi_square / freedom if freedom > 0 else np.nan,
        "at_bounds": tuple(label for label, t in zip(space.labels, touching, strict=True) if t),
    }
