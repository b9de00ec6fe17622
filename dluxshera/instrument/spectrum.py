"""Spectra: where a band is sampled, and the photon weights of filter and stars there."""

from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike

from .spectral_table import SpectralTable
from .spectral_table import read_table as read_table

_PLANCK, _LIGHT, _BOLTZMANN = 6.62607015e-34, 299792458.0, 1.380649e-23

Spectrum = ArrayLike | SpectralTable


def gauss_legendre_band(centre: ArrayLike, width: ArrayLike, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample a band that is flat in photons per wavelength at Gauss-Legendre nodes.

    Parameters
    ----------
    centre, width : float, metres
    count : int
        Number of nodes.

    Returns
    -------
    wavelengths : array (count,), metres
    weights : array (count,)
        Summing to one.

    Raises
    ------
    ValueError
        If the band is not at positive wavelengths, or `count` is not positive.
    """
    if not (np.isfinite(centre) and 0 <= width < 2 * centre):
        raise ValueError(f"Expected a band 0 <= width < 2 * centre in metres, got centre {centre}, width {width}.")
    if count < 1:
        raise ValueError(f"Expected at least one wavelength, got a count of {count}.")
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return centre + width / 2 * nodes, weights / weights.sum()


def blackbody_photons(wavelengths: ArrayLike, temperature_k: ArrayLike) -> np.ndarray:
    """Photon spectral radiance 2 c / lambda^4 / (exp(h c / lambda k T) - 1), photons/s/m^2/m/sr.

    Parameters
    ----------
    wavelengths : array (k,), metres
    temperature_k : float, kelvin

    Raises
    ------
    ValueError
        If the temperature is not positive.
    """
    if not (np.isfinite(temperature_k) and temperature_k > 0):
        raise ValueError(f"Expected a temperature above 0 K, got {temperature_k}.")
    wavelengths = np.asarray(wavelengths, float)
    exponent = _PLANCK * _LIGHT / (wavelengths * _BOLTZMANN * temperature_k)
    # Of the negative exponent: exp(exponent) overflows for cool stars.
    return 2 * _LIGHT / wavelengths**4 * np.exp(-exponent) / -np.expm1(-exponent)


def spectral_weights(
    wavelengths: ArrayLike,
    weights: ArrayLike,
    filter_table: SpectralTable | None = None,
    seds: Spectrum | Sequence[Spectrum] | None = None,
) -> np.ndarray:
    """Photon weights of a sampled band: quadrature weights times filter times spectrum, rows summing to one.

    Parameters
    ----------
    wavelengths : array (k,), metres
    weights : array (k,)
        Quadrature weights, as `gauss_legendre_band` gives them.
    filter_table : SpectralTable, optional
        Transmission of the filter.
    seds : float (kelvin), SpectralTable, or one of them for each star, optional
        Spectrum of both stars, or of star A and star B. Flat in photons when None.

    Returns
    -------
    array (k,), or (2, k) where each star has its own spectrum

    Raises
    ------
    ValueError
        If a table is of the wrong kind or does not cover the band, or nothing passes.
    """
    wavelengths, weights = np.asarray(wavelengths, float), np.asarray(weights, float)
    if wavelengths.ndim != 1 or wavelengths.shape != weights.shape:
        raise ValueError(f"Expected one weight per wavelength, got shapes {weights.shape} and {wavelengths.shape}.")
    passed = weights * (1.0 if filter_table is None else _of_kind(filter_table, True).at(wavelengths))
    if seds is None:
        return _normalised(passed)
    if isinstance(seds, SpectralTable) or np.ndim(seds) == 0:
        return _normalised(passed * _photons(seds, wavelengths))
    if len(seds) != 2:
        raise ValueError(f"Expected a spectrum for each of the two stars, got {len(seds)}.")
    return np.stack([_normalised(passed * _photons(sed, wavelengths)) for sed in seds])


def _of_kind(table: SpectralTable, is_filter: bool) -> SpectralTable:
    if table.is_filter != is_filter:
        wanted = "transmission" if is_filter else "flux_photon or flux_energy"
        raise ValueError(f"{table.name}: Expected a table of {wanted}, got one of the other kind. Exchange the tables.")
    return table


def _photons(sed: Spectrum, wavelengths: np.ndarray) -> np.ndarray:
    if isinstance(sed, SpectralTable):
        return _of_kind(sed, False).at(wavelengths)
    return blackbody_photons(wavelengths, sed)


def _normalised(row: np.ndarray) -> np.ndarray:
    if not row.sum() > 0:
        raise ValueError("Expected light in the band, got none: filter times spectrum is zero at every wavelength.")
    return row / row.sum()
