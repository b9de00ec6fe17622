"""Fourier ring correlation: up to which frequency two images agree."""

import numpy as np

from .registration import taper

THRESHOLD = 0.5
FLAT = 1e-18  # power per pixel of a ring in which there is only rounding


def ring_correlation(first: np.ndarray, second: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlate two images ring by ring of their spectra: Re sum F1 F2* / sqrt(sum |F1|^2 sum |F2|^2).

    Both lose their mean and are tapered to zero at the edge of what is covered (Saxton & Baumeister 1982, J.
    Microscopy 127, 127).

    Parameters
    ----------
    first, second : array (h, w), real or complex
    covered : array of bool (h, w)

    Returns
    -------
    frequency : array (k,), fraction of Nyquist
        Of the rings, without the zero frequency and the corners beyond 1.
    correlation : array (k,)
        NaN where a ring has no power in one of the images.
    """
    box = _box(covered)
    window = taper(covered)[box]
    spectra = [np.fft.fft2(_prepared(image[box], window)) for image in (first, second)]
    rings, last = _rings(window.shape)
    cross, *powers = (
        np.bincount(rings, weight.ravel(), last + 2)[1 : last + 1]
        for weight in ((spectra[0] * spectra[1].conj()).real, *(np.abs(s) ** 2 for s in spectra))
    )
    floor = FLAT * window.size
    seen = (powers[0] > floor) & (powers[1] > floor)
    norm = np.sqrt(np.where(seen, powers[0] * powers[1], 1.0))
    return np.arange(1, last + 1) / last, np.where(seen, cross / norm, np.nan)


def crossing(frequency: np.ndarray, correlation: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Frequency at which a correlation first falls below a threshold, between rings by interpolation; 1 if never.

    Parameters
    ----------
    frequency, correlation : array (k,)
    threshold : float
    """
    curve = np.where(np.isfinite(correlation), correlation, 0.0)
    below = np.flatnonzero(curve < threshold)
    if not below.size:
        return 1.0
    k = int(below[0])
    if k == 0:
        return 0.0
    part = (curve[k - 1] - threshold) / (curve[k - 1] - curve[k])
    return float(frequency[k - 1] + part * (frequency[k] - frequency[k - 1]))


def _box(covered: np.ndarray) -> tuple[slice, ...]:
    axes = (np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0)))
    return tuple(slice(int(a[0]), int(a[-1]) + 1) for a in axes)


def _prepared(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    image = np.where(window > 0, image, 0.0)
    return window * (image - (window * image).sum() / window.sum())


def _rings(shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Ring of each frequency, one step of the shorter side wide, and the last within Nyquist; beyond, one more."""
    y, x = (np.fft.fftfreq(size) for size in shape)
    last = max(1, min(shape) // 2)
    rings = np.round(2 * last * np.hypot(y[:, None], x)).astype(int)
    return np.minimum(rings, last + 1).ravel(), last
