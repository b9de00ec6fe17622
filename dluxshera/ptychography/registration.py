"""Two objects laid over each other: what a reconstruction cannot know (shift, global phase, phase ramp) is removed."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .extras import extra
from .scan_errors import ScanError

UPSAMPLE = 100  # of the correlation's peak: steps of 0.01 pixels, refined by repetition
ROUNDS = 4
EDGE = 3  # pixels at the edge of what is covered that a sub-pixel shift spoils


class Registered(NamedTuple):
    """An object laid over a reference.

    Attributes
    ----------
    object : complex array (h, w)
        Turned in phase only: interpolation would smooth its noise.
    reference : complex array (h, w)
        Moved over the object.
    covered : array of bool (h, w)
        Where they can be compared.
    shift : array (2,), pixels
        (y, x) by which the object would have to move to lie over the reference as it was.
    ramp : array (2,), radians per pixel
        Phase slope, along y and x, that was removed.
    phase : float, radians
        Global phase that was removed, at the canvas' middle.
    """

    object: np.ndarray
    reference: np.ndarray
    covered: np.ndarray
    shift: np.ndarray
    ramp: np.ndarray
    phase: float


def place_on_canvas(object: ArrayLike, origin: ArrayLike, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cut an object to a canvas on the same grid.

    Parameters
    ----------
    object : array (h, w)
    origin : (2,) whole numbers, pixels
        Where the canvas' pixel [0, 0] lies on the object.
    shape : (h', w'), pixels
        Of the canvas.

    Returns
    -------
    object : array (h', w')
        Zero beyond the object.
    known : array of bool (h', w')

    Raises
    ------
    ScanError
        For an origin between pixels.
    """
    object, whole = np.asarray(object), np.round(np.asarray(origin, float)).astype(int)
    if np.abs(whole - np.asarray(origin, float)).max() > 1e-6:
        raise ScanError(f"Expected a canvas on the object's own pixels, got an origin of {origin}.")
    placed, known = np.zeros(shape, object.dtype), np.zeros(shape, bool)
    start = np.maximum(whole, 0)
    stop = np.minimum(whole + np.asarray(shape), object.shape)
    if (stop > start).all():
        here = tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, whole, strict=True))
        placed[here] = object[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        known[here] = True
    return placed, known


def register(
    estimate: ArrayLike,
    reference: ArrayLike,
    covered: ArrayLike,
    shift: bool = True,
    ramp: bool = True,
    known: ArrayLike | None = None,
) -> Registered:
    """Lay an object over a reference, as seen where it is covered.

    The shift is the peak of the upsampled cross correlation (Guizar-Sicairos et al. 2008, Optics Letters 33, 156),
    found again after each move until it stays; a shift that does not lower the difference is not made.

    Parameters
    ----------
    estimate, reference : complex array (h, w)
    covered : array of bool (h, w)
        Where the estimate means something.
    shift : bool
        Whether to find and undo a shift.
    ramp : bool
        Whether to remove a linear phase ramp; the global phase always is.
    known : array of bool (h, w), optional
        Where the reference means something; where covered, by default.

    Raises
    ------
    ScanError
        For arrays of different shapes, values that are not finite where covered, or too little that is covered.
    ImportError
        Without scikit-image or scipy.
    """
    known = covered if known is None else known
    estimate, reference, covered, known = _checked(estimate, reference, covered, known)
    best = _turned(estimate, reference, covered, np.zeros(2), ramp)
    if not shift:
        return best
    for _ in range(ROUNDS):
        step = find_shift(best.object, best.reference, best.covered)
        if not step.any():
            break
        moved = best.shift + step
        trial = _turned(estimate, *_move(reference, covered, known, -moved), moved, ramp)
        both = trial.covered & best.covered
        if not both.any() or _misfit(trial, both) >= _misfit(best, both):
            break
        best = trial
    return best


def find_shift(estimate: np.ndarray, reference: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Shift (2,) in pixels, (y, x), that moves an object onto a reference, to 0.01 pixels.

    Parameters
    ----------
    estimate, reference : complex array (h, w)
    covered : array of bool (h, w)
    """
    window = taper(covered)
    images = [window * _without_mean(image, window) for image in (reference, estimate)]
    if not all(np.abs(image).max() > 1e-12 for image in images):
        return np.zeros(2)  # a flat object shows no shift
    correlation = extra("skimage.registration").phase_cross_correlation
    return np.asarray(correlation(*images, upsample_factor=UPSAMPLE, normalization=None)[0], float)


def taper(covered: np.ndarray) -> np.ndarray:
    """Window (h, w) that rises smoothly from 0 at the edge of what is covered to 1 inside."""
    inside = np.pad(covered, 1)
    distance = extra("scipy.ndimage").distance_transform_edt(inside)[1:-1, 1:-1]
    width = max(2.0, distance.max() / 3)
    return np.sin(np.pi / 2 * np.clip(distance / width, 0, 1)) ** 2


def _checked(
    estimate: ArrayLike, reference: ArrayLike, covered: ArrayLike, known: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    estimate, reference = np.asarray(estimate, complex), np.asarray(reference, complex)
    covered, known = np.asarray(covered, bool), np.asarray(known, bool)
    if estimate.ndim != 2 or not estimate.shape == reference.shape == covered.shape == known.shape:
        raise ScanError(
            f"Expected two objects and their coverage of one shape (h, w), got {estimate.shape}, {reference.shape} and "
            f"{covered.shape}. Place them on one canvas (place_on_canvas)."
        )
    covered = covered & known
    if covered.sum() < 4:
        raise ScanError(f"Expected some covered pixels to compare, got {int(covered.sum())}. Lower the threshold.")
    if not (np.isfinite(estimate[covered]).all() and np.isfinite(reference[known]).all()):
        raise ScanError("Expected finite objects where they are covered, got some values that are not.")
    return _filled(estimate, covered), _filled(reference, known), covered, known


def _filled(object: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """An object with its mean where it is not covered, which may be anything."""
    return np.where(covered, object, object[covered].mean())


def _without_mean(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    return image - (window * image).sum() / window.sum()


def _move(
    reference: np.ndarray, covered: np.ndarray, known: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move a reference by a spline of fifth order; what the edge of the known part spoils is not compared."""
    ndimage = extra("scipy.ndimage")
    parts = [ndimage.shift(part, shift, order=5, mode="nearest") for part in (reference.real, reference.imag)]
    whole = ndimage.shift(known.astype(float), shift, order=1) > 0.999
    sound = ndimage.binary_erosion(whole, iterations=EDGE) & covered
    return parts[0] + 1j * parts[1], sound if sound.sum() >= 4 else whole & covered


def _turned(
    estimate: np.ndarray, reference: np.ndarray, covered: np.ndarray, shift: np.ndarray, ramp: bool
) -> Registered:
    """Remove the global phase and the ramp against a reference."""
    product = np.where(covered, estimate * reference.conj(), 0.0)
    slope = _slope(product) if ramp else np.zeros(2)
    turns = _plane(product.shape, slope)
    phase = float(np.angle((product * np.exp(-1j * turns)).sum()))
    return Registered(estimate * np.exp(-1j * (turns + phase)), reference, covered, shift, slope, phase)


def _plane(shape: tuple[int, ...], slope: np.ndarray) -> np.ndarray:
    y, x = (np.arange(size) - (size - 1) / 2 for size in shape)
    return slope[0] * y[:, None] + slope[1] * x


def _slope(product: np.ndarray) -> np.ndarray:
    """Phase slope (2,) of a wave, radians per pixel: the peak of its spectrum, then least squares about it."""
    spectrum = np.abs(np.fft.fft2(product))
    peak = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    slope = 2 * np.pi * np.array([np.fft.fftfreq(n)[k] for n, k in zip(product.shape, peak, strict=True)])
    weight = np.abs(product)
    y, x = (g.ravel() for g in np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in product.shape), indexing="ij"))
    design = np.stack([np.ones_like(y), y, x], axis=-1)
    normal = design.T @ (weight.ravel()[:, None] * design)
    for _ in range(ROUNDS):
        rest = product * np.exp(-1j * _plane(product.shape, slope))
        angle = np.angle(rest * np.exp(-1j * np.angle(rest.sum())))
        moment = design.T @ (weight * angle).ravel()
        slope = slope + np.linalg.lstsq(normal, moment, rcond=None)[0][1:]
    return slope


def _misfit(registered: Registered, covered: np.ndarray) -> float:
    return float((np.abs(registered.object - registered.reference)[covered] ** 2).sum())
