"""The photon budget: from a star's flux to the photons of one exposure."""

import math
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike


class PhotonBudget(NamedTuple):
    """Photons of one exposure, both stars, in band.

    Attributes
    ----------
    photons_per_exposure : float
        Through the clear aperture, before throughput and quantum efficiency.
    log_flux_total : float
        log10 of it: the value of `binary.log_flux_total`.
    detected_per_exposure : float
        Photo-electrons, after throughput and quantum efficiency, which the model applies itself.
    """

    photons_per_exposure: float
    log_flux_total: float
    detected_per_exposure: float


def clear_area(transmission: ArrayLike, diameter: ArrayLike) -> float:
    """Area (m^2) that lets light through: power transmission times pixel area, summed.

    A pixel that an edge cuts in half has amplitude one half and counts a quarter: with soft edges on 256
    pixels the sum is 0.7 % below the geometric area.

    Parameters
    ----------
    transmission : array (n, n)
        Amplitude transmission on a grid that spans the diameter.
    diameter : float, metres
    """
    power = np.asarray(transmission, float) ** 2
    return float(power.sum() * (float(diameter) / power.shape[0]) ** 2)


def photon_budget(
    flux_photons_s_m2_um: ArrayLike,
    clear_area_m2: ArrayLike,
    bandwidth_m: ArrayLike,
    exposure_time_s: ArrayLike,
    throughput: ArrayLike = 1.0,
    quantum_efficiency: ArrayLike = 1.0,
) -> PhotonBudget:
    """Photons per exposure of a star (or both) seen through a clear area.

    `log_flux_total` leaves throughput and quantum efficiency out: `optics.throughput` and
    `detector.quantum_efficiency` act after it, once. Where the flux already contains them, they are one.

    Parameters
    ----------
    flux_photons_s_m2_um : float, photons/s/m^2/um
        At the entrance of the telescope, both stars together.
    clear_area_m2 : float, m^2
        See `clear_area`; pi D^2/4 for the full disc.
    bandwidth_m, exposure_time_s : float, metres, seconds
    throughput, quantum_efficiency : float, in (0, 1]

    Raises
    ------
    ValueError
        Naming the argument, if it is not positive and finite, or above one where it is a fraction.
    """
    _check_positive(flux_photons_s_m2_um=flux_photons_s_m2_um, clear_area_m2=clear_area_m2)
    _check_positive(bandwidth_m=bandwidth_m, exposure_time_s=exposure_time_s)
    _check_positive(1.0, throughput=throughput, quantum_efficiency=quantum_efficiency)
    rate = float(flux_photons_s_m2_um) * float(clear_area_m2) * float(bandwidth_m) * 1e6
    photons = rate * float(exposure_time_s)
    detected = photons * float(throughput) * float(quantum_efficiency)
    return PhotonBudget(photons, math.log10(photons), detected)


def _check_positive(limit: float = math.inf, **values: ArrayLike) -> None:
    for name, value in values.items():
        if not (0 < value <= limit and math.isfinite(value)):
            wanted = "a positive number" if limit == math.inf else f"a fraction in (0, {limit:g}]"
            raise ValueError(f"{name}: Expected {wanted}, got {value}.")
