"""What the report of an experiment shows, read from its folder."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from .campaigns import Experiment
from .inference import run_artifacts as artifacts
from .plotting.experiment_record import DONE, ExperimentReport
from .plotting.experiment_report import experiment_report

PAGE = "report.html"
_DESCRIBED = ("size", "campaign", "environment", "git")


def experiment_page(folder: Path) -> str:
    """HTML of the report of an experiment, of its runs as they are now."""
    experiment = Experiment.open(folder)
    columns, manifest = experiment.table(), experiment.manifest
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    units = _units(experiment.runs, rows)
    plot = manifest.get("plot") or {}
    x, y = plot.get("x"), plot.get("y")
    return experiment_report(
        ExperimentReport(
            name=manifest["name"],
            doc=manifest.get("doc") or "",
            created_at=manifest["created_at"],
            rows=rows,
            settings=manifest["settings"],
            units=units,
            x=x if x in manifest["settings"] else None,
            y=y if y in units else None,
            links=_links(folder, experiment.runs, rows),
            description={key: manifest[key] for key in _DESCRIBED if manifest.get(key) is not None},
        )
    )


def _units(runs: Path, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Units of the parameters by label, as the runs have them."""
    found: dict[str, str] = {}
    estimated = {key.removesuffix(".estimate") for row in rows for key in row if key.endswith(".estimate")}
    for row in rows:
        if estimated <= found.keys():
            break
        if row["status"] == DONE:
            summary = artifacts.load_summary(runs / row["run_id"])
            found |= {parameter["label"]: parameter["unit"] for parameter in summary["parameters"]}
    return found


def _links(folder: Path, runs: Path, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Where the runs' own reports lie, from the experiment's folder."""
    pages = {row["run_id"]: runs / row["run_id"] / PAGE for row in rows}
    return {name: quote(page.relative_to(folder).as_posix()) for name, page in pages.items() if page.is_file()}
