"""Random wavefront-error maps with a power-law spectrum."""

import numpy as np

from .apertures import pixel_centres


def power_law_map(
    npix: int, rms_nm: float | int, alpha: float | int, seed: int, aperture: np.ndarray | None = None
) -> np.ndarray:
    """Wavefront-error map whose power spectral density falls as 1/f^alpha.

    Parameters
    ----------
    npix : int
        Pixels across the map.
    rms_nm : float, nanometres
        RMS over the aperture, after piston, tip and tilt are taken out.
    alpha : float
        Exponent of the *power* spectral density (amplitudes fall as f^(-alpha/2)).
    seed : int
        Seed of NumPy's generator; the same seed gives the same map.
    aperture : ndarray (npix, npix), optional
        Weights of the aperture; a full circle by default.

    Returns
    -------
    ndarray (npix, npix), metres
    """
    if not (0 <= rms_nm < np.inf and np.isfinite(alpha) and npix >= 4):
        raise ValueError(f"Expected rms_nm >= 0, a finite alpha and npix >= 4, got {rms_nm}, {alpha} and {npix}.")
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(npix), np.fft.fftfreq(npix)))
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(npix, npix)))
    error = np.fft.ifft2(noise * frequency ** (-alpha / 2)).real
    x, y = np.meshgrid(pixel_centres(npix), pixel_centres(npix))
    weights = (np.hypot(x, y) <= 0.5).astype(float) if aperture is None else np.asarray(aperture, float)
    if not weights.sum() > 0:
        raise ValueError("Expected an aperture with light in it, got one that is zero everywhere.")
    error = _without_plane(error, x, y, weights)
    rms = np.sqrt((weights * error**2).sum() / weights.sum())
    return error * (rms_nm * 1e-9 / rms)


def _without_plane(error: np.ndarray, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Take out the weighted least-squares piston, tip and tilt."""
    basis = np.stack([np.ones_like(x), x, y], -1).reshape(-1, 3)
    root = np.sqrt(weights).ravel()
    solution = np.linalg.lstsq(basis * root[:, None], error.ravel() * root, rcond=None)[0]
    return error - (basis @ solution).reshape(error.shape)
