"""The sections of the report of a fit, each as HTML."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..inference.format_values import format_number, format_table
from ..inference.verdict import Finding, findings, headline
from ._html import escape, figure_html, table_html
from .history import plot_panels
from .labels import short_labels
from .matrices import correlation_matrix, format_correlation, strongest_correlation
from .recipes import (
    comparison_figure,
    correlation_figure,
    loss_figure,
    lowest_loss,
    parameter_figure,
    residual_figure,
    spectrum_figure,
)
from .report_record import FitReport
from .shera import SIGNAL_COLUMNS, signal_panels

_MARKS = {"good": "✓ good", "warning": "! warning", "bad": "✗ bad"}  # words too: never by colour alone
_LONGEST_OPEN = 14  # settings with more lines than this start folded
_MOST_POINTS = 20_000  # in a figure that is kept as a drawing
_MOST_ELEMENTS = 24  # of a list in the settings


def verdict(context: FitReport) -> str:
    """What the fit came to: one line, its reasons, and the main numbers."""
    summary = {**context.summary, "status": context.status}
    found = findings(summary, context.rows, context.chi_square, context.degrees_of_freedom)
    worst = headline(found)
    items = "".join(finding_html(f) for f in found)
    facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in _facts(context).items())
    return (
        f'<p class="verdict {worst.level}">{escape(worst.text)}</p>'
        f'<ul class="findings">{items}</ul><dl class="facts">{facts}</dl>'
    )


def finding_html(found: Finding) -> str:
    """One thing that a reader must know, as an item of a list."""
    mark = f'<span class="mark {found.level}">{_MARKS[found.level]}</span>'
    return f"<li>{mark}<b>{escape(found.topic)}</b><span>{escape(found.text)}</span></li>"


def _facts(context: FitReport) -> dict[str, str]:
    seconds = context.summary.get("runtime_total_s")
    facts = {
        "Status": context.status,
        "Free parameters": str(len(context.labels)),
        "Used pixels": f"{context.used_pixels} of {np.size(context.mask)}",
        "Steps": str(np.size(context.loss) - 1),
        "Lowest loss": format_number(lowest_loss(context.loss), 9),
        "Reduced χ²": f"{context.chi_square / context.degrees_of_freedom:.4f}" if context.degrees_of_freedom else "",
    }
    return facts if seconds is None else {**facts, "Run time": f"{seconds:.3g} s"}


def images(context: FitReport) -> str:
    """Data, model and whitened residual."""
    figure = comparison_figure(context.image, context.model, context.residuals, context.mask, context.plate_scale_as)
    masked = np.size(context.mask) - context.used_pixels
    total = np.sum(np.asarray(context.image)[np.asarray(context.mask, bool)])
    return figure_html(
        figure,
        f"Three images side by side: the data ({total:.5g} electrons in the used pixels), the model on the same "
        f"logarithmic scale, and the whitened residual; {masked} pixels are masked.",
        "Data and model share one logarithmic scale. The residual is (data − model) / standard deviation; structure "
        "in it is something that the model lacks." + (f" Grey pixels ({masked}) were not used." if masked else ""),
        kind="png",
    )


def residuals_and_loss(context: FitReport) -> str:
    """The distribution of the residuals beside the path of the loss."""
    chi_square, freedom = context.chi_square, context.degrees_of_freedom
    histogram = figure_html(
        residual_figure(context.residuals, context.mask, freedom),
        f"Histogram of the whitened residuals with the unit Gaussian: chi-square {chi_square:.0f} for {freedom} "
        "degrees of freedom.",
        "Whitened residuals of the used pixels, and the unit Gaussian that they should follow.",
    )
    first, lowest = (format_number(float(v), 8) for v in (context.loss[0], lowest_loss(context.loss)))
    loss = figure_html(
        loss_figure(context.loss),
        f"Loss minus its lowest value over {np.size(context.loss) - 1} steps, from {first} to {lowest}.",
        f"Loss minus its lowest value, {lowest}. The step of the lowest itself has no place on the axis.",
        kind=_kind(context.loss),
    )
    return f'<div class="pair">{histogram}{loss}</div>'


def histories(context: FitReport) -> str:
    """The path of every parameter in units of its sigma."""
    sigma = np.array([np.nan if row["sigma"] is None else row["sigma"] for row in context.rows])
    unknown = [label for label, s in zip(context.labels, sigma, strict=True) if not 0 < s < np.inf]
    if len(unknown) == len(context.labels):
        return "<p>No parameter has a finite sigma to measure its path by.</p>"
    estimate = np.array([row["estimate"] for row in context.rows])
    left_out = f" Without a finite sigma, and left out: {', '.join(unknown)}." if unknown else ""
    return figure_html(
        parameter_figure(context.values, sigma, context.labels, estimate),
        f"Paths of {len(sigma) - len(unknown)} parameters over {np.size(context.loss) - 1} steps, each minus its "
        "estimate in units of its sigma.",
        "Each parameter minus its estimate, in units of its own sigma; linear within 0.1 σ, logarithmic beyond. The "
        f"band is ±1 σ.{left_out}",
        kind=_kind(context.values),
    )


def signals(context: FitReport) -> str:
    """The errors over the steps; empty where there are none to show."""
    panels = signal_panels(context.signals)
    if not panels:
        return ""
    figure = plot_panels(panels, columns=min(SIGNAL_COLUMNS, len(panels)))
    endings = "; ".join(panel.title for panel in panels)
    return figure_html(
        figure,
        f"{len(panels)} panels of errors over {np.size(context.loss) - 1} steps. {endings}.",
        "Estimate minus truth over the steps, on scales that are linear where the series end and logarithmic beyond. "
        "Of a vector, its root mean square and the components that end largest. Angles are arcs on the sky.",
        kind=_kind(np.concatenate([np.ravel(v) for panel in panels for v in panel.series.values()])),
    )


def _kind(series: ArrayLike) -> str:
    """A drawing of very many points is smaller, and shown sooner, as pixels."""
    return "png" if np.size(series) > _MOST_POINTS else "svg"


def parameters(context: FitReport) -> str:
    """The table of estimates."""
    header, *body = format_table([*context.rows, *context.derived])
    known = "pull" in header
    caption = "Estimates and one-sigma errors, with the Cramér-Rao bound of the data alone and the start of the fit"
    caption += "; pull is (estimate − truth) / sigma." if known else ". The truth is not known."
    return table_html(header, body, caption, text_columns=2)


def correlations(context: FitReport) -> str:
    """The correlation matrix, and its strongest pair in words."""
    correlation = correlation_matrix(context.covariance)
    pair, short = strongest_correlation(correlation), short_labels(context.labels)
    strongest = "none known"
    if pair is not None:
        strongest = f"{short[pair[0]]} with {short[pair[1]]}, {format_correlation(correlation[pair])}"
    return figure_html(
        correlation_figure(context.covariance, context.labels),
        f"Matrix of the correlations between {len(short)} parameters; the strongest is {strongest}.",
        f"Correlations of the estimates. The strongest: {strongest}.",
    )


def information(context: FitReport) -> str:
    """The spectrum of the Fisher information."""
    return figure_html(
        spectrum_figure(context.information),
        f"Eigenvalues of the Fisher information of {len(context.labels)} parameters, on a logarithmic axis.",
        "Eigenvalues of the data's Fisher information after scaling each parameter by its own sensitivity, so that "
        "the diagonal is one. Small ones are combinations that the data hardly tell apart.",
    )


def settings(settings: Mapping[str, Any]) -> str:
    """Engine, likelihood, profile and the rest: one table for each group, long ones folded."""
    single = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in settings.items() if isinstance(value, Mapping)}
    groups = {**({"general": single} if single else {}), **nested}
    return f'<div class="settings">{"".join(_setting_group(name, group) for name, group in groups.items())}</div>'


def _setting_group(name: str, group: Mapping[str, Any]) -> str:
    lines = _flat(group)
    if not lines:
        return f"<p><b>{escape(name)}</b>: none</p>"
    table = table_html(("setting", "value"), lines, f"Settings: {name}", text_columns=2)
    state = " open" if len(lines) <= _LONGEST_OPEN else ""
    return f"<details{state}><summary>{escape(name)}</summary>{table}</details>"


def _flat(group: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for key, value in group.items():
        if isinstance(value, Mapping) and value:
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", _setting_text(value)))
    return lines


def _setting_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    value = np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, list | tuple) and len(value) > _MOST_ELEMENTS:
        return f"{json.dumps(value[:4], default=str)[:-1]}, …] ({len(value)} values)"
    return json.dumps(value, default=str, ensure_ascii=False)
