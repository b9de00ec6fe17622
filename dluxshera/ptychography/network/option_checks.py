"""Checks of options at the door: each refusal names the one option that is at fault."""

import dataclasses
import math
import sys
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..scan_errors import ScanError

LEAST, MOST = sys.float_info.min, sys.float_info.max  # above zero, and finite
BELOW_ONE = 1 - 2.0**-53
WORDS = {int: "a whole number", bool: "true or false", str: "text"}


def check_whole(least: int, **options: Any) -> None:
    """Refuse options that are not whole numbers of `least` or more; a boolean is none."""
    for name, value in options.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise ScanError(f"Expected {name} to be a whole number of {least} or more, got {value!r}.")


def check_number(wanted: str, low: float | int = -math.inf, high: float | int = math.inf, **options: Any) -> None:
    """Refuse options that are not real numbers between `low` and `high`, in words `wanted`; NaN is not."""
    for name, value in options.items():
        if not isinstance(value, float | int) or isinstance(value, bool) or not low <= value <= high:
            raise ScanError(f"Expected {name} to be {wanted}, got {value!r}.")


def check_types(kind: type, values: Mapping[str, Any]) -> None:
    """Refuse values that are not what a dataclass declares its fields to be; where it is a float, 1 will do."""
    for field in dataclasses.fields(kind):
        declared = typing.get_args(field.type) or (field.type,)
        accepted = (*declared, int) if float in declared else declared
        value = values.get(field.name, field.default)
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in declared):
            words = "a number" if float in declared else WORDS.get(declared[0], declared[0].__name__)
            raise ScanError(f"Expected {field.name} to be {words}, got {value!r}.")


def check_name(what: str, name: Any, names: tuple[str, ...]) -> None:
    """Refuse what is not among `names`."""
    if name not in names:
        raise ScanError(f"Expected {what} among {', '.join(names)}, got {name!r}.")


def check_keys(what: str, record: Any, known: tuple[str, ...]) -> None:
    """Refuse a record that is no mapping, or has keys that are not known."""
    if not isinstance(record, Mapping):
        raise ScanError(f"Expected {what} to be a mapping of settings, got {record!r}.")
    for key in record:
        check_name(f"keys of {what}", key, known)
