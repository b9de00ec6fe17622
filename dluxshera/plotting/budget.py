"""Where the error of one parameter comes from, and the loss along one parameter."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference.error_budget import ErrorBudget
from ..inference.sweep import Sweep
from .style import COLORS, COLUMN_WIDTH, FAINT, INK, axes_or_new, styled
from .units import display_scale

_LITTLE = 0.01  # a sweep over less than this share of its value is drawn as differences
KIND_COLORS = {"random": COLORS[0], "share": FAINT, "bias": COLORS[1], "total": INK}


@styled
def plot_error_budget(budget: ErrorBudget, ax: Axes | None = None) -> Figure:
    """Draw the terms of an error budget as bars, with their values; what is not determined is said in words.

    Parameters
    ----------
    budget : ErrorBudget
    ax : Axes, optional
    """
    ax = axes_or_new(ax, 1.5 * COLUMN_WIDTH, 0.8 + 0.26 * len(budget.terms))
    values = np.array([term.value for term in budget.terms])
    drawn = np.where(np.isfinite(values), values, 0.0)
    rows = np.arange(len(values))
    ax.barh(rows, drawn, color=[KIND_COLORS[term.kind] for term in budget.terms], height=0.65)
    for row, value, length in zip(rows, values, drawn, strict=True):
        text = f"{value:.3g}" if np.isfinite(value) else "not determined"
        ax.annotate(text, (length, row), (3, 0), textcoords="offset points", va="center", fontsize=7.5)
    ax.set_yticks(rows, [term.name for term in budget.terms])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.18 * drawn.max(initial=0) or 1.0)
    ax.set(xlabel=f"one sigma, or bias ({budget.unit})" if budget.unit else "one sigma, or bias")
    ax.set_title(f"Error budget of {budget.label}")
    return ax.figure


@styled
def plot_sweep(sweep: Sweep, ax: Axes | None = None) -> Figure:
    """Draw the loss along one parameter above its smallest value, with the parabola of the expected information.

    Parameters
    ----------
    sweep : Sweep
    ax : Axes, optional
    """
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    order = np.argsort(sweep.values)
    lowest = np.nanmin(np.where(np.isfinite(sweep.loss), sweep.loss, np.nan))
    values, x_label = _sweep_axis(sweep.values[order], sweep.label, sweep.unit)
    parabola, loss = (array[order] - lowest for array in (sweep.parabola, sweep.loss))
    ax.plot(values, parabola, color=FAINT, linestyle="--", label="expected information")
    ax.plot(values, loss, "o-", color=COLORS[0], label="loss")
    ax.set(xlabel=x_label, ylabel="loss above the lowest")
    ax.grid(axis="y")
    ax.legend()
    return ax.figure


def _sweep_axis(values: np.ndarray, label: str, unit: str) -> tuple[np.ndarray, str]:
    """Values for an axis, and its label: from the middle one, in a readable unit, where they differ by little."""
    middle = values[len(values) // 2]
    if np.ptp(values) > _LITTLE * abs(middle):
        return values, f"{label} ({unit})" if unit else label
    factor, shown = display_scale(values - middle, unit)
    where = f"{label} from {middle:.10g} {unit}".rstrip()
    return factor * (values - middle), f"{where} ({shown})" if shown else where
