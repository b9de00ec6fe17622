"""A reconstruction that is a run directory from its start on, and the reconstruction that goes on from one."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..inference import LBFGS, state_arrays, state_from_arrays
from ..inference import run_artifacts as artifacts
from ..inference.recorded_fit import newest_with_warning
from ..inference.run_lock import RunLock
from ..inference.run_writer import COMMIT_SECONDS, RunWriter
from ..ptychography import MinibatchAdam, Progress, Reconstruction, Regularisers, ScanData, reconstruct
from ..ptychography.reconstruct import BATCH, EPOCHS, REFINED, TOTAL_VARIATION
from .scan_runs import found_summary, observation_arrays, open_scan_run, scan_meta, scan_trace

SETTINGS = ("modes", "refine", "likelihood", "seconds", "epochs", "seed", "hold_out", "total_variation", "batch",
            "from_object")  # fmt: skip
STATE, HISTORY = "state.", "history."


def reconstruct_to_run(
    run_dir: artifacts.RunPath,
    data: ScanData,
    modes: int = 1,
    refine: tuple[str, ...] = REFINED,
    likelihood: str = "poisson",
    seconds: float | int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    *,
    hold_out: float = 0.0,
    total_variation: float | int = TOTAL_VARIATION,
    batch: int = BATCH,
    from_object: bool = False,
    overwrite: bool = False,
    every: float | int = COMMIT_SECONDS,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Reconstruction:
    """Reconstruct, and write the run directory meanwhile: killed at any instant, it can be resumed.

    The directory appears when the start has been evaluated, with the scan and status "running".

    Parameters
    ----------
    run_dir : path
    data, modes, refine, likelihood, seconds, epochs, seed, hold_out, batch, from_object, on_epoch, should_stop
        As for `reconstruct`.
    total_variation : float
        Weight of the object's total variation; zero for none.
    overwrite : bool
        Whether an existing run may be replaced.
    every : float, seconds
        Between two commits, which take two hundredths of the time at most; zero commits after every epoch.

    Raises
    ------
    RunLocked, RunExists, ScanError
        Before anything is computed.
    """
    if seconds is None and epochs is None:
        epochs = EPOCHS
    settings = {"modes": modes, "refine": refine, "likelihood": likelihood, "seconds": seconds, "epochs": epochs,
                "seed": seed, "hold_out": hold_out, "total_variation": total_variation, "batch": batch,
                "from_object": from_object}  # fmt: skip
    data = data.load()
    with RunLock(run_dir):
        writer = _writer(run_dir, data, scan_meta(data, settings), every, overwrite)
        return _Recording(writer, on_epoch).run(data, settings, should_stop)


def resume_reconstruction(
    run_dir: artifacts.RunPath,
    *,
    epochs: int | None = None,
    every: float | int = COMMIT_SECONDS,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Reconstruction:
    """Go on with the reconstruction of a run directory: with the epochs left, bit for bit as if it had never stopped
    (same device and precision), or with the seconds left.

    Parameters
    ----------
    run_dir : path
        That `reconstruct_to_run`, or the command line, wrote.
    epochs : int, optional
        In place of the epochs or seconds asked for, counted from the start.
    every, on_epoch, should_stop
        As for `reconstruct_to_run`.

    Raises
    ------
    ValueError
        If it has ended.
    RunLocked
        If somebody is writing it.
    CorruptArtifact, SchemaError
        If no generation is sound, or it is no record of a reconstruction that can go on.

    Warns
    -----
    DamagedRunWarning
        If it goes on from an earlier generation, naming what is damaged.
    """
    path = Path(run_dir)
    with RunLock(path):
        folder = newest_with_warning(path)
        run = open_scan_run(folder)
        progress = _stored_progress(folder, path)
        settings = {name: run.meta["optimizer"][name] for name in SETTINGS}
        _refuse_ended(path, run.summary, settings, epochs)
        if epochs is not None:
            settings |= {"seconds": None, "epochs": epochs}
        data = run.data()
        meta = run.meta | {"optimizer": run.meta["optimizer"] | settings}
        writer = _writer(path, data, meta, every, overwrite=True)
        recording = _Recording(writer, on_epoch, float(run.summary.get("runtime_total_s", 0.0)))
        return recording.run(data, settings, should_stop, progress)


def _writer(
    run_dir: artifacts.RunPath, data: ScanData, meta: Mapping, every: float | int, overwrite: bool
) -> RunWriter:
    return RunWriter(run_dir, meta, observation=observation_arrays(data), every=every, overwrite=overwrite)


@dataclasses.dataclass(eq=False)
class _Recording:
    """One reconstruction and the writer of its record; `before` are the seconds that it took until it went on."""

    writer: RunWriter
    on_epoch: Callable[[Progress], None]
    before: float = 0.0
    last: Progress | None = None
    begun: float = dataclasses.field(default_factory=time.perf_counter)

    def run(self, data: ScanData, settings: Mapping, should_stop, resume: Progress | None = None) -> Reconstruction:
        """Reconstruct, commit on the way, and at the end."""
        calls = {"on_epoch": self.note, "should_stop": should_stop, "resume": resume}
        with contextlib.ExitStack() as stack:
            stack.push(self._left)
            found = reconstruct(data, **_arguments(settings), **calls)
        summary = found_summary(found, found.facts["interrupted"], bool(self.last.state.converged))
        summary |= {name: found.facts[name] for name in ("stage_epochs", "compile_seconds")}
        self._commit(summary, reconstruction=found.arrays())
        return found

    def note(self, progress: Progress) -> None:
        """Tell of an epoch, and commit if it is time."""
        self.last = progress
        self.on_epoch(progress)
        if self.writer.is_due():
            with self.writer.under_way():
                self._commit(self._under_way("running", "under way"))

    def _left(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        """What an error leaves behind it is kept; the error goes on."""
        if isinstance(error, Exception):
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Keep how far an error let it come, if it had begun."""
        if self.writer.has_begun and not isinstance(error, artifacts.SchemaError | OSError):
            self._commit(self._under_way("failed", f"{type(error).__name__}: {error}"[:2000]))

    def _under_way(self, status: str, message: str) -> dict[str, Any]:
        history = self.last.history
        known = {"deviance": history["deviance"][-1], "optimisation_s": history["seconds"][-1]}
        return {"status": status, "message": message, "converged": False, **known}

    def _commit(self, summary: Mapping, **parts: Any) -> None:
        known = {"runtime_total_s": self.before + time.perf_counter() - self.begun,
                 "nonfinite_steps": self.last.history["finite"].count(False)}  # fmt: skip
        self.writer.commit(
            scan_trace(self.last.history), {**summary, **known}, progress=progress_arrays(self.last), **parts
        )


def _arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as `reconstruct` takes them."""
    given = {name: value for name, value in settings.items() if name != "total_variation"}
    regularisers = Regularisers(total_variation=settings["total_variation"] or None)
    return given | {"refine": tuple(settings["refine"]), "regularisers": regularisers}


def progress_arrays(progress: Progress) -> dict[str, np.ndarray]:
    """Give everything in a `Progress` as NumPy arrays: what `progress.npz` holds."""
    state = {STATE + name: array for name, array in state_arrays(progress.state).items()}
    history = {HISTORY + name: np.asarray(values) for name, values in progress.history.items()}
    own = {name: np.asarray(getattr(progress, name)) for name in ("stage", "begin", "lengths")}
    return {**own, **state, **history}


def progress_from_arrays(arrays: Mapping[str, np.ndarray]) -> Progress:
    """Give the `Progress` back that `progress_arrays` took apart, exactly; raises as `state_from_arrays`."""
    stage, begin = int(arrays["stage"]), arrays["begin"]
    engine = MinibatchAdam() if stage < 2 else LBFGS()  # of the stages; their settings shape no state
    state = {name.removeprefix(STATE): array for name, array in arrays.items() if name.startswith(STATE)}
    history = {name.removeprefix(HISTORY): array.tolist() for name, array in arrays.items() if name.startswith(HISTORY)}
    return Progress(stage, begin, state_from_arrays(engine, state, begin.size), arrays["lengths"].tolist(), history)


def _stored_progress(folder: Path, run_dir: Path) -> Progress:
    if "progress" not in artifacts.extra_names(folder):
        raise artifacts.SchemaError(f"{run_dir} was saved without progress.npz, where to go on. Reconstruct again.")
    return progress_from_arrays(artifacts.load_arrays(folder, "progress"))


def _refuse_ended(run_dir: Path, summary: Mapping[str, Any], settings: Mapping, epochs: int | None) -> None:
    done = summary["num_steps_completed"]
    if summary["status"] == "failed" and summary.get("result") is not None:
        raise ValueError(f"{run_dir} has failed after {done} epochs: {summary['message']}. Reconstruct anew.")
    if epochs is not None and epochs < done:
        raise ValueError(f"{run_dir} has done {done} epochs, more than {epochs}. Give a larger number (--max-steps).")
    if summary["status"] != "ok":
        return
    if summary["converged"]:
        raise ValueError(f"{run_dir} is complete: it converged after {done} epochs. There is nothing to resume.")
    if epochs is None or epochs <= done:
        limit = f"{settings['seconds']:g} s" if settings["epochs"] is None else f"{settings['epochs']} epochs"
        raise ValueError(
            f"{run_dir} is complete: it has done {done} epochs, {limit} were asked for. "
            "Give a larger number of epochs (epochs, --max-steps) to go on."
        )
