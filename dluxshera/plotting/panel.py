"""What one set of axes shows: named series in one unit."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .units import display_scale

MOST_IN_TITLE = 3  # series whose last value a title says one by one
_MOST_SYMLOG = 1e250  # a margin beyond that is no number any more


@dataclasses.dataclass(frozen=True)
class Panel:
    """Series that share an axis.

    Attributes
    ----------
    title : str
    unit : str
        Of every series; "" for a pure number.
    series : mapping of str to array (T,)
    truth : float, optional
        Drawn as a line.
    scale : str
        "linear", "log" or "symlog".
    linear_within : float, optional
        A "symlog" scale is linear so near to zero; where the series end, if it is None.
    band : float, optional
        Half width of the band drawn around zero, such as one sigma.
    display_unit : str, optional
        The unit of the axis; without it one in which the numbers are readable.
    """

    title: str
    unit: str
    series: Mapping[str, ArrayLike]
    truth: float | None = None
    scale: str = "linear"
    linear_within: float | None = 1.0
    band: float | None = None
    display_unit: str | None = None


def real_array(values: ArrayLike, what: str, ndims: Sequence[int]) -> np.ndarray:
    """Return numbers to draw.

    Raises
    ------
    TypeError
        Unless they are real numbers; `what` names them.
    ValueError
        Unless the array has so many axes, and a component at least.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Expected real numbers for {what}, got {array.dtype}. Convert them.")
    if array.ndim not in ndims or 0 in array.shape[1:]:
        shapes = " or ".join({1: "(T,)", 2: "(T, k) with k > 0"}[n] for n in ndims)
        raise ValueError(f"Expected {what} of shape {shapes}, got {array.shape}.")
    return array.astype(float)


def in_shown_unit(panel: Panel) -> Panel:
    """Return the panel in the unit of its axis.

    Raises
    ------
    TypeError, ValueError
        If there is no series, or one that is not of real numbers and shape (T,).
    """
    if not panel.series:
        raise ValueError(f"Expected at least one series in the panel {panel.title!r}, got none. Leave it out.")
    series = {name: real_array(v, f"the series {name!r} of {panel.title!r}", (1,)) for name, v in panel.series.items()}
    panel = dataclasses.replace(panel, series=series)
    values = np.concatenate(list(series.values()))
    factor, unit = display_scale(values, panel.unit, panel.display_unit)
    if factor == 1:
        return dataclasses.replace(panel, unit=unit)
    scaled = {name: getattr(panel, name) for name in ("truth", "linear_within", "band")}
    return dataclasses.replace(
        panel,
        unit=unit,
        display_unit=unit,
        series={name: factor * values for name, values in series.items()},
        **{name: value if value is None else factor * value for name, value in scaled.items()},
    )


def linear_part(panel: Panel) -> float | None:
    """Return what a "symlog" scale is linear within, or None where linear is enough.

    By itself it is the power of ten above where the series end, as long as they have been ten times further away.
    """
    series = [np.abs(np.asarray(v, float)) for v in panel.series.values() if np.size(v)]
    sizes = [np.where(np.isfinite(size), size, 0.0) for size in series]
    largest = max((float(size.max()) for size in sizes), default=0.0)
    if largest > _MOST_SYMLOG:
        return None
    if panel.linear_within is not None:
        return panel.linear_within
    wanted = max([float(size[-1]) for size in sizes] + [1e-4 * largest])
    within = float(10 ** np.ceil(np.log10(wanted))) if wanted > 0 else math.inf
    return within if largest >= 10 * within else None


def first_and_last(panel: Panel) -> str:
    """Say where a panel's one series starts and ends, or where several end."""
    series = {name: np.asarray(values) for name, values in panel.series.items() if np.size(values)}
    if len(series) == 1:
        (values,) = series.values()
        return f"{values[0]:.4g} to {values[-1]:.4g} {panel.unit}".rstrip()
    return f"final {final_values(series, panel.unit)}" if series else ""


def final_values(series: Mapping[str, ArrayLike], unit: str) -> str:
    """Say where series end: each of a few, the root mean square of many."""
    last = {name: float(np.asarray(values, float)[-1]) for name, values in series.items()}
    if len(last) > MOST_IN_TITLE:
        last = {"RMS": float(np.sqrt(np.mean(np.square(list(last.values())))))}
    return f"{', '.join(f'{name} {_short(value)}'.strip() for name, value in last.items())} {unit}".rstrip()


def _short(value: float) -> str:
    """Three digits, without a power of ten where the number is short."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.3g}"
