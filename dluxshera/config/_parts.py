"""The parts of an instrument from the values of a profile; what follows from the geometry is left open."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..instrument.detector import Detector
from ..instrument.instrument import Instrument
from ..instrument.source import BinarySource
from ..optics import AbstractTelescope, ApertureShape, Grating, diffractive_pupil_fraction, pupil_transmission
from ..params import Model
from ._arrays import array, given
from .profile import Profile
from .schema import SYSTEMS, parts_of
from .strict_yaml import ConfigError

_ABSENT = (None, "none")


def draft_instrument(profile: Profile) -> Instrument:
    """The instrument with one wavelength, no random maps, and grids of one pixel where they are planned."""
    star = _declared(BinarySource, profile.values["binary"])
    star |= {"wavelengths_m": np.ones(1), "spectral_weights": np.ones(1)}
    return Instrument(BinarySource(**star), _telescope(profile), _detector(profile), _grating(profile))


def _declared(cls: type[Model], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a class declares itself; what may be absent and is stays out."""
    known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
    return {name: value for name, value in known.items() if not (isinstance(value, str | None) and value in _ABSENT)}


def _grating(profile: Profile) -> Grating | None:
    values = given(profile, "grating")
    return None if values is None else Grating(**_declared(Grating, values))


def _detector(profile: Profile) -> Detector:
    n = profile.get("optics.psf_npix")
    made = {
        "pixel_response": array(profile, "detector.pixel_response", (n, n), lambda: np.ones((n, n))),
        "pixel_offsets": array(profile, "detector.pixel_offsets", (n, n, 2), lambda: np.zeros((n, n, 2))),
    }
    return Detector(**_declared(Detector, profile.values["detector"]) | made)


def _telescope(profile: Profile) -> AbstractTelescope:
    cls, n = SYSTEMS[profile.system], profile.get("optics.pupil_npix")
    path = "optics.diffractive_pupil_fraction"
    made: dict[str, Any] = {name: _mirror(profile, name, part) for name, part in parts_of(cls).items()}
    made["diffractive_pupil_fraction"] = array(profile, path, (n, n), lambda: _diffractive_pupil(profile))
    made |= {name: 1 for name in ("pad_npix", "band_npix", "focal_samples")}
    return cls(**_declared(cls, profile.values["optics"]) | made)


def _diffractive_pupil(profile: Profile) -> np.ndarray:
    path = "optics.diffractive_pupil"
    try:
        return diffractive_pupil_fraction(given(profile, path), profile.get("optics.pupil_npix"))
    except ValueError as error:
        raise ConfigError(f"{profile.origin(path)}: {path}: {error}") from error


def _mirror(profile: Profile, name: str, cls: type[Model]) -> Model:
    """A mirror, with zeros and the pupil mask where the profile gives no Zernike coefficients and no mask."""
    path, n = f"optics.{name}", profile.get("optics.pupil_npix")
    map_path = f"{path}.wavefront_error_m"
    made: dict[str, Any] = {"zernike_coeffs_nm": _coefficients(profile, path)}
    if "transmission" in cls.__dataclass_fields__:
        made["transmission"] = pupil_mask(profile)
        made["wavefront_error_m"] = array(profile, map_path, (n, n), lambda: np.zeros((n, n)))
    else:
        made["wavefront_error_m"] = array(profile, map_path, ("q", "q"), lambda: None)
    return cls(**_declared(cls, profile.get(path)) | made)


def _coefficients(profile: Profile, path: str) -> Any:
    noll, path = tuple(profile.get(f"{path}.noll_indices")), f"{path}.zernike_coeffs_nm"
    values = profile.get(path, np.zeros(len(noll)))
    if len(values) != len(noll):
        raise ConfigError(
            f"{profile.origin(path)}: {path}: expected {len(noll)} numbers, one for each of noll_indices "
            f"{noll}, got {len(values)}."
        )
    return values


def pupil_mask(profile: Profile) -> Any:
    """Amplitude transmission (pupil_npix, pupil_npix) of the pupil: the one given, or that of the aperture."""
    n = profile.get("optics.pupil_npix")
    return array(profile, "optics.m1.transmission", (n, n), lambda: _pupil(profile))


def _pupil(profile: Profile) -> np.ndarray:
    """The mask of the aperture; lengths become fractions of the primary's diameter."""
    path = "optics.aperture"
    aperture = given(profile, path) or {}
    diameter = float(profile.get("optics.m1.diameter"))
    if {"secondary_ratio", "secondary_diameter"} <= aperture.keys():
        where = profile.origin(f"{path}.secondary_ratio")
        raise ConfigError(f"{where}: {path}: expected secondary_ratio or secondary_diameter, got both.")
    try:
        shape = ApertureShape(
            float(aperture.get("secondary_ratio", aperture.get("secondary_diameter", 0.0) / diameter)),
            int(aperture.get("strut_count", 0)),
            float(aperture.get("strut_width", 0.0)) / diameter,
            float(aperture.get("strut_rotation_deg", 0.0)),
        )
    except ValueError as error:
        raise ConfigError(f"{profile.name}: {path}: {error}") from error
    return pupil_transmission(shape, profile.get("optics.pupil_npix"))
