"""Old parameter names, and a model's numbers under them."""

import difflib
import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from ..config import ConfigError, UnknownPathError, get_value, set_values
from ..instrument import Instrument

_INSIDE = [Path(file).parent for file in (__file__, eqx.__file__)]  # Equinox calls constructors and methods

# Old keys, and where the same number lies in the new tree.
PATHS = {
    "p1_diameter": "optics.m1.diameter",
    "p2_diameter": "optics.m2.diameter",
    "m1_focal_length": "optics.m1.focal_length",
    "m2_focal_length": "optics.m2.focal_length",
    "plane_separation": "optics.plane_separation",
    "pixel_size": "detector.pixel_pitch",
    "pupil_npix": "optics.pupil_npix",
    "psf_npix": "optics.psf_npix",
    "x_position": "binary.x_position_as",
    "y_position": "binary.y_position_as",
    "separation": "binary.separation_as",
    "position_angle": "binary.position_angle_deg",
    "log_flux": "binary.log_flux_total",
    "contrast": "binary.contrast",
    "m1_zernike_noll": "optics.m1.noll_indices",
    "m1_zernike_amp": "optics.m1.zernike_coeffs_nm",
    "m2_zernike_noll": "optics.m2.noll_indices",
    "m2_zernike_amp": "optics.m2.zernike_coeffs_nm",
}
NAMES = PATHS | {
    "psf_pixel_scale": "plate_scale_as",
    "imaging.psf_pixel_scale": "plate_scale_as",
    "system.psf_pixel_scale": "plate_scale_as",
    "system.plate_scale_as_per_pix": "plate_scale_as",
    "optics.plate_scale_as_per_pix": "plate_scale_as",
    "system.plane_separation": "optics.plane_separation",
    "system.eff_focal": "effective_focal_length",
    "m1_aperture.coefficients": "optics.m1.zernike_coeffs_nm",
    "m2_aperture.coefficients": "optics.m2.zernike_coeffs_nm",
    "aperture.coefficients": "optics.m1.zernike_coeffs_nm",
    "zernike_noll": "optics.m1.noll_indices",
    "zernike_amp": "optics.m1.zernike_coeffs_nm",
    "wf_npixels": "optics.pupil_npix",
    "psf_npixels": "optics.psf_npix",
    "raw_fluxes": "binary.raw_fluxes",
}
_PARTS = {"primary": "optics.m1", "secondary": "optics.m2", "source": "binary"}
_PARTS |= {name: f"optics.{name}" for name in ("m1", "m2", "relay")}
_LAST = {"zernike": "zernike_coeffs_nm", "eff_focal": "focal_length"}
# Old keys of the band, in nanometres, which are no numbers of the new tree but follow from its wavelengths.
BAND: dict[str, Callable] = {
    "wavelength": lambda wavelengths: float(1e9 * (wavelengths.min() + wavelengths.max()) / 2),
    "bandwidth": lambda wavelengths: float(1e9 * np.ptp(wavelengths)),
    "n_wavelengths": len,
}


class UnknownNameError(ConfigError, KeyError):
    """There is no such old name or key."""

    __str__ = ValueError.__str__  # a KeyError would quote its message


def unknown(what: str, name: Any, known: Mapping | list) -> UnknownNameError:
    """The error for a name that is not among those known, with the nearest of them."""
    near = difflib.get_close_matches(str(name), known, 1)
    return UnknownNameError(f"Expected {what}, got {name!r}.{f' Did you mean {near[0]!r}?' if near else ''}")


def deprecate(message: str) -> None:
    """Warn at the line of the caller's that called into this package: elsewhere Python shows no such warning."""
    files = [Path(frame.filename) for frame in inspect.stack(0)]
    outside = (i for i, file in enumerate(files) if not any(folder in file.parents for folder in _INSIDE))
    warnings.warn(message, DeprecationWarning, stacklevel=1 + next(outside, 1))


class LegacyKeyMap(Mapping):
    """Old names to paths of the new tree; looking one up warns that it is deprecated, once for each name and map.

    Besides the old keys and the dotted names of the dLux models (`m1_aperture.coefficients`), names by mirror
    are understood: `primary.zernike_coeffs_nm`, `m1.focal_length`, `m2.zernike.j4`, `relay.eff_focal`.
    """

    def __init__(self):
        self._warned: set[str] = set()

    def __getitem__(self, name: str) -> str:
        path = new_path(name)
        if path is None:
            raise unknown("an old parameter name", name, self)
        if name not in self._warned:
            self._warned.add(name)
            deprecate(f"{name!r} is deprecated; use {path!r}.")
        return path

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and new_path(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


def new_path(name: str) -> str | None:
    """The path that an old name stands for; None where it is not an old name."""
    part, _, last = name.removeprefix("optics.").removeprefix("system.").partition(".")
    if name in NAMES or part not in _PARTS or not last:
        return NAMES.get(name)
    last = re.sub(r"^zernike\.j(\d+)$", r"zernike_coeffs_nm[Z\1]", _LAST.get(last, last))
    path = f"{_PARTS[part]}.{last}"
    return None if path == name else path


class ParamsProxy(MutableMapping):
    """The numbers of a live model, as a dictionary by old name or new path.

    Reading a derived quantity computes it; writing one is refused, with its primitives and alias named. Models
    do not change: `model` is the one with everything written so far.

    Parameters
    ----------
    model : Instrument, SheraThreePlane_Model or SheraTwoPlane_Model
    names : LegacyKeyMap, optional
        Remembers which names have warned; one of its own by default.
    """

    def __init__(self, model: Any, names: LegacyKeyMap | None = None):
        self.model: Instrument = getattr(model, "instrument", model)
        self._names = LegacyKeyMap() if names is None else names

    def __getitem__(self, name: str) -> Any:
        if name in BAND:
            return BAND[name](np.asarray(self.model.binary.wavelengths_m))
        try:
            return get_value(self.model, self._path(name))
        except UnknownPathError as error:
            raise UnknownNameError(f"{name}: {error}") from error

    def __setitem__(self, name: str, value: Any) -> None:
        if name in BAND:
            raise ConfigError(f"{name!r} is computed. Set binary.wavelengths_m and binary.spectral_weights instead.")
        path = self._path(name)
        try:
            _refuse_derived(self.model, name, path)
            self.model = set_values(self.model, {path: value})
        except UnknownPathError as error:
            raise UnknownNameError(f"{name}: {error}") from error

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"Expected a value for {name!r}, got a deletion: a model keeps all its parameters.")

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in (*PATHS, "psf_pixel_scale") if holds(self.model, NAMES[name]))
        yield from BAND

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _path(self, name: str) -> str:
        return self._names[name] if name in self._names else name


def holds(model: Instrument, path: str) -> bool:
    """Whether a model has something at a path."""
    try:
        get_value(model, path)
    except UnknownPathError:
        return False
    return True


def _refuse_derived(model: Instrument, name: str, path: str) -> None:
    get_value(model, path)
    parent, _, last = path.partition("[")[0].rpartition(".")
    owner = get_value(model, parent) if parent else model
    quantity = getattr(type(owner), last, None)
    if not isinstance(quantity, property):
        return
    primitives = [f"{parent}.{primitive}".lstrip(".") for primitive in quantity.primitives(owner)]
    alias = path if quantity.is_alias else quantity.alias
    advice = f", or the alias {alias!r} in set_values or ThetaSpace" if alias else ""
    raise ConfigError(f"{name!r} is derived. Set {', '.join(primitives)} instead{advice}.")
