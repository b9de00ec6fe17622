"""Profiles: named sets of values from packaged or user files, merged with overrides before a build."""

import copy
import dataclasses
import difflib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .overrides import OVERRIDES as OVERRIDES
from .overrides import Overrides, as_layers, prepare
from .schema import SYSTEMS, Leaf, inside_of, schema_for
from .schema_check import check, in_declared_units, keys_of_path, prune, with_file_paths
from .strict_yaml import ConfigError, Document, parse_yaml, read_yaml

_FOLDER = Path(__file__).parent / "profiles"
_MAX_EXTENDS = 10

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
        Where each value comes from, by dotted path: file and line, `overrides`, `--set path=value`.
    overridden : frozenset of str
        Paths whose value comes from an override.
    edits : mapping of str to value
        Overrides of aliases and of elements (`optics.m1.zernike_coeffs_nm[Z4]`), set on the built model.
    ranks : mapping of str to int
        Position of the layer that gives each overridden path and each edit; later layers win.
    """

    name: str
    system: str
    values: dict[str, Any]
    origins: Mapping[str, str]
    overridden: frozenset[str]
    edits: Mapping[str, Any]
    ranks: Mapping[str, int] = dataclasses.field(default_factory=dict)

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


def read_profile(name_or_path: str | os.PathLike, overrides: Overrides = None) -> Profile:
    """Read a profile and merge overrides into it; nothing is built.

    Parameters
    ----------
    name_or_path : str or path
        One of `profile_names()`, or the path of a YAML file.
    overrides : mapping of str to value, or sequence of (source, mapping), optional
        Values by dotted path (`"optics.psf_npix"`): numbers in the unit of the parameter, or with one of their
        own (`"550 nm"`, an astropy quantity); arrays for buffers. They act before the build, so structural ones
        rebuild what depends on them. Aliases (`plate_scale_as`) and elements
        (`optics.m1.zernike_coeffs_nm[Z4]`) are set after it. Of several layers, each named by where it comes
        from, later ones win.

    Raises
    ------
    ConfigError
        Naming the file and line, or the override, at fault.
    """
    layers = _layers(_document(name_or_path, Path()))
    system = next((d.values["system"] for d, _ in reversed(layers) if "system" in d.values), None)
    if system is None:
        raise ConfigError(f"{layers[-1][0].name}: missing value: system, one of {', '.join(SYSTEMS)}.")
    values, origins = {}, {}
    for document, folder in layers:
        _merge_document(values, origins, document, folder, system)
    name = layers[-1][0].values.get("name", _stem(name_or_path))
    return with_overrides(Profile(name, system, values, origins, frozenset(), {}), overrides)


def with_overrides(profile: Profile, overrides: Overrides) -> Profile:
    """Merge overrides into a profile that has been read; arguments and errors are those of `read_profile`."""
    values, origins, edits = _copied(profile.values), dict(profile.origins), dict(profile.edits)
    overridden, ranks = set(profile.overridden), dict(profile.ranks)
    for rank, layer in enumerate(as_layers(overrides), 1 + max(ranks.values(), default=0)):
        made, own = prepare(layer, profile.system), {}
        _merge_document(values, own, made.document, Path.cwd(), profile.system)
        overridden |= own.keys()
        kept = {path: value for path, value in edits.items() if path.partition("[")[0] not in own}
        edits = kept | made.edits
        origins |= own | made.origins
        ranks |= dict.fromkeys((*own, *made.edits), rank)
    return Profile(profile.name, profile.system, values, origins, frozenset(overridden), edits, ranks)


def _merge_document(values: dict, origins: dict, document: Document, folder: Path, system: str) -> None:
    schema = schema_for(system)
    _merge(values, origins, with_file_paths(prune(document.values, schema), schema, folder), schema, document)


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    """New mappings all the way down, with the same values in them."""
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in values.items()}


def _layers(top: tuple[Document, Path]) -> list[tuple[Document, Path]]:
    """A document and those it extends, the most general first; each with its folder, each checked."""
    layers = [top]
    while "extends" in layers[0][0].values:
        document, folder = layers[0]
        parent, where = document.values["extends"], document.where(("extends",))
        if not isinstance(parent, str):
            raise ConfigError(f"{where}: extends: expected text, got {parent!r:.80}.")
        layers.insert(0, _document(parent, folder, f"{where}: "))
        _refuse_circle(layers, where)
    return _checked(layers)


def _refuse_circle(layers: list[tuple[Document, Path]], where: str) -> None:
    files = [folder / Path(document.name).name for document, folder in layers]
    chain = " -> ".join(path.name for path in reversed(files))
    if files[0] in files[1:]:
        raise ConfigError(f"{where}: extends: expected a file that does not extend this one, got a circle: {chain}.")
    if len(layers) > _MAX_EXTENDS:
        raise ConfigError(f"{where}: extends: expected at most {_MAX_EXTENDS} files, got {chain}.")


def _checked(layers: list[tuple[Document, Path]]) -> list[tuple[Document, Path]]:
    """The documents with their values in the declared units; each checked for the system that holds in it."""
    system, checked = None, []
    for document, folder in layers:
        system = document.values.get("system", system)
        schema = schema_for(system if isinstance(system, str) and system in SYSTEMS else "three_plane")
        checked.append((in_declared_units(document, schema), folder))
        check(checked[-1][0], schema)
    return checked


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
