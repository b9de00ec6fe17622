"""A reconstruction of a scan laid over the truth that came with its data."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .data import ScanData
from .judging import Judgement, judge, judge_halves
from .reconstruction import Reconstruction
from .registration import place_on_canvas
from .scan_errors import ScanError
from .stitching import COVERED, coverage_mask


def canvas_origin(positions: ArrayLike, corners: ArrayLike, npix: int) -> np.ndarray:
    """Where the pixel [0, 0] of a canvas lies on the grid of a file's positions: whole pixels.

    Parameters
    ----------
    positions : array (n, 2), pixels
        (y, x) of each window's pixel [N//2, N//2], as in the file.
    corners : array (n, 2), pixels
        (y, x) of each window's corner on the canvas; refined ones differ a little, each its own way.
    npix : int
        N.
    """
    positions, corners = np.asarray(positions, float), np.asarray(corners, float)
    if positions.shape != corners.shape or positions.ndim != 2:
        raise ScanError(f"Expected as many corners as positions, (n, 2), got {corners.shape} and {positions.shape}.")
    return np.round(np.median(positions - npix // 2 - corners, axis=0)).astype(int)


def judge_scan(
    data: ScanData,
    object: ArrayLike,
    corners: ArrayLike,
    coverage: ArrayLike,
    threshold: float | int = COVERED,
    **options: Any,
) -> Judgement:
    """Judge the reconstruction of a scan against the object in its data, where it is covered.

    Parameters
    ----------
    data : ScanData
        Whose `object` is the truth.
    object : complex array (h, w)
        The reconstructed canvas.
    corners : array (n, 2), pixels
        (y, x) of each window's corner on the canvas.
    coverage : array (h, w)
        Mean illumination of the canvas.
    threshold : float, fraction
        Of the largest illumination, above which a pixel is covered.
    **options
        Of `judge`.

    Raises
    ------
    ScanError
        For data without an object.
    """
    if data.object is None:
        raise ScanError(f"{data.source}: Expected an object to judge against, got none. Judge two half scans instead.")
    origin = canvas_origin(data.positions, corners, data.npix)
    truth, known = place_on_canvas(data.object, origin, np.shape(object))
    return judge(object, truth, coverage_mask(coverage, threshold) & known, known=known, **options)


def judge_halves_of(first: Reconstruction, second: Reconstruction, threshold: float | int = COVERED) -> dict[str, Any]:
    """Ring correlation of reconstructions of two halves of a scan, on the canvas of the first.

    Parameters
    ----------
    first, second : Reconstruction
    threshold : float, fraction
        Of the largest illumination, above which a pixel is covered.

    Returns
    -------
    record : dict
        As `judge_halves` gives it.
    """
    origin = np.asarray(first.origin) - np.asarray(second.origin)
    other, known = place_on_canvas(second.object, origin, first.object.shape)
    light, _ = place_on_canvas(second.coverage, origin, first.object.shape)
    both = coverage_mask(first.coverage, threshold) & coverage_mask(light, threshold) & known
    return judge_halves(first.object, other, both)
