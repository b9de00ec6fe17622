"""What a dose allows: maps of the smallest errors of an object, and their course with the dose."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import COLORS, COLUMN_WIDTH, IMAGE_CMAP, PAGE_WIDTH, axes_or_new, grey_where_unknown, new_figure, styled


@styled
def plot_dose_bounds(
    amplitude_sigma: ArrayLike, phase_sigma: ArrayLike, covered: ArrayLike, photons: float | int | None = None
) -> Figure:
    """Draw maps of one sigma of amplitude and phase, on one logarithmic scale where they are comparable.

    Parameters
    ----------
    amplitude_sigma, phase_sigma : array (h, w)
        The phase in radians.
    covered : array of bool (h, w)
        Elsewhere is grey, as are pixels whose sigma is not finite.
    photons : float, optional
        Mean per pattern, for the label.
    """
    covered = np.asarray(covered, bool)
    box = tuple(slice(int(k.min()), int(k.max()) + 1) for k in np.nonzero(covered))
    maps = [np.where(covered & np.isfinite(m), m, np.nan)[box] for m in map(np.asarray, (amplitude_sigma, phase_sigma))]
    low, high = np.nanpercentile(np.stack(maps), (0.5, 99.5))
    figure = new_figure(PAGE_WIDTH, 0.5 * PAGE_WIDTH)
    panels = figure.subplots(1, 2, sharey=True)
    dose = "" if photons is None else f"\nat {photons:.3g} photons per pattern"
    for ax, image, name in zip(panels, maps, ("amplitude", "phase"), strict=True):
        norm = LogNorm(low, max(high, 1.001 * low))
        drawn = ax.imshow(image, norm=norm, cmap=grey_where_unknown(IMAGE_CMAP), interpolation="nearest")
        ax.set(title=f"{name}: median {np.nanmedian(image):.2g}", xlabel="x (pixels)", ylabel="y (pixels)")
        ax.spines[:].set_visible(True)
        ax.label_outer()
    figure.colorbar(drawn, ax=list(panels), label=f"one sigma (radians for phase){dose}", shrink=0.85, aspect=25)
    return figure


@styled
def plot_dose_curve(
    photons: ArrayLike,
    bounds: Mapping[str, ArrayLike],
    measured: Mapping[str, ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw bounds against the dose as lines, and errors that were measured as points of the same colour.

    Parameters
    ----------
    photons : array (k,)
        Mean per pattern.
    bounds : mapping of str to array (k,)
        By name, such as "phase (rad)".
    measured : mapping of str to array (k,), optional
        By the same names.
    ax : Axes, optional
    """
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.75 * COLUMN_WIDTH)
    for color, (name, values) in zip(COLORS, bounds.items(), strict=False):
        ax.plot(photons, values, "-", color=color, label=f"{name}, bound")
        if measured is not None and name in measured:
            ax.plot(photons, measured[name], "o", color=color, label=f"{name}, measured")
    ax.set(xscale="log", yscale="log", xlabel="photons per pattern", ylabel="one sigma")
    ax.grid(which="major")
    ax.legend()
    return ax.figure
