"""Images: one, data against model, and the distribution of their residuals."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from .style import (
    COLORS,
    COLUMN_WIDTH,
    DIVERGING_CMAP,
    IMAGE_CMAP,
    PAGE_WIDTH,
    axes_or_new,
    grey_where_unknown,
    new_figure,
    styled,
)

DYNAMIC_RANGE = 1e4  # of a logarithmic stretch, below the peak


@styled
def plot_image(
    image: ArrayLike,
    plate_scale_as: float | None = None,
    stretch: str = "log",
    ax: Axes | None = None,
    *,
    mask: ArrayLike | None = None,
    title: str | None = None,
    unit: str = "electrons",
) -> Figure:
    """Draw one image, +x to the right and +y up, centred on zero.

    Parameters
    ----------
    image : array (n, m), in `unit`
    plate_scale_as : float, arcsec/pixel, optional
        Without it the axes are in pixels.
    stretch : str
        "log", over four decades below the peak at most, or "linear".
    ax : Axes, optional
    mask : array of bool (n, m), optional
        True where a pixel is used; the others are grey.
    title : str, optional
        The total by default.
    unit : str

    Raises
    ------
    ValueError
        For an image that is not two-dimensional, a mask of another shape, or an unknown stretch.
    """
    pixels = _masked(image, mask, "image")
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.85 * COLUMN_WIDTH)
    drawn = _draw(ax, pixels, plate_scale_as, stretch_norm(pixels, stretch), IMAGE_CMAP)
    ax.set_title(f"total {np.nansum(pixels):.4g} {unit}" if title is None else title)
    ax.figure.colorbar(drawn, ax=ax, label=unit)
    return ax.figure


@styled
def plot_comparison(
    data: ArrayLike,
    model: ArrayLike,
    residual: ArrayLike,
    mask: ArrayLike | None = None,
    plate_scale_as: float | None = None,
    *,
    unit: str = "electrons",
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> Figure | SubFigure:
    """Draw data and model on one logarithmic scale, and their whitened residual beside them.

    Parameters
    ----------
    data, model : array (n, m), in `unit`
    residual : array (n, m)
        (data - model) / standard deviation.
    mask : array of bool (n, m), optional
        True where a pixel is used; the others are grey.
    plate_scale_as : float, arcsec/pixel, optional
    unit : str
    axes : sequence or array of three Axes, optional

    Raises
    ------
    ValueError
        For arrays that are not two-dimensional or not of one shape, or another number of axes.
    """
    used = np.ones(np.shape(data), bool) if mask is None else mask
    pixels = [_masked(a, used, name) for a, name in ((data, "data"), (model, "model"), (residual, "residual"))]
    if axes is None:
        axes = new_figure(PAGE_WIDTH, 0.42 * PAGE_WIDTH).subplots(1, 3, sharex=True, sharey=True)
    if len(axes) != 3:
        raise ValueError(f"Expected three axes, for data, model and residual, got {len(axes)}.")
    figure = axes[0].figure
    norms = [stretch_norm(pixels[0], "log")] * 2 + [_symmetric_norm(pixels[2])]
    cmaps = (IMAGE_CMAP, IMAGE_CMAP, DIVERGING_CMAP)
    drawn = [_draw(ax, p, plate_scale_as, n, c) for ax, p, n, c in zip(axes, pixels, norms, cmaps, strict=True)]
    for ax, title in zip(axes, _comparison_titles(*pixels), strict=True):
        ax.set_title(title)
        ax.label_outer()
    bars = {"location": "bottom", "aspect": 30, "pad": 0.03}
    figure.colorbar(drawn[0], ax=list(axes[:2]), label=unit, shrink=0.7, **bars)
    masked = int(np.isnan(pixels[2]).sum())
    label = f"residual (σ), {masked} masked in grey" if masked else "residual (σ)"
    figure.colorbar(drawn[2], ax=axes[2], label=label, extend="both", **bars | {"aspect": 20})
    return figure


@styled
def plot_residual_histogram(
    residuals: ArrayLike,
    mask: ArrayLike | None = None,
    degrees_of_freedom: int | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the distribution of whitened residuals with the unit Gaussian that they should follow.

    Parameters
    ----------
    residuals : array
        (data - model) / standard deviation.
    mask : array of bool, optional
        True where a pixel is used.
    degrees_of_freedom : int, optional
        Used pixels minus free parameters; the number of used pixels by default.
    ax : Axes, optional
    """
    values = np.asarray(residuals, float)[... if mask is None else np.asarray(mask, bool)].ravel()
    values = values[np.isfinite(values)]
    freedom = values.size if degrees_of_freedom is None else degrees_of_freedom
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    _draw_histogram(ax, values)
    chi_square = np.sum(values**2)
    ax.set_title(f"χ² = {chi_square:.0f} / {freedom} = {chi_square / freedom if freedom else math.nan:.3f}")
    return ax.figure


def stretch_norm(pixels: np.ndarray, stretch: str) -> Normalize:
    """Return the norm of a named stretch for an image; values below its range are drawn as its lowest."""
    finite = pixels[np.isfinite(pixels)]
    if stretch == "linear":
        return Normalize(*((finite.min(), finite.max()) if finite.size else (0.0, 1.0)))
    if stretch != "log":
        raise ValueError(f'Expected stretch "log" or "linear", got {stretch!r}.')
    positive = finite[finite > 0]
    if not positive.size:
        return Normalize(-1.0, 1.0)
    return LogNorm(max(positive.min(), positive.max() / DYNAMIC_RANGE), positive.max() * (1 + 1e-9))


def _symmetric_norm(residual: np.ndarray) -> Normalize:
    finite = np.abs(residual[np.isfinite(residual)])
    limit = max(3.0, float(np.ceil(np.percentile(finite, 99.9)))) if finite.size else 3.0
    return Normalize(-limit, limit)


def _masked(image: ArrayLike, mask: ArrayLike | None, name: str) -> np.ndarray:
    """A copy in which pixels that are not used are NaN."""
    image = np.asarray(image, float)
    used = np.ones(image.shape, bool) if mask is None else np.asarray(mask, bool)
    if image.ndim != 2 or used.shape != image.shape:
        raise ValueError(f"Expected {name} of shape (n, m) and a mask of the same, got {image.shape} and {used.shape}.")
    return np.where(used, image, np.nan)


def _draw(ax: Axes, pixels: np.ndarray, plate_scale_as: float | None, norm: Normalize, cmap: str):
    scale = 1.0 if plate_scale_as is None else float(plate_scale_as)
    half_y, half_x = (scale * n / 2 for n in pixels.shape)
    drawn = ax.imshow(
        np.maximum(pixels, norm.vmin),  # a logarithm has no place for counts of zero
        norm=norm,
        cmap=grey_where_unknown(cmap),
        origin="lower",
        extent=(-half_x, half_x, -half_y, half_y),
        interpolation="nearest",
    )
    unit = "pixel" if plate_scale_as is None else "arcsec"
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")
    ax.spines[:].set_visible(True)
    return drawn


def _comparison_titles(data: np.ndarray, model: np.ndarray, residual: np.ndarray) -> list[str]:
    known = residual[np.isfinite(residual)]
    rms = np.sqrt(np.mean(known**2)) if known.size else np.nan
    totals = [f"{name}: total {np.nansum(array):.5g}" for name, array in (("Data", data), ("Model", model))]
    return [*totals, f"Residual: rms {rms:.3f} σ"]


def _draw_histogram(ax: Axes, values: np.ndarray) -> None:
    limit = float(np.clip(np.ceil(np.abs(values).max(initial=0.0)), 5, 10))
    edges = np.arange(-limit, limit + 0.125, 0.25)
    ax.hist(np.clip(values, -limit, limit), edges, color=COLORS[0], alpha=0.35, label=f"{values.size} pixels")
    x = np.linspace(-limit, limit, 401)
    gaussian = values.size * 0.25 * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    ax.plot(x, gaussian, color=COLORS[1], label="unit Gaussian")
    if values.size:
        ax.set_yscale("log")
    ax.set_ylim(0.5, 3 * max(gaussian.max(), 1.0))
    ax.set_xlim(-limit, limit)
    ax.set(xlabel="residual (σ)", ylabel="pixels")
    ax.legend(loc="upper right")
    outside = int((np.abs(values) > limit).sum())
    if outside:
        ax.annotate(f"{outside} beyond ±{limit:.0f} σ", (0.02, 0.95), xycoords="axes fraction", va="top")
