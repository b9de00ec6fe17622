"""Series over the steps of a fit: one signal, and panels of several."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from .style import COLUMN_WIDTH, FAINT, PAGE_WIDTH, axes_or_new, new_figure, styled

MOST_MARKS = 60  # a longer series is drawn without a mark at each step


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
    linear_within : float
        A "symlog" scale is linear so near to zero.
    band : float, optional
        Half width of the band drawn around zero, such as one sigma.
    """

    title: str
    unit: str
    series: Mapping[str, ArrayLike]
    truth: float | None = None
    scale: str = "linear"
    linear_within: float = 1.0
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
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    scale = "log" if log else "symlog" if symlog else "linear"
    title = _ends(np.asarray(values, float), unit) if title is None else title
    _draw_panel(ax, Panel(title, unit, {label or "": values}, truth, scale), x)
    ax.set_xlabel(x_label)
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
        If there is no panel, a scale is unknown, or a series has another length than `x`.
    """
    if not panels:
        raise ValueError("Expected at least one panel, got none.")
    lines = [max(len(panel.series), 6) for panel in panels]
    figure = new_figure(PAGE_WIDTH, 0.5 + sum(0.45 + 0.17 * n for n in lines))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=lines)[:, 0]
    for ax, panel in zip(axes, panels, strict=True):
        _draw_panel(ax, panel, x)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), borderaxespad=0.0)
    axes[-1].set_xlabel(x_label)
    figure.align_ylabels(axes)
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize="large")
    return figure


def _draw_panel(ax: Axes, panel: Panel, x: ArrayLike | None) -> None:
    if panel.band is not None:
        ax.axhspan(-panel.band, panel.band, color=FAINT, alpha=0.18, linewidth=0, zorder=0)
    for name, values in panel.series.items():
        _draw_series(ax, name, np.asarray(values, float), x)
    if panel.truth is not None:
        ax.axhline(panel.truth, color=FAINT, linestyle="--", linewidth=1.0, zorder=1, label="truth")
    _set_scale(ax, panel)
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel(panel.unit or "value")
    ax.set_title(panel.title)


def _draw_series(ax: Axes, name: str, values: np.ndarray, x: ArrayLike | None) -> None:
    x = np.arange(values.shape[0]) if x is None else np.asarray(x)
    if x.shape != values.shape[:1]:
        raise ValueError(f"Expected x of shape {values.shape[:1]}, one for each value, got {x.shape}.")
    ax.plot(x, values, marker="o" if x.size <= MOST_MARKS else None, label=name)


def _set_scale(ax: Axes, panel: Panel) -> None:
    """Set the scale of the y axis; one with nothing above zero cannot be logarithmic and stays linear."""
    match panel.scale:
        case "symlog":
            ax.set_yscale("symlog", linthresh=panel.linear_within, linscale=0.9)
            ax.yaxis.get_major_locator().set_params(numticks=6)
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        case "log":
            if any((np.asarray(values) > 0).any() for values in panel.series.values()):
                ax.set_yscale("log", nonpositive="mask")
        case "linear":
            pass
        case other:
            raise ValueError(f'Expected scale "linear", "log" or "symlog", got {other!r}.')


def _ends(values: np.ndarray, unit: str) -> str:
    if values.ndim != 1 or not values.size:
        return ""
    return f"{values[0]:.4g} to {values[-1]:.4g} {unit}".rstrip()
