"""The recipe that an instrument keeps of the profile it was built from, so that it can be rebuilt."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ..instrument.instrument import Instrument
from ..params.rebuild import Recipe, flat_changes
from .overrides import Layer
from .profile import Profile, with_overrides
from .schema import SYSTEMS, Leaf, aliases, inside_of, parts_of, schema_for
from .schema_check import keys_of_path

_PLANNED = ("optics.pad_npix", "optics.band_npix", "optics.focal_samples")
_SPECTRUM = ("binary.wavelengths_m", "binary.spectral_weights")

Assemble = Callable[[Profile, int | None, Recipe | None], Instrument]


def recipe_of(profile: Profile, seed: int | None, assemble: Assemble) -> Recipe:
    """The recipe of what `assemble(profile, seed, recipe)` builds."""
    parts = parts_of(SYSTEMS[profile.system])
    beyond = [name for name, part in parts.items() if "transmission" not in part.__dataclass_fields__]
    maps = tuple((f"optics.{name}.wavefront_error_m",) for name in beyond)
    return Recipe(functools.partial(_build, profile, seed, assemble), _PLANNED, (_SPECTRUM, *maps))


def _build(
    profile: Profile, seed: int | None, assemble: Assemble, changes: Mapping[str, Any], carried: Mapping[str, Any]
) -> Instrument:
    """The changes come before what is carried, which they may make room for, and what they set comes again after it."""
    changed = with_overrides(profile, [Layer("rebuild", changes)])
    again = {path: value for path, value in flat_changes(changes) if _is_value(path, profile.system)}
    layers = [Layer("the model", carried, trusted=True), Layer("rebuild", again)]
    return assemble(with_overrides(changed, layers), seed, recipe_of(changed, seed, assemble))


def _is_value(path: str, system: str) -> bool:
    """Whether a path is that of a parameter, a buffer, an alias or an element, and not of the structure."""
    if path in aliases() or ("[" in path and not path.startswith("theta.")):
        return True
    schema = schema_for(system)
    node = functools.reduce(inside_of, keys_of_path(path, schema, "rebuild: "), schema)
    return isinstance(node, Leaf) and node.is_quantity
