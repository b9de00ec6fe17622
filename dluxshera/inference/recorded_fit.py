"""A fit that is a run directory from its first step on, and the fit that goes on from one."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from . import run_artifacts as artifacts
from .engines import AbstractEngine, EngineState
from .fit import default_engine, fit
from .fit_record import checkpoints, fit_meta, index_map_of, outcome_summary, rules_from, states_from
from .loss_objective import as_objective
from .progress import FitProgress
from .run_fall_back import DamagedRunWarning as DamagedRunWarning
from .run_fall_back import newest_with_warning as newest_with_warning
from .run_lock import RunLock
from .run_writer import COMMIT_SECONDS, RunWriter
from .run_writer import CommitWarning as CommitWarning
from .solution import Solution
from .step_records import StepRecords
from .stopping import StoppingRules
from .trace import Trace

RECORD_EVERY = 10


class Rebuilt(NamedTuple):
    """What a run is resumed with: objective and engine, and what the record says besides, as for `recorded_fit`."""

    objective: Any
    engine: AbstractEngine
    under_way: Callable[[FitProgress], Mapping] = lambda progress: {}
    at_end: Callable[[Solution], tuple[Mapping, Mapping]] = lambda solution: ({}, {})


def recorded_fit(
    run_dir: artifacts.RunPath,
    objective: Any,
    theta: Float[Array, " D"],
    engine: AbstractEngine | None = None,
    *,
    meta: Mapping[str, Any] | None = None,
    observation: Mapping[str, Any] | None = None,
    extra: Mapping[str, Mapping] | None = None,
    overwrite: bool = False,
    every: float | int = COMMIT_SECONDS,
    save: Collection[str] = (),
    save_every: int = RECORD_EVERY,
    stopping: StoppingRules | None = None,
    on_step: Callable[[EngineState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
    under_way: Callable[[FitProgress], Mapping] = lambda progress: {},
    at_end: Callable[[Solution], tuple[Mapping, Mapping]] = lambda solution: ({}, {}),
) -> Solution:
    """Fit, and keep a run directory that loads, verifies and resumes whenever the process ends.

    The directory appears when the start has been evaluated, with status "running". A process that is killed loses what
    came after the last commit; `resumed_fit` finds it again, bit for bit.

    Parameters
    ----------
    run_dir : path
    objective, theta, engine, stopping, on_step, should_stop
        As for `fit`.
    meta : mapping, optional
        Further entries of `meta.json`; what θ is, the engine and its rules are filled in.
    observation : mapping of arrays, optional
        The data, so that the run can be resumed.
    extra : mapping of mappings of arrays, optional
        Further NPZ files.
    overwrite : bool
        Whether an existing run may be replaced.
    every : float, seconds
        Between two commits, which take two hundredths of the time at most; zero commits after every chunk of steps.
    save : collection of str
        Files of single steps to keep besides: "diag", "precond", "grads" (`StepRecords`).
    save_every : int
        Steps between two of those records.
    under_way, at_end : callable
        What `summary.json` says besides while the fit is under way, and at its end with further files (`curvature`).

    Returns
    -------
    Solution

    Raises
    ------
    RunLocked
        If somebody else is writing that run.
    RunExists, SchemaError, ValueError
        As `save_run`, before anything is computed.
    """
    objective = as_objective(objective)
    engine = default_engine(objective) if engine is None else engine
    records = StepRecords(save, save_every, objective)
    known = {"records": {"save": list(records.names), "every": save_every}, "objective": {}}
    stored = known | dict(meta or {}) | fit_meta(objective, theta, engine, stopping)
    with RunLock(run_dir):
        writer = RunWriter(run_dir, stored, observation=observation, extra=extra, every=every, overwrite=overwrite)
        recording = _Recording(writer, records, under_way, at_end)
        return recording.run(objective, theta, engine, stopping, on_step, should_stop)


def resumed_fit(
    run_dir: artifacts.RunPath,
    rebuild: Callable[[Path], Rebuilt],
    *,
    every: float | int = COMMIT_SECONDS,
    on_step: Callable[[EngineState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """Go on with the fit of a run directory, bit for bit as if it had never stopped.

    Parameters
    ----------
    run_dir : path
    rebuild : callable
        Gives objective and engine of the run, from the folder of its newest valid generation.
    every, on_step, should_stop
        As for `recorded_fit`.

    Returns
    -------
    Solution
        Trace, steps and seconds are those of the whole fit.

    Raises
    ------
    ValueError
        If the run has ended, or the objective is not its own.
    RunLocked
        If somebody is writing it.
    CorruptArtifact
        If every generation lacks a file that one cannot do without.

    Warns
    -----
    DamagedRunWarning
        If it goes on from an earlier generation, or without a damaged record of single steps.
    """
    with RunLock(run_dir):
        folder = newest_with_warning(Path(run_dir))
        meta, summary = artifacts.load_meta(folder), artifacts.load_summary(folder)
        _refuse_ended(Path(run_dir), summary)
        own = rebuild(folder)
        objective, engine = as_objective(own.objective), own.engine
        _check_layout(Path(run_dir), meta, objective)
        states = states_from(*(artifacts.load_checkpoint(folder, which) for which in ("final", "best")), engine)
        _refuse_at_its_limit(Path(run_dir), summary, engine)
        settings = meta.get("records", {"save": [], "every": RECORD_EVERY})
        records = StepRecords(settings["save"], settings["every"], objective)
        records.load(folder)
        rules = rules_from(meta["optimizer"].get("stopping"))
        stored = meta | fit_meta(objective, states[0].theta, engine, rules)
        writer = RunWriter(run_dir, stored, **_fixed_files(folder), every=every, overwrite=True)
        recording = _Recording(writer, records, own.under_way, own.at_end, artifacts.load_trace(folder), summary)
        return recording.run(objective, states[0].theta, engine, rules, on_step, should_stop, states)


@dataclasses.dataclass(eq=False)
class _Recording:
    """One fit and the writer of its record; `before` and `earlier` are trace and summary of what it goes on from."""

    writer: RunWriter
    records: StepRecords
    under_way: Callable[[FitProgress], Mapping]
    at_end: Callable[[Solution], tuple[Mapping, Mapping]]
    before: Mapping[str, np.ndarray] | None = None
    earlier: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    last: FitProgress | None = None
    begun: float = dataclasses.field(default_factory=time.perf_counter)

    def run(self, objective, theta, engine, stopping, on_step, should_stop, states=(None, None)) -> Solution:
        """Fit, commit on the way, and at the end."""
        go_on = {"state": states[0], "best_state": states[1], "chunk": self.records.chunk}
        calls = {"on_step": on_step, "on_progress": self.note, "should_stop": should_stop}
        with contextlib.ExitStack() as stack:
            stack.push(self._left)
            solution = self._whole(fit(objective, theta, engine, stopping=stopping, **calls, **go_on))
            summary, parts = self.at_end(solution)
        self._commit(solution.state, solution.best_state, self._arrays(solution.trace),
                     outcome_summary(solution) | dict(summary), **parts)  # fmt: skip
        return solution

    def note(self, progress: FitProgress) -> None:
        """Record a state, and commit if it is time."""
        is_known = self.last is None and self.before is not None  # the state that we go on from
        self.last = progress
        if not is_known:
            self.records.note(progress.state)
        if self.writer.is_due():
            with self.writer.under_way():
                self._commit_progress({"status": "running", "message": "under way"})

    def _left(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        """What an error leaves behind it is kept; the error goes on."""
        if isinstance(error, Exception):
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Keep how far an error let the fit come, if it had begun."""
        if self.writer.has_begun and not isinstance(error, artifacts.SchemaError | OSError):
            text = f"{type(error).__name__}: {error}"
            self._commit_progress({"status": "failed", "message": text[:2000]})

    def _commit_progress(self, summary: Mapping) -> None:
        progress = self.last
        known = {
            "num_steps_completed": int(progress.state.step),
            "converged": False,
            "runtime_total_s": self._seconds(),
            "nonfinite_steps": int(progress.state.tally.nonfinite),
        }
        found = {**self.under_way(progress), **known, **summary}
        self._commit(progress.state, progress.best_state, self._joined(progress.trace), found)

    def _commit(self, state: EngineState, best: EngineState, trace: Mapping, summary: Mapping, **parts: Any) -> None:
        self.writer.commit(trace, summary, **checkpoints(state, best), **self.records.parts(), **parts)

    def _seconds(self) -> float:
        return float(self.earlier.get("runtime_total_s", 0.0)) + time.perf_counter() - self.begun

    def _whole(self, solution: Solution) -> Solution:
        """The solution with trace, steps and seconds of the whole fit."""
        if self.before is None:
            return solution
        trace = Trace(**{name: jnp.asarray(array) for name, array in self._joined(solution.trace).items()})
        stats = solution.stats | {"steps": int(solution.state.step), "seconds": self._seconds()}
        return dataclasses.replace(solution, trace=trace, stats=stats)

    def _joined(self, trace: Trace) -> dict[str, np.ndarray]:
        arrays = self._arrays(trace)
        if self.before is None:
            return arrays
        return {name: np.concatenate([self.before[name], array[1:]]) for name, array in arrays.items()}

    @staticmethod
    def _arrays(trace: Trace) -> dict[str, np.ndarray]:
        fields = {f.name: getattr(trace, f.name) for f in dataclasses.fields(trace)}
        return {name: np.asarray(array) for name, array in fields.items() if array is not None}


def _refuse_ended(run_dir: Path, summary: Mapping[str, Any]) -> None:
    status, steps = summary["status"], summary["num_steps_completed"]
    if status == "ok" and summary.get("converged", True):
        raise ValueError(f"{run_dir} is complete: it converged after {steps} steps. There is nothing to resume.")
    if status == "failed" and summary.get("result") is not None:
        raise ValueError(f"{run_dir} has failed: {summary.get('message')}, after {steps} steps. Fit anew.")


def _refuse_at_its_limit(run_dir: Path, summary: Mapping[str, Any], engine: AbstractEngine) -> None:
    steps = summary["num_steps_completed"]
    if summary["status"] == "ok" and steps >= engine.max_steps:
        raise ValueError(
            f"{run_dir} is complete: it has done {steps} of {engine.max_steps} steps. "
            "Give a larger number of steps (max_steps, --max-steps) to go on."
        )


def _check_layout(run_dir: Path, meta: Mapping[str, Any], objective: Any) -> None:
    index_map, stored = index_map_of(objective), meta["theta"]["index_map"]["layout_hash"]
    if index_map is not None and index_map.layout_hash != stored:
        raise artifacts.SchemaError(
            f"Expected an objective with the layout of theta in {run_dir / 'meta.json'}, got another. "
            "Resume with the parameters that were free."
        )


def _fixed_files(folder: Path) -> dict[str, Any]:
    """Data and further files of a run, which stay as they are."""
    extra = {name: artifacts.load_arrays(folder, name) for name in artifacts.extra_names(folder)}
    given = artifacts.load_summary(folder).get("has_observation")
    return {"observation": artifacts.load_observation_arrays(folder) if given else None, "extra": extra}
