"""Images as a function of the distance from a point."""

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import COLUMN_WIDTH, axes_or_new, legend_name, styled


def radial_profile(
    image: ArrayLike, centre: tuple[float, float] = (0.0, 0.0), mask: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Average an image over rings one pixel wide.

    Parameters
    ----------
    image : array (n, m)
    centre : tuple of float
        Of the rings, (x, y) in pixels from the middle of the image.
    mask : array of bool (n, m), optional
        True where a pixel is used.

    Returns
    -------
    radius, mean : array
        Mean distance, in pixels, and mean value of the used pixels of each ring that has any.

    Raises
    ------
    ValueError
        For an image that is not two-dimensional, or a mask of another shape.
    """
    image = np.asarray(image, float)
    used = np.isfinite(image) & (np.ones(image.shape, bool) if mask is None else np.asarray(mask, bool))
    if image.ndim != 2:
        raise ValueError(f"Expected an image of shape (n, m), got {image.shape}.")
    y, x = np.indices(image.shape)
    middle_y, middle_x = ((n - 1) / 2 for n in image.shape)
    radius = np.hypot(x - middle_x - centre[0], y - middle_y - centre[1])[used]
    ring = np.rint(radius).astype(int)
    count = np.bincount(ring)
    full = count > 0
    sums = (np.bincount(ring, weights=values)[full] for values in (radius, image[used]))
    mean_radius, mean = (total / count[full] for total in sums)
    return mean_radius, mean


@styled
def plot_radial_profile(
    images: Mapping[str, ArrayLike],
    plate_scale_as: float | None = None,
    centre: tuple[float, float] = (0.0, 0.0),
    ax: Axes | None = None,
    *,
    mask: ArrayLike | None = None,
    unit: str = "electrons",
    log: bool = True,
) -> Figure:
    """Draw images averaged over rings one pixel wide.

    Parameters
    ----------
    images : mapping of str to array (n, m), in `unit`
        By the name that the legend gives them.
    plate_scale_as : float, arcsec/pixel, optional
        Without it the axis is in pixels.
    centre : tuple of float
        Of the rings, (x, y) from the middle of the image; arcsec, or pixels without a plate scale.
    ax : Axes, optional
    mask : array of bool (n, m), optional
        True where a pixel is used.
    unit : str
    log : bool
        Whether the axis of the values is logarithmic.
    """
    scale = 1.0 if plate_scale_as is None else float(plate_scale_as)
    ax = axes_or_new(ax, COLUMN_WIDTH, 0.7 * COLUMN_WIDTH)
    for (name, image), line in zip(images.items(), itertools.cycle(("-", "--", ":")), strict=False):
        radius, mean = radial_profile(image, (centre[0] / scale, centre[1] / scale), mask)
        ax.plot(scale * radius, mean, linestyle=line, label=legend_name(name))  # one may lie on another
    if log:
        ax.set_yscale("log", nonpositive="mask")
    ax.grid(axis="y")
    ax.set_xlim(left=0)
    distance = "pixel" if plate_scale_as is None else "arcsec"
    ax.set(xlabel=f"distance ({distance})", ylabel=f"mean of the ring ({unit})")
    ax.legend()
    return ax.figure
