"""One call that fits, whatever the engine."""

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .abstract_objective import check_informed, is_informed
from .engines import RESULTS, AbstractEngine, EngineState, FitResult, check_whole
from .fisher import Identifiability, covariance, fisher_information, prior_information
from .identifiability_report import identifiability_of
from .levenberg_marquardt import LevenbergMarquardt
from .loop import Course, Rows, begin, row_of, run_chunk
from .loss_objective import LossObjective, as_objective, check_loss, with_one_loss
from .nonfinite import first_bad
from .outliers import warn_of_outliers
from .progress import FitProgress, trace_of
from .quasi_newton import LBFGS
from .solution import Solution as Solution
from .solution import goodness, whitened_residuals
from .stopping import StoppingRules, outcome

REPORT_SECONDS = 0.3  # chunks are cut to about this long
ROW_NUMBERS = 20_000_000  # most numbers of θ in one chunk of rows


class PrecisionWarning(UserWarning):
    """Single precision cannot carry the precision that the fit asks for."""


class IdentifiabilityWarning(UserWarning):
    """The data do not determine some of the parameters that are free."""


def fit(
    objective: Any,
    theta: Float[Array, " D"],
    engine: AbstractEngine | None = None,
    *,
    on_step: Callable[[EngineState], None] = lambda state: None,
    on_progress: Callable[[FitProgress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    stopping: StoppingRules | None = None,
    chunk: int | None = None,
    record_theta: bool = True,
    state: EngineState | None = None,
    best_state: EngineState | None = None,
    warm: EngineState | None = None,
) -> Solution:
    """Lower an objective from a start.

    Parameters
    ----------
    objective : AbstractObjective or callable
        Anything with `loss(theta)`, or a plain function of θ, which becomes a `LossObjective`. Without expected
        information (`AbstractInformedObjective`) the solution has no covariance.
    theta : Array (D,)
        The start, as `ThetaSpace.pack` gives it. Without expected information it keeps its precision, and the fit
        is done in that.
    engine : AbstractEngine
        By default Levenberg-Marquardt, or L-BFGS for an objective without expected information.
    on_step : callable
        Called with the state after the start and after every chunk of steps: progress, checkpoints.
    on_progress : callable
        Called after `on_step`, with everything a record of the fit needs: `recorded_fit` commits it to a run directory.
    should_stop : callable
        Asked after every chunk; true ends the fit as interrupted, with everything found so far.
    stopping : StoppingRules
        Tolerances and a time limit besides the engine's own criterion.
    chunk : int
        Steps between two calls of `on_step`. By default as many as take a third of a second, and one for engines
        whose steps are expensive (`AbstractEngine.chunk`).
    record_theta : bool
        Whether the trace holds θ of every step; leave it out where θ is long.
    state : EngineState
        Go on from a saved state (`solution.state`, `state_from_arrays`) with the same engine and objective, bit for
        bit as if there had been no break; `theta` must be the state's own.
    best_state : EngineState
        With `state`: the best before the break, where that is not the state itself.
    warm : EngineState
        Start at `theta` with what an engine learned in another fit (damping, moments, curvature pairs): for other
        data, or another model, of the same θ. Steps are counted from zero; information, whitening and the rates that
        follow from the curvature at the start are found anew.

    Raises
    ------
    ValueError
        If `theta` is not finite or has another length than the objective's space, `state` is not one of this
        objective, or the engine needs information that the objective does not have.

    Warns
    -----
    PrecisionWarning
        In single precision, where errors are asked for.
    BadPixelWarning
        If a few pixels carry most of chi-square at the start, and nothing beside them does.
    IdentifiabilityWarning
        Before the first step, naming dead parameters and degenerate combinations, which are held.
    """
    objective = as_objective(objective)
    engine = chosen_engine(objective, engine)
    rules, started = stopping or StoppingRules(), time.perf_counter()
    theta = _checked_start(objective, theta)
    objective = with_one_loss(objective, theta)
    first = _first_state(objective, engine, theta, state, warm)
    run = _Run(engine, objective, rules, record_theta, chunk)
    course, rows = run.start(first, best_state)
    report = _report(objective, course.state)

    def tell(course: Course, rows: list[Rows]) -> None:
        on_step(course.state)
        on_progress(FitProgress(course.state, course.best, list(rows)))

    tell(course, rows)
    course, rows, result = run.go_on(course, rows, started, tell, should_stop)
    return _solution(engine, objective, course, rows, result, report, time.perf_counter() - started)


def default_engine(objective: Any) -> AbstractEngine:
    """Levenberg-Marquardt; L-BFGS for an objective without expected information."""
    return LevenbergMarquardt() if is_informed(objective) else LBFGS()


def chosen_engine(objective: Any, engine: Any) -> AbstractEngine:
    """The engine, or the default one.

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If it needs information that the objective does not have.
    """
    engine = default_engine(objective) if engine is None else engine
    if not isinstance(engine, AbstractEngine):
        raise TypeError(f"Expected an engine, such as LevenbergMarquardt(), got {engine!r:.80}.")
    if engine.needs_information:
        check_informed(objective, type(engine).__name__)
    return engine


def _checked_start(objective: Any, theta: Any) -> Float[Array, " D"]:
    theta = jnp.asarray(theta)
    if jnp.iscomplexobj(theta):
        raise TypeError("Expected a real theta, got complex numbers. Give real and imaginary parts as elements.")
    keeps = jnp.issubdtype(theta.dtype, jnp.floating) and not is_informed(objective)
    theta = jnp.asarray(theta, jnp.promote_types(theta.dtype, jnp.float32) if keeps else float)
    wanted = (objective.space.dim,) if is_informed(objective) else theta.reshape(-1).shape
    if theta.shape != wanted:
        raise ValueError(f"Expected theta of shape {wanted}, got {theta.shape}. Use space.pack(model).")
    if not np.isfinite(theta).all():
        raise ValueError("Expected a finite theta, got infinite or undefined numbers. Use space.pack(model).")
    if theta.dtype != jnp.float64 and is_informed(objective):
        warnings.warn(
            f"Fitting in {theta.dtype}: a step at 10 arcsec is about a micro-arcsecond. Turn on double precision "
            'with jax.config.update("jax_enable_x64", True).',
            PrecisionWarning,
            stacklevel=3,
        )
    check_loss(objective, theta)
    return theta


@eqx.filter_jit
def _loss(objective: Any, theta: Float[Array, " D"]) -> Float[Array, ""]:
    return objective.loss(theta)


def _first_state(objective, engine, theta, state, warm) -> EngineState:
    """The state that a fit begins with: blank, with what another fit learned, or a saved one."""
    blank = engine.init(theta)
    if state is not None:
        _check_memory("state", state, blank, engine)
        return _checked_state(objective, engine, theta, state)
    if warm is None:
        return blank
    _check_memory("warm", warm, blank, engine)
    return eqx.tree_at(lambda s: s.memory, blank, warm.memory)


def _check_memory(name: str, given: EngineState, blank: EngineState, engine: AbstractEngine) -> None:
    """Raise ValueError unless an engine's memory is like that of a blank state."""
    outline = lambda s: (jax.tree.structure(s.memory), [jnp.shape(leaf) for leaf in jax.tree.leaves(s.memory)])  # noqa: E731
    if outline(given) != outline(blank):
        wanted = f"{type(engine).__name__} for {blank.theta.size} elements"
        raise ValueError(f"Expected {name} to be a state of {wanted}, got that of another engine or size.")


def _checked_state(
    objective: Any, engine: AbstractEngine, theta: Float[Array, " D"], state: EngineState
) -> EngineState:
    """A saved state, which must be one of this objective."""
    if theta.shape != state.theta.shape or not np.array_equal(theta, state.theta):
        raise ValueError("Expected theta to be the state's own, to go on from it. Pass warm= to start elsewhere.")
    if not engine.exact_loss:
        return state
    loss, stored = float(_loss(objective, state.theta)), float(state.loss)
    rounding = max(1e-6, 1e3 * float(jnp.finfo(state.loss.dtype).eps))
    if state.step >= 0 and not np.isclose(loss, stored, rtol=rounding, atol=rounding, equal_nan=True):
        raise ValueError(
            f"Expected a state of this objective, with loss {loss:.9g}, got {stored:.9g}. "
            "Pass warm= to begin with what another fit learned."
        )
    return state


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """Chunks of steps of one fit."""

    engine: AbstractEngine
    objective: Any
    rules: StoppingRules
    with_theta: bool
    chunk: int | None

    def __post_init__(self):
        if self.chunk is not None:
            check_whole("chunk", self.chunk)

    def start(self, state: EngineState, best: EngineState | None) -> tuple[Course, list[Rows]]:
        """The course and its first row; evaluates the start, unless it has been."""
        course = begin(state, best)
        if state.step < 0:
            return self._chunk(course, 1)
        code = outcome(self.engine, self.rules, course.state, course.state)
        return course._replace(code=code), [jax.device_get(row_of(course.state, self.with_theta))]

    def go_on(self, course, rows, started, tell, should_stop) -> tuple[Course, list[Rows], FitResult]:
        """Chunk after chunk until something ends the fit."""
        steps = self.chunk or 1
        while (result := self._result(course, started, should_stop)) == FitResult.RUNNING:
            before = time.perf_counter()
            course, more = self._chunk(course, steps)
            rows += more
            tell(course, rows)
            steps = self.chunk or self._next(steps, time.perf_counter() - before)
        return course, rows, result

    def _chunk(self, course: Course, steps: int) -> tuple[Course, list[Rows]]:
        arguments = (self.engine, self.objective, self.rules, course, jnp.asarray(steps, int))
        course, rows, done = run_chunk(*arguments, self._capacity(course), self.with_theta)
        return course, [jax.tree.map(lambda x: x[: int(done)], jax.device_get(rows))]

    def _capacity(self, course: Course) -> int:
        wanted = self.chunk or self.engine.chunk
        return max(1, min(wanted, ROW_NUMBERS // max(course.state.theta.size, 1)) if self.with_theta else wanted)

    def _next(self, steps: int, seconds: float) -> int:
        """How many steps fill the time between two reports, growing at most eightfold at once."""
        wanted = steps * REPORT_SECONDS / max(seconds, 1e-6)
        return int(max(1, min(wanted, 8 * steps, self.engine.chunk)))

    def _result(self, course: Course, started: float, should_stop: Callable[[], bool]) -> FitResult:
        result = RESULTS[int(course.code)]
        if result != FitResult.RUNNING:
            return result
        limit = self.rules.seconds
        if limit is not None and time.perf_counter() - started > float(limit):
            return FitResult.TIME_LIMIT
        return FitResult.INTERRUPTED if should_stop() else FitResult.RUNNING


def _report(objective: Any, state: EngineState) -> Identifiability | None:
    """What the data cannot determine at the start, with a warning; None where that cannot be known."""
    if not is_informed(objective):
        return None
    curvature = _curvature(objective, state)[1]
    if not np.isfinite(curvature).all():
        return Identifiability((), (), np.nan)
    warn_of_outliers(whitened_residuals(objective, state.theta))
    report = identifiability_of(objective.space, curvature)
    if report.dead or report.degenerate:
        warnings.warn(str(report), IdentifiabilityWarning, stacklevel=3)
    return report


def _curvature(objective: Any, state: EngineState) -> tuple[Float[Array, "D D"], Float[Array, "D D"]]:
    """Expected information of the data at a state's θ, and the same with that of the priors."""
    information = state.information
    if information is None:
        information = fisher_information(objective, state.theta)
    return information, information + prior_information(objective, state.theta)


def _first_bad(objective: Any, state: EngineState, result: FitResult) -> str | None:
    """What made the last such try not finite, whether the fit ended by it or by a limit in front of it."""
    met = int(state.tally.nonfinite) > 0 and not (result.is_convergence or result == FitResult.INTERRUPTED)
    return first_bad(objective, state) if met or result == FitResult.NOT_FINITE else None


def _refined(result: FitResult, pinned: tuple[str, ...], spread: Float[Array, "D D"]) -> FitResult:
    """How a fit ended, where parameters ran into bounds, or have no error."""
    if pinned and (result.is_convergence or result == FitResult.STALLED):
        return FitResult.AT_BOUND
    lost = bool(np.isinf(np.diagonal(spread)).any())
    return FitResult.UNDETERMINED if lost and result == FitResult.CONVERGED else result


def _solution(engine, objective, course, rows, result, report, seconds) -> Solution:
    best, tally = course.best, course.state.tally
    stats = {
        "steps": sum(len(part.loss) for part in rows) - 1,
        "seconds": seconds,
        "loss": float(best.loss),
        "best_step": int(best.step),
        "refused_steps": int(tally.refused),
        "nonfinite_steps": int(tally.nonfinite),
        "first_bad": _first_bad(objective, course.state, result),
    }
    known = {"model": None, "information": None, "covariance": None}
    if is_informed(objective):
        information, curvature = _curvature(objective, best)
        spread = covariance(curvature) if np.isfinite(curvature).all() else jnp.full_like(curvature, jnp.nan)
        stats |= goodness(objective, best.theta, spread)
        result = _refined(result, stats["pinned"], spread)
        known = {"information": information, "covariance": spread}
        known["model"] = objective.space.unpack(best.theta, objective.model)
    return Solution(
        theta=best.theta,
        trace=trace_of(rows),
        engine=engine,
        result=result,
        stats=stats,
        objective=objective,
        state=course.state,
        best_state=best,
        identifiability=report,
        aux=objective.aux(best.theta) if isinstance(objective, LossObjective) else None,
        **known,
    )
