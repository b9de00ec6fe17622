"""Profiles: named sets of values from packaged or user files, merged with overrides before a build."""

import copy
import dataclasses
import difflib
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..params.paths import derived_properties
from .schema import SYSTEMS, Leaf, aliases, inside_of, schema_for
from .schema_check import check, keys_of_path, prune, with_file_paths, without_units
from .strict_yaml import ConfigError, Document, parse_yaml, read_yaml

_FOLDER = Path(__file__).parent / "profiles"
_MAX_EXTENDS = 10
OVERRIDES = "overrides"

# A key given in a file or an override sets these siblings, inherited from below it, aside.
_SUPERSEDES = {
    "noll_indices": ("zernike_coeffs_nm",),
    "secondary_ratio": ("secondary_diameter",),
    "secondary_diameter": ("secondary_ratio",),
    "temperatures_k": ("seds",),
    "seds": ("temperatures_k",),
    "band_centre": ("wavelengths_m", "spectral_weights"),
    "bandwidth": ("wavelengths_m", "spectral_weights"),
    "n_wavelengths": ("wavelengths_m", "spectral_weights"),
    "wavelengths_m": ("spectral_weights",),
    "diffractive_pupil": ("diffractive_pupil_fraction",),
    "wavefront_error": ("wavefront_error_m",),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Profile:
    """Merged values of a profile, and where each comes from.

    Parameters
    ----------
    name : str
    system : str
        One of `SYSTEMS`.
    values : dict
        Nested values, by section.
    origins : mapping of str to str
        File and line of each value, or `overrides`, by dotted path.
    overridden : frozenset of str
        Paths whose value comes from an override.
    edits : mapping of str to value
        Overrides of aliases and of elements (`optics.m1.zernike_coeffs_nm[Z4]`), set on the built model.
    """

    name: str
    system: str
    values: dict[str, Any]
    origins: Mapping[str, str]
    overridden: frozenset[str]
    edits: Mapping[str, Any]

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path; `default` where there is none."""
        node: Any = self.values
        for key in keys_of_path(path, schema_for(self.system)):
            if not isinstance(node, dict) or key not in node:
                return default
            node = node[key]
        return node

    def origin(self, path: str) -> str:
        """File and line that a value comes from, or the name of the profile."""
        return self.origins.get(path, self.name)


def profile_names() -> tuple[str, ...]:
    """Names of the packaged profiles, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


Overrides = Mapping[str, Any] | Sequence[tuple[str, Mapping[str, Any]]] | None


def read_profile(name_or_path: str | os.PathLike, overrides: Overrides = None) -> Profile:
    """Read a profile and merge overrides into it; nothing is built.

    Parameters
    ----------
    name_or_path : str or path
        One of `profile_names()`, or the path of a YAML file.
    overrides : mapping of str to value, or sequence of (source, mapping), optional
        Values by dotted path (`"optics.psf_npix"`), in the unit of the parameter; arrays for buffers. They
        act before the build, so structural ones rebuild what depends on them. Aliases (`plate_scale_as`)
        and elements (`optics.m1.zernike_coeffs_nm[Z4]`) are set after it. Of several layers, each named by
        where it comes from, later ones win.

    Raises
    ------
    ConfigError
        Naming the file and line, or the override, at fault.
    """
    layers = _layers(_document(name_or_path, Path()))
    system = next((d.values["system"] for d, _ in reversed(layers) if "system" in d.values), None)
    if system is None:
        raise ConfigError(f"{layers[-1][0].name}: missing value: system, one of {', '.join(SYSTEMS)}.")
    schema = schema_for(system)
    given = [(OVERRIDES, overrides or {})] if isinstance(overrides, Mapping | None) else overrides
    made = [_override_document(source, mapping, system) for source, mapping in given]
    values, origins = {}, {}
    for document, folder in [*layers, *((document, Path.cwd()) for document, _ in made)]:
        layer = with_file_paths(prune(document.values, schema), schema, folder)
        _merge(values, origins, layer, schema, document)
    edits = {path: value for _, edits in made for path, value in edits.items()}
    sources = {document.name for document, _ in made}
    overridden = frozenset(path for path, origin in origins.items() if origin in sources)
    name = layers[-1][0].values.get("name", _stem(name_or_path))
    return Profile(name, system, values, origins, overridden, edits)


def _layers(top: tuple[Document, Path]) -> list[tuple[Document, Path]]:
    """A document and those it extends, the most general first; each with its folder, each checked."""
    layers = [top]
    while "extends" in layers[0][0].values:
        document, folder = layers[0]
        parent, where = document.values["extends"], document.where(("extends",))
        if len(layers) > _MAX_EXTENDS:
            raise ConfigError(f"{where}: extends: expected at most {_MAX_EXTENDS} files; is it a circle?")
        if not isinstance(parent, str):
            raise ConfigError(f"{where}: extends: expected text, got {parent!r:.80}.")
        layers.insert(0, _document(parent, folder, f"{where}: "))
    system = None
    for document, _ in layers:
        system = document.values.get("system", system)
        known = system if isinstance(system, str) and system in SYSTEMS else "three_plane"
        check(document, schema_for(known))
    return layers


def _document(name_or_path: str | os.PathLike, folder: Path, asked_by: str = "") -> tuple[Document, Path]:
    """Read a packaged profile by name, or a file by its path relative to `folder`."""
    given = os.fspath(name_or_path)
    if given in profile_names():
        return _packaged(given), _FOLDER
    path = folder / given
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return read_yaml(path), path.absolute().parent
    near = difflib.get_close_matches(given, profile_names(), 1)
    known = ", ".join(profile_names())
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {known}, or the path of a .yaml file."
    raise ConfigError(f"{asked_by}unknown profile {given!r}; {hint}")


@functools.cache
def _packaged(name: str) -> Document:
    path = _FOLDER / f"{name}.yaml"
    return parse_yaml(path.read_text(encoding="utf-8"), path.name)


def _stem(name_or_path: str | os.PathLike) -> str:
    return Path(name_or_path).stem


def _override_document(source: str, overrides: Mapping[str, Any], system: str) -> tuple[Document, dict[str, Any]]:
    """Overrides as one more document, and those that can only act on the built model."""
    values: dict[str, Any] = {}
    edits: dict[str, Any] = {}
    for path, value in overrides.items():
        if not isinstance(path, str):
            raise ConfigError(f"{source}: expected a dotted path, got {path!r}.")
        if path in aliases() or ("[" in path and not path.startswith("theta.")):
            edits[path] = value
        else:
            _refuse(source, path, system)
            _insert(source, values, keys_of_path(path, schema_for(system), f"{source}: "), value)
    document = Document(source, without_units(values, schema_for(system)))
    check(document, schema_for(system))
    return document, edits


def _refuse(source: str, path: str, system: str) -> None:
    """Refuse what no override can change, with what to do instead."""
    if path in ("system", "extends", "name"):
        raise ConfigError(f"{source}: {path!r} is fixed; write a profile that extends this one.")
    section, _, name = path.partition(".")
    if section == "optics" and name in derived_properties(SYSTEMS[system]):
        instead = ", ".join(aliases())
        raise ConfigError(f"{source}: {path!r} is derived; give its primitives, or one of {instead}.")


def _insert(source: str, values: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    """Put a value at its place in nested `values`; the entries of a mapping one by one."""
    if not isinstance(keys[-1], str):
        raise ConfigError(f"{source}: expected text keys below {keys[:-1]}, got {keys[-1]!r}.")
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _insert(source, values, (*keys, key), inner)
        return
    *parents, last = keys
    for key in parents:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            break
    if not isinstance(values, dict) or last in values:
        raise ConfigError(f"{source}: {'.'.join(keys)!r} is given twice, or once with what is around it.")
    values[last] = value


def _merge(values: dict, origins: dict, layer: dict, node: Any, document: Document, keys: tuple = ()) -> None:
    """Put a layer over `values`, in place: sections key by key, what is a leaf of the schema as a whole."""
    for key, value in layer.items():
        inside, below = inside_of(node, key), (*keys, key)
        if not _same(values.get(key), value):
            for sibling in set(_SUPERSEDES.get(key, ())) - layer.keys():
                values.pop(sibling, None)
        if isinstance(inside, Leaf) or not isinstance(value, dict):
            values[key] = copy.deepcopy(value) if isinstance(value, list | tuple | dict) else value
            origins[".".join(below)] = document.where(below)
        else:
            renamed = key == "engine" and "name" in value  # the options of another engine do not go with it
            values[key] = values[key] if isinstance(values.get(key), dict) and not renamed else {}
            _merge(values[key], origins, value, inside, document, below)


def _same(old: Any, new: Any) -> bool:
    return old is not None and not isinstance(new, dict) and np.array_equal(old, new)
