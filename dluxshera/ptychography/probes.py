"""Probes to simulate with: the default disc, discs of any radius, and a curved wave front on any of them."""

import numpy as np
from numpy.typing import ArrayLike

from .extras import extra
from .scan_errors import ScanError

WIDTH = 0.7  # c of the default probe's Gaussian, of standard deviation N / (c pi^2): larger is smaller
DEFAULT_SCALE = 4.0


def default_probe(npix: int, probe_scale: float | int = DEFAULT_SCALE) -> np.ndarray:
    """Return the default probe: a Gaussian of standard deviation N / (0.7 pi^2) cut at half its maximum.

    It is a disc, of radius 10.9 pixels for N = 64, smoothed by a Gaussian of 1 pixel.

    Parameters
    ----------
    npix : int
        N.
    probe_scale : float
        See `normalised_probe`.

    Returns
    -------
    probe : complex array (N, N)
    """
    sigma = npix / (WIDTH * np.pi**2)
    return disc_probe(npix, sigma * np.sqrt(2 * np.log(2)), probe_scale)


def disc_probe(npix: int, radius: float | int, probe_scale: float | int = DEFAULT_SCALE) -> np.ndarray:
    """Return a disc, centred on [N//2, N//2], smoothed by a Gaussian of 1 pixel.

    Parameters
    ----------
    npix : int
        N.
    radius : float, pixels
    probe_scale : float
        See `normalised_probe`.
    """
    if not 0 < radius < npix / 2:
        raise ScanError(f"Expected a radius between 0 and {npix / 2:g} pixels, got {radius:g}.")
    disc = extra("scipy.ndimage").gaussian_filter((_radius(npix) < radius).astype(float), 1.0)
    return normalised_probe(disc, probe_scale)


def normalised_probe(probe: ArrayLike, probe_scale: float | int = DEFAULT_SCALE) -> np.ndarray:
    """Scale a probe so that mean |P| is 1 / probe_scale: of what lies within N/4, over all N^2 pixels.

    Parameters
    ----------
    probe : array (N, N) or (M, N, N)
        Of several modes, the root of the summed intensities counts.
    probe_scale : float
    """
    probe = np.asarray(probe, complex)
    mean = mean_amplitude(probe)
    if not (np.isfinite(mean) and mean > 0 and 0 < probe_scale < np.inf):
        raise ScanError(f"Expected a probe with power and a scale above zero, got mean |P| {mean} and {probe_scale}.")
    return probe / (probe_scale * mean)


def mean_amplitude(probe: ArrayLike) -> float:
    """Mean |P| of what lies within N/4 of the centre, over all N^2 pixels."""
    probe = np.asarray(probe)
    amplitude = np.sqrt((np.abs(probe) ** 2).reshape(-1, *probe.shape[-2:]).sum(0))
    return float((amplitude * (_radius(probe.shape[-1]) <= probe.shape[-1] / 4)).mean())


def probe_radius(probe: ArrayLike) -> float:
    """Radius, pixels, of the disc with the area in which a probe's amplitude is above half its maximum."""
    probe = np.asarray(probe)
    amplitude = np.sqrt((np.abs(probe) ** 2).reshape(-1, *probe.shape[-2:]).sum(0))
    return float(np.sqrt((amplitude > amplitude.max() / 2).sum() / np.pi))


def defocused_probe(probe: ArrayLike, defocus: float | int) -> np.ndarray:
    """Curve the wave front of a probe: phase `defocus (r / R)^2` at distance r from the centre, R its radius.

    Parameters
    ----------
    probe : array (N, N) or (M, N, N)
    defocus : float, radians
        Phase at the probe's radius (see `probe_radius`) against the centre.
    """
    probe = np.asarray(probe, complex)
    return probe * np.exp(1j * defocus * (_radius(probe.shape[-1]) / probe_radius(probe)) ** 2)


def _radius(npix: int) -> np.ndarray:
    y, x = np.ogrid[-(npix // 2) : npix - npix // 2, -(npix // 2) : npix - npix // 2]
    return np.hypot(y, x)
