"""What is wrong with one value of a profile, in words: one small function for each kind of value."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ..params.checks import declared_dimensions, value_problem
from ..params.fields import as_static, field_kind

LARGEST_COUNT = 2**13  # of pixels, wavelengths, Noll indices; more is a slip, and the arrays would not fit

Check = Callable[[Any], str | None]


def text(value: Any) -> str | None:
    """Any text."""
    return None if isinstance(value, str) else _expected("text", value)


def number(value: Any) -> str | None:
    """A finite number."""
    array = _numbers(value)
    fine = array is not None and array.shape == () and np.isfinite(array)
    return None if fine else _expected("a number", value)


def numbers(value: Any) -> str | None:
    """A list of finite numbers."""
    array = _numbers(value)
    fine = array is not None and array.ndim == 1 and np.isfinite(array).all()
    return None if fine else _expected("a list of numbers", value)


def texts(value: Any) -> str | None:
    """A list of texts."""
    fine = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return None if fine else _expected("a list of texts", value)


def at_least(low: float, *, strictly: bool = False) -> Check:
    """A number not below `low`, or above it."""

    def check(value: Any) -> str | None:
        wrong = number(value)
        if wrong or value > low or (value == low and not strictly):
            return wrong
        return _expected(f"a number {'above' if strictly else 'of at least'} {low:g}", value)

    return check


def whole(low: int = 1) -> Check:
    """A whole number from `low` to `LARGEST_COUNT`."""

    def check(value: Any) -> str | None:
        fine = _is_whole(value) and low <= value <= LARGEST_COUNT
        return None if fine else _expected(f"a whole number from {low} to {LARGEST_COUNT}", value)

    return check


def seed(value: Any) -> str | None:
    """A seed of NumPy's generator."""
    return None if _is_whole(value) and value >= 0 else _expected("a whole number of at least 0", value)


def noll_indices(value: Any) -> str | None:
    """Distinct whole numbers of at least 1."""
    items = as_static(value)
    fine = isinstance(items, tuple) and all(_is_whole(j) and 1 <= j <= LARGEST_COUNT for j in items)
    fine = fine and len(set(items)) == len(items)
    return None if fine else _expected("a list of distinct whole numbers of at least 1", value)


def array(value: Any) -> str | None:
    """An array of numbers, or the path of an .npy file with one."""
    if isinstance(value, str):
        return None if value.endswith(".npy") else _expected("an array or the path of an .npy file", value)
    return None if _numbers(value, "fiub") is not None else _expected("an array of numbers", value)


def or_word(word: str, check: Check) -> Check:
    """What `check` takes, or one word, such as `auto`; null counts as `none`."""

    def checked(value: Any) -> str | None:
        if (isinstance(value, str) and value == word) or (value is None and word == "none"):
            return None
        wrong = check(value)
        return wrong and wrong.replace("expected ", f"expected {word!r} or ", 1)

    return checked


def one_of(words: tuple[str, ...]) -> Check:
    """One of some words."""
    what = f"one of {', '.join(words)}"
    return lambda value: None if isinstance(value, str) and value in words else _expected(what, value)


def scalar(value: Any) -> str | None:
    """One number, text or truth value."""
    fine = value is None or isinstance(value, str | bool) or number(value) is None
    return None if fine else _expected("a number, a text, true or false", value)


def bounds(value: Any) -> str | None:
    """Two numbers, either of which may be null for an open side."""
    fine = isinstance(value, list | tuple) and len(value) == 2
    fine = fine and all(end is None or number(end) is None for end in value)
    if fine and None not in value and not value[0] < value[1]:
        return _expected("a lower bound below the upper one", value)
    return None if fine else _expected("[lower, upper]", value)


def declared(field: dataclasses.Field) -> Check:
    """The check of a declared field: a parameter with its bounds, a buffer, or a structural choice."""
    kind, spec = field_kind(field), field.metadata["spec"]
    if kind == "buffer":
        return or_word("none", array) if field.metadata["optional"] else array
    if kind == "static":
        return noll_indices if field.type is not int else whole()
    return parameter(spec, vector=bool(declared_dimensions(field)))


def parameter(spec: Any, vector: bool) -> Check:
    """A number, or a list of them, inside the declared bounds."""

    def check(value: Any) -> str | None:
        wrong = numbers(value) if vector else number(value)
        return wrong or _lower(value_problem(np.asarray(value, float), spec))

    return check


def _numbers(value: Any, kinds: str = "fiu") -> np.ndarray | None:
    """The value as an array, or None where it does not hold numbers."""
    try:
        found = np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.dtype.kind in kinds or found.shape == (0,) else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _expected(what: str, value: Any) -> str:
    shown = f"an array of shape {value.shape}" if getattr(value, "shape", ()) else f"{value!r:.80}"
    return f"expected {what}, got {shown}"


def _lower(message: str | None) -> str | None:
    return message and (message[0].lower() + message[1:]).removesuffix(".")
