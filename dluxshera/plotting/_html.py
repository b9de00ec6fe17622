"""Pieces of a self-contained page: escaped text, tables, figures as data URIs."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from .style import REPORT_WIDTH, style

PIXELS_PER_INCH = 1064 / REPORT_WIDTH  # one for all figures: their type has one size; 1064 is the page of `_css`

_FORMATS = {
    "svg": ("image/svg+xml", {"metadata": {"Date": None, "Creator": None}}),
    "png": ("image/png", {"metadata": {"Software": None}, "dpi": 220}),
}


def escape(value: Any) -> str:
    """Text of a value with nothing in it that HTML would read."""
    return html.escape(str(value), quote=True)


def data_uri(figure: Figure, kind: str) -> tuple[str, float]:
    """A figure as an "svg" or "png" data URI, and its width, inches; the same figure gives the same text."""
    mime, options = _FORMATS[kind]
    buffer = io.BytesIO()
    figure.set_layout_engine("none")  # laid out already, and nothing is added to it
    with style():
        box = figure.get_tightbbox().padded(0.04)
        figure.savefig(buffer, format=kind, bbox_inches=box, **options)
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}", box.width


def figure_html(figure: Figure, alt: str, caption: str, *, kind: str = "svg") -> str:
    """A figure with its alternative text and caption, both of which are escaped."""
    uri, width = data_uri(figure, kind)
    image = f'<img width="{width * PIXELS_PER_INCH:.0f}" src="{uri}" alt="{escape(alt)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def table_html(header: Sequence[str], body: Sequence[Sequence[str]], caption: str, *, text_columns: int = 1) -> str:
    """A table that scrolls sideways where it must; the first cell of a row is its heading.

    Columns from `text_columns` on hold numbers, which are set under one another by their decimal points.
    """
    columns = [list(column) for column in zip(*body, strict=True)]
    columns = columns[:text_columns] + [align_decimals(column) for column in columns[text_columns:]]
    kinds = ["text" if i < text_columns else "number" for i in range(len(header))]
    head = "".join(f'<th scope="col" class="{k}">{escape(h)}</th>' for h, k in zip(header, kinds, strict=True))
    rows = "".join(_row(cells, kinds) for cells in zip(*columns, strict=True))
    table = f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0">{table}</div>'


def align_decimals(cells: Sequence[str]) -> list[str]:
    """Pad with no-break spaces so that decimal points of right-aligned, equally wide digits stand in line."""
    after = [len(cell) - (cell.find(".") if "." in cell else len(cell)) for cell in cells]
    if any(" " in cell for cell in cells):  # a unit follows the number
        return list(cells)
    return [cell + "\N{NO-BREAK SPACE}" * (max(after) - n) for cell, n in zip(cells, after, strict=True)]


def _row(cells: Sequence[str], kinds: Sequence[str]) -> str:
    first, *others = (f'class="{kind}">{escape(cell)}' for cell, kind in zip(cells, kinds, strict=True))
    return f'<tr><th scope="row" {first}</th>' + "".join(f"<td {other}</td>" for other in others) + "</tr>"
