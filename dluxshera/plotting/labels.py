"""Names of parameters short enough for an axis or a legend."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..params import describe


def group_of(label: str) -> str:
    """Return what a label shares an axis with: its vector, the node of the tree that holds it, or `mode`."""
    vector, bracket, _ = label.partition("[")
    return vector if bracket else label.rpartition(".")[0] or label.rpartition(" ")[0] or label


def group_indices(labels: Sequence[str]) -> dict[str, list[int]]:
    """Return the positions of the labels of each group, in order of appearance."""
    groups: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(group_of(label), []).append(i)
    return groups


def short_labels(labels: Sequence[str], symbols: Mapping[str, str] | None = None) -> list[str]:
    """Shorten labels: `optics.m1.zernike_coeffs_nm[Z4]` to `m1 Z4`, `binary.contrast` to `contrast`.

    Labels that would no longer be told apart stay whole.

    Parameters
    ----------
    labels : sequence of str
    symbols : mapping of str to str, optional
        LaTeX symbols by path, as `symbols_of` gives them, to show in place of the words: `$a_1$ Z4`.
    """
    short = [_symbol(label, symbols or {}) or _short(label) for label in labels]
    return [s if short.count(s) == 1 else label for s, label in zip(short, labels, strict=True)]


def symbols_of(model: Any) -> dict[str, str]:
    """Return the LaTeX symbol of every parameter and derived quantity of a model that has one, by path."""
    return {row["path"]: row["symbol"] for row in describe(model).rows if row["symbol"]}


def element_label(label: str) -> str:
    """Return the part of a label that its group does not say: `Z4`, `contrast`."""
    _, bracket, element = label.partition("[")
    return element.removesuffix("]") if bracket else label.rpartition(".")[2]


def _short(label: str) -> str:
    path, bracket, _ = label.partition("[")
    if not bracket:
        return element_label(label)
    parent, _, field = path.rpartition(".")
    return f"{parent.rpartition('.')[2] or field} {element_label(label)}"


def _symbol(label: str, symbols: Mapping[str, str]) -> str | None:
    path, bracket, _ = label.partition("[")
    if path not in symbols:
        return None
    return f"${symbols[path]}$ {element_label(label)}" if bracket else f"${symbols[path]}$"
