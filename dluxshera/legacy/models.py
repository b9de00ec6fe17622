"""The old models, built from old keys: an `Instrument` inside."""

import warnings
from typing import Any

import dLux.utils as dlu
import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..config import get_value, load_profile, set_values
from ..instrument import Instrument
from .names import BAND, PATHS, LegacyKeyMap, ParamsProxy, deprecate, holds
from .parameters import MAPS, AbstractParams, SheraThreePlaneParams, SheraTwoPlaneParams

Recipe = tuple[tuple[str, Any], ...]
_NAMES = LegacyKeyMap()  # one for all models, so that `model.get` in a loop warns once
_TWO_PLANE_ONLY = ("p2_diameter", "m1_focal_length", "m2_focal_length", "plane_separation")


class AbstractLegacyModel(eqx.Module):
    """What the old models share; `instrument` is the model of the new tree.

    Attributes
    ----------
    instrument : Instrument
    recipe : tuple
        Old keys that the tree does not hold, with the values of the build.
    """

    instrument: eqx.AbstractVar[Instrument]
    point_design: eqx.AbstractVar[str]
    recipe: eqx.AbstractVar[Recipe]

    def model(self) -> Float[Array, "n n"]:
        """Expected photo-electrons per pixel and exposure, (psf_npix, psf_npix)."""
        return self.instrument.model()

    @property
    def params(self) -> ParamsProxy:
        """The numbers of the model by old or new name."""
        return ParamsProxy(self, _NAMES)

    def get(self, name: str) -> Any:
        """A number by old or new name."""
        return self.params[name]

    def set(self, name: str, value: Any) -> "AbstractLegacyModel":
        """The model with another number, by old or new name."""
        proxy = self.params
        proxy[name] = value
        return eqx.tree_at(lambda m: m.instrument, self, proxy.model)


class SheraThreePlane_Model(AbstractLegacyModel):
    """M1, M2 and focus, from old keys.

    One sample per pixel, wavelengths at the edges and the middle of the band with equal weights, as in the old
    model. The image is in the new orientation (a source at +x, +y lands at +column, +row) and holds what the
    detector of the profile adds, its dark current.

    Parameters
    ----------
    params : SheraThreePlaneParams, optional
        Those of the testbed by default.

    Warns
    -----
    DeprecationWarning
        Use `load_profile`.
    """

    instrument: Instrument
    point_design: str = eqx.field(static=True)
    recipe: Recipe = eqx.field(static=True)

    def __init__(self, params: SheraThreePlaneParams | None = None):
        params = _checked(params, SheraThreePlaneParams)
        _deprecate("SheraThreePlane_Model", params.point_design)
        overrides = {path: params.get(key) for key, path in PATHS.items()}
        self.instrument = _built(params, params.point_design, overrides, ("m1", "m2"))
        self.point_design, self.recipe = params.point_design, _recipe(params, self.instrument)

    def extract_params(self) -> SheraThreePlaneParams:
        """The numbers of the model under their old keys."""
        return SheraThreePlaneParams(_numbers(self), self.point_design)


class SheraTwoPlane_Model(AbstractLegacyModel):
    """Pupil and focus, from old keys; otherwise as `SheraThreePlane_Model`.

    Parameters
    ----------
    params : SheraTwoPlaneParams, optional
        Those of the testbed by default.

    Warns
    -----
    DeprecationWarning
        Use `load_profile`.
    """

    instrument: Instrument
    point_design: str = eqx.field(static=True)
    recipe: Recipe = eqx.field(static=True)

    def __init__(self, params: SheraTwoPlaneParams | None = None):
        params = _checked(params, SheraTwoPlaneParams)
        profile = f"{params.point_design}_two_plane"
        _deprecate("SheraTwoPlane_Model", profile)
        held = [key for key in params.keys if key in PATHS and key not in _TWO_PLANE_ONLY]
        overrides = {PATHS[key]: params.get(key) for key in held}
        scale = float(dlu.arcsec2rad(params.get("psf_pixel_scale")))
        overrides["optics.focal_length"] = params.get("pixel_size") / scale
        self.instrument = _built(params, profile, overrides, ("m1",))
        self.point_design, self.recipe = params.point_design, _recipe(params, self.instrument)

    def extract_params(self) -> SheraTwoPlaneParams:
        """The numbers of the model under their old keys; the pixel scale where the mirrors do not give it."""
        params = SheraTwoPlaneParams(_numbers(self), self.point_design)
        scale = float(self.instrument.plate_scale_as)
        same = np.isclose(params.get("psf_pixel_scale"), scale, rtol=1e-12)
        return params if same else params.set("psf_pixel_scale", scale)


def _checked(params: Any, kind: type[AbstractParams]) -> AbstractParams:
    if params is None:
        return kind()
    if type(params) is not kind:
        raise TypeError(f"params: Expected {kind.__name__}, got {type(params).__name__}. Give {kind.__name__}(values).")
    return params


def _deprecate(name: str, profile: str) -> None:
    deprecate(
        f"{name} is deprecated; use dluxshera.load_profile({profile!r}). The image is in the new orientation: a "
        "source at (+x, +y) lands at +column, +row, where the old models point-inverted the image."
    )


def _built(params: AbstractParams, profile: str, overrides: dict[str, Any], mirrors: tuple[str, ...]) -> Instrument:
    """The instrument with the old sampling and the sum of the old maps on each mirror."""
    width, count = params.get("bandwidth"), params.get("n_wavelengths")
    offsets = np.linspace(-width / 2, width / 2, count) if count > 1 else np.zeros(1)
    overrides |= {
        "binary.wavelengths_m": (params.get("wavelength") + offsets) * 1e-9,
        "optics.oversample": 1,
        "optics.aperture.secondary_diameter": params.get("p2_diameter"),
    }
    model, seed = load_profile(profile, overrides), params.get("rng_seed")
    seeds = seed, int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])
    for kind, seed in zip(MAPS, seeds, strict=True):
        model = _with_maps(model, _recipes(params, kind, mirrors), profile, overrides, seed)
    return model


def _recipes(params: AbstractParams, kind: str, mirrors: tuple[str, ...]) -> dict[str, Any]:
    """Overrides that draw the maps of one kind, for the mirrors that have one."""
    names = {f"optics.{mirror}.wavefront_error": f"{mirror}_{kind}" for mirror in mirrors}
    return {
        path: {"rms_nm": 1e9 * params.get(f"{name}_amplitude"), "alpha": params.get(f"{name}_power_law")}
        for path, name in names.items()
        if params.get(f"{name}_amplitude") > 0
    }


def _with_maps(model: Instrument, recipes: dict, profile: str, overrides: dict, seed: int) -> Instrument:
    """The model with maps drawn and added to those it has."""
    if not recipes:
        return model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the model itself has warned
        drawn = load_profile(profile, overrides | recipes, seed=seed)
    paths = [f"{path}_m" for path in recipes]
    return set_values(model, {path: _sum(get_value(model, path), get_value(drawn, path)) for path in paths})


def _sum(error: Float[Array, "q q"] | None, other: Float[Array, "q q"]) -> Float[Array, "q q"]:
    return other if error is None else error + other


def _recipe(params: AbstractParams, instrument: Instrument) -> Recipe:
    """What was given and is not to be read off the instrument."""
    held = {*BAND, *(key for key, path in PATHS.items() if holds(instrument, path))}
    return tuple((key, params.get(key)) for key in params.keys if key not in held)


def _numbers(model: SheraThreePlane_Model | SheraTwoPlane_Model) -> dict[str, Any]:
    instrument, values = model.instrument, dict(model.recipe)
    values |= {key: get_value(instrument, path) for key, path in PATHS.items() if holds(instrument, path)}
    wavelengths = np.asarray(instrument.binary.wavelengths_m)
    return values | {key: read(wavelengths) for key, read in BAND.items()}
