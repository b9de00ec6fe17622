"""One arm of a dose study: simulated, trained, inferred and judged; what is there already is not done again."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..inference import run_artifacts as artifacts
from ..inference._artifact_json import decode_json, encode_json
from ..ptychography import ScanData, judge_scan, scan_facts
from ..ptychography.network import Bundle, TrainingState, infer, load_bundle
from ..ptychography.whole_file import whole_file
from .dose_study import LISTS, Arm, DoseStudy
from .inferred_runs import save_inferred
from .network_runs import open_network_run, resume_training, train_to_run
from .strict_yaml import ConfigError

MEASURES = ("scale", "mae", "rmse", "psnr", "ssim", "pearson_r", "frc_half")


@dataclasses.dataclass(frozen=True)
class ArmFolders:
    """Where an arm is kept in the folder of its study."""

    study: Path
    name: str

    @property
    def training(self) -> Path:
        """Run directory of the training."""
        return self.study / "runs" / self.name

    @property
    def metrics(self) -> Path:
        """What the arm came to, JSON."""
        return self.study / "metrics" / f"{self.name}.json"

    def inferred(self, scan: str) -> Path:
        """Run directory of what was inferred from "test" or "new"."""
        return self.study / "inferred" / f"{self.name}.{scan}"


def run_arm(
    study: DoseStudy,
    arm: Arm,
    folder: str | Path,
    *,
    on_epoch: Callable[[TrainingState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Carry out what is missing of an arm, and give its record; None if somebody asked to stop in its course.

    Parameters
    ----------
    study : DoseStudy
    arm : Arm
    folder : path
        Of the study; it exists.
    on_epoch, should_stop
        As for `train`.

    Raises
    ------
    ConfigError
        If the folder holds an arm of other settings.
    """
    folders = ArmFolders(Path(folder), arm.name)
    done = _done(folders, study)
    if done is not None:
        return done
    for part in ("runs", "inferred", "metrics"):
        (folders.study / part).mkdir(exist_ok=True)
    scans = study.scans_of(arm)
    if not _trained(folders, study, arm, scans.train, on_epoch, should_stop):
        return None
    run, bundle = open_network_run(folders.training), load_bundle(folders.training)
    judged = {name: _judged(bundle, data, folders.inferred(name), arm.parts[0]) for name, data in
              (("test", scans.test), ("new", scans.new))}  # fmt: skip
    facts = {name: scan_facts(data) for name, data in scans._asdict().items()}
    training = {key: run.summary[key] for key in ("status", "message", "epochs", "best_epoch", "val_loss",
                                                  "num_parameters", "runtime_total_s", "nonfinite")}  # fmt: skip
    record = {"arm": arm._asdict(), "study": study.record(), "training": training, "scans": facts, **judged}
    with whole_file(folders.metrics, overwrite=True) as temporary:
        temporary.write_bytes(encode_json(record, folders.metrics.name))
    return record


def arm_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the metrics table of an arm: one for each scan that was inferred."""
    training = {
        f"training_{k}": record["training"][k] for k in ("status", "epochs", "num_parameters", "runtime_total_s")
    }
    return [
        {
            **record["arm"],
            "inferred": name,
            **{f"{part}_{k}": record[name][part][k] for part in ("amplitude", "phase") for k in MEASURES},
            "start_ssim": record[name]["start"]["ssim"],
            "start_mae": record[name]["start"]["mae"],
            "deviance": record[name]["deviance"],
            "energy_inside": record[name]["inference"]["energy_inside"],
            "patterns_per_second": record[name]["inference"]["patterns_per_second"],
            **training,
        }
        for name in ("test", "new")
    ]


def _done(folders: ArmFolders, study: DoseStudy) -> dict[str, Any] | None:
    """The record of an arm that is complete and sound, else None."""
    runs = (folders.training, folders.inferred("test"), folders.inferred("new"))
    if not folders.metrics.is_file() or not all(run.is_dir() and not artifacts.verify(run) for run in runs):
        return None
    record = decode_json(folders.metrics.read_bytes(), str(folders.metrics))
    same = DoseStudy.from_record(record["study"]).record()
    differ = [k for k, v in study.record().items() if k not in LISTS and v != same[k]]
    if differ:
        raise ConfigError(
            f"{folders.metrics}: expected {differ[0]} to be {getattr(study, differ[0])!r}, as in the study, got "
            f"{same[differ[0]]!r}. Choose another folder."
        )
    return record


def _trained(folders: ArmFolders, study: DoseStudy, arm: Arm, data: ScanData, on_epoch, should_stop) -> bool:
    """Whether the training has ended, after what was missing of it."""
    settings, path = study.training(arm), folders.training
    calls = {"on_epoch": on_epoch, "should_stop": should_stop}
    if not (path / "MANIFEST.json").is_file():
        return train_to_run(path, data, settings, **calls).result != "interrupted"
    run = open_network_run(artifacts.newest_valid(path))
    if run.settings != settings:
        raise ConfigError(f"{path}: expected the training of this study, got one of other settings. Choose another.")
    if run.summary["status"] == "ok" or run.summary.get("nonfinite") is not None:
        return True
    return resume_training(path, **calls).result != "interrupted"


def _judged(bundle: Bundle, data: ScanData, run_dir: Path, part: str) -> dict[str, Any]:
    """What inference from a scan is worth, and what the network started from: its `part`, amplitude or phase."""
    found, start = infer(bundle, data), infer(bundle, data, corrected=False)
    save_inferred(run_dir, found, data, bundle, overwrite=True)
    judged, before = (
        judge_scan(data, each.object, each.positions, each.coverage).record
        for each in (found.reconstruction, start.reconstruction)
    )
    return {
        "amplitude": judged["amplitude"],
        "phase": judged["phase"],
        "start": {k: before[part][k] for k in MEASURES},
        "deviance": found.reconstruction.deviance,
        "inference": found.facts,
    }
