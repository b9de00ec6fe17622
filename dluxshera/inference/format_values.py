"""Numbers as text: an estimate to the digits that its sigma leaves, small angles in micro-arcseconds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

TABLE_COLUMNS = ("parameter", "unit", "estimate", "sigma", "sigma as angle", "Cramér-Rao", "start", "truth", "pull")
_FIXED = range(-6, 16)  # decimal places for which fixed notation is easier to read than powers of ten
_SMALL_ANGLES = ((1e-3, 1e6, "µas"), (0.1, 1e3, "mas"))  # below so many arcsec: factor and unit


def format_estimate(value: float, sigma: float | None) -> tuple[str, str]:
    """Write a value to the decimal place at which its sigma has two significant digits.

    Parameters
    ----------
    value : float
    sigma : float or None
        One-sigma error in the unit of `value`; infinite where nothing constrains it, None where unknown.

    Returns
    -------
    value, sigma : str
        Of the same decimal places, as in `("10.0000001", "0.0000010")`. Without a finite sigma above zero the
        value has ten digits; an infinite sigma is written "∞", an unknown one "".
    """
    if sigma is None or math.isnan(sigma):
        return format_number(value), ""
    if not (math.isfinite(value) and math.isfinite(sigma) and sigma > 0):
        return format_number(value), format_number(sigma)
    places = _places(sigma)
    if places in _FIXED:
        return _fixed(value, places), _fixed(sigma, places)
    exponent = _exponent(value) if round(value, min(places, 300)) else -places
    return f"{value:.{min(max(places + exponent, 1), 16)}e}", f"{sigma:.1e}"


def format_number(value: float | None, digits: int = 10) -> str:
    """Write a number with so many significant digits and no trailing zeros; None is empty."""
    if value is None or math.isnan(value):
        return "" if value is None else "nan"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return _unsigned_zero(f"{value:.{digits}g}")


def format_sigma(sigma: float | None) -> str:
    """Write an error with two significant digits; None is empty, infinity "∞"."""
    return format_estimate(0.0, sigma)[1]


def format_small_angle(sigma: float | None, unit: str) -> str:
    """Write a small error in arcsec (or arcsec per something) in milli- or micro-arcseconds; else empty.

    Parameters
    ----------
    sigma : float or None, in `unit`
    unit : str
        As a `ParamSpec` gives it, such as "arcsec" or "arcsec/pixel".
    """
    base, slash, per = unit.partition("/")
    if base != "arcsec" or sigma is None or not 0 < sigma < _SMALL_ANGLES[-1][0]:
        return ""
    factor, small = next((factor, small) for limit, factor, small in _SMALL_ANGLES if sigma < limit)
    return f"{format_sigma(sigma * factor)} {small}{slash}{per}"


def pull(row: Mapping[str, Any]) -> float | None:
    """Return (estimate - truth) / sigma of a row of the parameter table; None where it is not known."""
    truth, sigma = row.get("truth"), row.get("sigma")
    if truth is None or sigma is None or not (math.isfinite(sigma) and sigma > 0):
        return None
    return (row["estimate"] - truth) / sigma


def format_table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Write the parameter table of a fit as text.

    Parameters
    ----------
    rows : sequence of mappings
        `label, unit, estimate, sigma, cramer_rao, start` and, where it is known, `truth`; physical units.

    Returns
    -------
    list of list of str
        The header (from `TABLE_COLUMNS`), then one list for each row. Columns with no entry are left out.
    """
    body = [_cells(row) for row in rows]
    keep = [i for i, _ in enumerate(TABLE_COLUMNS) if i < 4 or any(cells[i] for cells in body)]
    return [[cells[i] for i in keep] for cells in (TABLE_COLUMNS, *body)]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    estimate, sigma = format_estimate(row["estimate"], row["sigma"])
    deviation = pull(row)
    return (
        row["label"],
        row["unit"],
        estimate,
        sigma,
        format_small_angle(row["sigma"], row["unit"]),
        format_sigma(row.get("cramer_rao")),
        _reference(row.get("start"), row["sigma"]),
        _reference(row.get("truth"), row["sigma"]),
        "" if deviation is None else _unsigned_zero(f"{deviation:+.2f}"),
    )


def _reference(value: float | None, sigma: float | None) -> str:
    """A number to compare with an estimate: six digits, or one decimal place more than its sigma has."""
    if value is None or sigma is None or not (math.isfinite(value) and math.isfinite(sigma) and sigma > 0):
        return format_number(value)
    return format_number(round(value, max(_places(sigma) + 1, 5 - _exponent(value))), 15)


def _exponent(value: float) -> int:
    """Power of ten of a number that is written with two digits, so that 0.0996 counts as 0.10."""
    return int(f"{value:.1e}".partition("e")[2])


def _places(sigma: float) -> int:
    return 1 - _exponent(sigma)


def _fixed(value: float, places: int) -> str:
    return _unsigned_zero(f"{round(value, places):.{max(places, 0)}f}")


def _unsigned_zero(text: str) -> str:
    return text.lstrip("+-") if float(text) == 0 else text
