"""Fits of instruments that keep a run directory from their first step on, and go on from one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..inference import run_artifacts as artifacts
from ..inference._artifact_json import decode_json, encode_json
from ..inference.engines import AbstractEngine, EngineState, engine_settings
from ..inference.fit import Solution, default_engine
from ..inference.objective import Objective
from ..inference.recorded_fit import RECORD_EVERY, Rebuilt, recorded_fit, resumed_fit
from ..inference.run_writer import COMMIT_SECONDS
from ..inference.stopping import StoppingRules
from ..instrument import Instrument, Observation
from .derived_table import derived_table
from .profile import Profile
from .runs import Run, curvature_of, fit_summary, fixed_files, open_run, parameter_table, run_meta, table_without_errors
from .settings import engine_of


def fit_to_run(
    run_dir: artifacts.RunPath,
    objective: Objective,
    theta: Float[Array, " D"],
    engine: AbstractEngine | None = None,
    *,
    profile: Profile,
    observation: Observation,
    free: Sequence[str] | None = None,
    priors: bool = False,
    likelihood: str = "poisson",
    truth: Instrument | None = None,
    engine_choice: tuple[str | None, int | None] = (None, None),
    overwrite: bool = False,
    every: float | int = COMMIT_SECONDS,
    save: Collection[str] = (),
    save_every: int = RECORD_EVERY,
    stopping: StoppingRules | None = None,
    on_step: Callable[[EngineState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """Fit, and write the run directory as the fit goes on: killed at any instant, it can be resumed.

    Parameters
    ----------
    run_dir : path
    objective, theta, engine, stopping, on_step, should_stop
        As for `fit`; `objective.model` is the start.
    profile : Profile
        That the model was built from.
    observation : Observation
        The data of the objective.
    free, priors, likelihood
        What the objective was made with; `free` where it is not the profile's list.
    truth : Instrument, optional
        What the data were made with, if that is known.
    engine_choice : pair
        Name and step limit that `engine` was chosen by, where that was by name; `resume_run` builds it again.
    overwrite : bool
        Whether an existing run may be replaced.
    every : float, seconds
        Between two commits, which take two hundredths of the time at most; zero commits after every chunk of steps.
    save, save_every
        Records of single steps, "diag", "precond" or "grads", every so many steps.

    Raises
    ------
    RunLocked, RunExists, ValueError
        As `recorded_fit`, before anything is computed.
    """
    engine = default_engine(objective) if engine is None else engine
    start, (name, max_steps) = objective.model, engine_choice
    meta = run_meta(profile, observation, start, truth, free=free, priors=priors, likelihood=likelihood)
    own = _with_tables(objective, engine, start, truth)
    return recorded_fit(
        run_dir,
        objective,
        theta,
        engine,
        meta=meta | {"engine": {"name": name, "max_steps": max_steps}},
        observation=observation.arrays(),
        extra=fixed_files(objective.space, start, profile),
        overwrite=overwrite,
        every=every,
        save=save,
        save_every=save_every,
        stopping=stopping,
        on_step=on_step,
        should_stop=should_stop,
        under_way=own.under_way,
        at_end=own.at_end,
    )


def resume_run(
    run_dir: artifacts.RunPath,
    *,
    engine: AbstractEngine | None = None,
    max_steps: int | None = None,
    every: float | int = COMMIT_SECONDS,
    on_step: Callable[[EngineState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """Go on with the fit of a run directory, bit for bit as if it had never stopped (same device and precision).

    Parameters
    ----------
    run_dir : path
        That `fit_to_run`, or the command line, wrote.
    engine : AbstractEngine, optional
        The engine of the fit, where it was not chosen by name.
    max_steps : int, optional
        New step limit, counted from the start of the fit.
    every, on_step, should_stop
        As for `fit_to_run`.

    Returns
    -------
    Solution
        Trace, steps and seconds are those of the whole fit.

    Raises
    ------
    ValueError
        If the run has ended, or was made by another engine than can be rebuilt.
    RunLocked
        If somebody is writing it.
    CorruptArtifact, SchemaError
        If no generation is sound, or it is no record of a fit.

    Warns
    -----
    DamagedRunWarning
        If it goes on from an earlier generation, naming what is damaged.
    """
    rebuild = lambda folder: _rebuilt(open_run(folder), Path(run_dir), engine, max_steps)  # noqa: E731
    return resumed_fit(run_dir, rebuild, every=every, on_step=on_step, should_stop=should_stop)


def _rebuilt(run: Run, run_dir: Path, engine: AbstractEngine | None, max_steps: int | None) -> Rebuilt:
    objective = run.objective()
    if engine is None:
        engine = _same_engine(run, run_dir, objective, max_steps)
    return _with_tables(objective, engine, objective.model, run.truth_model())


def _same_engine(run: Run, run_dir: Path, objective: Objective, max_steps: int | None) -> AbstractEngine:
    """The engine of a run, which must be one that a name and the profile stand for."""
    choice, theta = run.meta.get("engine") or {}, jnp.asarray(run.trace()["theta"][0])
    # A run that was extended has its own limit, not the one that it was chosen with.
    limit = run.meta["optimizer"].get("max_steps", choice.get("max_steps")) if max_steps is None else max_steps
    engine = engine_of(run.profile, choice.get("name"), limit, objective, theta)
    stored, rebuilt = (_lasting(known) for known in (run.meta["optimizer"], _as_stored(engine_settings(engine))))
    changed = [key for key, value in rebuilt.items() if key in stored and stored[key] != value]
    if changed:
        raise ValueError(
            f"{run_dir}: expected the settings of the engine that it was fitted with, got others for {changed[0]!r}: "
            "another engine, or another precision. Resume from Python with resume_run(run_dir, engine=...)."
        )
    return engine


def _lasting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an engine without what follows from the step limit and from the start."""
    kept = {key: value for key, value in settings.items() if key != "max_steps"}
    if "options" in kept:
        kept["options"] = {key: value for key, value in kept["options"].items() if key not in ("steps", "sigma")}
    return kept


def _as_stored(settings: dict[str, Any]) -> dict[str, Any]:
    return decode_json(encode_json(settings, "engine"), "engine")


def _with_tables(objective: Objective, engine: AbstractEngine, start: Instrument, truth: Instrument | None) -> Rebuilt:
    """Objective and engine of a run, with what its summary says of the parameters."""

    def under_way(progress):
        return {"parameters": table_without_errors(objective.space, progress.best_state.theta, start, truth)}

    def at_end(solution):
        rows = parameter_table(solution, start, truth)
        summary = fit_summary(solution, rows, derived_table(solution, start, truth))
        return summary, {"curvature": curvature_of(solution)}

    return Rebuilt(objective, engine, under_way, at_end)
