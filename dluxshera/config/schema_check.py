"""A profile's keys and values against a schema: checks that name file and line, and walks over the values."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..params.units import carries_unit, in_unit, without_unit
from ._checks import lower_case
from .schema import Leaf, Section, Table, aliases, inside_of, near, selects
from .strict_yaml import ConfigError, Document

_WORDS = ("none", "toliman")  # what a key that names a file may say instead


def check(document: Document, schema: Section) -> None:
    """Check the keys and values of a document.

    Raises
    ------
    ConfigError
        With one line for every problem: the file, its line, and the key.
    """
    found = list(_problems(document, document.values, schema, (), schema))
    if found:
        raise ConfigError("\n".join(found))


def prune(values: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    """Leave out what a schema does not know: what was inherited about parts that are not there."""
    known = {key: (value, inside_of(schema, key)) for key, value in values.items()}
    return {key: _pruned(value, inside) for key, (value, inside) in known.items() if inside is not None}


def keys_of_path(path: str, schema: Section, source: str = "") -> tuple[str, ...]:
    """Split a dotted path at the keys of the schema; `source` begins the message of an error.

    Raises
    ------
    ConfigError
        If it leads nowhere; the message suggests close matches.
    """
    keys, node, rest = (), schema, path.split(".")
    while rest:
        if isinstance(node, Table):
            return (*keys, ".".join(rest))
        key, *rest = rest
        node = inside_of(node, key)
        if node is None:
            raise ConfigError(f"{source}unknown path {path!r}{_suggestion(path, (), schema)}")
        keys = (*keys, key)
    return keys


def leaf_at(path: str, schema: Section) -> Leaf:
    """The leaf of the schema at a dotted path that leads to one."""
    return functools.reduce(inside_of, keys_of_path(path, schema), schema)


def missing(values: Mapping[str, Any], schema: Section, prefix: str = "") -> Iterator[str]:
    """Say which required values are absent, and who needs them."""
    for key, node in schema.keys.items():
        value, path = values.get(key), f"{prefix}{key}"
        if isinstance(node, Section) and not (node.optional and not isinstance(value, dict)):
            yield from missing(value or {}, node, f"{path}.")
        if isinstance(node, Leaf) and node.needed_by and not {key, node.unless} & values.keys():
            yield f"{path} (needed by {node.needed_by})"


def with_file_paths(values: Mapping[str, Any], schema: Section, folder: Path) -> dict[str, Any]:
    """Make the names of files, which are relative to the folder of the profile, paths from here."""

    def resolved(value: Any, leaf: Leaf, keys: tuple[str, ...]) -> Any:
        if not leaf.is_path or (isinstance(value, str) and value in _WORDS):
            return value
        if isinstance(value, str):
            return str(folder / value)
        texts = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        return [str(folder / item) for item in value] if texts else value

    return _mapped(values, schema, resolved)


def in_declared_units(document: Document, schema: Section, trusted: bool = False) -> Document:
    """Turn what says its unit (`550 nm`, astropy quantities) into numbers in the declared one.

    Parameters
    ----------
    document : Document
    schema : Section
    trusted : bool
        Whether numbers without a unit are taken as they are, however large for theirs.

    Raises
    ------
    ConfigError
        With one line for every value of another dimension, of an unknown unit, or far too large for its own.
    """
    problems = []

    def converted(value: Any, leaf: Leaf, keys: tuple[str, ...]) -> Any:
        try:
            if not leaf.is_quantity:
                return value
            if keys[0] == "theta":
                return _entry_without_units(value, leaf.spec.unit)
            return without_unit(value, leaf.spec.unit) if trusted else in_unit(value, leaf.spec)
        except ValueError as error:
            problems.append(f"{document.where(keys)}: {'.'.join(keys)}: {lower_case(str(error))}.")
            return value

    values = _mapped(document.values, schema, converted)
    if problems:
        raise ConfigError("\n".join(problems))
    return dataclasses.replace(document, values=values)


def _entry_without_units(value: Any, unit: str) -> Any:
    """Bounds or a prior with its numbers in a unit; a log-normal prior is of a logarithm, which has none."""
    if isinstance(value, dict):
        return {k: v if k == "log_normal" else _entry_without_units(v, unit) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_unit(item, unit) if carries_unit(item) else item for item in value]
    return value


def _mapped(values: Mapping, schema: Any, change: Callable[[Any, Leaf, tuple], Any], above: tuple = ()) -> dict:
    """Apply `change(value, leaf, keys)` to the values that the schema knows, in a new mapping."""

    def mapped(value: Any, node: Any, keys: tuple[str, ...]) -> Any:
        if isinstance(node, Leaf):
            return change(value, node, keys)
        return _mapped(value, node, change, keys) if node is not None and isinstance(value, dict) else value

    return {key: mapped(value, inside_of(schema, key), (*above, key)) for key, value in values.items()}


def _pruned(value: Any, node: Any) -> Any:
    if isinstance(node, Leaf):
        return [p for p in value if selects(p, node.paths)] if node.paths else value
    return prune(value, node) if isinstance(value, dict) else value


def _problems(document: Document, values: Any, node: Any, keys: tuple[str, ...], top: Section) -> Iterator[str]:
    where, path = document.where(keys), ".".join(keys)
    if isinstance(node, Leaf):
        wrong = node.check(values)
        if wrong:
            yield f"{where}: {path}: {wrong}{'' if wrong.endswith('?') else '.'}"
    elif isinstance(node, Section) and node.optional and (values is None or values == "none"):
        return
    elif not isinstance(values, dict):
        yield f"{where}: {path}: expected a mapping of keys to values, got {values!r:.80}."
    else:
        for key, value in values.items():
            inside, below = inside_of(node, key), (*keys, key)
            if inside is None:
                yield f"{document.where(below)}: unknown key {key!r}{_suggestion(key, keys, top)}"
            else:
                yield from _problems(document, value, inside, below, top)


def _suggestion(key: str, keys: tuple[str, ...], top: Section) -> str:
    """Close matches: among the siblings of the key, then among all paths."""
    node: Any = top
    for name in keys:
        node = inside_of(node, name)
    if isinstance(node, Table):
        return near(key, node.specs or ()) or "; expected the path of a parameter."
    if ".".join((*keys, key)) in aliases():
        return ": an alias is not in a profile. Give it as an override or with --set, or give its primitives here."
    everywhere = [*_all_paths(top), *aliases()]
    last = [path for path in everywhere if path.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    if last:
        return f"; did you mean {last[0]!r}?"
    siblings = "" if "." in key else near(key, node.keys)
    return siblings or near(key, everywhere) or f"; expected one of {', '.join(node.keys)}."


def _all_paths(node: Section, prefix: str = "") -> Iterator[str]:
    for key, inside in node.keys.items():
        yield f"{prefix}{key}"
        if isinstance(inside, Section):
            yield from _all_paths(inside, f"{prefix}{key}.")
