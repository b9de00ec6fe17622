"""The report of a run directory: opens the run, draws the page, puts it beside the record."""

import os
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from .config.runs import Run, open_run
from .inference import run_artifacts as artifacts

PAGE = "report.html"


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` into a run directory and give its path.

    Raises
    ------
    CorruptArtifact, SchemaError
        Naming the file of the run that cannot be used.
    """
    from .plotting.report import fit_report

    run = open_run(run_dir)
    page = run.path / PAGE
    draft = page.with_name(f".{PAGE}.{os.getpid()}.tmp")
    try:
        draft.write_text(fit_report(_context(run)), encoding="utf-8")
        os.replace(draft, page)
    finally:
        draft.unlink(missing_ok=True)
    return page


def _context(run: Run) -> Any:
    """Everything the page shows, as plain arrays."""
    from .plotting.report import FitReport

    objective, space, observation = run.objective(), run.space(), run.observation()
    theta = artifacts.load_checkpoint(run.path, "best")["theta"]
    expected, residuals = eqx.filter_jit(lambda o, t: (o.expected(t), o.residuals(t)))(objective, theta)
    curvature, trace = artifacts.load_arrays(run.path, "curvature"), run.trace()
    return FitReport(
        title=f"Fit of {run.profile.name}",
        run_id=run.summary["run_id"],
        status=run.summary["status"],
        summary=run.summary,
        rows=run.summary["parameters"],
        image=np.asarray(observation.image),
        model=np.asarray(expected),
        residuals=np.asarray(residuals),
        mask=np.asarray(observation.mask),
        plate_scale_as=float(run.model().plate_scale_as),
        loss=trace["loss"],
        values=np.stack([np.asarray(space.physical(row)) for row in trace["theta"]]),
        labels=space.labels,
        units=space.units,
        information=curvature["information"],
        covariance=curvature["covariance"],
        settings=_settings(run.meta),
    )


def _settings(meta: dict[str, Any]) -> dict[str, Any]:
    keys = ("optimizer", "objective", "free", "priors", "profile", "environment", "git")
    settings = {key: meta[key] for key in keys if meta.get(key) is not None}
    return settings | {"overrides": meta["profile"]["overrides"]}
