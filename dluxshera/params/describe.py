"""`describe`: a table of every parameter and derived quantity of a model."""

import dataclasses
import html
from typing import Any

import jax
import numpy as np

from .checks import bounds_text
from .elements import read_place
from .paths import Place, derived_places, is_parameter, walk

COLUMNS = ("path", "value", "unit", "bounds", "prior", "doc")


@dataclasses.dataclass(frozen=True)
class Description:
    """A table of parameters, then derived quantities; prints as text and shows as HTML in a notebook.

    Attributes
    ----------
    title : str
        Name of the model's class.
    rows : list of dict
        `path, value, unit, bounds, prior, doc, symbol, kind`; `value` holds the numbers, the others what was
        declared; `kind` is "parameter" or "derived".
    """

    title: str
    rows: list[dict[str, Any]]

    def __str__(self) -> str:
        table = [COLUMNS, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = _html_row("th", ("symbol", *COLUMNS))
        body = "".join(_html_row("td", (_symbol(row), *_cells(row))) for row in self.rows)
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"

    def to_rich(self) -> Any:
        """Return the table as a `rich.table.Table`."""
        from rich.table import Table
        from rich.text import Text

        table = Table(*COLUMNS, title=self.title)
        for row in self.rows:
            table.add_row(*map(Text, _cells(row)), style="dim" if row["kind"] == "derived" else None)
        return table


def describe(model: Any) -> Description:
    """Describe every parameter and derived quantity of a model.

    Parameters
    ----------
    model : eqx.Module

    Returns
    -------
    description : Description
        Parameters in flatten order, then derived quantities with their present values.
    """
    places = [p for p in walk(model) if is_parameter(p)] + list(derived_places(model))
    values = jax.device_get([read_place(p) for p in places])
    return Description(type(model).__name__, [_row(p, v) for p, v in zip(places, values, strict=True)])


def value_text(value: Any) -> str:
    """Write a number with up to ten digits, and a long vector by its ends and its shape."""
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array.item():.10g}" if array.dtype.kind in "iuf" else str(array)
    text = np.array2string(array, precision=6, threshold=6, edgeitems=2, separator=", ").replace("\n", "")
    return f"{text} {array.shape}" if array.size > 6 else text


def _row(place: Place, value: Any) -> dict[str, Any]:
    spec = place.spec
    declared = {
        "unit": spec.unit,
        "bounds": spec.bounds,
        "prior": spec.prior,
        "doc": spec.doc,
        "symbol": spec.symbol,
    }
    return {"path": place.path, "value": value, **declared, "kind": place.kind}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    bounds = "" if row["bounds"] == (None, None) else bounds_text(row["bounds"])
    prior = "" if row["prior"] is None else _prior_text(row["prior"])
    doc = f"{row['doc']} (derived)" if row["kind"] == "derived" else row["doc"]
    return row["path"], value_text(row["value"]), row["unit"], bounds, prior, doc


def _symbol(row: dict[str, Any]) -> str:
    """The symbol as LaTeX, which notebooks typeset."""
    return f"${row['symbol']}$" if row["symbol"] else ""


def _prior_text(prior: Any) -> str:
    numbers = ", ".join(value_text(leaf) for leaf in jax.tree.leaves(prior))
    return f"{type(prior).__name__}({numbers})"


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
