"""Maps over a pupil: what it lets through, and the error of the wavefront in it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import COLUMN_WIDTH, DIVERGING_CMAP, axes_or_new, grey_where_unknown, styled
from .units import display_scale


@styled
def plot_opd(
    opd: ArrayLike,
    transmission: ArrayLike | None = None,
    diameter: float | None = None,
    ax: Axes | None = None,
    *,
    unit: str = "m",
    display_unit: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a map of optical path difference, less its mean, on a scale symmetric about zero.

    Parameters
    ----------
    opd : array (n, n), in `unit`
    transmission : array (n, n), optional
        Where it is zero the map is grey; elsewhere its square weights the mean and the root mean square.
    diameter : float, metres, optional
        Width of the grid; without it the axes are in pixels.
    ax : Axes, optional
    unit : str
    display_unit : str, optional
        The unit to show; without it one in which the numbers are readable.
    title : str, optional
        Root mean square and peak to valley by default.

    Raises
    ------
    ValueError
        For a map that is not two-dimensional, or a transmission of another shape.
    """
    weight = _weights(opd, transmission)
    seen = weight > 0
    mean = np.average(np.asarray(opd, float)[seen], weights=weight[seen]) if seen.any() else 0.0
    error = np.where(seen, np.asarray(opd, float) - mean, np.nan)
    factor, unit = display_scale(error, unit, display_unit)
    error, limit = factor * error, factor * np.nanmax(np.abs(error), initial=0.0)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.85 * COLUMN_WIDTH)
    drawn = _draw(ax, error, diameter, DIVERGING_CMAP, -limit or -1.0, limit or 1.0)
    ax.figure.colorbar(drawn, ax=ax, label=f"path difference ({unit})")
    ax.set_title(_error_title(error, weight, unit) if title is None else title)
    return ax.figure


@styled
def plot_pupil(
    transmission: ArrayLike, diameter: float | None = None, ax: Axes | None = None, *, title: str | None = None
) -> Figure:
    """Draw the amplitude that a pupil lets through.

    Parameters
    ----------
    transmission : array (n, n)
        Amplitude, 0 to 1.
    diameter : float, metres, optional
        Width of the grid; without it the axes are in pixels.
    ax : Axes, optional
    title : str, optional
        By default the fraction of the power on the inscribed circle that passes.

    Raises
    ------
    ValueError
        For a map that is not two-dimensional.
    """
    power = _weights(transmission, transmission)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.85 * COLUMN_WIDTH)
    drawn = _draw(ax, np.asarray(transmission, float), diameter, "gray", 0.0, 1.0)
    ax.figure.colorbar(drawn, ax=ax, label="amplitude transmission")
    fraction = power.sum() / (np.pi / 4 * power.size)
    ax.set_title(f"passes {fraction:.3g} of the circle's light" if title is None else title)
    return ax.figure


def _weights(image: ArrayLike, transmission: ArrayLike | None) -> np.ndarray:
    shape = np.shape(image)
    weight = np.ones(shape) if transmission is None else np.asarray(transmission, float) ** 2
    if len(shape) != 2 or weight.shape != shape:
        raise ValueError(f"Expected maps of one shape (n, m), got {shape} and {weight.shape}.")
    return np.where(np.isfinite(np.asarray(image, float)), weight, 0.0)


def _draw(ax: Axes, image: np.ndarray, diameter: float | None, cmap: str, lowest: float, highest: float):
    """Draw a map centred on zero, +x to the right and +y up."""
    unit, pixel = ("pixel", 1.0) if diameter is None else ("mm", 1e3 * diameter / image.shape[1])
    half_y, half_x = (pixel * n / 2 for n in image.shape)
    place = {"origin": "lower", "extent": (-half_x, half_x, -half_y, half_y), "interpolation": "nearest"}
    drawn = ax.imshow(image, cmap=grey_where_unknown(cmap), vmin=lowest, vmax=highest, **place)
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")
    ax.spines[:].set_visible(True)
    return drawn


def _error_title(error: np.ndarray, weight: np.ndarray, unit: str) -> str:
    seen = weight > 0
    if not seen.any():
        return "nothing passes"
    rms = np.sqrt(np.average(error[seen] ** 2, weights=weight[seen]))
    return f"RMS {rms:.3g} {unit}, peak to valley {np.ptp(error[seen]):.3g} {unit}"
