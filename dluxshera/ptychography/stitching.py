"""Patches put together on a canvas that is large enough for where they actually are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .scan_errors import ScanError

COVERED = 0.05  # of the largest illumination: below it, an object is not told by its scan


class Canvas(NamedTuple):
    """Where windows lie on a canvas.

    Attributes
    ----------
    shape : (h, w), pixels
    corners : array (n, 2), pixels
        (y, x) of each window's corner on the canvas: whole where the positions were.
    origin : array (2,), pixels
        Position of the canvas' pixel [0, 0]: whole numbers, so that the canvas lies on the positions' own grid.
    """

    shape: tuple[int, int]
    corners: np.ndarray
    origin: np.ndarray


class Stitched(NamedTuple):
    """An object put together from patches.

    Attributes
    ----------
    object : complex array (h, w)
        Zero where nothing covers it.
    coverage : array of bool (h, w)
    weight : array (h, w)
        Sum of the patches' weights.
    inside : float, fraction
        Of the patches' weighted energy that lies on the canvas.
    """

    object: np.ndarray
    coverage: np.ndarray
    weight: np.ndarray
    inside: float


def canvas_of(positions: ArrayLike, npix: int) -> Canvas:
    """Return the smallest canvas that holds every window and one spare row and column.

    Parameters
    ----------
    positions : array (n, 2), pixels
        (y, x) of each window's pixel [N//2, N//2].
    npix : int
        N.
    """
    points = np.asarray(positions, float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ScanError(f"Expected finite positions of shape (n, 2), got {points.shape}. Pass (y, x) of each pattern.")
    corners = points - npix // 2
    origin = np.floor(corners.min(0))
    size = np.floor(corners.max(0) - origin).astype(int) + npix + 1
    return Canvas((int(size[0]), int(size[1])), corners - origin, origin)


def smallest_side(offsets: ArrayLike, npix: int) -> int:
    """Side of a square canvas centred on the mean offset: ceil(N + 2 max|offset - mean|), pixels.

    Parameters
    ----------
    offsets : array (n, 2), pixels
    npix : int
        N.
    """
    offsets = np.asarray(offsets, float)
    return int(np.ceil(npix + 2 * np.abs(offsets - offsets.mean(0)).max()))


def energy_inside(probe: ArrayLike, corners: ArrayLike, shape: tuple[int, int]) -> float:
    """Fraction of all patterns' illumination that falls on a canvas; 1 for that of `canvas_of`.

    Parameters
    ----------
    probe : array (M, N, N) or (N, N)
    corners : array (n, 2), pixels
        (y, x) of each window's corner on the canvas.
    shape : (h, w), pixels
        Of the canvas.
    """
    return float(illumination(probe, corners, shape).sum() / _intensity(probe).sum())


def illumination(probe: ArrayLike, corners: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    """Mean intensity of the probe at each pixel of a canvas, summed over modes and averaged over patterns.

    Windows are placed between pixels by bilinear weights.

    Parameters
    ----------
    probe : array (M, N, N) or (N, N)
    corners : array (n, 2), pixels
    shape : (h, w), pixels
    """
    intensity = _intensity(probe)
    patches = np.broadcast_to(intensity, (len(np.asarray(corners)), *intensity.shape))
    return _add(patches, corners, shape) / len(patches)


def coverage_mask(illuminated: ArrayLike, threshold: float | int = COVERED) -> np.ndarray:
    """Where an illumination is above a fraction of its largest value.

    Parameters
    ----------
    illuminated : array (h, w)
    threshold : float, fraction
    """
    illuminated = np.asarray(illuminated, float)
    return illuminated > threshold * illuminated.max()


def stitch(patches: ArrayLike, corners: ArrayLike, shape: tuple[int, int], weight: ArrayLike | None = None) -> Stitched:
    """Average overlapping patches on a canvas, with the same weight in numerator and denominator.

    Parameters
    ----------
    patches : complex array (n, N, N)
    corners : array (n, 2), pixels
        (y, x) of each patch's corner; between pixels by bilinear weights.
    shape : (h, w), pixels
        Of the canvas.
    weight : array (N, N), optional
        Of the pixels of a patch, such as a probe's intensity; 1 by default.

    Raises
    ------
    ScanError
        For patches that are not (n, N, N), or as many corners.
    """
    patches = np.asarray(patches)
    if patches.ndim != 3 or np.shape(corners) != (len(patches), 2):
        raise ScanError(f"Expected patches (n, N, N) and corners (n, 2), got {patches.shape} and {np.shape(corners)}.")
    weight = np.ones(patches.shape[1:]) if weight is None else np.asarray(weight, float)
    weights = np.broadcast_to(weight, patches.shape)
    total = _add(weights, corners, shape)
    summed = _add(weights * patches, corners, shape)
    covered = total > 1e-9 * total.max(initial=1e-300)
    energy = weights * np.abs(patches) ** 2
    inside = float(_add(energy, corners, shape).sum() / energy.sum()) if energy.any() else 1.0
    return Stitched(np.where(covered, summed / np.where(covered, total, 1.0), 0.0), covered, total, inside)


def _intensity(probe: ArrayLike) -> np.ndarray:
    probe = np.asarray(probe)
    return (np.abs(probe) ** 2).reshape(-1, *probe.shape[-2:]).sum(0)


def _add(patches: np.ndarray, corners: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    """Sum of patches on a canvas, each spread over four pixels; what lies beyond the canvas is lost."""
    corners = np.asarray(corners, float)
    n = patches.shape[-1]
    pad = n + 1
    canvas = np.zeros((shape[0] + 2 * pad, shape[1] + 2 * pad), np.result_type(patches, float))
    whole = np.floor(corners)
    fraction = corners - whole
    for patch, (y, x), (b, a) in zip(patches, whole.astype(int) + pad, fraction, strict=True):
        if not (0 <= y < shape[0] + pad and 0 <= x < shape[1] + pad):
            continue
        for dy, wy in ((0, 1 - b), (1, b)):
            for dx, wx in ((0, 1 - a), (1, a)):
                if wy * wx:
                    canvas[y + dy : y + dy + n, x + dx : x + dx + n] += wy * wx * patch
    return canvas[pad:-pad, pad:-pad]
