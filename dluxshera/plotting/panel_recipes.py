"""Panel recipes: which signals share an axis."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ..inference.signal_summaries import hybrid
from ..inference.signals import Signal
from .panel import Panel, final_values
from .units import display_scale


@dataclasses.dataclass(frozen=True)
class PanelRecipe:
    """Which signals share an axis, and how.

    Attributes
    ----------
    title : str
        The last values are added to it.
    signals : tuple of str
        Names; those that a run does not have are left out.
    names : mapping of str to str
        What the legend calls a signal, by its name; the quantity in its name by default.
    scale : str
        "linear", "log" or "symlog", which is linear where the series end.
    top : int, optional
        Of a vector, show the root mean square and so many of the components that end largest.
    display_unit : str, optional
        The unit of the axis; without it one in which the numbers are readable.
    """

    title: str
    signals: tuple[str, ...]
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scale: str = "symlog"
    top: int | None = None
    display_unit: str | None = None


def panels_of(signals: Mapping[str, Signal], recipes: Sequence[PanelRecipe]) -> list[Panel]:
    """Make the panels of recipes from the signals that there are.

    Parameters
    ----------
    signals : mapping of str to Signal
        By name.
    recipes : sequence of PanelRecipe

    Returns
    -------
    list of Panel
        Without the recipes that have no signal, and those whose signals never leave their truth.

    Raises
    ------
    ValueError
        Naming a recipe whose signals are not of one unit.
    """
    panels = []
    for recipe in recipes:
        chosen = [signals[name] for name in recipe.signals if name in signals]
        if chosen and not all(signal.is_silent for signal in chosen):
            panels.append(_panel(recipe, chosen))
    return panels


def _panel(recipe: PanelRecipe, signals: Sequence[Signal]) -> Panel:
    units = {signal.unit for signal in signals}
    if len(units) != 1:
        raise ValueError(f"Expected signals of one unit in the panel {recipe.title!r}, got {', '.join(sorted(units))}.")
    series: dict[str, np.ndarray] = {}
    for signal in signals:
        series |= _series(recipe, signal, alone=len(signals) == 1)
    unit = units.pop()
    everything = np.concatenate([values for values in series.values()])
    display_unit = display_scale(everything, unit, recipe.display_unit)[1]
    title = f"{recipe.title}: {_ending(recipe, series, unit)}"
    return Panel(title, unit, series, _truth(signals), recipe.scale, linear_within=None, display_unit=display_unit)


def _series(recipe: PanelRecipe, signal: Signal, alone: bool) -> dict[str, np.ndarray]:
    if signal.values.ndim == 2 and recipe.top is not None:
        signal = hybrid(signal, recipe.top)
    name = recipe.names.get(signal.name, _quantity(signal))
    if signal.values.ndim == 1:
        return {name: signal.values}
    prefix = "" if alone else f"{name} "
    return {f"{prefix}{label}": signal.values[:, i] for i, label in enumerate(signal.labels)}


def _quantity(signal: Signal) -> str:
    """`binary.position_angle_error_uas` as `position angle`."""
    words = signal.name.rpartition(".")[2].split("_")
    words = words[:-1] if signal.unit else words
    return " ".join(word for word in words if word != "error") or signal.name


def _ending(recipe: PanelRecipe, series: Mapping[str, np.ndarray], unit: str) -> str:
    """Where the series end, in a unit in which that is readable; of a hybrid its summary."""
    shown = {"RMS": series["RMS"]} if "RMS" in series else series
    factor, unit = display_scale([values[-1] for values in shown.values()], unit, recipe.display_unit)
    alone = len(series) == 1
    return f"final {final_values({'' if alone else name: factor * v for name, v in shown.items()}, unit)}"


def _truth(signals: Sequence[Signal]) -> float | None:
    """One line for all, where they have one truth."""
    truths = {signal.line for signal in signals}
    return truths.pop() if len(truths) == 1 else None
