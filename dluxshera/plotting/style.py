"""How every figure looks: one restrained style, readable at column width, safe for colour-blind readers."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.style
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.2  # inches
REPORT_WIDTH = 1.4 * PAGE_WIDTH  # what fills the page of a report
# Okabe and Ito's, with a grey in place of the yellow, which is lost on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#808080")
INK, FAINT, MASKED = "#222222", "#8a8a8a", "#9a9a9a"
IMAGE_CMAP, DIVERGING_CMAP = "viridis", "RdBu_r"

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.prop_cycle": cycler(linestyle=["-", "--", ":"]) * cycler(color=list(COLORS)),
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.labelspacing": 0.3,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "dluxshera",
}


@contextmanager
def style() -> Iterator[None]:
    """Use the style, on top of matplotlib's defaults, for figures made inside; settings are as before afterwards."""
    with matplotlib.style.context(["default", STYLE]):
        yield


def styled(draw: Callable[..., Figure | SubFigure]) -> Callable[..., Figure | SubFigure]:
    """Make a function draw its figure in the style."""

    @functools.wraps(draw)
    def wrapped(*args: Any, **kwargs: Any) -> Figure | SubFigure:
        with style():
            figure = draw(*args, **kwargs)
            if kwargs.get("ax") is None and kwargs.get("axes") is None:
                _fix_ticks(figure)
            return figure

    return wrapped


def _fix_ticks(figure: Figure) -> None:
    """Make the ticks now: matplotlib does so at the first drawing, from the settings of then."""
    for ax in figure.axes:
        ax.tick_params(axis="x", which="both", labelsize=STYLE["xtick.labelsize"])
        ax.tick_params(axis="y", which="both", labelsize=STYLE["ytick.labelsize"])
    figure.draw_without_rendering()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that no global state knows of."""
    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Return `ax`, or the axes of a new figure, in inches."""
    return new_figure(width, height).subplots() if ax is None else ax


def grey_where_unknown(cmap: str) -> Colormap:
    """Return a named colour map that draws NaN in grey."""
    return matplotlib.colormaps[cmap].with_extremes(bad=MASKED)


def legend_name(name: str) -> str:
    """Return what a legend calls a series; matplotlib leaves out names that begin with an underscore."""
    return f"\u200b{name}" if name.startswith("_") else name  # a blank without width
