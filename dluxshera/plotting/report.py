"""The report of a fit: one self-contained HTML page."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inference.format_values import format_number, format_table
from ._css import CSS
from ._html import escape, figure_html, table_html
from .labels import short_labels
from .matrices import correlation_matrix, format_correlation, strongest_correlation
from .recipes import (
    comparison_figure,
    correlation_figure,
    loss_figure,
    parameter_figure,
    residual_figure,
    spectrum_figure,
)
from .verdict import Finding, findings, headline

_MARKS = {"good": "✓ good", "warning": "! warning", "bad": "✗ bad"}  # words too: never by colour alone
_LONGEST_OPEN = 14  # settings with more lines than this start folded
_MOST_ELEMENTS = 24  # of a list in the settings


@dataclasses.dataclass(frozen=True, eq=False)
class FitReport:
    """All that the page of one fit shows; nothing else is read.

    Attributes
    ----------
    title, run_id, status : str
    summary : mapping
        What happened: `converged`, `message`, `num_steps_completed`, `runtime_total_s`, `at_bounds`, `dead`,
        `created_at`; what is missing is left out.
    rows : sequence of mappings (D,)
        `label, unit, estimate, sigma, cramer_rao, start, truth`, physical; `truth` is None where unknown.
    image, model : array (n, n), electrons
    residuals : array (n, n)
        (data - model) / standard deviation.
    mask : array of bool (n, n)
        True where a pixel is used.
    plate_scale_as : float or None, arcsec/pixel
    loss : array (T,)
    values : array (T, D)
        Physical values of the parameters at each step.
    labels, units : sequence of str (D,)
    information, covariance : array (D, D)
        Of θ: that of the data alone, and that of the estimate.
    settings : mapping
        Engine, likelihood, profile, overrides, environment, git: text, numbers, and mappings of them.

    Raises
    ------
    ValueError
        Naming a field whose shape does not fit the others.
    """

    title: str
    run_id: str
    status: str
    summary: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    image: NDArray
    model: NDArray
    residuals: NDArray
    mask: NDArray
    plate_scale_as: float | None
    loss: NDArray
    values: NDArray
    labels: Sequence[str]
    units: Sequence[str]
    information: NDArray
    covariance: NDArray
    settings: Mapping[str, Any]

    def __post_init__(self):
        count, image, steps = len(self.labels), np.shape(self.image), np.shape(self.loss)
        expected = {
            "rows": (count,),
            "units": (count,),
            "model": image,
            "residuals": image,
            "mask": image,
            "values": (*steps, count),
            "information": (count, count),
            "covariance": (count, count),
        }
        for name, shape in expected.items():
            got = (len(self.rows),) if name == "rows" else np.shape(getattr(self, name))
            if got != shape:
                raise ValueError(f"Expected FitReport.{name} of shape {shape}, got {got}.")

    @property
    def used_pixels(self) -> int:
        """Number of pixels that the fit used."""
        return int(np.sum(self.mask))

    @property
    def degrees_of_freedom(self) -> int:
        """Used pixels minus free parameters."""
        return self.used_pixels - len(self.labels)

    @property
    def chi_square(self) -> float:
        """Sum of the squared whitened residuals of the used pixels."""
        return float(np.sum(np.asarray(self.residuals)[np.asarray(self.mask, bool)] ** 2))


def fit_report(context: FitReport) -> str:
    """Write the page of one fit.

    Parameters
    ----------
    context : FitReport

    Returns
    -------
    str
        HTML with its figures inside; it asks nothing of any network and runs no script.
    """
    sections = {
        "Verdict": _verdict(context),
        "Data and model": _images(context),
        "Residuals and loss": _residuals_and_loss(context),
        "Parameter histories": _histories(context),
        "Parameters": _parameters(context),
        "Correlations": _correlations(context),
        "Fisher information": _information(context),
        "Settings": _settings(context.settings),
    }
    links = "".join(f'<li><a href="#{_anchor(name)}">{name}</a></li>' for name in sections)
    body = "".join(
        f'<section id="{_anchor(name)}" aria-labelledby="{_anchor(name)}-title">'
        f'<h2 id="{_anchor(name)}-title">{name}</h2>{content}</section>'
        for name, content in sections.items()
    )
    return _page(context, links, body)


def _page(context: FitReport, links: str, body: str) -> str:
    title, run_id = escape(context.title), escape(context.run_id)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    created = context.summary.get("created_at")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}: {run_id}</title>
<style>{CSS}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the report</a>
<header><h1>{title}</h1><p class="run">{run_id}{"" if created is None else " · " + escape(created)}</p></header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="content" tabindex="-1">{body}</main>
<footer>Written by dluxshera. Angles in arcsec: 1 arcsec is 1000 mas, 1 mas is 1000 µas.</footer>
</body>
</html>
"""


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _verdict(context: FitReport) -> str:
    summary = {**context.summary, "status": context.status}
    found = findings(summary, context.rows, context.chi_square, context.degrees_of_freedom)
    worst = headline(found)
    items = "".join(_finding(f) for f in found)
    facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in _facts(context).items())
    return (
        f'<p class="verdict {worst.level}">{escape(worst.text)}</p>'
        f'<ul class="findings">{items}</ul><dl class="facts">{facts}</dl>'
    )


def _finding(found: Finding) -> str:
    mark = f'<span class="mark {found.level}">{_MARKS[found.level]}</span>'
    return f"<li>{mark}<b>{escape(found.topic)}</b><span>{escape(found.text)}</span></li>"


def _facts(context: FitReport) -> dict[str, str]:
    seconds = context.summary.get("runtime_total_s")
    facts = {
        "Status": context.status,
        "Free parameters": str(len(context.labels)),
        "Used pixels": f"{context.used_pixels} of {np.size(context.mask)}",
        "Steps": str(np.size(context.loss) - 1),
        "Lowest loss": format_number(float(np.nanmin(context.loss)), 9),
        "Reduced χ²": f"{context.chi_square / context.degrees_of_freedom:.4f}" if context.degrees_of_freedom else "",
    }
    return facts if seconds is None else {**facts, "Run time": f"{seconds:.3g} s"}


def _images(context: FitReport) -> str:
    figure = comparison_figure(context.image, context.model, context.residuals, context.mask, context.plate_scale_as)
    masked = np.size(context.mask) - context.used_pixels
    total = np.sum(np.asarray(context.image)[np.asarray(context.mask, bool)])
    return figure_html(
        figure,
        f"Three images side by side: the data ({total:.5g} electrons in the used pixels), the model on the same "
        f"logarithmic scale, and the whitened residual; {masked} pixels are masked.",
        "Data and model share one logarithmic scale. The residual is (data − model) / standard deviation; structure "
        f"in it is something that the model lacks. Grey pixels ({masked}) were not used.",
        kind="png",
    )


def _residuals_and_loss(context: FitReport) -> str:
    chi_square, freedom = context.chi_square, context.degrees_of_freedom
    histogram = figure_html(
        residual_figure(context.residuals, context.mask, freedom),
        f"Histogram of the whitened residuals with the unit Gaussian: chi-square {chi_square:.0f} for {freedom} "
        "degrees of freedom.",
        "Whitened residuals of the used pixels, and the unit Gaussian that they should follow.",
    )
    first, lowest = (format_number(float(v), 8) for v in (context.loss[0], np.nanmin(context.loss)))
    loss = figure_html(
        loss_figure(context.loss),
        f"Loss minus its lowest value over {np.size(context.loss) - 1} steps, from {first} to {lowest}.",
        f"Loss minus its lowest value, {lowest}. The step of the lowest itself has no place on the axis.",
    )
    return f'<div class="pair">{histogram}{loss}</div>'


def _histories(context: FitReport) -> str:
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
    )


def _parameters(context: FitReport) -> str:
    header, *body = format_table(context.rows)
    known = "pull" in header
    caption = "Estimates and one-sigma errors, with the Cramér-Rao bound of the data alone and the start of the fit"
    caption += "; pull is (estimate − truth) / sigma." if known else ". The truth is not known."
    return table_html(header, body, caption, text_columns=2)


def _correlations(context: FitReport) -> str:
    correlation = correlation_matrix(context.covariance)
    pair, short = strongest_correlation(correlation), short_labels(context.labels)
    strongest = "none known"
    if pair is not None:
        strongest = f"{short[pair[0]]} with {short[pair[1]]}, {format_correlation(correlation[pair])}"
    drawn = figure_html(
        correlation_figure(context.covariance, context.labels),
        f"Matrix of the correlations between {len(short)} parameters; the strongest is {strongest}.",
        f"Correlations of the estimates. The strongest: {strongest}.",
    )
    return f'<div class="medium">{drawn}</div>'


def _information(context: FitReport) -> str:
    drawn = figure_html(
        spectrum_figure(context.information),
        f"Eigenvalues of the Fisher information of {len(context.labels)} parameters, on a logarithmic axis.",
        "Eigenvalues of the data's Fisher information after scaling each parameter by its own sensitivity, so that "
        "the diagonal is one. Small ones are combinations that the data hardly tell apart.",
    )
    return f'<div class="half">{drawn}</div>'


def _settings(settings: Mapping[str, Any]) -> str:
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
