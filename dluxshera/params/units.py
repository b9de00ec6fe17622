"""Values with units: text such as `550 nm` and astropy quantities as numbers of the declared unit; slips hinted."""

import math
import re
import sys
from decimal import Decimal
from typing import Any

import jax
import numpy as np

from .spec import ParamSpec

_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_UNIT = r"(?:1/)?[A-Za-zµμÅ°%/][A-Za-z0-9µμÅ°%/*^. -]{0,39}"
_ONE = re.compile(rf"\s*({_NUMBER})\s*({_UNIT})")
_MANY = re.compile(rf"\s*\[([^\[\]]*)\]\s*({_UNIT})")

# Units that are mistaken for one another, by their size in one of them.
_FAMILIES: tuple[dict[str, float], ...] = (
    {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "m": 1.0},
    {"uas": 1e-6, "mas": 1e-3, "arcsec": 1.0, "deg": 3600.0, "rad": 648_000 / np.pi},
    {"us": 1e-6, "ms": 1e-3, "s": 1.0},
    {"%": 0.01, "": 1.0},
)


def is_text_with_unit(value: Any) -> bool:
    """Whether a value is text such as `550 nm` or `[1, 2] nm`."""
    if not isinstance(value, str) or re.fullmatch(_NUMBER, value.strip()):
        return False
    return bool(_ONE.fullmatch(value) or _MANY.fullmatch(value))


def carries_unit(value: Any) -> bool:
    """Whether a value, or an element of a list, says its unit."""
    if isinstance(value, list | tuple):
        return any(map(carries_unit, value))
    return _is_quantity(value) or is_text_with_unit(value)


def without_unit(value: Any, unit: str) -> Any:
    """Return the numbers, in `unit`, of what says its unit; anything else is returned as it is.

    Parameters
    ----------
    value : astropy Quantity, text such as `550 nm` or `[1, 2] nm`, list of those, or anything
    unit : str
        As astropy writes it.

    Raises
    ------
    ValueError
        If a unit is not known or has another dimension, or some elements of a list say theirs and some do not.
    """
    if isinstance(value, list | tuple) and carries_unit(value):
        if not all(map(carries_unit, value)):
            raise ValueError(f"Expected a unit with every number or with none, got {value!r:.80}.")
        return [without_unit(item, unit) for item in value]
    if is_text_with_unit(value):
        return _from_text(value, unit)
    if not _is_quantity(value):
        return value
    try:
        return value.to_value(_units().Unit(unit))
    except ValueError as error:
        raise ValueError(f"Expected a quantity that converts to {_name(unit)}, got one in {value.unit}.") from error


def in_unit(value: Any, spec: ParamSpec) -> Any:
    """Return a value as a user gives it as numbers in the unit of its spec; see `without_unit`.

    Raises
    ------
    ValueError
        Also for a number without unit above `spec.slip_above`, with what it looks like.
    """
    if not carries_unit(value):
        wrong = slip_problem(value, spec)
        if wrong:
            raise ValueError(wrong)
    return without_unit(value, spec.unit)


def slip_problem(value: Any, spec: ParamSpec) -> str | None:
    """Say which number without unit is larger than any that the spec expects, or return None."""
    if spec.slip_above is None or isinstance(value, str | bool | jax.core.Tracer) or value is None:
        return None
    numbers = _numbers(value)
    large = numbers[np.isfinite(numbers) & (np.abs(numbers) > spec.slip_above)]
    if large.size == 0:
        return None
    return (
        f"Expected a size of at most {spec.slip_above:g} {spec.unit}, got {large[0]:.10g}.{slip_hint(large, spec)} "
        f"Give its unit, '{large[0]:.10g} {spec.unit}', if it is meant."
    )


def slip_hint(outside: np.ndarray, spec: ParamSpec) -> str:
    """Return " 550 looks like nm, the path is in m." for numbers outside bounds, or an empty text."""
    number = float(np.ravel(outside)[0])
    names = [name for name, factor in _others(spec.unit) if _fits(number * factor, spec)]
    here = f"in {spec.unit}" if spec.unit else "a pure number"
    return f" {number:.10g} looks like {' or '.join(names)}, the path is {here}." if names else ""


def _others(unit: str) -> list[tuple[str, float]]:
    """Units that may be mistaken for `unit`, and their size in it."""
    family = next((family for family in _FAMILIES if unit in family), {})
    return [(name, size / family[unit]) for name, size in family.items() if name != unit]


def _fits(number: float, spec: ParamSpec) -> bool:
    lower, upper = (-np.inf if spec.bounds[0] is None else spec.bounds[0]), spec.bounds[1]
    largest = min(np.inf if bound is None else bound for bound in (upper, spec.slip_above))
    return lower <= number <= largest and abs(number) <= largest < np.inf


def _numbers(value: Any) -> np.ndarray:
    """The value as a flat array of floats; empty where it does not hold real numbers."""
    try:
        found = np.ravel(np.asarray(value))
    except (ValueError, TypeError):
        return np.empty(0)
    return found.astype(float) if found.dtype.kind in "iuf" else np.empty(0)


def _from_text(text: str, unit: str) -> Any:
    one, many = _ONE.fullmatch(text), _MANY.fullmatch(text)
    if one:
        return _scaled(one[1], _factor(one[2], unit, text))
    factor, items = _factor(many[2], unit, text), [item.strip() for item in many[1].split(",") if item.strip()]
    if not all(re.fullmatch(_NUMBER, item) for item in items):
        raise ValueError(f"Expected numbers in the brackets of {text!r:.80}.")
    return [_scaled(item, factor) for item in items]


def _scaled(number: str, factor: float) -> float:
    """The product in decimals, so that `550 nm` is the very float 550e-9."""
    return float(Decimal(number) * Decimal(repr(factor)))


def _factor(given: str, unit: str, text: str) -> float:
    units = _units()
    try:
        found = units.Unit(given.strip())
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"Expected a unit that astropy knows, such as nm, um, mas or deg, got {given.strip()!r} in {text!r:.80}."
        ) from error
    try:
        factor = float(found.to(units.Unit(unit)))
    except ValueError as error:
        raise ValueError(f"Expected a quantity that converts to {_name(unit)}, got {text!r:.80}.") from error
    short = float(f"{factor:.12g}")
    return (
        short if math.isclose(short, factor, rel_tol=4e-16) else factor
    )  # a product of powers of ten is off by an ulp


def _name(unit: str) -> str:
    return repr(unit) if unit else "a pure number"


def _is_quantity(value: Any) -> bool:
    units = sys.modules.get("astropy.units")  # a quantity can only exist where astropy was imported
    return units is not None and isinstance(value, units.Quantity)


def _units() -> Any:
    import astropy.units

    return astropy.units
