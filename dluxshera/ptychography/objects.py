"""Objects to simulate a scan of: lines, a phase, both, or an image of the user's."""

import numpy as np
from numpy.typing import ArrayLike

from .extras import extra
from .memory import check_memory
from .scan_errors import ScanError

LINES, RASTER = 400, 784  # lines on a raster of that side; other sides have as many lines for their area
BLURS = ((1.0, 1.0), (2.0, 5.0), (5.0, 10.0))  # weight and standard deviation, pixels, of each Gaussian filter
RASTER_BYTES = 48  # of memory for each pixel of a pattern of lines and what becomes of it
KINDS = ("lines", "phase", "mixed")


def line_pattern(size: int, seed: int, lines: int | None = None) -> np.ndarray:
    """Random straight lines on a raster, blurred: G1 + 2 G5 + 5 G10 of it, over its maximum.

    Parameters
    ----------
    size : int, pixels
        Side of the pattern.
    seed : int
    lines : int, optional
        By default as dense as 400 lines on 784 x 784 pixels.

    Returns
    -------
    pattern : array (size, size), fraction of its maximum
    """
    if size < 8:
        raise ScanError(f"Expected an object of at least 8 pixels, got size={size}.")
    check_memory(RASTER_BYTES * size**2, "an object", "Make it smaller (size, --size).")
    line = extra("skimage.draw").line
    ndimage = extra("scipy.ndimage")
    generator = np.random.default_rng([seed, 0])
    number = max(1, round(LINES * size / RASTER)) if lines is None else lines
    raster = np.zeros((size, size))
    for ends in generator.integers(0, size, (number, 4)):
        raster[line(*ends)] = 1.0
    blurred = sum(weight * ndimage.gaussian_filter(raster, sigma) for weight, sigma in BLURS)
    return blurred / blurred.max()


def make_object(kind: str, size: int, seed: int, phase: float | int = 1.0) -> np.ndarray:
    """Make an object of lines.

    Parameters
    ----------
    kind : str
        "lines": amplitude 0.5 + a for a line pattern a, no phase; "phase": exp(i phase a); "mixed": both, of
        two different patterns.
    size : int, pixels
    seed : int
    phase : float, radians
        Of the pattern's maximum.

    Returns
    -------
    object : complex array (size, size)

    Raises
    ------
    ScanError
        For an unknown kind.
    """
    if kind not in KINDS:
        raise ScanError(f"Expected an object {', '.join(KINDS)}, got {kind!r}.")
    amplitude = 0.5 + line_pattern(size, seed) if kind in ("lines", "mixed") else np.ones((size, size))
    turns = phase * line_pattern(size, seed + 2**32) if kind in ("phase", "mixed") else 0.0
    return amplitude * np.exp(1j * turns)


def image_object(
    amplitude: ArrayLike | None = None, phase: ArrayLike | None = None, largest_phase: float | int = 1.0
) -> np.ndarray:
    """Make an object of images: amplitude 0.5 + a/max, as for lines, and phase over its maximum times a largest one.

    Parameters
    ----------
    amplitude, phase : array (h, w) or (h, w, 3), optional
        Real images of zero or more, colours are averaged; one of them at least.
    largest_phase : float, radians

    Returns
    -------
    object : complex array (h, w)

    Raises
    ------
    ScanError
        Where both are missing, not of one shape, or not real, finite and of zero or more.
    """
    images = [None if image is None else _unit_image(image) for image in (amplitude, phase)]
    given = [image for image in images if image is not None]
    if not given or any(image.shape != given[0].shape for image in given):
        raise ScanError(f"Expected an amplitude, a phase, or both of one shape, got {[i.shape for i in given]}.")
    size = np.ones(given[0].shape) if images[0] is None else 0.5 + images[0]
    return size * np.exp(1j * largest_phase * (0.0 if images[1] is None else images[1]))


def _unit_image(image: ArrayLike) -> np.ndarray:
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "buif" or not (pixels.ndim == 2 or pixels.shape[2:] == (3,)) or not pixels.size:
        raise ScanError(
            f"Expected an image of real numbers, (h, w) or (h, w, 3), got {pixels.dtype} of shape {pixels.shape}."
        )
    pixels = (pixels.mean(axis=-1) if pixels.ndim == 3 else pixels).astype(float)
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() <= 0:
        raise ScanError(
            f"Expected an image of finite values of zero or more, not all zero, got {pixels.min():g} to "
            f"{pixels.max():g}."
        )
    return pixels / pixels.max()
