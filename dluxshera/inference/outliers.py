"""Single pixels that no image explains: cosmic rays and hot pixels that were not masked."""

import warnings

import numpy as np
from numpy.typing import ArrayLike

LEAST = 20.0  # standard deviations
LONELY = 10.0  # times the largest residual next to it: what stars leave, neighbours share
SHARE = 0.5  # of chi-square, together
SHOWN = 5


class BadPixelWarning(UserWarning):
    """A few pixels carry most of chi-square, and their neighbours do not know of it."""


def outlying_pixels(residuals: ArrayLike) -> list[tuple[int, int]]:
    """Find pixels that stand alone in an image of residuals and carry most of its chi-square.

    Parameters
    ----------
    residuals : array (h, w), standard deviations

    Returns
    -------
    pixels : list of (row, column)
        The largest first; empty if together they have less than half of chi-square.
    """
    size = np.abs(np.asarray(residuals, float))
    around = np.pad(size, 1)
    height, width = size.shape
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    beside = np.max([around[i : i + height, j : j + width] for i, j in shifts], axis=0)
    alone = (size > LEAST) & (size > LONELY * beside)
    if np.sum(size[alone] ** 2) <= SHARE * np.sum(size**2):
        return []
    rows, columns = np.nonzero(alone)
    return [(int(rows[k]), int(columns[k])) for k in np.argsort(-size[alone], kind="stable")]


def warn_of_outliers(residuals: ArrayLike) -> None:
    """Name pixels that would rule a fit, as a `BadPixelWarning`; nothing is said of what is no image."""
    pixels = outlying_pixels(residuals) if np.ndim(residuals) == 2 else []
    if not pixels:
        return
    share = sum(np.asarray(residuals, float)[pixel] ** 2 for pixel in pixels) / np.sum(np.square(residuals))
    named = ", ".join(f"row {row} column {column}" for row, column in pixels[:SHOWN])
    more = f" and {len(pixels) - SHOWN} more" if len(pixels) > SHOWN else ""
    text = f"{named}{more}: far from any model and from every pixel beside, with {100 * share:.0f} % of chi-square. "
    warnings.warn(text + "Mask what is broken (Observation.mask, --bad-pixels).", BadPixelWarning, stacklevel=5)
