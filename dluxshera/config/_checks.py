"""What is wrong with one value of a profile, in words, and what may stand there as JSON schema."""

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..params import ParamSpec
from ..params.checks import declared_dimensions, value_problem
from ..params.fields import as_static, field_kind

LARGEST_COUNT = 2**13  # of pixels, wavelengths, Noll indices; more is a slip, and the arrays would not fit

_ONE_WITH_UNIT = r"^(?!\s*[-+.0-9eE]*\s*$)\s*[-+.0-9]"
_MANY_WITH_UNIT = r"^\s*\[[^\]]*\]\s*\S"


class Check(NamedTuple):
    """Says what is wrong with a value, or None; `json` is the same as JSON schema, where that can say it."""

    problem: Callable[[Any], str | None]
    json: dict[str, Any]

    def __call__(self, value: Any) -> str | None:
        return self.problem(value)


def _described_by(json: dict[str, Any]) -> Callable[[Callable[[Any], str | None]], Check]:
    return lambda problem: Check(problem, json)


@_described_by({"type": "string"})
def text(value: Any) -> str | None:
    """Any text."""
    return None if isinstance(value, str) else _expected("text", value)


@_described_by({"type": "number"})
def number(value: Any) -> str | None:
    """A finite number."""
    array = _numbers(value)
    fine = array is not None and array.shape == () and np.isfinite(array)
    return None if fine else _expected("a number", value)


@_described_by({"type": "array", "items": {"type": "number"}})
def numbers(value: Any) -> str | None:
    """A list of finite numbers."""
    array = _numbers(value)
    fine = array is not None and array.ndim == 1 and np.isfinite(array).all()
    return None if fine else _expected("a list of numbers", value)


@_described_by({"type": "array", "items": {"type": "string"}})
def texts(value: Any) -> str | None:
    """A list of texts."""
    fine = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return None if fine else _expected("a list of texts", value)


def whole(low: int = 1) -> Check:
    """A whole number from `low` to `LARGEST_COUNT`."""

    @_described_by({"type": "integer", "minimum": low, "maximum": LARGEST_COUNT})
    def check(value: Any) -> str | None:
        fine = _is_whole(value) and low <= value <= LARGEST_COUNT
        return None if fine else _expected(f"a whole number from {low} to {LARGEST_COUNT}", value)

    return check


@_described_by({"type": "integer", "minimum": 0})
def seed(value: Any) -> str | None:
    """A seed of NumPy's generator."""
    return None if _is_whole(value) and value >= 0 else _expected("a whole number of at least 0", value)


_NOLL = {"type": "integer", "minimum": 1, "maximum": LARGEST_COUNT}


@_described_by({"type": "array", "items": _NOLL, "uniqueItems": True})
def noll_indices(value: Any) -> str | None:
    """Distinct whole numbers of at least 1."""
    items = as_static(value)
    fine = isinstance(items, tuple) and all(_is_whole(j) and 1 <= j <= LARGEST_COUNT for j in items)
    fine = fine and len(set(items)) == len(items)
    return None if fine else _expected("a list of distinct whole numbers of at least 1", value)


@_described_by({"anyOf": [{"type": "array"}, {"type": "string", "pattern": rf"\.npy$|{_MANY_WITH_UNIT}"}]})
def array(value: Any) -> str | None:
    """An array of numbers, or the path of an .npy file with one."""
    if isinstance(value, str):
        return None if value.endswith(".npy") else _expected("an array or the path of an .npy file", value)
    return None if _numbers(value, "fiub") is not None else _expected("an array of numbers", value)


def or_word(word: str, check: Check) -> Check:
    """What `check` takes, or one word, such as `auto`; null counts as `none`."""
    words = [word, None] if word == "none" else [word]

    @_described_by({"anyOf": [{"enum": words}, check.json]})
    def checked(value: Any) -> str | None:
        if isinstance(value, str | None) and value in words:
            return None
        wrong = check(value)
        return wrong and wrong.replace("expected ", f"expected {word!r} or ", 1)

    return checked


def one_of(choices: tuple[str | int, ...]) -> Check:
    """One of some words or whole numbers."""

    @_described_by({"enum": list(choices)})
    def check(value: Any) -> str | None:
        fine = isinstance(value, str | int) and not isinstance(value, bool) and value in choices
        return None if fine else _expected(f"one of {', '.join(map(str, choices))}", value)

    return check


@_described_by({"type": ["number", "string", "boolean", "null"]})
def scalar(value: Any) -> str | None:
    """One number, text or truth value."""
    fine = value is None or isinstance(value, str | bool) or number(value) is None
    return None if fine else _expected("a number, a text, true or false", value)


_END = {"anyOf": [{"type": ["number", "null"]}, {"type": "string", "pattern": _ONE_WITH_UNIT}]}


@_described_by({"type": "array", "items": _END, "minItems": 2, "maxItems": 2})
def bounds(value: Any) -> str | None:
    """Two numbers, either of which may be null for an open side."""
    fine = isinstance(value, list | tuple) and len(value) == 2
    fine = fine and all(end is None or number(end) is None for end in value)
    if fine and None not in value and not value[0] < value[1]:
        return _expected("a lower bound below the upper one", value)
    return None if fine else _expected("[lower, upper]", value)


def declared(field: dataclasses.Field) -> Check:
    """The check of a declared field: a parameter with its bounds, a buffer, or a structural choice."""
    kind, optional = field_kind(field), field.metadata["optional"]
    if kind == "static":
        return structural(field.type)
    check = array if kind == "buffer" else parameter(field.metadata["spec"], vector=bool(declared_dimensions(field)))
    return or_word("none", check) if optional else check


def structural(annotation: Any) -> Check:
    """The check of a structural choice, by its type: a count, one of some literals, text, or Noll indices."""
    if typing.get_origin(annotation) is typing.Literal:
        return one_of(typing.get_args(annotation))
    known = {int: whole(), str: text, bool: truth}
    return known[annotation] if annotation in known else noll_indices


@_described_by({"type": "boolean"})
def truth(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else _expected("true or false", value)


def parameter(spec: ParamSpec, vector: bool = False) -> Check:
    """A number, or a list of them, inside the declared bounds; in JSON also text with a unit."""
    one = {"type": ["number", "string"], "pattern": _ONE_WITH_UNIT} | _limits(spec)
    many = {"anyOf": [{"type": "array", "items": one}, {"type": "string", "pattern": _MANY_WITH_UNIT}]}

    @_described_by(many if vector else one)
    def check(value: Any) -> str | None:
        wrong = numbers(value) if vector else number(value)
        return wrong or lower_case(value_problem(np.asarray(value, float), spec))

    return check


def lower_case(message: str | None) -> str | None:
    """A message as the rest of a sentence: it begins small and has no full stop."""
    return message and (message[0].lower() + message[1:]).removesuffix(".")


def _limits(spec: ParamSpec) -> dict[str, float]:
    ends = zip(("minimum", "maximum"), spec.bounds, strict=True)
    return {name: bound for name, bound in ends if bound is not None}


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
