"""The sections of the report of an experiment, each as HTML."""

import math
from typing import Any

import numpy as np

from ..inference.ensemble_verdict import ensemble_findings
from ..inference.format_values import format_number, format_sigma
from ..inference.verdict import LEVELS
from ._html import escape, figure_html, table_html
from ._sections import finding_html
from .ensembles import plot_dependence, plot_pulls
from .experiment_record import DONE, ExperimentReport
from .labels import group_of, short_labels
from .units import display_scale

_MOST_POINTS = 2000  # in a figure that is kept as a drawing
_WIDE = 20.0  # quotient of the largest and the smallest setting beyond which their axis is logarithmic
_WORDS = {"good": "The errors are what the sigmas say.", "warning": "Usable with care", "bad": "Not as it should be"}


def summary(context: ExperimentReport) -> str:
    """What the experiment came to: one line, its reasons, and the main numbers."""
    statuses, done = [row["status"] for row in context.rows], context.done
    labels = _judged(context)
    pulls = np.concatenate([np.zeros(0), *(context.pulls(label) for label in labels)])
    independent = context.noise_draws * len(labels)
    found = ensemble_findings(statuses, [row.get("converged") for row in done], pulls, independent)
    worst = max((f.level for f in found), key=LEVELS.index)
    topics = ", ".join(f.topic.lower() for f in found if f.level == worst)
    text = _WORDS[worst] if worst == "good" else f"{_WORDS[worst]}: see {topics}."
    seconds = context.column("seconds")
    facts = {
        "Runs": str(len(context.rows)),
        "Ended well": str(len(done)),
        "Free parameters": str(len(context.labels)),
        "Run time, all": f"{np.nansum(seconds):.3g} s",
        "Run time, median": f"{np.nanmedian(seconds):.3g} s" if np.isfinite(seconds).any() else "",
    }
    items = "".join(finding_html(f) for f in found)
    terms = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items() if v)
    about = f"<p>{escape(context.doc)}</p>" if context.doc else ""
    verdict = f'<p class="verdict {worst}">{escape(text)}</p>'
    return f'{about}{verdict}<ul class="findings">{items}</ul><dl class="facts">{terms}</dl>'


def _judged(context: ExperimentReport) -> tuple[str, ...]:
    """The parameter of interest, else all."""
    return (context.y,) if context.y in context.labels else context.labels


def dependence(context: ExperimentReport) -> str:
    """The errors of the parameter of interest against what was varied; empty where nothing can be drawn."""
    if context.x is None or context.y not in context.labels:
        return ""
    x, error = context.column(f"set.{context.x}"), context.errors(context.y)
    known = x[np.isfinite(x) & np.isfinite(error)]
    if np.unique(known).size < 2:
        return ""
    name, unit = short_labels([context.y])[0], context.units.get(context.y, "")
    log = bool(known.min() > 0 and known.max() > _WIDE * known.min())
    figure = plot_dependence(x, error, context.sigmas(context.y), x_label=context.x, label=name, unit=unit, log=log)
    return figure_html(
        figure,
        f"Errors of {name} of {known.size} runs against {context.x} from {known.min():.4g} to {known.max():.4g}, with "
        "their means and the band of the expected sigma.",
        f"Estimate minus truth of {context.y} against {context.x}: each run, the mean of the runs with one value (with "
        "its own error, from their scatter), and the median sigma that the runs themselves give.",
        kind=_kind(known.size),
    )


def distributions(context: ExperimentReport) -> str:
    """Errors against sigmas: their distributions, and a row for each parameter."""
    pulls = {label: context.pulls(label) for label in context.labels}
    groups: dict[str, list[np.ndarray]] = {}
    for label, values in pulls.items():
        groups.setdefault(group_of(label), []).append(values)
    by_group = {name: np.concatenate(values) for name, values in groups.items()}
    if not any(values.size for values in by_group.values()):
        return "<p>No run knows both its truth and its sigmas.</p>"
    figures = _pull_figure(by_group, "parameters, by group")
    if context.y in pulls and pulls[context.y].size:
        figures = _pull_figure({short_labels([context.y])[0]: pulls[context.y]}, context.y) + figures
    return f'<div class="pair">{figures}</div>{_parameter_table(context)}'


def _pull_figure(pulls: dict[str, np.ndarray], what: str) -> str:
    everything = np.concatenate(list(pulls.values()))
    spread = everything.std(ddof=1) if everything.size > 1 else math.nan
    return figure_html(
        plot_pulls(pulls),
        f"Histogram of {everything.size} errors in units of sigma of {what} with the unit Gaussian: mean "
        f"{everything.mean():+.3f}, spread {spread:.3f}.",
        f"Errors (estimate − truth) in units of sigma of {what}, and the unit Gaussian that they should follow.",
    )


def _parameter_table(context: ExperimentReport) -> str:
    header = (
        "parameter",
        "unit",
        "runs",
        "mean error",
        "its error",
        "spread",
        "median sigma",
        "mean pull",
        "spread of pulls",
    )
    body = [_parameter_row(context, label) for label in context.labels]
    caption = (
        "Errors of the runs that ended well: mean, scatter from run to run, and what the runs' own sigmas say. The "
        f"error of a mean counts draws of noise, {context.noise_draws} here: runs of one seed and frame share theirs"
    )
    return table_html(header, body, caption, text_columns=2)


def _parameter_row(context: ExperimentReport, label: str) -> tuple[str, ...]:
    errors, sigmas, pulls = context.errors(label), context.sigmas(label), context.pulls(label)
    errors = errors[np.isfinite(errors)]
    middle = float(np.nanmedian(sigmas)) if np.isfinite(sigmas).any() else math.nan
    factor, unit = display_scale(middle, context.units.get(label, ""))
    spread = float(errors.std(ddof=1)) if errors.size > 1 else math.nan
    mean = float(errors.mean()) if errors.size else math.nan
    error = spread / math.sqrt(max(min(errors.size, context.noise_draws), 1))
    numbers = (factor * number for number in (mean, error, spread, middle))
    said = (format_number(n, 3) if i == 0 else format_sigma(n) for i, n in enumerate(numbers))
    ends = (f"{pulls.mean():+.2f}" if pulls.size else "", f"{pulls.std(ddof=1):.2f}" if pulls.size > 1 else "")
    return (label, unit, str(errors.size), *said, *ends)


def failures(context: ExperimentReport) -> str:
    """Every run that did not end well, with the reason; how often each reason was given."""
    failed = [row for row in context.rows if row["status"] != DONE]
    if not failed:
        return "<p>Every run ended well.</p>"
    header = ("run", "status", "reason", *context.settings)
    body = [
        (
            row["run_id"],
            row["status"],
            row.get("message") or "",
            *(_plain(row.get(f"set.{s}")) for s in context.settings),
        )
        for row in failed
    ]
    table = table_html(header, body, f"{len(failed)} runs that did not end well", text_columns=len(header))
    return f'<div class="reasons">{table}</div>'


def _plain(value: Any) -> str:
    return "" if value is None else format_number(float(value), 8) if isinstance(value, int | float) else str(value)


def _kind(points: int) -> str:
    return "png" if points > _MOST_POINTS else "svg"
