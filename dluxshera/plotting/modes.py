"""What the eigenmodes of an information matrix are made of."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from .labels import group_of, short_labels
from .style import COLORS, COLUMN_WIDTH, IMAGE_CMAP, PAGE_WIDTH, new_figure, styled

MOST_NAMED = 30  # with more modes than this, not every one has its number on the axis


@styled
def plot_modes(
    vectors: ArrayLike,
    labels: Sequence[str],
    eigenvalues: ArrayLike | None = None,
    *,
    symbols: Mapping[str, str] | None = None,
) -> Figure:
    """Draw the size of every component of every mode, with the eigenvalues above.

    Parameters
    ----------
    vectors : array (D, k)
        A mode in each column, as `EigenSpace.vectors`; of any length, they are drawn at length one.
    labels : sequence of str (D,)
        Of the parameters.
    eigenvalues : array (k,), optional
        One that is zero has no mark.
    symbols : mapping of str to str, optional
        LaTeX symbols by path, for the labels: `symbols_of(model)`.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """
    vectors, short = np.abs(np.asarray(vectors, float)), short_labels(labels, symbols)
    if vectors.ndim != 2 or len(short) != len(vectors):
        raise ValueError(f"Expected vectors of shape ({len(short)}, k) for the labels, got {vectors.shape}.")
    count = vectors.shape[1]
    if eigenvalues is not None and np.shape(eigenvalues) != (count,):
        raise ValueError(f"Expected {count} eigenvalues, one for each mode, got shape {np.shape(eigenvalues)}.")
    sizes = vectors / np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(float).tiny)
    height = 0.8 + 0.17 * len(short)
    figure = new_figure(
        float(np.clip(1.8 + 0.2 * count, COLUMN_WIDTH, PAGE_WIDTH)), height + (1.0 if eigenvalues is not None else 0)
    )
    if eigenvalues is None:
        _draw_sizes(figure.subplots(), sizes, short, labels)
        return figure
    above, below = figure.subplots(2, sharex=True, height_ratios=[1.0, height])
    _draw_eigenvalues(above, np.asarray(eigenvalues, float))
    _draw_sizes(below, sizes, short, labels)
    return figure


def _draw_sizes(ax: Axes, sizes: np.ndarray, short: Sequence[str], labels: Sequence[str]) -> None:
    extent = (0.5, sizes.shape[1] + 0.5, len(sizes) - 0.5, -0.5)
    drawn = ax.imshow(sizes, cmap=IMAGE_CMAP, vmin=0, vmax=1, interpolation="none", aspect="auto", extent=extent)
    ax.set_yticks(range(len(short)), short)
    ax.yaxis.set_minor_locator(NullLocator())
    if sizes.shape[1] <= MOST_NAMED:
        ax.set_xticks(range(1, sizes.shape[1] + 1))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    groups = [group_of(label) for label in labels]
    for i in range(1, len(groups)):
        if groups[i] != groups[i - 1]:
            ax.axhline(i - 0.5, color="white", linewidth=0.8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("mode, best determined first")
    ax.figure.colorbar(drawn, ax=ax, label="size of component", shrink=0.6, aspect=25)


def _draw_eigenvalues(ax: Axes, eigenvalues: np.ndarray) -> None:
    known = eigenvalues > 0
    ax.plot(np.flatnonzero(known) + 1, eigenvalues[known], "o", color=COLORS[0])
    ax.set_yscale("log")
    ax.grid(axis="y")
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.set_ylabel("eigenvalue")
