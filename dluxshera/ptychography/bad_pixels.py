"""Detector gaps, dead and hot pixels, found from the patterns themselves."""

from typing import Any, NamedTuple

import numpy as np

from .data import blocks
from .scan_errors import ScanError

HOT_FACTOR, HOT_SIGMAS = 10.0, 10.0  # above its neighbours: by so many times, and by so many deviations
DEAD_COUNTS = 100.0  # neighbours' counts, over the whole scan, at which a pixel without a count is dead
NEAR_BEAM = 3  # pixels around the zero frequency, where a narrow peak is light


class BadPixels(NamedTuple):
    """What `find_bad_pixels` found.

    Attributes
    ----------
    mask : array of bool (N, N)
        True where a pixel can be used.
    gaps, dead, hot : int
        Pixels that never held a valid value, never a count, or far more than their neighbours.
    """

    mask: np.ndarray
    gaps: int
    dead: int
    hot: int


def find_bad_pixels(counts: Any, mask: np.ndarray | None = None) -> BadPixels:
    """Find the pixels of a detector that cannot be used, from all patterns of a scan, a block at a time.

    A gap is a pixel that is negative, not finite, or at the largest value of its integer type in any pattern. A dead
    pixel has no count although its neighbours (the median of the 5 x 5 around it) have; a hot one has ten times the
    second largest of its eight neighbours. Pixels within 3 of the zero frequency are never called hot.

    Parameters
    ----------
    counts : array (n, N, N) or StoredPatterns, photons
    mask : array of bool (N, N) or (n, N, N), optional
        True where a pixel is used; the others are not looked at.

    Raises
    ------
    ScanError
        For patterns of another shape.
    """
    if len(counts.shape) != 3 or counts.shape[1] != counts.shape[2] or not counts.shape[0]:
        raise ScanError(f"counts: Expected patterns of shape (n, N, N), got {counts.shape}.")
    total, invalid = _sums(counts, mask)
    valid = np.where(invalid, 0.0, total)
    second = np.sort(_neighbours(valid, 1), axis=0)[-2]
    hot = ~invalid & (total > HOT_FACTOR * second + HOT_SIGMAS * np.sqrt(second + 1)) & _far_from_beam(len(total))
    dead = ~invalid & (total == 0) & (np.median(_neighbours(valid, 2), axis=0) > DEAD_COUNTS)
    unseen = np.zeros_like(invalid) if mask is None else ~(mask.any(0) if mask.ndim == 3 else mask.astype(bool))
    found = [int((kind & ~unseen).sum()) for kind in (invalid, dead, hot)]
    return BadPixels(~(invalid | hot | dead | unseen), *found)


def _sums(counts: Any, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Counts per pixel over the scan, and where a value is never valid."""
    total, invalid = 0.0, False
    for rows, block in blocks(counts):
        used = np.True_ if mask is None else np.asarray(mask[rows] if mask.ndim == 3 else mask, bool)
        wrong = used & _marked(block)
        invalid = invalid | wrong.any(0)
        total = total + np.where(used & ~wrong, block, 0).sum(0, dtype=float)
    return np.asarray(total), np.asarray(invalid)


def _marked(block: np.ndarray) -> np.ndarray:
    """Values by which detectors mark pixels that they do not have."""
    if block.dtype.kind == "f":
        return ~np.isfinite(block) | (block < 0)
    return (block < 0) | (block == np.iinfo(block.dtype).max)


def _neighbours(total: np.ndarray, reach: int) -> np.ndarray:
    """The pixels (k, N, N) around each one, no further than `reach` along either axis; zero beyond the edge."""
    n = len(total)
    padded = np.pad(total, reach)
    steps = range(2 * reach + 1)
    return np.stack([padded[i : i + n, j : j + n] for i in steps for j in steps if (i, j) != (reach, reach)])


def _far_from_beam(n: int) -> np.ndarray:
    y, x = np.ogrid[-(n // 2) : n - n // 2, -(n // 2) : n - n // 2]
    return np.hypot(y, x) > NEAR_BEAM
