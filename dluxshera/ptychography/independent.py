"""A second forward model, on a finer grid and without interpolation, to test solvers on data that are not their own.

It shares no code with `propagation`: the object is sampled several times finer, the probe is Fourier-shifted by
what is left of a position between the fine pixels, and frequencies beyond the detector are lost, as in a measurement.
"""

from typing import Any

import numpy as np

from .extras import extra
from .scan_errors import ScanError

OVERSAMPLE = 4


def independent_counts(
    object: np.ndarray, probe: np.ndarray, positions: np.ndarray, oversample: int = OVERSAMPLE
) -> np.ndarray:
    """Expected counts of every pattern, computed on a finer grid.

    A shift of the probe by f behind the object at r gives, but for a phase of the far field, the same wave as the
    object at r + f behind the probe.

    Parameters
    ----------
    object : complex array (h, w)
        Between its pixels, a spline of fifth order.
    probe : complex array (M, N, N)
    positions : array (n, 2), pixels
        (y, x) of each window's pixel [N//2, N//2] on the object, which holds every window.
    oversample : int
        Fine pixels along a pixel.

    Returns
    -------
    counts : array (n, N, N), photons
    """
    if oversample < 1:
        raise ScanError(f"Expected an oversampling of 1 or more, got {oversample}.")
    npix = probe.shape[-1]
    fine, spectra = fine_object(object, oversample), _fine_spectra(probe, oversample)
    corners = oversample * (np.asarray(positions) - npix // 2)
    whole = np.floor(corners).astype(int)
    side = oversample * npix
    if (whole < 0).any() or (whole + side > np.asarray(fine.shape) + oversample - 1).any():
        raise ScanError("Expected every window on the object, got some beyond it. Enlarge the object (fit_object).")
    fine = np.pad(fine, ((0, oversample - 1), (0, oversample - 1)), mode="edge")
    shifts = zip(whole, corners - whole, strict=True)
    return np.stack([_pattern(fine[y : y + side, x : x + side], spectra, f, npix) for (y, x), f in shifts])


def fine_object(object: np.ndarray, oversample: int = OVERSAMPLE) -> np.ndarray:
    """Sample an object (h, w) finer: pixel i becomes pixel `oversample * i`, and the last one is the last one."""
    rows, columns = (np.arange(oversample * (size - 1) + 1) / oversample for size in object.shape)
    grid: Any = np.meshgrid(rows, columns, indexing="ij")
    sample = extra("scipy.ndimage").map_coordinates
    real, imaginary = (sample(part, grid, order=5, mode="mirror") for part in (object.real, object.imag))
    return real + 1j * imaginary


def _fine_spectra(probe: np.ndarray, oversample: int) -> np.ndarray:
    """Fourier transforms (M, kN, kN), unshifted, of the modes on the fine grid."""
    npix = probe.shape[-1]
    before = oversample * npix // 2 - npix // 2
    pad = (before, (oversample - 1) * npix - before)
    spectra = np.fft.fftshift(np.fft.fft2(probe), axes=(1, 2))
    return oversample**2 * np.fft.ifftshift(np.pad(spectra, ((0, 0), pad, pad)), axes=(1, 2))


def _pattern(window: np.ndarray, spectra: np.ndarray, shift: np.ndarray, npix: int) -> np.ndarray:
    side = window.shape[0]
    oversample = side // npix
    frequency = np.fft.fftfreq(side)
    turns = np.exp(-2j * np.pi * (shift[0] * frequency[:, None] + shift[1] * frequency))
    waves = np.fft.fft2(np.fft.ifft2(spectra * turns) * window)
    cut = slice(side // 2 - npix // 2, side // 2 - npix // 2 + npix)
    waves = np.fft.fftshift(waves, axes=(1, 2))[:, cut, cut] / (oversample**2 * npix)
    return (np.abs(waves) ** 2).sum(0)
