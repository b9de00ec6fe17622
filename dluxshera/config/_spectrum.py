"""Wavelengths and photon weights of a profile."""

from typing import Any

import numpy as np

from ..instrument.instrument import Instrument
from ..instrument.spectrum import gauss_legendre_band, read_table, spectral_weights
from ..optics import wavelength_count
from ._arrays import array, given
from .profile import Profile
from .strict_yaml import ConfigError


def spectrum(profile: Profile, draft: Instrument) -> dict[str, Any]:
    """The two buffers of the source: those given, or Gauss-Legendre nodes over the band.

    Parameters
    ----------
    profile : Profile
    draft : Instrument
        For its field of view and diameter, which decide how many nodes are enough.
    """
    path = "binary.wavelengths_m"
    wavelengths = array(profile, path, ("k",), lambda: None)
    if wavelengths is None:
        wavelengths, quadrature = _nodes(profile, draft)
    elif np.size(wavelengths) == 0 or not np.all(np.asarray(wavelengths) > 0):
        raise ConfigError(f"{profile.origin(path)}: {path}: expected wavelengths above 0.")
    else:
        quadrature = np.full(np.size(wavelengths), 1 / np.size(wavelengths))
    return {"wavelengths_m": wavelengths, "spectral_weights": _weights(profile, wavelengths, quadrature)}


def _nodes(profile: Profile, draft: Instrument) -> tuple[np.ndarray, np.ndarray]:
    centre, width = float(profile.get("binary.band_centre")), float(profile.get("binary.bandwidth"))
    count = profile.get("binary.n_wavelengths", "auto")
    try:
        return gauss_legendre_band(centre, width, _enough(draft, centre, width) if count == "auto" else count)
    except ValueError as error:
        raise ConfigError(f"{profile.origin('binary.bandwidth')}: binary.bandwidth: {error}") from error


def _enough(draft: Instrument, centre: float, width: float) -> int:
    field_radius = draft.optics.psf_npix / 2 * np.deg2rad(float(draft.plate_scale_as) / 3600)
    return wavelength_count(float(field_radius), float(draft.optics.m1.diameter), centre, width)


def _weights(profile: Profile, wavelengths: Any, quadrature: np.ndarray) -> Any:
    """The weights given, or those of the quadrature times the filter and the spectra of the stars."""
    path = "binary.spectral_weights"
    rows = np.ndim(given(profile, path)) == 2
    shape = (2, len(wavelengths)) if rows else (len(wavelengths),)
    weights = array(profile, path, shape, lambda: _tabulated(profile, wavelengths, quadrature))
    host = np.atleast_2d(np.asarray(weights))
    if np.any(host < 0) or not np.all(host.sum(1) > 0):
        where = f"{profile.origin(path)}: {path}"
        raise ConfigError(f"{where}: expected weights of at least 0, not all of them 0.")
    return weights


def _tabulated(profile: Profile, wavelengths: Any, quadrature: np.ndarray) -> np.ndarray:
    keys = ("filter", "temperatures_k", "seds")
    filter_path, temperatures, paths = (given(profile, f"binary.{key}") for key in keys)
    try:
        table = None if filter_path is None else read_table(filter_path)
        spectra = temperatures if paths is None else [read_table(path) for path in paths]
        spectra = spectra[0] if spectra is not None and len(spectra) == 1 else spectra
        return spectral_weights(np.asarray(wavelengths), quadrature, table, spectra)
    except ValueError as error:
        raise ConfigError(f"{profile.name}: binary: {error}") from error
