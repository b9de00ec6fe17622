"""A dose study carried out: its arms by an executor, then its table, figure and page."""

import functools
import math
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .campaigns import InProcess, Processes, write_table
from .campaigns.work import Outcome
from .config.dose_study import Arm, DoseStudy
from .config.dose_study_arms import ArmFolders, arm_rows, run_arm
from .config.dose_study_effects import loss_effects
from .config.scan_runs import open_scan_run
from .config.strict_yaml import ConfigError
from .inference._artifact_json import decode_json, encode_json
from .inference.run_lock import RunLock
from .ptychography import judge_scan
from .ptychography.whole_file import whole_file

SETTINGS = "study.json"
TITLES = {"mae": "MAE", "poisson": "Poisson likelihood", "squared": "squared amplitude error"}  # in the figure's order
SHOWN = {"SSIM": "ssim", "MAE": "mae", "PSNR": "psnr", "scale": "scale"}
COLUMNS = ("scale", "mae", "ssim", "psnr", "frc_half")  # of each part that there is to see


def work(task: Mapping[str, Any], should_stop: Callable[[], bool] = lambda: False) -> list[Outcome]:
    """Carry out one arm; a function of a module, for worker processes."""
    arm = Arm(**task["arm"])
    record = run_arm(DoseStudy.from_record(task["study"]), arm, task["folder"], should_stop=should_stop)
    if record is None:
        return [Outcome(arm.name, "interrupted", "")]
    return [Outcome(arm.name, record["training"]["status"], record["training"]["message"])]


def carry_out(
    study: DoseStudy,
    folder: Path,
    *,
    workers: int = 1,
    say: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Do what is missing of a study, and write its table, figures and page.

    Returns
    -------
    facts : dict
        `arms`, `done`, `failed` (name to reason), `left`, and the paths of `table`, `figures` and `report`.
    """
    folder.mkdir(exist_ok=True)
    with RunLock(folder):
        claim(folder, study)
        tasks = deque(
            {"arm": arm._asdict(), "study": study.record(), "folder": str(folder.absolute())} for arm in study.arms()
        )
        number, failed, stopped = len(tasks), {}, 0
        here = InProcess()
        executor = here if workers == 1 else Processes(workers, math.inf)  # nobody knows how long a training takes
        job = functools.partial(work, should_stop=should_stop) if executor is here else work
        for answer in executor.answers(job, tasks, should_stop):
            name = Arm(**answer.task["arm"]).name
            status = "failed" if answer.error is not None else answer.outcomes[0].status
            message = answer.error if answer.error is not None else answer.outcomes[0].message
            stopped += status == "interrupted"
            failed |= {name: message} if status == "failed" else {}
            say(f"{name}: {status}{'' if not message else ', ' + message}")
        return summarise(study, folder, failed) | {"left": len(tasks) + stopped, "arms": number}


def summarise(study: DoseStudy, folder: Path, failed: Mapping[str, str]) -> dict[str, Any]:
    """Write table, figures and page of what there is of a study."""
    from .plotting.network_report import study_report

    records = [(arm, _record(folder, arm)) for arm in study.arms()]
    rows = [row for _, record in records if record is not None for row in arm_rows(record)]
    facts = {"done": sum(record is not None for _, record in records), "failed": dict(failed)}
    if not rows:
        return facts | {"table": None, "figures": [], "report": None}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = write_table(columns, folder / "metrics.csv")
    effects = loss_effects(rows)
    if effects:
        write_table({name: [row[name] for row in effects] for name in effects[0]}, folder / "effects.csv")
    figures = {name: _figure(study, folder, *name) for name in _figure_names(study, folder)}
    paths = []
    for name, (figure, _) in figures.items():
        paths.append(folder / f"dose_study.{'-'.join(map(str, name))}.png")
        figure.savefig(paths[-1], dpi=150)
    parts = dict.fromkeys(part for arm in study.arms() for part in arm.parts)
    shown = (*(f"{part}_{name}" for part in parts for name in COLUMNS), "start_ssim")
    header = ("arm", *(name.removeprefix("amplitude_").replace("_", " ") for name in shown))
    body = [(f"{Arm(*(row[k] for k in Arm._fields)).name} {row['inferred']}", *(_cell(row[k]) for k in shown))
            for row in rows]  # fmt: skip
    notes = [_said(effect) for effect in effects if effect["inferred"] == "test"]
    notes += [f"{name} failed: {reason}" for name, reason in failed.items()]
    drawn = {f"{' '.join(map(str, name))}": value for name, value in figures.items()}
    text = study_report("Dose study", folder.name, drawn, header, body, {"study": study.record()}, notes)
    report = folder / "report.html"
    with whole_file(report, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return facts | {"table": str(table), "figures": [str(path) for path in paths], "report": str(report)}


def claim(folder: Path, study: DoseStudy) -> None:
    """Write down whose folder it is; refuse that of another study, or one that holds something else."""
    path = folder / SETTINGS
    if path.is_file():
        there = DoseStudy.from_record(decode_json(path.read_bytes(), str(path)), str(path))
        if there != study:
            ours, theirs = study.record(), there.record()
            key = next(key for key in ours if ours[key] != theirs[key])
            raise ConfigError(f"{path}: expected the study to go on with, got {key} {theirs[key]!r} in place of "
                              f"{ours[key]!r}. Choose another folder.")  # fmt: skip
        return
    if any(folder.iterdir()):
        raise ConfigError(f"{folder}: expected an empty folder or that of the study, got {SETTINGS} missing in it.")
    with whole_file(path, overwrite=False) as temporary:
        temporary.write_bytes(encode_json(study.record(), SETTINGS))


def _record(folder: Path, arm: Arm) -> dict[str, Any] | None:
    path = ArmFolders(folder, arm.name).metrics
    return decode_json(path.read_bytes(), str(path)) if path.is_file() else None


def _figure_names(study: DoseStudy, folder: Path) -> list[tuple[str, str, int, str]]:
    """Object, scan, gridsize and part of the figures whose arms of the first seed are all there."""
    kinds = dict.fromkeys((*arm[:3], part) for arm in study.arms() for part in arm.parts)
    return [kind for kind in kinds if all(_record(folder, arm) for arm in _arms_of(study, *kind[:3]))]


def _arms_of(study: DoseStudy, object: str, scan: str, gridsize: int) -> list[Arm]:
    first = study.seeds[0]
    return [arm for arm in study.arms() if arm[:3] == (object, scan, gridsize) and arm.seed == first]


def _figure(study: DoseStudy, folder: Path, object: str, scan: str, gridsize: int, part: str) -> tuple[Any, str]:
    """The figure of the first seed: a row for each dose, a column for each loss, and its caption."""
    from .plotting.network import plot_dose_study

    arms = _arms_of(study, object, scan, gridsize)
    homes = {a: ArmFolders(folder, a.name) for a in arms}
    rows = [dose_row(dose, {TITLES[a.loss]: home for a, home in homes.items() if a.photons == dose}, part)
            for dose in study.doses]  # fmt: skip
    caption = (
        f"One counted pattern at each dose on one logarithmic scale, and the {part} inferred from patterns that were "
        f"held back, by networks trained with each loss ({object}, {scan}, groups of {gridsize**2})."
    )
    return plot_dose_study(rows, [title for loss, title in TITLES.items() if loss in study.losses], part), caption


def dose_row(photons: float, arms: Mapping[str, ArmFolders], part: str) -> Any:
    """What arms of one dose made of the patterns that were held back, by title: "amplitude" or "phase"."""
    from .plotting.network import DoseRow

    objects, metrics, shown = {}, {}, {"amplitude": np.abs, "phase": np.angle}[part]
    for title, folders in arms.items():
        run = open_scan_run(folders.inferred("test"))
        data, found = run.data(), run.reconstruction()
        judged = judge_scan(data, found.object, found.positions, found.coverage)
        seen = judged.registered
        objects[title], truth = (
            np.where(seen.covered, shown(image), np.nan) for image in (seen.object, seen.reference)
        )
        metrics[title] = {short: judged.record[part][key] for short, key in SHOWN.items()}
    return DoseRow(photons, np.asarray(data.counts[0], float), objects, truth, metrics)


def _said(effect: Mapping[str, Any]) -> str:
    return (
        "{object}, {scan}, groups of {gridsize} x {gridsize}, {photons:g} photons: {part} {measure} of {first} minus "
        "{second} is {difference:.4g} ({low:.4g} to {high:.4g}, 95 %, {seeds} seeds)".format(**effect)
    )


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
