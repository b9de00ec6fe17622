"""Cutting a square out of an image: where its light is, or where the user says."""

from collections.abc import Sequence
from numbers import Real

import numpy as np

from .raw_image import RawImage

_ROUNDS = 10  # of the centroid, each about the last one
_FLOOR = 0.1  # of the peak: fainter light does not count for the centroid


def cut(raw: RawImage, npix: int, centre: Sequence[Real] | None = None) -> RawImage:
    """Cut `npix` x `npix` pixels out of an image, its variance and its mask.

    Parameters
    ----------
    raw : RawImage
    npix : int, pixels
    centre : (x, y), pixels, optional
        Column and row of the middle, from zero at the middle of the first pixel (one less than in FITS). By
        default the centroid of the light about the brightest place. The cut is made at whole pixels, so its own
        middle, (npix - 1) / 2 beyond its `corner`, may lie up to half a pixel from there along each axis.

    Raises
    ------
    ValueError
        Naming the file, if the square does not fit into the image.
    """
    rows, columns = _size(raw)
    if isinstance(npix, bool) or not isinstance(npix, int) or not 0 < npix <= min(rows, columns):
        raise ValueError(
            f"{raw.where}: Expected a crop of 1 to {min(rows, columns)} pixels, got {npix!r}. "
            f"The image has {columns} columns and {rows} rows."
        )
    x, y = _given(raw, centre) if centre is not None else brightest_place(raw.image, raw.mask, npix)
    left, low = (int(np.floor(middle - (npix - 1) / 2 + 0.5)) for middle in (x, y))
    if not (0 <= left <= columns - npix and 0 <= low <= rows - npix):
        raise ValueError(
            f"{raw.where}: Expected a crop inside of the image of {columns} columns and {rows} rows, got {npix} "
            f"pixels about column {x:.1f}, row {y:.1f}. Pass a smaller crop= or another centre=."
        )
    window = np.s_[low : low + npix, left : left + npix]
    arrays = {name: getattr(raw, name) for name in ("image", "variance", "mask")}
    found = {name: None if array is None else array[window] for name, array in arrays.items()}
    before = np.zeros(2) if raw.corner is None else np.asarray(raw.corner, float)
    return raw._replace(**found, corner=before + [left, low])


def brightest_place(image: np.ndarray, mask: np.ndarray | None, npix: int) -> tuple[float, float]:
    """Centroid (x, y), pixels, of the light within `npix` pixels about the brightest place.

    Of each pixel with its neighbours the median counts, so that a hot pixel attracts nothing.
    """
    used = np.isfinite(image) if mask is None else np.isfinite(image) & mask
    level = float(np.median(image[used])) if used.any() else 0.0
    light = np.maximum(_median_of_nine(np.where(used, image, level)) - level, 0.0)
    light = np.maximum(light - _FLOOR * light.max(), 0.0)
    row, column = np.unravel_index(np.argmax(light), light.shape)
    x, y = float(column), float(row)
    for _ in range(_ROUNDS if light.max() > 0 else 0):
        near = light * _window(light.shape[0], y, npix)[:, None] * _window(light.shape[1], x, npix)
        x = float((near.sum(0) * np.arange(near.shape[1])).sum() / near.sum())
        y = float((near.sum(1) * np.arange(near.shape[0])).sum() / near.sum())
    return x, y


def _window(size: int, middle: float, npix: int) -> np.ndarray:
    return (np.abs(np.arange(size) - middle) <= npix / 2).astype(float)


def _median_of_nine(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image, 1, mode="edge")
    rows, columns = image.shape
    return np.median([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=0)


def _size(raw: RawImage) -> tuple[int, int]:
    if raw.image.ndim != 2:
        raise ValueError(
            f"{raw.where}: Expected a two-dimensional image to crop, got shape {raw.image.shape}. "
            "Sum a stack of frames and give their number as exposures."
        )
    for name in ("variance", "mask"):
        array = getattr(raw, name)
        if array is not None and array.shape != raw.image.shape:
            raise ValueError(
                f"{raw.where}: {name}: Expected the shape {raw.image.shape} of the image, got {array.shape}."
            )
    return raw.image.shape


def _given(raw: RawImage, centre: Sequence[Real]) -> tuple[float, float]:
    numbers = [value for value in centre if isinstance(value, Real) and np.isfinite(value)]
    if len(numbers) != 2 or len(numbers) != len(centre):
        raise ValueError(f"{raw.where}: Expected centre=(column, row) in pixels, got {centre!r}.")
    return float(numbers[0]), float(numbers[1])
