"""Two runs side by side: how their losses went, and how far apart their estimates are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import COLORS, COLUMN_WIDTH, FAINT, INK, PAGE_WIDTH, legend_name, new_figure, styled

_ROW, _LEAST_HEIGHT = 0.16, 2.4  # inches


@styled
def plot_run_difference(
    names: Sequence[str], losses: Sequence[ArrayLike], parameters: Sequence[Mapping[str, Any]]
) -> Figure:
    """Draw the losses of two runs, and second minus first of each parameter that both have, in sigmas.

    Parameters
    ----------
    names : pair of str
        For the legend.
    losses : pair of array (T,)
        They may differ in length.
    parameters : sequence of mapping
        Rows `label, sigmas` as `compare_runs` gives them; rows whose `sigmas` is None or not finite are left out, and
        counted.

    Raises
    ------
    ValueError
        Unless there are two names and two losses.
    """
    if not len(names) == len(losses) == 2:
        raise ValueError(f"Expected two runs, got {len(names)} names and {len(losses)} losses.")
    known = [row for row in parameters if row["sigmas"] is not None and np.isfinite(row["sigmas"])]
    if not known:
        figure = new_figure(COLUMN_WIDTH, _LEAST_HEIGHT)
        _draw_losses(figure.subplots(), names, losses)
        return figure
    figure = new_figure(PAGE_WIDTH, max(_LEAST_HEIGHT, 0.9 + _ROW * len(known)))
    left, right = figure.subplots(1, 2)
    _draw_losses(left, names, losses)
    _draw_differences(right, known, len(parameters) - len(known))
    return figure


def _draw_losses(ax: Axes, names: Sequence[str], losses: Sequence[ArrayLike]) -> None:
    """Above the lowest of both, on a logarithmic axis; the lowest itself has no place there."""
    series = [np.asarray(loss, float) for loss in losses]
    finite = np.concatenate([loss[np.isfinite(loss)] for loss in series])
    lowest = finite.min() if finite.size else 0.0
    for loss, name, color, style in zip(series, names, COLORS, ("-", "--"), strict=False):
        above = np.where(loss > lowest, loss - lowest, np.nan)
        ax.plot(above, style, marker="o" if loss.size <= 60 else None, color=color, label=legend_name(name))
    if finite.size and (finite > lowest).any():
        ax.set_yscale("log")
    ax.set(xlabel="step", ylabel="loss above the lowest of both", title="Loss")
    ax.grid(axis="y")
    ax.legend()


def _draw_differences(ax: Axes, rows: Sequence[Mapping[str, Any]], unknown: int) -> None:
    sigmas = np.array([row["sigmas"] for row in rows], float)
    places = np.arange(len(rows))
    ax.axvspan(-1, 1, color=FAINT, alpha=0.18, linewidth=0)
    ax.axvline(0, color=FAINT, linewidth=0.8)
    ax.hlines(places, 0, sigmas, color=COLORS[0], linewidth=1)
    ax.plot(sigmas, places, "o", color=INK)
    ax.set_yticks(places, [row["label"] for row in rows], fontsize=6.5)
    ax.invert_yaxis()
    reach = 1.15 * max(abs(sigmas).max(), 1.3)
    ax.set_xlim(-reach, reach)
    rest = f"; {unknown} not comparable" if unknown else ""
    ax.set(xlabel="second minus first (σ of both)", title=f"Estimates{rest}")
