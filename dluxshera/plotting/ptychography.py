"""Scanning coherent diffraction: a scan at a glance, complex images, and a reconstruction beside the truth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .images import stretch_norm
from .style import (
    COLORS,
    COLUMN_WIDTH,
    DIVERGING_CMAP,
    FAINT,
    IMAGE_CMAP,
    MASKED,
    PAGE_WIDTH,
    axes_or_new,
    grey_where_unknown,
    legend_name,
    new_figure,
    styled,
)

ORDERED = 0.2  # of the span: a scan whose steps are longer has no order worth drawing


@styled
def plot_scan(mean_pattern: ArrayLike, positions: ArrayLike, probe: ArrayLike | None = None) -> Figure:
    """Draw a scan at a glance: the mean pattern, where the patterns were taken, and the probe.

    Parameters
    ----------
    mean_pattern : array (N, N), photons per pattern
        On a logarithmic scale; NaN, where the detector is masked, is grey.
    positions : array (n, 2), pixels
        (y, x).
    probe : complex array (N, N) or (M, N, N), optional
        The first mode is drawn.
    """
    number = 2 if probe is None else 3
    figure = new_figure(PAGE_WIDTH, 0.9 * PAGE_WIDTH / number)
    panels = figure.subplots(1, number)
    _draw_pattern(panels[0], np.asarray(mean_pattern, float))
    _draw_positions(panels[1], np.asarray(positions, float))
    if probe is not None:
        modes = np.asarray(probe).reshape(-1, *np.shape(probe)[-2:])
        draw_complex(panels[2], modes[0])
        power = (np.abs(modes) ** 2).sum((1, 2))
        share = f", mode 1 of {len(modes)} ({power[0] / power.sum():.0%})" if len(modes) > 1 else ""
        panels[2].set(title=f"probe{share}", xlabel="x (pixels); hue is phase")
    return figure


@styled
def plot_complex(image: ArrayLike, title: str = "", ax: Axes | None = None) -> Figure:
    """Draw a complex image: brightness is amplitude, hue is phase.

    Parameters
    ----------
    image : complex array (h, w)
    title : str
    ax : Axes, optional
    """
    ax = axes_or_new(ax, COLUMN_WIDTH, COLUMN_WIDTH)
    draw_complex(ax, np.asarray(image))
    ax.set_title(title)
    return ax.figure


@styled
def plot_judgement(
    estimate: ArrayLike,
    truth: ArrayLike,
    covered: ArrayLike,
    titles: Sequence[str] = ("", ""),
) -> Figure:
    """Draw amplitude and phase of a reconstruction, of the truth on the same scales, and their differences.

    Parameters
    ----------
    estimate, truth : complex array (h, w)
        Registered: laid over each other.
    covered : array of bool (h, w)
        Where they are compared; elsewhere is grey.
    titles : (str, str)
        Numbers to write over the differences of amplitude and phase.
    """
    covered = np.asarray(covered, bool)
    box = tuple(slice(int(k.min()), int(k.max()) + 1) for k in np.nonzero(covered))
    e, t, seen = (np.asarray(a)[box] for a in (estimate, truth, covered))
    phase = np.angle(t)
    rows = ((np.abs(e), np.abs(t), "amplitude"), (phase + np.angle(e * t.conj()), phase, "phase (rad)"))
    figure = new_figure(PAGE_WIDTH, 0.62 * PAGE_WIDTH)
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for line, (a, b, name), title in zip(panels, rows, titles, strict=True):
        _draw_compared(figure, list(line), np.where(seen, a, np.nan), np.where(seen, b, np.nan), name)
        line[2].set_title(title or "difference")
    panels[0, 0].set_title("reconstruction")
    panels[0, 1].set_title("truth")
    for ax in panels.flat:
        ax.label_outer()
    return figure


@styled
def plot_ring_correlation(
    frequency: ArrayLike, curves: dict[str, ArrayLike], threshold: float = 0.5, ax: Axes | None = None
) -> Figure:
    """Draw Fourier ring correlations.

    Parameters
    ----------
    frequency : array (k,), fraction of Nyquist
    curves : dict of arrays (k,)
        By name.
    threshold : float
    ax : Axes, optional
    """
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    for name, curve in curves.items():
        ax.plot(frequency, curve, label=legend_name(name))
    ax.axhline(threshold, color=FAINT, linewidth=0.9, linestyle="--")
    ax.set(xlim=(0, 1), ylim=(min(0.0, *(float(np.nanmin(c)) for c in curves.values())), 1.03))
    ax.set(xlabel="frequency (fraction of Nyquist)", ylabel="ring correlation")
    ax.legend()
    return ax.figure


def draw_complex(ax: Axes, image: np.ndarray) -> None:
    """Draw a complex image in an axes, rows downwards as in the array; NaN is grey."""
    amplitude = np.abs(image)
    known = np.isfinite(amplitude)
    largest = amplitude[known].max(initial=0.0)
    value = np.where(known, amplitude, 0.0) / (largest if largest > 0 else 1.0)
    hue = np.where(known, np.angle(np.where(known, image, 1.0)), 0.0) / (2 * np.pi) % 1
    colors = hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.85), value], axis=-1))
    colors[~known] = [int(MASKED[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    ax.imshow(colors, interpolation="nearest")
    _pixels(ax)


def _draw_pattern(ax: Axes, pattern: np.ndarray) -> None:
    norm = stretch_norm(pattern, "log")
    n = len(pattern)
    edges = (-(n // 2) - 0.5, n - n // 2 - 0.5)
    drawn = ax.imshow(
        np.maximum(pattern, norm.vmin),
        norm=norm,
        cmap=grey_where_unknown(IMAGE_CMAP),
        extent=(*edges, *edges[::-1]),
        interpolation="nearest",
    )
    ax.set(xlabel="frequency (steps)", ylabel="frequency (steps)", title=f"mean of {np.nansum(pattern):.3g} photons")
    ax.spines[:].set_visible(True)
    ax.figure.colorbar(drawn, ax=ax, label="photons per pixel", shrink=0.75, aspect=20)


def _draw_positions(ax: Axes, positions: np.ndarray) -> None:
    y, x = positions.T
    step = np.median(np.hypot(*np.diff(positions, axis=0).T)) if len(positions) > 1 else 0.0
    ordered = bool(step < ORDERED * np.ptp(positions, axis=0).max())
    if ordered:
        ax.plot(x, y, "-", color=FAINT, linewidth=0.4)
    ax.scatter(x, y, s=float(np.clip(1500 / len(positions), 0.5, 8)), color=COLORS[0], linewidths=0)
    ax.set(xlabel="x (pixels)", ylabel="y (pixels)", title=f"{len(positions)} positions{', in order' * ordered}")
    ax.set_aspect("equal")
    ax.invert_yaxis()  # as images are drawn


def _draw_compared(figure: Figure, axes: Sequence[Axes], estimate: np.ndarray, truth: np.ndarray, name: str) -> None:
    scale = {"vmin": float(np.nanmin(truth)), "vmax": float(np.nanmax(truth)), "cmap": grey_where_unknown(IMAGE_CMAP)}
    if scale["vmax"] - scale["vmin"] < 1e-9:  # a flat truth: let the estimate show what it has
        reach = max(float(np.nanmax(np.abs(estimate - truth))), 1e-9)
        scale |= {"vmin": scale["vmin"] - reach, "vmax": scale["vmax"] + reach}
    for ax, image in zip(axes[:2], (estimate, truth), strict=True):
        drawn = ax.imshow(image, interpolation="nearest", **scale)
    difference = estimate - truth
    limit = max(float(np.nanpercentile(np.abs(difference), 99.5)), 1e-12)
    other = axes[2].imshow(
        difference, interpolation="nearest", vmin=-limit, vmax=limit, cmap=grey_where_unknown(DIVERGING_CMAP)
    )
    figure.colorbar(drawn, ax=list(axes[:2]), label=name, shrink=0.9, aspect=20)
    figure.colorbar(other, ax=axes[2], label=name, extend="both", shrink=0.9, aspect=20)
    for ax in axes:
        _pixels(ax)


def _pixels(ax: Axes) -> None:
    ax.set(xlabel="x (pixels)", ylabel="y (pixels)")
    ax.spines[:].set_visible(True)
