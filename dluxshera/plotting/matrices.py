"""What a fit's matrices say: correlations of the estimates, and the spectrum of the information."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from ..inference.fisher import RANK_TOLERANCE, scaled_spectrum
from .labels import group_of, short_labels
from .style import COLORS, COLUMN_WIDTH, DIVERGING_CMAP, FAINT, INK, PAGE_WIDTH, axes_or_new, grey_where_unknown, styled

MOST_NUMBERS = 9  # a larger matrix is drawn without numbers in its cells


def correlation_matrix(covariance: ArrayLike) -> np.ndarray:
    """Return the correlations (D, D) of a covariance (D, D); NaN where a variance is not finite or zero."""
    covariance = np.asarray(covariance, float)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"Expected a matrix of shape (D, D), got {covariance.shape}.")
    variance = np.diagonal(covariance)
    known = np.isfinite(variance) & (variance > 0)
    sigma = np.sqrt(np.where(known, variance, 1.0))
    both = known[:, None] & known[None, :]
    return np.clip(np.where(both, np.where(both, covariance, 0.0) / sigma[:, None] / sigma, np.nan), -1, 1)


def strongest_correlation(correlation: np.ndarray) -> tuple[int, int] | None:
    """Return the pair (i, j), i < j, of the largest correlation in size; None where there is no pair."""
    upper = np.where(np.triu(np.isfinite(correlation), 1), np.abs(np.nan_to_num(correlation)), -1.0)
    if not upper.size or upper.max() < 0:
        return None
    i, j = np.unravel_index(int(upper.argmax()), upper.shape)
    return int(i), int(j)


def format_correlation(value: float) -> str:
    """Write a correlation so that one near ±1 still shows by how much it falls short."""
    short = 1 - abs(value)
    if short >= 5e-4:
        return f"{value:+.3f}"
    return f"{'-' if value < 0 else '+'}(1 − {short:.1g})"


@styled
def plot_correlation(
    covariance: ArrayLike, labels: Sequence[str], ax: Axes | None = None, *, symbols: Mapping[str, str] | None = None
) -> Figure:
    """Draw the correlation matrix of a covariance.

    Parameters
    ----------
    covariance : array (D, D)
        Parameters of infinite variance, which the data do not determine, are grey.
    labels : sequence of str (D,)
    ax : Axes, optional
    symbols : mapping of str to str, optional
        LaTeX symbols by path, for the labels: `symbols_of(model)`.

    Raises
    ------
    ValueError
        If the matrix is not square, or there is not one label for each row.
    """
    correlation = correlation_matrix(covariance)
    ax = _draw_matrix(correlation, labels, symbols, ax, "correlation")
    ax.set_title(_correlation_title(correlation, short_labels(labels, symbols)))
    return ax.figure


@styled
def plot_fisher(
    information: ArrayLike, labels: Sequence[str], ax: Axes | None = None, *, symbols: Mapping[str, str] | None = None
) -> Figure:
    """Draw an information matrix scaled to a unit diagonal: how alike the data see two parameters.

    Parameters
    ----------
    information : array (D, D)
        Parameters without information are grey.
    labels : sequence of str (D,)
    ax : Axes, optional
    symbols : mapping of str to str, optional
        LaTeX symbols by path, for the labels: `symbols_of(model)`.

    Raises
    ------
    ValueError
        If the matrix is not square, or there is not one label for each row.
    """
    scaled = correlation_matrix(information)
    ax = _draw_matrix(scaled, labels, symbols, ax, "information, unit diagonal")
    pair, short = strongest_correlation(scaled), short_labels(labels, symbols)
    ax.set_title("" if pair is None else f"most alike: {short[pair[0]]} and {short[pair[1]]}, {scaled[pair]:+.3f}")
    return ax.figure


@styled
def plot_spectrum(information: ArrayLike, ax: Axes | None = None) -> Figure:
    """Draw the eigenvalues of an information matrix after scaling it to a unit diagonal.

    Parameters
    ----------
    information : array (D, D)
        Eigenvalues that are not told from zero are drawn as open marks at the limit.
    ax : Axes, optional
    """
    values = np.sort(np.asarray(scaled_spectrum(jnp.asarray(information, float)).values))[::-1]
    limit = RANK_TOLERANCE * values.size
    seen, order = values > limit, np.arange(1, values.size + 1)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    ax.vlines(order[seen], values[seen].min(initial=1.0) / 3, values[seen], color=COLORS[0], alpha=0.3)
    ax.plot(order[seen], values[seen], "o", color=COLORS[0])
    if not seen.all():
        ax.plot(order[~seen], np.full((~seen).sum(), limit), "o", mfc="white", color=COLORS[1], label="not seen")
        ax.axhline(limit, color=FAINT, linestyle="--", linewidth=0.9)
        ax.legend()
    ax.set_yscale("log")
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.2, values.size + 0.8)
    ax.set(xlabel="mode, best determined first", ylabel="eigenvalue, unit diagonal")
    ax.set_title(_spectrum_title(values, seen))
    return ax.figure


def _draw_matrix(
    matrix: np.ndarray, labels: Sequence[str], symbols: Mapping[str, str] | None, ax: Axes | None, name: str
) -> Axes:
    """Draw a matrix of numbers between -1 and 1."""
    short = short_labels(labels, symbols)
    if len(short) != len(matrix):
        raise ValueError(f"Expected {len(matrix)} labels, one for each row, got {len(short)}.")
    size = float(np.clip(1.6 + 0.21 * len(short), COLUMN_WIDTH, 1.6 * PAGE_WIDTH))
    ax = axes_or_new(ax, size + 0.5, size)
    drawn = ax.imshow(matrix, cmap=grey_where_unknown(DIVERGING_CMAP), vmin=-1, vmax=1, interpolation="none")
    _name_rows(ax, short)
    _rule_groups(ax, labels)
    if len(short) <= MOST_NUMBERS:
        _write_numbers(ax, matrix)
    ax.figure.colorbar(drawn, ax=ax, label=name, shrink=0.6, aspect=25)
    return ax


def _name_rows(ax: Axes, labels: Sequence[str]) -> None:
    positions = range(len(labels))
    ax.set_xticks(positions, labels, rotation=90)
    ax.set_yticks(positions, labels)
    ax.tick_params(length=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    ax.spines[:].set_visible(False)


def _rule_groups(ax: Axes, labels: Sequence[str]) -> None:
    groups = [group_of(label) for label in labels]
    for i in range(1, len(groups)):
        if groups[i] != groups[i - 1]:
            ax.axhline(i - 0.5, color=INK, linewidth=0.6)
            ax.axvline(i - 0.5, color=INK, linewidth=0.6)


def _write_numbers(ax: Axes, correlation: np.ndarray) -> None:
    for (i, j), value in np.ndenumerate(correlation):
        if np.isfinite(value):
            color = "white" if abs(value) > 0.6 else "black"
            ax.text(j, i, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center", color=color)


def _correlation_title(correlation: np.ndarray, labels: Sequence[str]) -> str:
    pair = strongest_correlation(correlation)
    if pair is None:
        return "no correlation to show"
    return f"strongest: {labels[pair[0]]} with {labels[pair[1]]}, {format_correlation(correlation[pair])}"


def _spectrum_title(values: np.ndarray, seen: np.ndarray) -> str:
    if not seen.any():
        return "no mode is determined"
    unseen = f", {(~seen).sum()} not determined" if not seen.all() else ""
    return f"condition {values[seen].max() / values[seen].min():.2g}{unseen}"
