"""Many fits together: their errors against their sigmas, and against what was varied."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import COLORS, COLUMN_WIDTH, FAINT, INK, axes_or_new, legend_name, styled
from .units import display_scale

_LIMIT, _BIN = 5.0, 0.5  # sigmas


@styled
def plot_pulls(pulls: Mapping[str, ArrayLike], ax: Axes | None = None) -> Figure:
    """Draw the distribution of errors in units of their sigmas, with the unit Gaussian that they should follow.

    Parameters
    ----------
    pulls : mapping of str to array
        (estimate - truth) / sigma by the name that the legend gives them; what is not finite is left out.
    ax : Axes, optional
    """
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    edges = np.arange(-_LIMIT, _LIMIT + _BIN / 2, _BIN)
    known = {name: _finite(values) for name, values in pulls.items()}
    highest = 1 / np.sqrt(2 * np.pi)
    alone = {"fill": True, "alpha": 0.35} if len(known) == 1 else {"linewidth": 1.3}
    for i, (name, values) in enumerate(known.items()):
        density = np.histogram(np.clip(values, -_LIMIT, _LIMIT), edges)[0] / (max(values.size, 1) * _BIN)
        ax.stairs(density, edges, color=COLORS[i % len(COLORS)], label=legend_name(name), **alone)
        highest = max(highest, density.max())
    x = np.linspace(-_LIMIT, _LIMIT, 201)
    ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=INK, label="unit Gaussian")
    ax.set_xlim(-_LIMIT, _LIMIT)
    ax.set_ylim(0, highest * (1.15 + 0.1 * len(known)))  # room for the legend
    ax.set(xlabel="error (σ)", ylabel="density")
    ax.legend(loc="upper right", fontsize=7)
    ax.set_title(pull_title(np.concatenate([np.zeros(0), *known.values()])))
    return ax.figure


def pull_title(pulls: np.ndarray) -> str:
    """Say how many pulls there are, their mean and their spread."""
    if pulls.size < 2:
        return f"{pulls.size} errors"
    beyond = int((np.abs(pulls) > _LIMIT).sum())
    text = f"{pulls.size} errors: mean {pulls.mean():+.2f}, spread {pulls.std(ddof=1):.2f} σ"
    return f"{text}, {beyond} beyond {_LIMIT:.0f} σ" if beyond else text


@styled
def plot_dependence(
    x: ArrayLike,
    error: ArrayLike,
    sigma: ArrayLike,
    ax: Axes | None = None,
    *,
    x_label: str,
    label: str,
    unit: str = "",
    display_unit: str | None = None,
    log: bool = False,
) -> Figure:
    """Draw errors against what was varied: each fit, their mean with its own error, and the sigma that was expected.

    Parameters
    ----------
    x : array (N,)
    error, sigma : array (N,), in `unit`
        Estimate minus truth, and the one-sigma error of each fit. What is not finite is left out.
    ax : Axes, optional
    x_label, label : str
        What was varied, and whose error it is.
    unit : str
    display_unit : str, optional
        The unit of the axis; without it one in which the numbers are readable.
    log : bool
        Whether the x axis is logarithmic.

    Raises
    ------
    ValueError
        If the arrays are not of one length.
    """
    x, error, sigma = (np.asarray(a, float) for a in (x, error, sigma))
    if not x.shape == error.shape == sigma.shape or x.ndim != 1:
        raise ValueError(f"Expected x, error and sigma of one length, got {x.shape}, {error.shape} and {sigma.shape}.")
    known = np.isfinite(x) & np.isfinite(error)
    factor, unit = display_scale(np.abs(error[known]).max(initial=0.0), unit, display_unit)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.75 * COLUMN_WIDTH)
    _draw_expected(ax, x[known], factor * sigma[known])
    ax.plot(
        x[known],
        factor * error[known],
        ".",
        color=COLORS[0],
        alpha=0.6,
        markersize=6,
        markeredgewidth=0,
        label="each fit",
    )
    _draw_means(ax, x[known], factor * error[known])
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    if log:
        ax.set_xscale("log")
    ax.grid(axis="y")
    ax.set(xlabel=x_label, ylabel=f"error ({unit})" if unit else "error", title=f"Error of {label}")
    ax.legend(fontsize=7)
    return ax.figure


def _draw_expected(ax: Axes, x: np.ndarray, sigma: np.ndarray) -> None:
    places = [place for place in np.unique(x) if np.isfinite(sigma[x == place]).any()]
    middle = np.array([np.median(sigma[(x == place) & np.isfinite(sigma)]) for place in places])
    if len(places) > 1:
        ax.fill_between(places, -middle, middle, color=FAINT, alpha=0.2, linewidth=0, label="±1 σ expected")


def _draw_means(ax: Axes, x: np.ndarray, error: np.ndarray) -> None:
    """The mean where several fits have the same x, with the error that their own scatter gives it."""
    places = [place for place in np.unique(x) if (x == place).sum() > 1]
    if not places:
        return
    groups = [error[x == place] for place in places]
    means = [group.mean() for group in groups]
    errors = [group.std(ddof=1) / np.sqrt(group.size) for group in groups]
    ax.errorbar(places, means, errors, fmt="o-", color=COLORS[1], capsize=2, label="mean of fits")


def _finite(values: ArrayLike) -> np.ndarray:
    values = np.ravel(np.asarray(values, float))
    return values[np.isfinite(values)]
