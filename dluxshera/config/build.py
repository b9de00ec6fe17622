"""From a profile to an `Instrument`: a draft that has the geometry, then what the geometry decides."""

import dataclasses
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..instrument.instrument import Instrument
from ..instrument.pixels import MARGIN_NPIX
from ..optics import AbstractTelescope, SamplingWarning, plan_grid, power_law_map
from ..optics.apertures import pixel_centres
from ..params import Model, ParameterError, set_values
from ..params.aliases import solved_targets
from ..params.elements import target as named_target
from ..params.rebuild import Recipe
from ._arrays import given
from ._checks import LARGEST_COUNT
from ._parts import draft_instrument
from ._spectrum import spectrum
from .profile import OVERRIDES, Profile
from .recipe import recipe_of
from .schema import parts_of, schema_for
from .schema_check import missing
from .strict_yaml import ConfigError
from .targets import field_problems, read_profile_of

_ARCSEC = np.pi / (180 * 3600)
_STAR_GUARD = 1.0 * _ARCSEC  # room for a fit to move the stars


def load_profile(
    name_or_path: str | os.PathLike,
    overrides: Mapping[str, Any] | None = None,
    seed: int | None = None,
    target: str | None = None,
) -> Instrument:
    """Build the instrument of a profile.

    Parameters
    ----------
    name_or_path : str or path
        One of `profile_names()`, or the path of a YAML file.
    overrides : mapping of str to value, optional
        Values by dotted path, as for `read_profile`.
    seed : int, optional
        Seed of all random wavefront-error maps, in place of those of the profile.
    target : str, optional
        A binary star to look at, one of `target_names()`; overrides win over it.

    Returns
    -------
    Instrument

    Raises
    ------
    ConfigError
        Naming the file and line, or the override, at fault.

    Warns
    -----
    SamplingWarning
        Where a grid or the number of wavelengths is too small for the geometry.
    """
    profile = read_profile_of(name_or_path, overrides, target)
    model = _assemble(profile, seed)
    _warn_of_sampling(profile, model)
    return model


def build_instrument(profile: Profile, seed: int | None = None) -> Instrument:
    """Build the instrument of a profile that has been read; otherwise as `load_profile`."""
    model = _assemble(profile, seed)
    _warn_of_sampling(profile, model)
    return model


def _warn_of_sampling(profile: Profile, model: Instrument) -> None:
    for problem in [*model.sampling_problems(), *field_problems(profile, model)]:
        warnings.warn(problem, SamplingWarning, stacklevel=3)


def _assemble(profile: Profile, seed: int | None, recipe: Recipe | None = None) -> Instrument:
    absent = list(missing(profile.values, schema_for(profile.system)))
    if absent:
        raise ConfigError(f"{profile.name}: missing values:\n  " + "\n  ".join(absent))
    elements = {path: value for path, value in profile.edits.items() if "[" in path}
    aliases = {path: value for path, value in profile.edits.items() if path not in elements}
    draft = _edited(profile, _draft(profile), aliases)
    binary = dataclasses.replace(draft.binary, **spectrum(profile, draft))
    optics = dataclasses.replace(draft.optics, **_with_maps(profile, draft.optics, seed))
    optics = _planned(profile, dataclasses.replace(draft, binary=binary, optics=optics))
    recipe = recipe_of(profile, seed, _assemble) if recipe is None else recipe
    return _edited(profile, dataclasses.replace(draft, binary=binary, optics=optics, recipe=recipe), elements)


def _draft(profile: Profile) -> Instrument:
    """The draft; what its classes refuse is the profile's fault, and the message says where its values are from."""
    try:
        return draft_instrument(profile)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        named = [path for path in profile.origins if path in str(error)]
        whence = "; ".join(f"{path} is from {profile.origin(path)}" for path in named)
        raise ConfigError(f"{profile.name}: {error}{f' ({whence}.)' if whence else ''}") from error


def _edited(profile: Profile, model: Instrument, edits: Mapping[str, Any]) -> Instrument:
    """Set aliases or elements, and validate."""
    sources = ", ".join(dict.fromkeys(profile.origins.get(path, OVERRIDES) for path in edits))
    try:
        return set_values(model, {path: value for path, value in edits.items() if _holds(profile, model, path)})
    except (ParameterError, TypeError) as error:
        raise ConfigError(f"{sources or profile.name}: {error}") from error


def _holds(profile: Profile, model: Instrument, path: str) -> bool:
    """Whether no later layer gives a primitive that an alias solves for; the same layer may not give both."""
    rank = profile.ranks.get(path, 0)
    given = {p: profile.ranks.get(p, 0) for p in _primitives(model, path) if p in profile.overridden}
    clash = [primitive for primitive, its_rank in given.items() if its_rank == rank]
    if clash:
        where = profile.origins.get(path, OVERRIDES)
        raise ConfigError(f"{where}: {path!r} solves for {clash[0]!r}; give one of them, not both.")
    return all(its_rank < rank for its_rank in given.values())


def _primitives(model: Instrument, path: str) -> tuple[str, ...]:
    place, item = named_target(model, path)
    solved = solved_targets(model, item) if place.kind == "derived" and place.value.is_alias else []
    return tuple(primitive.name for primitive in solved)


def _with_maps(profile: Profile, telescope: AbstractTelescope, seed: int | None) -> dict[str, Model]:
    """The mirrors that get a random wavefront-error map; each has its own stream of random numbers."""
    mirrors = {}
    for index, name in enumerate(parts_of(type(telescope))):
        recipe = given(profile, f"optics.{name}.wavefront_error")
        if recipe is not None and given(profile, f"optics.{name}.wavefront_error_m") is None:
            stream = int(np.random.SeedSequence([seed or 0, index]).generate_state(1)[0])
            chosen = recipe.get("seed", stream) if seed is None else stream
            error = _drawn(telescope, name, recipe, chosen, f"{profile.name}: optics.{name}.wavefront_error")
            mirrors[name] = dataclasses.replace(getattr(telescope, name), wavefront_error_m=error)
    return mirrors


def _drawn(telescope: AbstractTelescope, name: str, recipe: Mapping[str, Any], seed: int, where: str) -> np.ndarray:
    try:
        rms_nm, alpha = float(recipe["rms_nm"]), float(recipe["alpha"])
        return power_law_map(telescope.pupil_npix, rms_nm, alpha, seed, _footprint(telescope, name))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _footprint(telescope: AbstractTelescope, name: str) -> np.ndarray:
    """Where the beam falls on a mirror's map: the pupil on M1, a circle of the beam's diameter elsewhere."""
    mirror = getattr(telescope, name)
    heights = [float(surface.height) for surface in telescope.surfaces() if surface.mirror is mirror]
    if not heights:
        return np.asarray(mirror.transmission)
    ratio = abs(heights[0]) * float(telescope.m1.diameter) / float(mirror.diameter)
    u = pixel_centres(telescope.pupil_npix)
    return (np.hypot(*np.meshgrid(u, u)) <= min(ratio, 1.0) / 2).astype(float)


def _planned(profile: Profile, model: Instrument) -> AbstractTelescope:
    """The telescope with its grid sizes: those given, the others planned for the geometry and the stars."""
    plan = _plan(profile, model)
    fixed = {name: profile.get(f"optics.{name}", "auto") for name in plan}
    plan |= {name: value for name, value in fixed.items() if value != "auto"}
    if fixed["pad_npix"] != "auto" and fixed["band_npix"] == "auto":
        plan["band_npix"] = plan["pad_npix"]
    _check_plan(profile, model.optics, **plan)
    return dataclasses.replace(model.optics, **plan)


def _plan(profile: Profile, model: Instrument) -> dict[str, int]:
    optics, wavelengths = model.optics, np.asarray(model.binary.wavelengths_m)
    distances = tuple(float(surface.distance) for surface in optics.surfaces())
    _check_geometry(profile, *distances, float(optics.focal_length))
    return plan_grid(
        optics.pupil_npix,
        optics.psf_npix,
        optics.oversample,
        diameter=float(optics.m1.diameter),
        distances=distances,
        focal_length=float(optics.focal_length),
        pixel_pitch=float(model.detector.pixel_pitch),
        wavelengths=(float(wavelengths.min()), float(wavelengths.max())),
        star_angle=float(np.abs(np.asarray(model.binary.positions_as)).max()) * _ARCSEC + _STAR_GUARD,
        margin_npix=MARGIN_NPIX,
    )._asdict()


def _check_geometry(profile: Profile, *lengths: float) -> None:
    if not np.all(np.isfinite(lengths)):
        raise ConfigError(
            f"{profile.name}: optics: expected a telescope with a focus, and none on a mirror; got distances "
            f"and a focal length of {lengths} m. Change the focal lengths or the separation."
        )


def _check_plan(profile: Profile, optics: AbstractTelescope, pad_npix: int, band_npix: int, focal_samples: int) -> None:
    if pad_npix > LARGEST_COUNT:
        raise ConfigError(
            f"{profile.name}: optics: diffraction between the planes needs a period of {pad_npix} pupil "
            f"pixels, more than {LARGEST_COUNT}. Change the focal lengths or the separation."
        )
    pupil, oversample = optics.pupil_npix, optics.oversample
    fine = {
        f"pad_npix: expected optics.pupil_npix {pupil} or more, got {pad_npix}": pad_npix >= pupil,
        f"band_npix: expected at most optics.pad_npix {pad_npix}, got {band_npix}": band_npix <= pad_npix,
        f"focal_samples: expected 1 or {oversample}, got {focal_samples}": focal_samples in (1, oversample),
    }
    for message, is_fine in fine.items():
        if not is_fine:
            path = f"optics.{message.partition(':')[0]}"
            raise ConfigError(f"{profile.origin(path)}: optics.{message}.")
