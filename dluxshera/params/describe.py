"""`describe`: a table of every parameter and derived quantity of a model."""

import dataclasses
import html
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .checks import bounds_text
from .elements import read_place
from .paths import Place, derived_places, is_parameter, walk

LARGEST_MATRIX = 64  # numbers beyond which an image is described by its range
COLUMNS = ("path", "value", "unit", "bounds", "prior", "doc")
WITH_ORIGIN = ("path", "value", "unit", "origin", "bounds", "prior", "doc")


@dataclasses.dataclass(frozen=True)
class Description:
    """A table of parameters, then derived quantities; prints as text and shows as HTML in a notebook.

    Attributes
    ----------
    title : str
        Name of the model's class.
    rows : list of dict
        `path, value, unit, bounds, prior, doc, symbol, kind`; `value` holds the numbers, the others what was
        declared; `kind` is "parameter" or "derived". Where origins were given, also `origin`.
    """

    title: str
    rows: list[dict[str, Any]]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table: those of the rows that are shown."""
        return WITH_ORIGIN if any("origin" in row for row in self.rows) else COLUMNS

    def __str__(self) -> str:
        table = [self.columns, *(_cells(row, self.columns) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = _html_row("th", ("symbol", *self.columns))
        body = "".join(_html_row("td", (_symbol(row), *_cells(row, self.columns))) for row in self.rows)
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"

    def to_rich(self) -> Any:
        """Return the table as a `rich.table.Table`."""
        from rich.table import Table
        from rich.text import Text

        table = Table(*self.columns, title=self.title)
        for row in self.rows:
            table.add_row(*map(Text, _cells(row, self.columns)), style="dim" if row["kind"] == "derived" else None)
        return table


def describe(model: Any, origins: Mapping[str, str] | None = None) -> Description:
    """Describe every parameter and derived quantity of a model.

    Parameters
    ----------
    model : eqx.Module
    origins : mapping of str to str, optional
        Where each value comes from, by path, for a column of its own (`config.value_origins` makes them); empty
        where nothing is said.

    Returns
    -------
    description : Description
        Parameters in flatten order, then derived quantities with their present values, but for those that are None
        for want of what they follow from.
    """
    places = [p for p in walk(model) if is_parameter(p)] + list(derived_places(model))
    values = jax.device_get([read_place(p) for p in places])
    rows = [_row(p, v) for p, v in zip(places, values, strict=True) if v is not None]
    if origins is not None:
        rows = [row | {"origin": origins.get(row["path"], "")} for row in rows]
    return Description(type(model).__name__, rows)


def value_text(value: Any) -> str:
    """Write a number with up to ten digits, a long vector by its ends, an image by its range, both with the shape."""
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array.item():.10g}" if array.dtype.kind in "iuf" else str(array)
    if array.ndim > 1 and array.size > LARGEST_MATRIX and array.dtype.kind in "iuf":
        return f"{array.min():.6g} to {array.max():.6g} {array.shape}"
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


def _cells(row: dict[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    shown = row | {
        "value": value_text(row["value"]),
        "bounds": "" if row["bounds"] == (None, None) else bounds_text(row["bounds"]),
        "prior": "" if row["prior"] is None else _prior_text(row["prior"]),
        "doc": f"{row['doc']} (derived)" if row["kind"] == "derived" else row["doc"],
    }
    return tuple(shown[column] for column in columns)


def _symbol(row: dict[str, Any]) -> str:
    """The symbol as LaTeX, which notebooks typeset."""
    return f"${row['symbol']}$" if row["symbol"] else ""


def _prior_text(prior: Any) -> str:
    numbers = ", ".join(value_text(leaf) for leaf in jax.tree.leaves(prior))
    return f"{type(prior).__name__}({numbers})"


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
