"""The training of a network as a run directory from its start on, and the training that goes on from one."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..inference import run_artifacts as artifacts
from ..inference._artifact_json import decode_json, encode_json
from ..inference._artifact_manifest import read
from ..inference.recorded_fit import newest_with_warning
from ..inference.run_lock import RunLock
from ..inference.run_writer import COMMIT_SECONDS, RunWriter
from ..params.index_map import build_index_map
from ..ptychography import ScanData
from ..ptychography.network import Bundle, Trained, TrainingSettings, TrainingState, train
from ..ptychography.network.state_files import training_arrays, training_from_arrays
from .scan_runs import SCAN_NUMBERS, fingerprint, observation_arrays

HISTORY = "training_history.json"
RESULTS = {"epochs": "ok", "plateau": "ok", "nonfinite": "failed", "interrupted": "interrupted"}


def train_to_run(
    run_dir: artifacts.RunPath,
    data: ScanData,
    settings: TrainingSettings,
    *,
    start: Bundle | None = None,
    overwrite: bool = False,
    every: float | int = COMMIT_SECONDS,
    on_epoch: Callable[[TrainingState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train a network, and write the run directory meanwhile: killed at any instant, it can be resumed.

    The directory holds, besides what every run has, `bundle.npz` (see `load_bundle`), `training.npz` (where to go on)
    and `training_history.json`.

    Parameters
    ----------
    run_dir : path
    data, settings, start, on_epoch, should_stop
        As for `train`; of a start, the file that it came from and a hash of its weights are recorded.
    overwrite : bool
        Whether an existing run may be replaced.
    every : float, seconds
        Between two commits, which take two hundredths of the time at most; zero commits after every epoch.

    Raises
    ------
    RunLocked, RunExists, ScanError
        Before anything is computed.
    """
    data = data.load()
    with RunLock(run_dir):
        writer = RunWriter(
            run_dir,
            _meta(data, settings, start),
            observation=observation_arrays(data),
            every=every,
            overwrite=overwrite,
        )
        recording = _Recording(writer, data, settings, on_epoch)
        return recording.run(should_stop, start=start)


def resume_training(
    run_dir: artifacts.RunPath,
    *,
    epochs: int | None = None,
    every: float | int = COMMIT_SECONDS,
    on_epoch: Callable[[TrainingState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Go on with the training of a run directory, bit for bit as if it had never stopped (same device).

    Parameters
    ----------
    run_dir : path
    epochs : int, optional
        In place of those asked for, counted from the start.
    every, on_epoch, should_stop
        As for `train_to_run`.

    Raises
    ------
    ValueError
        If it has ended.
    RunLocked
        If somebody is writing it.
    CorruptArtifact, SchemaError, ScanError
        If no generation is sound, or it is no record of a training.
    """
    path = Path(run_dir)
    with RunLock(path):
        folder = newest_with_warning(path)
        run = open_network_run(folder)
        settings = run.settings if epochs is None else dataclasses.replace(run.settings, epochs=epochs)
        _refuse_ended(path, run.summary, settings)
        state = training_from_arrays(artifacts.load_arrays(folder, "training"), settings, str(path / "training.npz"))
        data = run.data()
        writer = RunWriter(
            path,
            run.meta | {"optimizer": _optimizer(settings)},
            observation=observation_arrays(data),
            every=every,
            overwrite=True,
        )
        before = float(run.summary.get("runtime_total_s", 0.0))
        return _Recording(writer, data, settings, on_epoch, before).run(should_stop, resume=state)


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkRun:
    """The run directory of a training, opened.

    Attributes
    ----------
    path : Path
    meta, summary : dict
    """

    path: Path
    meta: dict[str, Any]
    summary: dict[str, Any]

    @property
    def settings(self) -> TrainingSettings:
        """Of the training."""
        return TrainingSettings.from_record(self.meta["network"]["settings"])

    def data(self) -> ScanData:
        """The scan that the network was trained on."""
        scan: Mapping[str, Any] = self.meta["network"]["scan"]
        return ScanData(**artifacts.load_observation_arrays(self.path), **scan)

    def history(self) -> dict[str, Any]:
        """What `training_history.json` holds, with NaN for numbers that were not finite."""
        record = decode_json(read(self.path, HISTORY), str(self.path / HISTORY))
        missing = lambda value: np.nan if value is None else value  # noqa: E731
        return {
            name: [missing(value) for value in values] if isinstance(values, list) else values
            for name, values in (record | {"start_val_loss": missing(record["start_val_loss"])}).items()
        }


def is_network_run(run_dir: str | Path) -> bool:
    """Whether a run directory holds a training.

    Raises
    ------
    CorruptArtifact, SchemaError
        If its `meta.json` cannot be used.
    """
    return "network" in artifacts.load_meta(run_dir)


def open_network_run(run_dir: str | Path) -> NetworkRun:
    """Open a run directory that `train_to_run` wrote.

    Raises
    ------
    CorruptArtifact, SchemaError
        Naming the file and what is wrong with it.
    """
    path = Path(run_dir)
    meta, summary = artifacts.load_meta(path), artifacts.load_summary(path)
    if "network" not in meta:
        raise artifacts.SchemaError(f"{path / 'meta.json'}: expected the record of a training, got another run's.")
    return NetworkRun(path, meta, summary)


@dataclasses.dataclass(eq=False)
class _Recording:
    """One training and the writer of its record; `before` are the seconds that it took until it went on."""

    writer: RunWriter
    data: ScanData
    settings: TrainingSettings
    on_epoch: Callable[[TrainingState], None]
    before: float = 0.0
    last: TrainingState | None = None
    begun: float = dataclasses.field(default_factory=time.perf_counter)

    def run(self, should_stop: Callable[[], bool], **how: Any) -> Trained:
        """Train, commit on the way, and at the end."""
        with contextlib.ExitStack() as stack:
            stack.push(self._left)
            found = train(self.data, self.settings, on_epoch=self.note, should_stop=should_stop, **how)
        converged = found.result == "plateau"
        self._commit({"status": RESULTS[found.result], "message": found.message, "converged": converged})
        return found

    def note(self, state: TrainingState) -> None:
        """Tell of an epoch, and commit if it is time."""
        self.last = state
        self.on_epoch(state)
        if self.writer.is_due():
            with self.writer.under_way():
                self._commit({"status": "running", "message": "under way", "converged": False})

    def _left(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        """What an error leaves behind it is kept; the error goes on."""
        if isinstance(error, Exception) and self.writer.has_begun:
            if not isinstance(error, artifacts.SchemaError | OSError):
                text = f"{type(error).__name__}: {error}"[:2000]
                self._commit({"status": "failed", "message": text, "converged": False})

    def _commit(self, summary: Mapping) -> None:
        state = self.last
        bundle = state.bundle(self.settings, self.data)
        known = {"runtime_total_s": self.before + time.perf_counter() - self.begun, "nonfinite": state.nonfinite,
                 "nonfinite_steps": int(state.nonfinite is not None), **bundle.facts}  # fmt: skip
        self.writer.commit(
            _trace(state),
            {**known, **summary},
            files={HISTORY: encode_json(history_record(state), HISTORY)},
            bundle=bundle.arrays(),
            training=training_arrays(state),
        )


def history_record(state: TrainingState) -> dict[str, Any]:
    """What `training_history.json` holds: the columns of the history, one entry for every epoch, and the start.

    Numbers that are not finite are null, so that whoever reads standard JSON finds numbers or nothing.
    """
    columns = {name: [_or_null(value) for value in values] for name, values in state.history.items()}
    return {**columns, "epoch": list(range(1, state.epochs + 1)), "start_val_loss": _or_null(state.start_loss),
            "best_epoch": state.best_epoch, "first_nonfinite": state.nonfinite}  # fmt: skip


def _or_null(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _trace(state: TrainingState) -> dict[str, np.ndarray]:
    """Validation loss at the start and after every epoch; a θ without elements."""
    history = state.history
    loss = np.asarray([state.start_loss, *history["val_loss"]], float)
    rates = np.asarray([history["learning_rate"][0] if history["learning_rate"] else state.plateau.rate,
                        *history["learning_rate"]], float)  # fmt: skip
    norms = np.asarray([np.nan, *history["grad_norm"]], float)
    return {"loss": loss, "theta": np.zeros((len(loss), 0)), "base_lr": rates, "grad_norm": norms}


def _meta(data: ScanData, settings: TrainingSettings, start: Bundle | None) -> dict[str, Any]:
    scan = {"source": data.source, "interpolation": data.interpolation}
    scan |= {name: getattr(data, name) for name in SCAN_NUMBERS}
    return {
        "theta": {"dim": 0, "theta_space": "primitive", "index_map": build_index_map([]).to_dict()},
        "objective": {"likelihood": settings.loss.name, "data": fingerprint(data)},
        "optimizer": _optimizer(settings),
        "network": {"settings": settings.record(), "scan": scan, "start": _started_from(start)},
    }


def _started_from(start: Bundle | None) -> dict[str, Any] | None:
    """Which network was fine-tuned: the file that it was loaded from, and SHA-256 of its weights and constants."""
    return None if start is None else {"source": start.source, "sha256": start.fingerprint, "facts": start.facts}


def _optimizer(settings: TrainingSettings) -> dict[str, Any]:
    schedule = {"kind": "plateau", "factor": settings.factor, "patience": settings.patience,
                "least_rate": settings.least_rate}  # fmt: skip
    return {"name": "train", "base_lr": settings.rate, "num_steps": settings.epochs, "schedule": schedule,
            "batch": settings.batch, "seed": settings.seed, "clipping": settings.clip}  # fmt: skip


def _refuse_ended(run_dir: Path, summary: Mapping[str, Any], settings: TrainingSettings) -> None:
    done, status = summary["num_steps_completed"], summary["status"]
    if settings.epochs < done:
        raise ValueError(f"{run_dir} has done {done} epochs, more than {settings.epochs}. Give a larger number.")
    if summary.get("nonfinite") is not None:
        raise ValueError(f"{run_dir} has failed: {summary['message']}. Train anew, with a lower rate.")
    if status == "ok" and summary["converged"]:
        raise ValueError(f"{run_dir} is complete: it stopped after {done} epochs, {summary['message']}.")
    if status == "ok" and settings.epochs <= done:
        raise ValueError(
            f"{run_dir} is complete: it has done {done} of {settings.epochs} epochs. "
            "Give a larger number of epochs (epochs, --max-steps) to go on."
        )
