"""The table of the runs of an experiment, which its reader sorts and filters."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..inference.format_values import format_number
from ._html import escape
from .experiment_record import ExperimentReport, number
from .labels import short_labels
from .units import display_scale


class _Column(NamedTuple):
    """A column of the table of runs: its heading, whether it holds numbers, text and value of each cell."""

    heading: str
    is_number: bool
    cells: list[tuple[str, Any]]


def runs(context: ExperimentReport) -> str:
    """The table of runs, which its reader sorts and filters."""
    columns = [
        _text(context, "status", "status"),
        *(_setting(context, name) for name in context.settings),
        _text(context, "converged", "converged"),
        _numbers(context, "steps", "steps", 6),
        _numbers(context, "seconds", "seconds", 3),
        _numbers(context, "loss", "loss_final", 8),
        _numbers(context, "reduced χ²", "reduced_chi_square", 5),
        *_interest(context),
        _largest_pull(context),
    ]
    head = "".join(
        _heading(name, kind) for name, kind in [("run", False), *((c.heading, c.is_number) for c in columns)]
    )
    body = "".join(_row(context, row, [c.cells[i] for c in columns], columns) for i, row in enumerate(context.rows))
    caption = "Every planned run. A button at the head of a column sorts by it; a second press turns the order round."
    table = (
        f'<table id="runs-table"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    return (
        f'{_controls(context)}<div class="scroll" role="region" aria-label="Table of runs" tabindex="0">{table}</div>'
    )


def _controls(context: ExperimentReport) -> str:
    statuses = sorted({row["status"] for row in context.rows})
    options = "".join(f'<option value="{escape(s)}">{escape(s)}</option>' for s in statuses)
    return (
        '<div class="controls"><label>Show rows with <input id="filter-text" type="search" autocomplete="off" '
        'spellcheck="false" placeholder="words, all of them"></label><label>Status <select id="filter-status">'
        f'<option value="">all</option>{options}</select></label>'
        f'<span id="rows-shown" role="status">{len(context.rows)} of {len(context.rows)} runs</span></div>'
    )


def _heading(name: str, is_number: bool) -> str:
    kind = "number" if is_number else "text"
    return f'<th scope="col" class="{kind}"><button type="button">{escape(name)}</button></th>'


def _row(context: ExperimentReport, row: Any, cells: Sequence[tuple[str, Any]], columns: Sequence[_Column]) -> str:
    name = escape(row["run_id"])
    link = context.links.get(row["run_id"])
    name = f'<a href="{escape(link)}">{name}</a>' if link else name
    found = "".join(_cell(*cell, column.is_number) for cell, column in zip(cells, columns, strict=True))
    return f'<tr data-status="{escape(row["status"])}"><th scope="row">{name}</th>{found}</tr>'


def _cell(text: str, value: Any, is_number: bool) -> str:
    if not is_number:
        return f'<td class="text">{escape(text)}</td>'
    known = "" if value is None or not math.isfinite(value) else f' data-value="{value!r}"'
    return f'<td class="number"{known}>{escape(text)}</td>'


def _text(context: ExperimentReport, heading: str, key: str) -> _Column:
    said = {None: "", True: "yes", False: "no"}
    values = [row.get(key) for row in context.rows]
    return _Column(heading, False, [(said[v] if v is None or isinstance(v, bool) else str(v), None) for v in values])


def _numbers(context: ExperimentReport, heading: str, key: str, digits: int, factor: float = 1.0) -> _Column:
    values = [factor * number(row.get(key)) for row in context.rows]
    return _Column(heading, True, [("" if math.isnan(v) else format_number(v, digits), v) for v in values])


def _setting(context: ExperimentReport, name: str) -> _Column:
    key = f"set.{name}"
    if all(math.isnan(number(row.get(key))) for row in context.rows):
        return _text(context, name, key)
    return _numbers(context, name, key, 8)


def _interest(context: ExperimentReport) -> list[_Column]:
    """Error and sigma of the parameter of interest, in one readable unit."""
    if context.y not in context.labels:
        return []
    errors = [number(row.get(f"{context.y}.estimate")) - number(row.get(f"{context.y}.truth")) for row in context.rows]
    sigmas = [number(row.get(f"{context.y}.sigma")) for row in context.rows]
    factor, unit = display_scale(sigmas, context.units.get(context.y, ""))
    name = short_labels([context.y])[0] + (f" ({unit})" if unit else "")
    named = {f"error of {name}": errors, "its sigma": sigmas}
    return [
        _Column(heading, True, [("" if math.isnan(v) else format_number(factor * v, 4), factor * v) for v in values])
        for heading, values in named.items()
    ]


def _largest_pull(context: ExperimentReport) -> _Column:
    found = []
    for row in context.rows:
        pulls = {label: _pull(row, label) for label in context.labels}
        known = {label: value for label, value in pulls.items() if math.isfinite(value)}
        worst = max(known, key=lambda label: abs(known[label]), default=None)
        found.append(("", None) if worst is None else (f"{known[worst]:+.2f}", known[worst]))
    return _Column("largest pull", True, found)


def _pull(row: Any, label: str) -> float:
    sigma = number(row.get(f"{label}.sigma"))
    if not (math.isfinite(sigma) and sigma > 0):
        return math.nan
    return (number(row.get(f"{label}.estimate")) - number(row.get(f"{label}.truth"))) / sigma
