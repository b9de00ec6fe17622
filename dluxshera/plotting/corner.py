"""Corner plots: what is known of pairs of parameters, from a covariance and from draws."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from .labels import short_labels
from .style import COLORS, FAINT, INK, new_figure, styled
from .units import display_scale

SIGMAS = (1.0, 2.0)  # of the ellipses
_REACH = 3.6  # sigmas to either side that an axis shows
_MOST_POINTS = 3000  # draws that are drawn
_BINS = 40


@styled
def plot_corner(
    estimate: ArrayLike,
    covariance: ArrayLike,
    labels: Sequence[str],
    units: Sequence[str] | None = None,
    *,
    samples: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    symbols: Mapping[str, str] | None = None,
) -> Figure:
    """Draw every pair of parameters: ellipses of a covariance, draws, and the truth, all less the estimate.

    Parameters
    ----------
    estimate : array (D,)
        In `units`.
    covariance : array (D, D)
        With finite variances. The ellipses are those of one and two sigma: they hold 39 % and 86 % of a pair.
    labels : sequence of str (D,)
    units : sequence of str (D,), optional
        Each axis is in a unit in which its numbers are readable.
    samples : array (N, D), optional
        Draws from the density that the covariance approximates.
    truth : array (D,), optional
    symbols : mapping of str to str, optional
        LaTeX symbols by path, for the labels: `symbols_of(model)`.

    Raises
    ------
    ValueError
        If the shapes do not fit together, there is no parameter or no draw, or a variance is not finite or not above
        zero.
    """
    estimate, covariance = np.asarray(estimate, float), np.asarray(covariance, float)
    _check(estimate, covariance, labels, samples, truth)
    sigma = np.sqrt(np.diagonal(covariance))
    units = ("",) * len(labels) if units is None else units
    scales = [display_scale(s, unit) for s, unit in zip(sigma, units, strict=True)]
    factor = np.array([scale for scale, _ in scales])
    drawn = None if samples is None else factor * (np.asarray(samples, float) - estimate)
    true = None if truth is None else factor * (np.asarray(truth, float) - estimate)
    names = [_axis_name(name, unit) for name, (_, unit) in zip(short_labels(labels, symbols), scales, strict=True)]
    spread = factor[:, None] * covariance * factor
    axes = _axes(len(labels))
    for (i, j), ax in axes.items():
        if i == j:
            draws, point = (None if a is None else a[..., i] for a in (drawn, true))
            _draw_one(ax, spread[i, i], draws, point)
        else:
            pair = np.ix_([j, i], [j, i])
            _draw_pair(
                ax, spread[pair], None if drawn is None else drawn[:, [j, i]], None if true is None else true[[j, i]]
            )
    _finish(axes, names, factor * sigma)
    _explain(axes, drawn is not None, true is not None)
    return axes[0, 0].figure


def _check(estimate, covariance, labels, samples, truth) -> None:
    dim = len(labels)
    if dim == 0:
        raise ValueError("Expected at least one parameter, got none.")
    if samples is not None and len(samples) == 0:
        raise ValueError("Expected at least one draw in samples, got none. Leave samples out.")
    wanted = {"estimate": (estimate, (dim,)), "covariance": (covariance, (dim, dim))}
    wanted |= {} if truth is None else {"truth": (truth, (dim,))}
    wanted |= {} if samples is None else {"samples": (samples, (len(samples), dim))}
    for name, (array, shape) in wanted.items():
        if np.shape(array) != shape:
            raise ValueError(f"Expected {name} of shape {shape} for the labels, got {np.shape(array)}.")
    variance = np.diagonal(covariance)
    bad = [label for label, v in zip(labels, variance, strict=True) if not 0 < v < np.inf]
    if bad:
        raise ValueError(f"Expected finite variances above zero, got another for {', '.join(bad)}. Leave it out.")


def _axes(dim: int) -> dict[tuple[int, int], Axes]:
    """Axes of the lower triangle, by row and column."""
    size = float(np.clip(1.25 * dim, 2.6, 12.0))
    figure = new_figure(size + 0.5, size)
    grid = figure.subplots(dim, dim, squeeze=False)
    for i, j in zip(*np.triu_indices(dim, 1), strict=True):
        grid[i, j].remove()
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
    return {(i, j): grid[i, j] for i in range(dim) for j in range(i + 1)}


def _draw_one(ax: Axes, variance: float, draws: np.ndarray | None, true: ArrayLike | None) -> None:
    sigma = np.sqrt(variance)
    x = np.linspace(-_REACH * sigma, _REACH * sigma, 201)
    if draws is not None:
        edges = np.linspace(x[0], x[-1], _BINS + 1)
        counts = np.histogram(draws, edges)[0] / (len(draws) * (edges[1] - edges[0])) * sigma * np.sqrt(2 * np.pi)
        ax.stairs(counts, edges, fill=True, color=COLORS[0], alpha=0.3)
    ax.plot(x, np.exp(-(x**2) / (2 * variance)), color=COLORS[1])
    if true is not None:
        ax.axvline(true, color=INK, linestyle=":", linewidth=1.0)


def _draw_pair(ax: Axes, covariance: np.ndarray, draws: np.ndarray | None, true: np.ndarray | None) -> None:
    if draws is not None:
        thin = draws[:: -(-len(draws) // _MOST_POINTS)]
        ax.plot(*thin.T, linestyle="", marker=".", markersize=2.0, color=COLORS[0], alpha=0.4, markeredgewidth=0)
    for count in SIGMAS:
        ax.add_patch(ellipse(covariance, count, edgecolor=COLORS[1], linewidth=1.2, fill=False))
    ax.plot(0, 0, "+", color=FAINT, markersize=5)
    if true is not None:
        ax.axvline(true[0], color=INK, linestyle=":", linewidth=1.0)
        ax.axhline(true[1], color=INK, linestyle=":", linewidth=1.0)


def ellipse(covariance: np.ndarray, count: float, **style) -> Ellipse:
    """Return the ellipse of so many sigma of a covariance (2, 2), about zero."""
    values, vectors = np.linalg.eigh(covariance)
    width, height = 2 * count * np.sqrt(np.maximum(values[::-1], 0.0))
    return Ellipse((0, 0), width, height, angle=np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])), **style)


def _finish(axes: Mapping[tuple[int, int], Axes], names: Sequence[str], sigma: np.ndarray) -> None:
    last = len(names) - 1
    for (i, j), ax in axes.items():
        ax.set_xlim(-_REACH * sigma[j], _REACH * sigma[j])
        ax.spines[:].set_visible(True)
        ax.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
        ax.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
        if i == j:
            ax.set_ylim(0, None)
            ax.set_yticks([])
            ax.set_title(f"$\\sigma$ = {sigma[i]:.3g}", fontsize="small", loc="center")
        else:
            ax.set_ylim(-_REACH * sigma[i], _REACH * sigma[i])
        ax.tick_params(labelbottom=i == last, labelleft=j == 0 and i > 0)
        ax.tick_params(axis="x", rotation=45)
        if i == last:
            ax.set_xlabel(names[j])
        if j == 0 and i > 0:
            ax.set_ylabel(names[i])


def _explain(axes: Mapping[tuple[int, int], Axes], has_samples: bool, has_truth: bool) -> None:
    figure = axes[0, 0].figure
    text = "covariance, 1 and 2 σ" if len(axes) > 1 else "covariance"
    handles = figure.axes[0].plot([], [], color=COLORS[1], label=text)
    if has_samples:
        handles += figure.axes[0].plot([], [], ".", color=COLORS[0], label="draws")
    if has_truth:
        handles += figure.axes[0].plot([], [], ":", color=INK, linewidth=1.0, label="truth")
    figure.legend(handles=handles, loc="upper right")


def _axis_name(name: str, unit: str) -> str:
    return f"Δ {name} ({unit})" if unit else f"Δ {name}"
