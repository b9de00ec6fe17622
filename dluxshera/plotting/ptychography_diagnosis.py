"""Pictures of the diagnoses of a scan: groups, probes, canvas, intensities and bias."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from .ptychography import draw_complex
from .style import COLORS, COLUMN_WIDTH, FAINT, IMAGE_CMAP, PAGE_WIDTH, axes_or_new, new_figure, styled


@styled
def plot_groups(positions: ArrayLike, nn_indices: ArrayLike, coords_relative: ArrayLike) -> Figure:
    """Draw groups of patterns over the scan, and how far their members lie from their centres.

    Parameters
    ----------
    positions : array (n, 2), pixels
        (y, x).
    nn_indices : array of int (B, C)
    coords_relative : array (B, C, 2), pixels
    """
    points, indices = np.asarray(positions, float), np.asarray(nn_indices)
    figure = new_figure(PAGE_WIDTH, 0.45 * PAGE_WIDTH)
    scan, offsets = figure.subplots(1, 2)
    scan.scatter(points[:, 1], points[:, 0], s=5, color=FAINT, linewidths=0)
    members = np.unique(indices)
    scan.scatter(points[members, 1], points[members, 0], s=5, color=COLORS[0], linewidths=0)
    for group in indices[: 400 if indices.shape[1] > 1 else 0]:
        ring = points[group[np.argsort(_angles(points[group]))]]
        scan.fill(ring[:, 1], ring[:, 0], facecolor=COLORS[0], alpha=0.12, edgecolor=COLORS[0], linewidth=0.4)
    left = len(points) - len(members)
    note = f", {left} patterns in none (grey)" if left else ", every pattern in one"
    scan.set(xlabel="x (pixels)", ylabel="y (pixels)", title=f"{len(indices)} groups of {indices.shape[1]}{note}")
    scan.set_aspect("equal")
    scan.invert_yaxis()
    distance = np.hypot(*np.moveaxis(np.asarray(coords_relative, float), -1, 0)).ravel()
    offsets.hist(distance, bins=40, color=COLORS[0], alpha=0.7)
    offsets.set(xlabel="distance from the group's centre (pixels)", ylabel="members")
    offsets.set_title(f"members of groups, at most {distance.max():.3g} pixels away")
    return figure


@styled
def plot_probes(first: ArrayLike, second: ArrayLike, names: tuple[str, str] = ("A", "B")) -> Figure:
    """Draw two probes and, on one logarithmic scale, their mean amplitude against radius.

    Parameters
    ----------
    first, second : complex array (N, N) or (M, N, N)
        The first mode is drawn; the profile is of all.
    names : (str, str)
    """
    figure = new_figure(PAGE_WIDTH, 0.36 * PAGE_WIDTH)
    panels = figure.subplots(1, 3)
    for ax, probe, name, color in zip(panels, (first, second), names, COLORS, strict=False):
        modes = np.asarray(probe).reshape(-1, *np.shape(probe)[-2:])
        draw_complex(ax, modes[0])
        ax.set(title=f"{name}: |P| up to {np.abs(modes[0]).max():.3g}", xlabel="x (pixels); hue is phase")
        panels[2].plot(*_radial(np.sqrt((np.abs(modes) ** 2).sum(0))), color=color, label=name)
    panels[2].set_yscale("log")
    panels[2].axvline(np.shape(first)[-1] / 4, color=FAINT, linestyle=":", label="N/4")
    panels[2].set(xlabel="radius (pixels)", ylabel="mean |P| (√photons)", title="azimuthal mean")
    panels[2].legend()
    return figure


@styled
def plot_canvas(
    illuminated: ArrayLike, corners: ArrayLike, npix: int, nominal: int | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a canvas with its mean illumination, the outermost windows and, for comparison, a nominal canvas.

    Parameters
    ----------
    illuminated : array (h, w), photons per pixel and pattern
    corners : array (n, 2), pixels
        (y, x) of each window's corner.
    npix : int
        N.
    nominal : int, pixels, optional
        Side of a square centred on the mean window.
    ax : Axes, optional
    """
    image, corners = np.asarray(illuminated, float), np.asarray(corners, float)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.9 * COLUMN_WIDTH)
    drawn = ax.imshow(image, cmap=IMAGE_CMAP, interpolation="nearest")
    for k in {int(f(corners[:, axis])) for axis in (0, 1) for f in (np.argmin, np.argmax)}:
        ax.add_patch(_square(corners[k], npix, COLORS[1], "-"))
    if nominal is not None:
        middle = corners.mean(0) + npix / 2 - nominal / 2
        ax.add_patch(_square(middle, nominal, "white", "--"))
    note = f", nominal {nominal} dashed" if nominal is not None else ""
    ax.set(xlabel="x (pixels)", ylabel="y (pixels)", title=f"canvas {image.shape[0]} x {image.shape[1]}{note}")
    ax.spines[:].set_visible(True)
    ax.figure.colorbar(drawn, ax=ax, label="mean illumination (photons per pixel)", shrink=0.85, aspect=25)
    return ax.figure


@styled
def plot_intensity_chain(stages: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Figure:
    """Draw mean, root mean square and largest value of each stage, on one logarithmic scale.

    Parameters
    ----------
    stages : mapping of mappings
        By name: `mean`, `rms` and `largest`.
    ax : Axes, optional
    """
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.75 * COLUMN_WIDTH)
    rows = np.arange(len(stages))
    for marker, color, name in zip("osD", COLORS, ("mean", "rms", "largest"), strict=False):
        ax.plot([max(s[name], 1e-300) for s in stages.values()], rows, marker, color=color, label=name)
    ax.set_yticks(rows, [f"{name.replace('_', ' ')}\n({_unit(name)})" for name in stages])
    ax.set_xscale("log")
    ax.invert_yaxis()
    ax.grid(axis="x")
    ax.set(xlabel="value per pixel")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    return ax.figure


@styled
def plot_bias(prediction: ArrayLike, truth: ArrayLike, scale: float | None) -> Figure:
    """Draw a prediction against the truth, pixel by pixel, and the distribution of their ratio, scaled and not.

    Parameters
    ----------
    prediction, truth : array (k,)
        Of the pixels that are compared.
    scale : float or None
        Least-squares scale of the prediction over the truth.
    """
    p, t = (np.asarray(values, float).ravel() for values in (prediction, truth))
    figure = new_figure(PAGE_WIDTH, 0.42 * PAGE_WIDTH)
    against, ratios = figure.subplots(1, 2)
    ends = np.array([min(t.min(), p.min()), max(t.max(), p.max())])
    counted = against.hist2d(t, p, bins=80, range=(_wider(ends), _wider(ends)), cmin=1, norm="log", cmap=IMAGE_CMAP)
    figure.colorbar(counted[3], ax=against, label="pixels in a bin", shrink=0.85, aspect=25)
    against.plot(ends, ends, color=FAINT, linestyle="--", label="equal")
    if scale is not None:
        against.plot(ends, scale * ends, color=COLORS[1], label=f"scale {scale:.4g}")
    against.set(xlabel="truth", ylabel="prediction")
    against.set_aspect("equal")
    against.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    _draw_ratios(ratios, p, t, scale)
    return figure


def _draw_ratios(ax: Axes, prediction: np.ndarray, truth: np.ndarray, scale: float | None) -> None:
    seen = truth > 1e-12 * np.abs(truth).max(initial=1e-300)
    ratio = prediction[seen] / truth[seen]
    arms = {"as it is": ratio} | ({"scaled": ratio / scale} if scale else {})
    if ratio.size:
        low, high = np.percentile(np.concatenate(list(arms.values())), [0.5, 99.5])
        edges = np.linspace(min(low, 0.99), max(high, 1.01), 60)
        for color, (name, values) in zip(COLORS, arms.items(), strict=False):
            label = f"{name}, median {np.median(values):.4g}"
            ax.hist(values, edges, histtype="step", color=color, linewidth=1.2, label=label)
    ax.axvline(1.0, color=FAINT, linestyle="--")
    ax.set(xlabel="prediction / truth", ylabel="pixels in a bin")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=1)


def _wider(ends: np.ndarray) -> tuple[float, float]:
    """A range with some room, also about a single value."""
    room = max(0.02 * float(np.ptp(ends)), 1e-3 * float(np.abs(ends).max()), 1e-12)
    return float(ends[0]) - room, float(ends[1]) + room


def _unit(stage: str) -> str:
    if stage == "input":
        return "g √photons"
    return "√photons" if stage.endswith("amplitude") else "photons"


def _angles(points: np.ndarray) -> np.ndarray:
    y, x = (points - points.mean(0)).T
    return np.arctan2(y, x)


def _square(corner: np.ndarray, side: int, color: str, line: str) -> Rectangle:
    y, x = corner - 0.5
    return Rectangle((x, y), side, side, fill=False, edgecolor=color, linestyle=line, linewidth=0.9)


def _radial(amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(amplitude)
    y, x = np.ogrid[-(n // 2) : n - n // 2, -(n // 2) : n - n // 2]
    ring = np.round(np.hypot(y, x)).astype(int).ravel()
    mean = np.bincount(ring, amplitude.ravel()) / np.bincount(ring)
    mean = mean[: n // 2]
    return np.arange(len(mean)), np.where(mean > 1e-6 * mean.max(), mean, np.nan)
