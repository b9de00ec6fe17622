"""Series over the steps of a fit: one signal, and panels of several."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from ..inference.signals import Signal
from .panel import Panel, first_and_last, in_shown_unit, linear_part, real_array
from .style import COLUMN_WIDTH, FAINT, PAGE_WIDTH, REPORT_WIDTH, axes_or_new, legend_name, new_figure, styled
from .ticks import SymlogTicks

MOST_MARKS = 60  # a longer series is drawn without a mark at each step


@styled
def plot_signal(
    values: ArrayLike | Signal,
    x: ArrayLike | None = None,
    *,
    unit: str | None = None,
    truth: float | None = None,
    ax: Axes | None = None,
    log: bool = False,
    symlog: bool = False,
    title: str | None = None,
    label: str | None = None,
    labels: Sequence[str] = (),
    x_label: str = "step",
    display_unit: str | None = None,
) -> Figure:
    """Draw one signal.

    Parameters
    ----------
    values : Signal, or array (T,) or (T, k) in `unit`
        A Signal brings its unit, its labels and a truth that is one number.
    x : array (T,), optional
        The steps from zero by default.
    unit : str, optional
        "" or None for a pure number.
    truth : float, in `unit`, optional
    ax : Axes, optional
    log, symlog : bool
        A logarithmic axis; `symlog` is linear within one `unit` of zero.
    title : str, optional
        First and last value by default.
    label : str, optional
        For the legend.
    labels : sequence of str (k,)
        Of the components, for the legend.
    x_label : str
    display_unit : str, optional
        The unit of the axis; without it one in which the numbers are readable.

    Raises
    ------
    ValueError
        If `x` has another length than `values`, both `log` and `symlog` are asked for, there is not one label for each
        component, the shape is another, or `unit` does not convert to `display_unit`.
    TypeError
        If the values are not real numbers.
    """
    if log and symlog:
        raise ValueError("Expected log or symlog, got both. Ask for one.")
    if isinstance(values, Signal):
        labels, unit = labels or values.labels, values.unit
        truth = values.line if truth is None else truth
        values = values.values
    series = _components(real_array(values, "a signal", (1, 2)), label, labels)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    scale = "log" if log else "symlog" if symlog else "linear"
    panel = in_shown_unit(Panel("", unit or "", series, truth, scale, display_unit=display_unit))
    panel = dataclasses.replace(panel, title=first_and_last(panel) if title is None else title)
    _draw_panel(ax, panel, x)
    ax.set_xlabel(x_label)
    if label is not None or len(series) > 1:
        ax.legend()
    return ax.figure


@styled
def plot_panels(
    panels: Sequence[Panel],
    x: ArrayLike | None = None,
    *,
    x_label: str = "step",
    title: str | None = None,
    columns: int = 1,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> Figure | SubFigure:
    """Draw panels of named series, one below the other or in columns, on one x axis.

    Parameters
    ----------
    panels : sequence of Panel
    x : array (T,), optional
        The steps from zero by default.
    x_label : str
    title : str, optional
    columns : int
        The panels fill them row by row.
    axes : sequence or array of Axes, optional
        One for each panel; without them the panels have a figure of their own.

    Raises
    ------
    ValueError
        If there is no panel, one has no series, a scale is unknown, a series has another length than `x`, `columns` is
        below one, or there is not one of `axes` for each panel.
    """
    if not panels:
        raise ValueError("Expected at least one panel, got none.")
    if columns < 1:
        raise ValueError(f"Expected one column or more, got {columns}.")
    own = axes is None
    axes = _grid(panels, columns) if own else list(axes)
    if len(axes) != len(panels):
        raise ValueError(f"Expected {len(panels)} axes, one for each panel, got {len(axes)}.")
    for ax, panel in zip(axes, panels, strict=True):
        _draw_panel(ax, in_shown_unit(panel), x)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), borderaxespad=0.0)
    for ax in axes[-columns:] if own else axes:
        ax.set_xlabel(x_label)
        ax.tick_params(labelbottom=True)
    figure = axes[0].figure
    if own:
        figure.align_ylabels(axes)
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize="large")
    return figure


def panel_rows(panels: Sequence[Panel], columns: int) -> list[int]:
    """Lines of legend that each row of panels has room for."""
    lines = [max(len(panel.series) + (panel.truth is not None), 6) for panel in panels]
    return [max(lines[i : i + columns]) for i in range(0, len(lines), columns)]


def panels_height(panels: Sequence[Panel], columns: int) -> float:
    """Height of a figure of panels, in inches."""
    return 0.5 + sum(0.45 + 0.17 * n for n in panel_rows(panels, columns))


def _grid(panels: Sequence[Panel], columns: int) -> list[Axes]:
    figure = new_figure(PAGE_WIDTH if columns == 1 else REPORT_WIDTH, panels_height(panels, columns))
    return panel_axes(figure, panels, columns)


def panel_axes(figure: Figure | SubFigure, panels: Sequence[Panel], columns: int) -> list[Axes]:
    """Make axes for panels, in columns, on one x axis; places that are left over are empty."""
    rows = panel_rows(panels, columns)
    grid = figure.subplots(len(rows), columns, sharex=True, squeeze=False, height_ratios=rows).ravel()
    for ax in grid[len(panels) :]:
        ax.remove()
    return list(grid[: len(panels)])


def _components(values: np.ndarray, label: str | None, labels: Sequence[str]) -> dict[str, np.ndarray]:
    if values.ndim == 1:
        return {label or "": values}
    names = list(labels) or [str(i) for i in range(values.shape[1])]
    if len(names) != values.shape[1]:
        raise ValueError(f"Expected {values.shape[1]} labels, one for each component, got {len(names)}.")
    return {f"{label} {name}" if label else name: values[:, i] for i, name in enumerate(names)}


def _draw_panel(ax: Axes, panel: Panel, x: ArrayLike | None) -> None:
    _set_scale(ax, panel)  # before anything is drawn: margins are of the scale that they are made in
    if panel.band is not None:
        ax.axhspan(-panel.band, panel.band, color=FAINT, alpha=0.18, linewidth=0, zorder=0)
    for name, values in panel.series.items():
        _draw_series(ax, name, np.asarray(values, float), x)
    if panel.truth is not None:
        ax.axhline(panel.truth, color=FAINT, linestyle="--", linewidth=1.0, zorder=1, label="truth")
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel(panel.unit or "value")
    ax.set_title(panel.title)


def _draw_series(ax: Axes, name: str, values: np.ndarray, x: ArrayLike | None) -> None:
    x = np.arange(values.shape[0]) if x is None else np.asarray(x)
    if x.shape != values.shape[:1]:
        raise ValueError(f"Expected x of shape {values.shape[:1]}, one for each value, got {x.shape}.")
    ax.plot(x, values, marker="o" if x.size <= MOST_MARKS else None, label=legend_name(name))


def _set_scale(ax: Axes, panel: Panel) -> None:
    """Set the scale of the y axis; one with nothing above zero cannot be logarithmic and stays linear."""
    match panel.scale:
        case "symlog" if (within := linear_part(panel)) is not None:
            ax.set_yscale("symlog", linthresh=within, linscale=0.9)
            ax.yaxis.set_major_locator(SymlogTicks(within))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        case "log":
            if any((np.asarray(values) > 0).any() for values in panel.series.values()):
                ax.set_yscale("log", nonpositive="mask")
        case "linear" | "symlog":
            pass
        case other:
            raise ValueError(f'Expected scale "linear", "log" or "symlog", got {other!r}.')
