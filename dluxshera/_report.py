"""The report of a run directory or an experiment: opens it, draws the page, puts it beside the record."""

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .config.network_runs import is_network_run
from .config.runs import Run, open_run
from .config.scan_runs import is_scan_run
from .inference import run_artifacts as artifacts
from .inference.fisher import covariance, fisher_information, parameter_covariance, prior_information
from .inference.run_fall_back import DamagedRunWarning, readable_generation

PAGE = "report.html"


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` into a run directory, or into the folder of an experiment, and give its path.

    Of a damaged run it is about the newest generation that can be read, and says what is damaged.

    Raises
    ------
    CorruptArtifact, SchemaError
        Naming the file of the run that cannot be used.

    Warns
    -----
    DamagedRunWarning
        Naming the file that is damaged, where there is a page nevertheless.
    """
    path = Path(run_dir)
    page, text = path / PAGE, _page(path)
    draft = page.with_name(f".{PAGE}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, page)
    finally:
        draft.unlink(missing_ok=True)
    return page


def _page(path: Path) -> str:
    from .campaigns import is_experiment

    if is_experiment(path):
        return _experiment_page(path)
    folder, notice = readable_generation(path)
    if notice:
        warnings.warn(notice, DamagedRunWarning, stacklevel=3)
    if is_network_run(folder):
        return _network_page(folder, notice)
    return _scan_page(folder, notice) if is_scan_run(folder) else _fit_page(folder, notice)


def _experiment_page(folder: Path) -> str:
    from ._experiment_report import experiment_page

    return experiment_page(folder)


def _network_page(run_dir: Path, notice: str) -> str:
    from ._network_report import network_report

    return network_report(run_dir, notice)


def _scan_page(run_dir: Path, notice: str) -> str:
    from ._scan_report import scan_report

    return scan_report(run_dir, notice)


def _fit_page(run_dir: Path, notice: str) -> str:
    from .plotting.report import fit_report

    return fit_report(_context(open_run(run_dir), notice))


def _context(run: Run, notice: str) -> Any:
    """Everything the page shows, as plain arrays."""
    from .plotting.report import FitReport

    objective, space, observation = run.objective(), run.space(), run.observation()
    theta = jnp.asarray(artifacts.load_checkpoint(run.path, "best")["theta"])
    expected, residuals = eqx.filter_jit(lambda o, t: (o.expected(t), o.residuals(t)))(objective, theta)
    curvature, trace = _curvature(run, objective, theta), run.trace()
    back = np.asarray(jax.jacfwd(space.encode)(space.decode(theta)))
    return FitReport(
        title=f"Fit of {run.profile.name}",
        run_id=run.summary["run_id"],
        status=run.summary["status"],
        summary=run.summary,
        rows=run.summary["parameters"],
        derived=run.summary.get("derived", ()),
        image=np.asarray(observation.image),
        model=np.asarray(expected),
        residuals=np.asarray(residuals),
        mask=np.asarray(observation.mask),
        plate_scale_as=float(run.model().plate_scale_as),
        loss=trace["loss"],
        values=np.stack([np.asarray(space.primitive.physical(row)) for row in space.decode(trace["theta"])]),
        labels=space.primitive.labels,
        units=space.primitive.units,
        information=back.T @ curvature["information"] @ back,
        covariance=np.asarray(parameter_covariance(objective, theta, jnp.asarray(curvature["covariance"]))),
        settings=_settings(run.meta),
        signals=run.signals(),
        notice=notice,
    )


def _curvature(run: Run, objective: Any, theta: Any) -> dict[str, Any]:
    """Information and covariance as the fit left them at its end; made here where there are none, or damaged ones."""
    if run.summary.get("has_curvature"):
        with contextlib.suppress(artifacts.CorruptArtifact):
            return artifacts.load_arrays(run.path, "curvature")
    information = fisher_information(objective, theta)
    return {
        "information": np.asarray(information),
        "covariance": covariance(information + prior_information(objective, theta)),
    }


def _settings(meta: dict[str, Any]) -> dict[str, Any]:
    keys = ("optimizer", "objective", "free", "priors", "profile", "environment", "git")
    settings = {key: meta[key] for key in keys if meta.get(key) is not None}
    return settings | {"overrides": meta["profile"]["overrides"]}
