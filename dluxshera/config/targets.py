"""Binary stars by name: what they override in a profile, with the photons that the instrument collects from them."""

import dataclasses
import difflib
import functools
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..instrument.instrument import Instrument
from ..instrument.photon_budget import clear_area, photon_budget
from ..instrument.sky import detector_angle
from ..instrument.spectrum import blackbody_photons, gauss_legendre_band
from ._arrays import given
from ._parts import pupil_mask
from .overrides import Layer, Overrides, as_layers
from .profile import Profile, read_profile
from .strict_yaml import ConfigError, parse_yaml

_FILE = Path(__file__).with_name("targets.yaml")
_V_WAVELENGTH = 545e-9
_V_ZERO = 9.96e10  # photons/s/m^2/um of a star of V = 0: 363.1e-11 erg/cm^2/s/A (Bessell, Castelli & Plez 1998)
_NODES = 8
_LAYER = "target "  # with the name: the source of a target's values
_GUARD = 1.1  # of the distance of a star from the axis: room for its image


@dataclasses.dataclass(frozen=True)
class Target:
    """A binary star; pairs are star A and star B.

    Parameters
    ----------
    name : str
    separation_as : float, arcsec
    north_east_position_angle_deg : float, degrees
        Of B from A, from north through east, about `epoch`.
    epoch : float, years
    spectral_types : pair of str
    v_magnitudes : pair of float
    temperatures_k : pair of float, kelvin
        Of the black bodies that stand for the spectra.
    photons_s_m2_um, contrast : float, optional
        Photons of both stars, photons/s/m^2/um, and A over B, where they are known in the instruments' bands. From
        the V magnitudes otherwise.
    also : tuple of str
        Other names.
    """

    name: str
    separation_as: float
    north_east_position_angle_deg: float
    epoch: float
    spectral_types: tuple[str, str]
    v_magnitudes: tuple[float, float]
    temperatures_k: tuple[float, float]
    photons_s_m2_um: float | None = None
    contrast: float | None = None
    also: tuple[str, ...] = ()

    def fluxes(self, centre: float, width: float) -> np.ndarray:
        """Photons/s/m^2/um (2,) of each star, mean over a band; `centre` and `width` in metres."""
        wavelengths, weights = gauss_legendre_band(centre, width, _NODES)
        spectra = [blackbody_photons(np.append(wavelengths, _V_WAVELENGTH), kelvin) for kelvin in self.temperatures_k]
        colours = [weights @ photons[:-1] / photons[-1] for photons in spectra]
        fluxes = _V_ZERO * 10 ** (-0.4 * np.asarray(self.v_magnitudes)) * np.asarray(colours)
        contrast = fluxes[0] / fluxes[1] if self.contrast is None else self.contrast
        total = fluxes.sum() if self.photons_s_m2_um is None else self.photons_s_m2_um
        return total * np.array([contrast, 1.0]) / (1.0 + contrast)

    def overrides(self, profile: Profile) -> dict[str, Any]:
        """Values by path that show this star in a profile: positions, photons and spectra.

        The position angle is turned to the detector with the profile's roll and parity; without a roll, as if +row
        pointed north. Photons are those of the profile's clear area, band and exposure time, times
        `binary.flux_efficiency`. They are left out where the profile lacks one of those.

        Raises
        ------
        ConfigError
            If the band or the exposure time is zero.
        """
        roll, parity = given(profile, "detector.sky_roll_deg"), profile.get("detector.parity", 1)
        angle = detector_angle(self.north_east_position_angle_deg, 0.0 if roll is None else roll, parity)
        place = {"separation_as": self.separation_as, "position_angle_deg": float(angle)}
        values = place | {"temperatures_k": list(self.temperatures_k)} | self._brightness(profile)
        return {f"binary.{key}": value for key, value in values.items()}

    def _brightness(self, profile: Profile) -> dict[str, float]:
        needed = ("optics.m1.diameter", "optics.pupil_npix", "detector.exposure_time_s")
        band, values = _band(profile), [profile.get(path) for path in needed]
        if band is None or None in values:
            return {}  # the build names what is missing
        diameter, _, exposure_time = values
        fluxes = self.fluxes(*band)
        # The mask holds area fractions: what an edge cuts in half collects half, not the quarter of its square.
        area = clear_area(np.sqrt(np.abs(pupil_mask(profile))), diameter)
        efficiency = given(profile, "binary.flux_efficiency")
        efficiency = 1.0 if efficiency is None else efficiency
        try:
            budget = photon_budget(fluxes.sum() * efficiency, area, band[1], exposure_time)
        except ValueError as error:
            raise ConfigError(f"target {self.name}: {error} Give binary.log_flux_total without a target.") from error
        return {"log_flux_total": budget.log_flux_total, "contrast": float(fluxes[0] / fluxes[1])}


def target_names() -> tuple[str, ...]:
    """Names of the packaged targets, sorted."""
    return tuple(sorted(_targets()))


def target(name: str) -> Target:
    """A packaged target by name; case, spaces and punctuation do not count.

    Raises
    ------
    ConfigError
        With close matches, if there is none of this name.
    """
    known = {_key(spelling): found for found in _targets().values() for spelling in (found.name, *found.also)}
    if _key(name) in known:
        return known[_key(name)]
    near = difflib.get_close_matches(_key(name), known, 1)
    hint = f"did you mean {known[near[0]].name!r}?" if near else f"expected one of {', '.join(target_names())}."
    raise ConfigError(f"unknown target {name!r}; {hint}")


def read_profile_of(name_or_path: str | os.PathLike, overrides: Overrides = None, name: str | None = None) -> Profile:
    """Read a profile as `read_profile` does, showing the target `name` if one is given; overrides win over it.

    Parameters
    ----------
    name_or_path : str or path
        Of the profile.
    overrides : mapping of str to value, or sequence of layers, optional
    name : str, optional
        One of `target_names()`.
    """
    profile = read_profile(name_or_path, overrides)
    if name is None:
        return profile
    found = target(name)
    return read_profile(name_or_path, [Layer(f"{_LAYER}{found.name}", found.overrides(profile)), *as_layers(overrides)])


def field_problems(profile: Profile, model: Instrument) -> list[str]:
    """Whether the separation of the profile's target is too large for the image, in words; empty where it fits."""
    source = profile.origin("binary.separation_as")
    half = model.optics.psf_npix * float(model.plate_scale_as) / 2
    reach = float(np.abs(np.asarray(model.binary.positions_as)).max())
    if not source.startswith(_LAYER) or reach <= half:
        return []
    needed = 2 * math.ceil(_GUARD * reach / float(model.plate_scale_as))
    return [
        f"{source}: a star lies {reach:.4g} arcsec from the axis along rows or columns, outside of the image, which "
        f"reaches {half:.4g}. Build with `optics.psf_npix` of {needed} or more."
    ]


def _band(profile: Profile) -> tuple[float, float] | None:
    """Centre and width of the band, metres; of given wavelengths their range."""
    wavelengths = given(profile, "binary.wavelengths_m")
    if wavelengths is not None and not isinstance(wavelengths, str):
        ends = float(np.min(wavelengths)), float(np.max(wavelengths))
        return (ends[0] + ends[1]) / 2, ends[1] - ends[0]
    centre, width = profile.get("binary.band_centre"), profile.get("binary.bandwidth")
    return None if centre is None or width is None else (float(centre), float(width))


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


@functools.cache
def _targets() -> dict[str, Target]:
    document = parse_yaml(_FILE.read_text(encoding="utf-8"), _FILE.name)
    return {name: _target(name, values) for name, values in document.values.items()}


def _target(name: str, values: Mapping[str, Any]) -> Target:
    return Target(name, **{key: _plain(value) for key, value in values.items()})


def _plain(value: Any) -> Any:
    """Lists as tuples, whole numbers as floats."""
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return float(value) if isinstance(value, int) else value
