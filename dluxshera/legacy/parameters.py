"""The old containers of a model's numbers: a flat, unchanging set of keys with JSON files."""

import abc
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dLux.utils as dlu
import numpy as np

from ..config import ConfigError, read_profile
from .names import PATHS, unknown

POINT_DESIGNS = ("shera_testbed", "shera_flight")
MAPS = ("calibrated", "uncalibrated")  # the old models added two wavefront-error maps per mirror
_LARGEST_AMPLITUDE = 1e-5  # metres of wavefront error; more are nanometres by mistake
_COUNTS = {"rng_seed": 0, "pupil_npix": 1, "psf_npix": 1, "n_wavelengths": 1}  # whole numbers, with the least allowed
_SECONDARY = ("m2_zernike", "m2_calibrated", "m2_uncalibrated")
_SCALE = "psf_pixel_scale"


class AbstractParams(abc.ABC):
    """Numbers of a model by old key: metres, arcsec and degrees; nanometres for bands and Zernikes.

    `contrast` is the flux of star A over star B, as in dLux's `BinarySource`, to which the old models handed it:
    the old default of 0.3 makes B the brighter star. Amplitudes of wavefront-error maps are in metres, RMS; their
    power laws are exponents of the power spectral density. Nothing is changed in place.

    Parameters
    ----------
    params : mapping, optional
        Values that replace the defaults.
    point_design : str
        "shera_testbed" or "shera_flight".

    Raises
    ------
    ConfigError
        For an unknown key or design, or a value that cannot be.
    """

    def __init__(self, params: Mapping[str, Any] | None = None, point_design: str | None = None):
        self.point_design = POINT_DESIGNS[0] if point_design is None else point_design
        if self.point_design not in POINT_DESIGNS:
            raise ConfigError(f"point_design: expected one of {', '.join(POINT_DESIGNS)}, got {point_design!r}.")
        defaults = {key: value for key, value in _defaults(self.point_design).items() if self._has(key)}
        known = [*defaults, _SCALE]
        given = {self._known(key, known): value for key, value in (params or {}).items()}
        self._values = {key: _coerced(key, value) for key, value in (defaults | given).items()}
        self._check()

    @abc.abstractmethod
    def _has(self, key: str) -> bool:
        """Whether this kind of model has a key."""

    @abc.abstractmethod
    def _full(self, key: str) -> str:
        """The key that a short form stands for."""

    @abc.abstractmethod
    def _check(self) -> None:
        """Check the values against each other."""

    @property
    def keys(self) -> list[str]:
        """The keys, as a list."""
        return list(self._values)

    @property
    def values(self) -> list[Any]:
        """The values, in the order of the keys."""
        return list(self._values.values())

    @property
    def params(self) -> dict[str, Any]:
        """A dictionary of the values."""
        return dict(self._values)

    def get(self, key: str) -> Any:
        """The value of a key; `psf_pixel_scale` is computed where none was given."""
        key = self._known(key, [*self._values, _SCALE])
        return self._values[key] if key in self._values else self.compute_psf_pixel_scale()

    def set(self, key: str, value: Any) -> "AbstractParams":
        """The same numbers but for one key."""
        return self.replace({key: value})

    def replace(self, values: Mapping[str, Any]) -> "AbstractParams":
        """The same numbers with those given in place, and the rest kept."""
        return type(self)(self._values | {self._full(key): value for key, value in values.items()}, self.point_design)

    def compute_EFL(self) -> float:
        """Focal length of the two mirrors, metres: 1/(1/f1 + 1/f2 - d/(f1 f2))."""
        f1, f2 = self._values["m1_focal_length"], self._values["m2_focal_length"]
        return 1 / (1 / f1 + 1 / f2 - self._values["plane_separation"] / (f1 * f2))

    def compute_psf_pixel_scale(self) -> float:
        """Angle of one pixel that the mirrors and the pitch give, arcsec/pixel."""
        return float(dlu.rad2arcsec(self._values["pixel_size"] / abs(self.compute_EFL())))

    def to_json(self, path: str | os.PathLike) -> None:
        """Write the values to a JSON file, in one step."""
        text = json.dumps({"point_design": self.point_design} | self._values, indent=1)
        temporary = Path(f"{os.fspath(path)}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from error

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> "AbstractParams":
        """Read what `to_json` wrote, here or in the earlier toolkit.

        Raises
        ------
        ConfigError
            Naming the file, where it cannot be read or is not such a file.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ConfigError(f"Expected an object of values by key, got {values!r:.40}.")
            return cls(values, values.pop("point_design", None))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: not a file of parameters: {error}") from error

    def _known(self, key: str, known: list[str]) -> str:
        full = self._full(key)
        if full not in known:
            raise unknown("a key of the parameters", key, known)
        return full


class SheraThreePlaneParams(AbstractParams):
    """Numbers of `SheraThreePlane_Model`; arguments as for `AbstractParams`."""

    def _has(self, key: str) -> bool:
        return True

    def _full(self, key: str) -> str:
        return key

    def _check(self) -> None:
        if _SCALE in self._values:
            primitives = "m1_focal_length, m2_focal_length, plane_separation and pixel_size"
            raise ConfigError(f"{_SCALE!r} is derived. Give {primitives} instead.")
        _check_zernikes(self._values, "m1", "m2")


class SheraTwoPlaneParams(AbstractParams):
    """Numbers of `SheraTwoPlane_Model`; arguments as for `AbstractParams`.

    The mirrors set the focal length, unless `psf_pixel_scale` (arcsec/pixel) is given. Keys of the pupil may
    leave out their `m1_`: `zernike_amp`, `calibrated_amplitude`.
    """

    def _has(self, key: str) -> bool:
        return not key.startswith(_SECONDARY)

    def _full(self, key: str) -> str:
        return f"m1_{key}" if str(key).startswith(("zernike", *MAPS)) else key

    def _check(self) -> None:
        if self._values.get(_SCALE, 1.0) <= 0:
            raise ConfigError(f"{_SCALE}: Expected a positive number of arcsec, got {self._values[_SCALE]!r}.")
        _check_zernikes(self._values, "m1")


def _defaults(point_design: str) -> dict[str, Any]:
    """The old defaults: the profile's numbers, but for contrast, band sampling and maps."""
    profile = read_profile(point_design)
    values = {key: profile.get(path) for key, path in PATHS.items()}
    band = {"wavelength": "binary.band_centre", "bandwidth": "binary.bandwidth"}
    values |= {key: round(1e9 * profile.get(path), 6) for key, path in band.items()}
    values |= {"contrast": 0.3, "n_wavelengths": 3, "rng_seed": 0}
    maps = [f"{mirror}_{kind}" for mirror in ("m1", "m2") for kind in MAPS]
    return values | {f"{name}_power_law": 2.5 for name in maps} | {f"{name}_amplitude": 0.0 for name in maps}


def _coerced(key: str, value: Any) -> Any:
    """Plain numbers, and lists of them, of the kind that a key asks for."""
    is_list, whole = "zernike" in key, key in _COUNTS or key.endswith("_noll")
    array = np.asarray(value)
    fine = array.ndim == is_list and array.dtype.kind in "iuf" and np.all(np.isfinite(array))
    if not fine or (whole and np.any(array != np.round(array))) or np.any(array < _COUNTS.get(key, -np.inf)):
        kind = f"{'whole' if whole else 'finite'} number{'s' if is_list else ''}"
        raise ConfigError(f"{key}: Expected {kind}{f' from {_COUNTS[key]}' if key in _COUNTS else ''}, got {value!r}.")
    if key.endswith("_amplitude") and not 0 <= array <= _LARGEST_AMPLITUDE:
        raise ConfigError(f"{key}: Expected metres, RMS, got {value!r}. Give 5e-9 for 5 nm.")
    return array.astype(int if whole else float).tolist()


def _check_zernikes(values: Mapping[str, Any], *mirrors: str) -> None:
    for mirror in mirrors:
        indices, amplitudes = values[f"{mirror}_zernike_noll"], values[f"{mirror}_zernike_amp"]
        if len(indices) != len(amplitudes):
            raise ConfigError(
                f"{mirror}_zernike_amp: Expected {len(indices)} numbers, one for each of {mirror}_zernike_noll, "
                f"got {len(amplitudes)}."
            )
