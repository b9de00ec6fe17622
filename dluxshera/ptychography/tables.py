"""A record, such as a diagnosis, as the rows of a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..inference.format_values import format_number

MOST_VALUES = 6  # of a list that is written out
DIGITS = 5


def table_rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Write a record of numbers, strings, lists and records as rows of a name and a value.

    Parameters
    ----------
    record : mapping
        Names of records inside it are joined by dots.

    Returns
    -------
    rows : list of (str, str)
        Numbers to five digits; None as "-"; of a longer list, how many values it has.
    """
    return [(name, _text(value)) for name, value in _flat(record, "")]


def _flat(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format_number(value, DIGITS)
    if isinstance(value, list | tuple):
        between = " x " if all(isinstance(v, int) for v in value) else ", "  # a shape, or numbers
        return f"{len(value)} values" if len(value) > MOST_VALUES else between.join(_text(v) for v in value)
    return str(value)
