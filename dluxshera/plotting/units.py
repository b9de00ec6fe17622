"""The unit in which an axis is readable."""

import numpy as np
from numpy.typing import ArrayLike

# Units that one axis may have instead of another, by size.
FAMILIES: tuple[dict[str, float], ...] = (
    {"arcsec": 1.0, "mas": 1e-3, "µas": 1e-6},
    {"m": 1.0, "mm": 1e-3, "µm": 1e-6, "nm": 1e-9, "pm": 1e-12},
    {"%": 1e-2, "ppm": 1e-6, "ppb": 1e-9},
)
_READABLE = (0.1, 1e4)  # while the largest number of an axis is of this size, its unit stays


def display_scale(largest: ArrayLike | float, unit: str, wanted: str | None = None) -> tuple[float, str]:
    """Return the factor to the unit in which numbers are shown, and that unit.

    Parameters
    ----------
    largest : array
        What is drawn, or the largest of it, in `unit`.
    unit : str
    wanted : str, optional
        The unit to show instead of a readable one; `unit` itself keeps the numbers as they are.

    Raises
    ------
    ValueError
        If `unit` does not convert to `wanted`.
    """
    family = next((f for f in FAMILIES if unit in f), {unit: 1.0})
    if wanted is not None:
        if wanted not in family:
            raise ValueError(f"Expected one of the units {', '.join(family)} for {unit!r}, got {wanted!r}.")
        return _factor(family, unit, wanted), wanted
    sizes = np.abs(np.asarray(largest, float))
    size = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    if size == 0 or _READABLE[0] <= size < _READABLE[1]:
        return 1.0, unit
    fitting = [name for name in family if size * _factor(family, unit, name) >= 1]
    chosen = fitting[0] if fitting else list(family)[-1]
    return _factor(family, unit, chosen), chosen


def _factor(family: dict[str, float], unit: str, other: str) -> float:
    """Powers of ten, which a quotient of their floats may miss by a digit."""
    return float(f"{family[unit] / family[other]:.6g}")
