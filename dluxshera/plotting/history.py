"""Series over the steps of a fit: one signal, and panels of several."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from .style import COLUMN_WIDTH, FAINT, PAGE_WIDTH, axes_or_new, new_figure, styled


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
    band : float, optional
        Half width of the band drawn around zero, such as one sigma.
    """

    title: str
    unit: str
    series: Mapping[str, ArrayLike]
    truth: float | None = None
    scale: str = "linear"
    band: float | None = None


@styled
def plot_signal(
    values: ArrayLike,
    x: ArrayLike | None = None,
    *,
    unit: str,
    truth: float | None = None,
    ax: Axes | None = None,
    log: bool = False,
    symlog: bool = False,
    title: str | None = None,
    label: str | None = None,
    x_label: str = "step",
) -> Figure:
    """Draw one signal.

    Parameters
    ----------
    values : array (T,) or (T, k), in `unit`
    x : array (T,), optional
        The steps from zero by default.
    unit : str
        "" for a pure number.
    truth : float, in `unit`, optional
    ax : Axes, optional
    log, symlog : bool
        A logarithmic axis; `symlog` is linear within one unit of zero.
    title : str, optional
        First and last value by default.
    label : str, optional
        For the legend.
    x_label : str

    Raises
    ------
    ValueError
        If `x` has another length than `values`, or both `log` and `symlog` are asked for.
    """
    if log and symlog:
        raise ValueError("Expected log or symlog, got both. Ask for one.")
    values = np.asarray(values, float)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.65 * COLUMN_WIDTH)
    draw_series(ax, values, x, scale="log" if log else "symlog" if symlog else "linear", label=label)
    finish_axis(ax, unit, truth)
    ax.set_xlabel(x_label)
    ax.set_title(_ends(values, unit) if title is None else title)
    if label is not None:
        ax.legend()
    return ax.figure


@styled
def plot_panels(
    panels: Sequence[Panel], x: ArrayLike | None = None, *, x_label: str = "step", title: str | None = None
) -> Figure:
    """Draw panels of named series one below the other, on one x axis.

    Parameters
    ----------
    panels : sequence of Panel
    x : array (T,), optional
        The steps from zero by default.
    x_label : str
    title : str, optional

    Raises
    ------
    ValueError
        If there is no panel, or a series has another length than `x`.
    """
    if not panels:
        raise ValueError("Expected at least one panel, got none.")
    lines = [max(len(panel.series), 6) for panel in panels]
    figure = new_figure(PAGE_WIDTH, 0.5 + sum(0.45 + 0.17 * n for n in lines))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=lines)[:, 0]
    for ax, panel in zip(axes, panels, strict=True):
        _draw_panel(ax, panel, x)
    axes[-1].set_xlabel(x_label)
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize="large")
    return figure


def draw_series(ax: Axes, values: ArrayLike, x: ArrayLike | None, *, scale: str, label: str | None = None) -> None:
    """Draw a series with a mark at every step where there are few; on a log axis zero has no mark."""
    values = np.asarray(values, float)
    x = np.arange(values.shape[0]) if x is None else np.asarray(x)
    if x.shape != values.shape[:1]:
        raise ValueError(f"Expected x of shape {values.shape[:1]}, one for each value, got {x.shape}.")
    shown = np.where(values > 0, values, np.nan) if scale == "log" else values
    ax.plot(x, shown, marker="o" if values.shape[0] <= 60 else None, label=label)
    set_scale(ax, scale, bool(np.isfinite(shown).any()))


def set_scale(ax: Axes, scale: str, has_values: bool = True) -> None:
    """Set the scale of the y axis; an axis without values stays linear and empty."""
    if scale == "symlog":
        ax.set_yscale("symlog", linthresh=1.0, linscale=0.8)
        ax.yaxis.set_minor_locator(NullLocator())
    elif has_values:
        ax.set_yscale(scale)
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def finish_axis(ax: Axes, unit: str, truth: float | None = None) -> None:
    """Name the unit of the y axis and draw the truth."""
    ax.set_ylabel(unit or "value")
    if truth is not None:
        ax.axhline(truth, color=FAINT, linestyle="--", linewidth=1.0, zorder=1, label="truth")


def _draw_panel(ax: Axes, panel: Panel, x: ArrayLike | None) -> None:
    if panel.band is not None:
        ax.axhspan(-panel.band, panel.band, color=FAINT, alpha=0.18, linewidth=0, zorder=0)
    for name, values in panel.series.items():
        draw_series(ax, values, x, scale=panel.scale, label=name)
    finish_axis(ax, panel.unit, panel.truth)
    ax.set_title(panel.title)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), borderaxespad=0.0)


def _ends(values: np.ndarray, unit: str) -> str:
    if values.ndim != 1 or not values.size:
        return ""
    return f"{values[0]:.4g} to {values[-1]:.4g} {unit}".rstrip()
