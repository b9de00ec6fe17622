"""The report of a reconstruction: one self-contained HTML page."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _sections as sections
from ._html import escape, figure_html, table_html
from .ptychography import plot_scan
from .ptychography_result import (
    plot_deviance,
    plot_modes_of_probe,
    plot_object,
    plot_position_changes,
    plot_residual_pattern,
)
from .report import page


@dataclasses.dataclass(frozen=True, eq=False)
class ReconstructionReport:
    """All that the page of one reconstruction shows.

    Attributes
    ----------
    title, run_id : str
    summary : mapping
        What happened: `status`, `deviance`, `held_out_deviance`, `runtime_total_s`, `created_at`, ...
    object, probe : complex arrays (h, w) and (M, N, N)
    coverage : array (h, w)
    positions, changes : array (n, 2), pixels
        (y, x) on the file's grid, and by how much they were moved.
    mean_pattern : array (N, N)
    residual : array (N, N)
    deviance_by_pattern : array (n,)
    history : mapping of arrays (T,)
    settings : mapping
    notice : str
        What a reader must know first, such as which file of the run is damaged.
    """

    title: str
    run_id: str
    summary: Mapping[str, Any]
    object: np.ndarray
    probe: np.ndarray
    coverage: np.ndarray
    positions: np.ndarray
    changes: np.ndarray
    mean_pattern: np.ndarray
    residual: np.ndarray
    deviance_by_pattern: np.ndarray
    history: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]
    notice: str = ""


def reconstruction_report(context: ReconstructionReport) -> str:
    """Write the page of one reconstruction.

    Parameters
    ----------
    context : ReconstructionReport

    Returns
    -------
    str
        HTML with its figures inside; it asks nothing of any network and runs no script.
    """
    parts = {
        "Result": _facts(context) + _object(context),
        "Probe": _probe(context),
        "Course": _course(context),
        "Residuals": _residuals(context),
        "Scan": _scan(context),
        "Settings": sections.settings(context.settings),
    }
    return page(context.title, context.run_id, context.summary.get("created_at"), parts, notice=context.notice)


def _facts(context: ReconstructionReport) -> str:
    summary = context.summary
    facts = {
        "Status": summary.get("status", ""),
        "Poisson deviance per pixel": f"{summary['deviance']:.4f}",
        "Patterns": str(len(context.positions)),
        "Probe modes": str(len(context.probe)),
        "Optimisation": f"{summary['optimisation_s']:.3g} s",
    }
    held, refused = summary.get("held_out_deviance"), summary.get("nonfinite_steps")
    if held is not None:
        facts["Deviance of pixels held out"] = f"{held:.4f}"
    if refused:
        facts["Epochs refused, not finite"] = str(refused)
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    failed = summary.get("status") == "failed"
    verdict = f'<p class="verdict bad">Failed: {escape(summary.get("message"))}</p>' if failed else ""
    return f'{verdict}<dl class="facts">{rows}</dl>'


def _object(context: ReconstructionReport) -> str:
    return figure_html(
        plot_object(context.object, context.coverage),
        f"Amplitude and phase of the reconstructed object, {context.object.shape[0]} by {context.object.shape[1]} "
        "pixels.",
        "The object where it is illuminated; grey levels span the middle 99 % of the values.",
        kind="png",
    )


def _probe(context: ReconstructionReport) -> str:
    power = (np.abs(context.probe) ** 2).sum((1, 2))
    shares = ", ".join(f"{value:.1%}" for value in power / power.sum())
    return figure_html(
        plot_modes_of_probe(context.probe),
        f"The modes of the probe, with shares of its power of {shares}.",
        f"Brightness is amplitude, hue is phase. Shares of the power: {shares}.",
        kind="png",
    )


def _course(context: ReconstructionReport) -> str:
    history, final = context.history, float(context.summary["deviance"])
    return figure_html(
        plot_deviance(history["seconds"], history["deviance"], history["stage"], final),
        f"Poisson deviance per pixel against time, down to {final:.4f}.",
        "Within an epoch of minibatches it is a running mean, in which the model still moves.",
    )


def _residuals(context: ReconstructionReport) -> str:
    worst = int(np.argmax(context.deviance_by_pattern))
    return figure_html(
        plot_residual_pattern(context.residual, context.deviance_by_pattern),
        f"Residuals over the detector, and the deviance of each pattern; the largest is that of pattern {worst}.",
        f"Structure on the left is something the model lacks everywhere; pattern {worst} is explained worst "
        f"({context.deviance_by_pattern[worst]:.3f}).",
        kind="png",
    )


def _scan(context: ReconstructionReport) -> str:
    scan = figure_html(
        plot_scan(context.mean_pattern, context.positions),
        f"Mean diffraction pattern and the {len(context.positions)} positions of the scan.",
        "The data: mean pattern, and where the patterns were taken.",
        kind="png",
    )
    if not np.any(context.changes):
        return scan + "<p>The positions are those of the file.</p>"
    largest = float(np.hypot(*context.changes.T).max())
    moved = figure_html(
        plot_position_changes(context.positions, context.changes),
        f"Arrows from each position of the file to the refined one, at most {largest:.2f} pixel long.",
        f"Refined minus recorded positions, without their common shift; the largest is {largest:.2f} pixel.",
    )
    rms = [("y", *_numbers(context.changes[:, 0])), ("x", *_numbers(context.changes[:, 1]))]
    table = table_html(("axis", "rms (pixel)", "largest (pixel)"), rms, "By how much positions were moved")
    return f"{scan}{moved}{table}"


def _numbers(values: np.ndarray) -> tuple[str, str]:
    return f"{np.sqrt(np.mean(values**2)):.3f}", f"{np.abs(values).max():.3f}"
