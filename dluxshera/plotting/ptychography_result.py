"""What a reconstruction found: object, probe modes, moved positions, the course of the deviance, residuals."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from .ptychography import draw_complex
from .style import COLORS, DIVERGING_CMAP, FAINT, PAGE_WIDTH, REPORT_WIDTH, axes_or_new, new_figure, styled

STAGES = ("amplitudes", "likelihood, minibatches", "likelihood, all patterns")
MOST_MODES = 8


@styled
def plot_object(object: ArrayLike, coverage: ArrayLike, least: float = 0.02) -> Figure:
    """Draw amplitude and phase of an object where it is illuminated.

    Parameters
    ----------
    object : complex array (h, w)
        Its mean phase over what is illuminated is taken as zero.
    coverage : array (h, w)
        Mean illumination.
    least : float
        Fraction of the largest illumination below which nothing is drawn.
    """
    object, coverage = np.asarray(object), np.asarray(coverage)
    lit = coverage > least * coverage.max()
    rows, columns = (np.flatnonzero(lit.any(axis)) for axis in (1, 0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    turned = object * np.exp(-1j * np.angle(np.sum((object * coverage)[lit])))
    figure = new_figure(REPORT_WIDTH, 0.46 * REPORT_WIDTH)
    for ax, image, name in zip(
        figure.subplots(1, 2), (np.abs(turned), np.angle(turned)), ("amplitude", "phase (radians)"), strict=True
    ):
        shown = np.where(lit, image, np.nan)[part]
        low, high = np.nanpercentile(shown, (0.5, 99.5))
        drawn = ax.imshow(shown, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        ax.set(title=name, xlabel="x (pixels)", ylabel="y (pixels)")
        ax.spines[:].set_visible(True)
        figure.colorbar(drawn, ax=ax, shrink=0.75, aspect=25)
    return figure


@styled
def plot_modes_of_probe(probe: ArrayLike) -> Figure:
    """Draw the modes of a probe with their shares of its power; brightness is amplitude, hue is phase.

    Parameters
    ----------
    probe : complex array (M, N, N)
    """
    probe = np.asarray(probe)
    power = (np.abs(probe) ** 2).sum((1, 2))
    shown = min(len(probe), MOST_MODES)
    figure = new_figure(min(PAGE_WIDTH, 1.9 * max(shown, 2)), 2.1)
    for i, ax in enumerate(np.atleast_1d(figure.subplots(1, shown))):
        draw_complex(ax, probe[i])
        ax.set(title=f"mode {i + 1}: {power[i] / power.sum():.1%}", xlabel="", ylabel="", xticks=[], yticks=[])
    return figure


@styled
def plot_position_changes(positions: ArrayLike, changes: ArrayLike) -> Figure:
    """Draw by how much each position was moved, arrows drawn ten times as long.

    Parameters
    ----------
    positions, changes : array (n, 2), pixels
        (y, x).
    """
    (y, x), (dy, dx) = np.asarray(positions, float).T, np.asarray(changes, float).T
    ax = axes_or_new(None, 0.75 * PAGE_WIDTH, 0.75 * PAGE_WIDTH)
    ax.quiver(x, y, dx, dy, angles="xy", scale_units="xy", scale=0.1, color=COLORS[0], width=0.0025)
    rms = np.sqrt(np.mean(dx**2 + dy**2) / 2)
    ax.set(xlabel="x (pixels)", ylabel="y (pixels)", title=f"moved by {rms:.2f} pixel rms an axis (arrows x 10)")
    ax.set_aspect("equal")
    ax.invert_yaxis()
    return ax.figure


@styled
def plot_deviance(seconds: ArrayLike, deviance: ArrayLike, stage: ArrayLike, final: float) -> Figure:
    """Draw the Poisson deviance per pixel against the time of optimisation, stage by stage.

    Parameters
    ----------
    seconds, deviance, stage : array (T,)
        NaN where the deviance is not known.
    final : float
        Of the result.
    """
    seconds, deviance, stage = (np.asarray(a, float) for a in (seconds, deviance, stage))
    ax = axes_or_new(None, 0.75 * PAGE_WIDTH, 0.45 * PAGE_WIDTH)
    for i, name in enumerate(STAGES):
        here = (stage == i) & np.isfinite(deviance)
        if here.any():
            ax.plot(seconds[here], deviance[here], ".-", color=COLORS[i], label=name)
    ax.axhline(final, color=FAINT, linestyle="--", linewidth=0.9)
    ax.annotate(f"{final:.3f}", (1, final), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", color=FAINT)  # fmt: skip
    ax.set_yscale("log")
    for formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        formatter(FuncFormatter(_round_number))
    ax.grid(axis="y")
    ax.set(xlabel="seconds of optimisation", ylabel="deviance per pixel")
    ax.legend()
    return ax.figure


def _round_number(value: float, _: int | None) -> str:
    """Ticks of a logarithmic axis at 1, 2 and 5 times a power of ten, as plain numbers."""
    return f"{value:g}" if f"{value:.0e}"[0] in "125" else ""


@styled
def plot_residual_pattern(residual: ArrayLike, deviance_by_pattern: ArrayLike) -> Figure:
    """Draw the mean residual over the detector and the deviance of every pattern.

    Parameters
    ----------
    residual : array (N, N)
        Sum over patterns of (counts - expected), over the square root of the summed expected.
    deviance_by_pattern : array (n,)
    """
    figure = new_figure(PAGE_WIDTH, 0.4 * PAGE_WIDTH)
    left, right = figure.subplots(1, 2)
    limit = max(float(np.nanpercentile(np.abs(residual), 99)), 3.0)
    n = len(np.asarray(residual))
    edges = (-(n // 2) - 0.5, n - n // 2 - 0.5)
    options = {"cmap": DIVERGING_CMAP, "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
    drawn = left.imshow(residual, extent=(*edges, *edges[::-1]), **options)
    figure.colorbar(drawn, ax=left, label="sigmas", shrink=0.8, aspect=20)
    left.set(title="residual summed over patterns", xlabel="frequency (steps)", ylabel="frequency (steps)")
    left.spines[:].set_visible(True)
    right.plot(np.asarray(deviance_by_pattern), ".", color=COLORS[0])
    right.set(xlabel="pattern", ylabel="deviance per pixel", title="deviance of each pattern")
    right.grid(axis="y")
    return figure
