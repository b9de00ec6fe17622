"""Values by dotted path that are laid over a profile, in layers, each named by where it comes from."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..params.paths import derived_properties
from .schema import SYSTEMS, aliases, schema_for
from .schema_check import check, in_declared_units, keys_of_path
from .strict_yaml import ConfigError, Document

OVERRIDES = "overrides"


class Layer(NamedTuple):
    """Values by dotted path, and where they come from.

    Attributes
    ----------
    source : str
        For messages and origins: `overrides`, `--set path=value`, the name of a file.
    values : mapping of str to value
    lines : mapping of tuple of str to int
        Line of each value in the file `source`, by the keys that lead to it.
    trusted : bool
        Whether numbers come from a model: they are in the declared unit, however large.
    """

    source: str
    values: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int] = {}
    trusted: bool = False

    def where(self, keys: tuple[str, ...]) -> str:
        """The source, with the line of a value where it is known."""
        return Document(self.source, {}, self.lines).where(keys)


Overrides = Mapping[str, Any] | Sequence[Layer | tuple[str, Mapping[str, Any]]] | None


class Prepared(NamedTuple):
    """A layer, checked: a document of nested values, and what can only act on the built model, with its origins."""

    document: Document
    edits: dict[str, Any]
    origins: dict[str, str]


def as_layers(overrides: Overrides) -> list[Layer]:
    """Overrides as a list of layers; a plain mapping is one."""
    if isinstance(overrides, Mapping | None):
        return [Layer(OVERRIDES, overrides or {})]
    pairs = isinstance(overrides, Sequence) and all(isinstance(pair, tuple) and len(pair) > 1 for pair in overrides)
    if not pairs or not all(isinstance(pair[1], Mapping) for pair in overrides):
        raise ConfigError(f"{OVERRIDES}: expected values by dotted path, as in a dict, got {overrides!r:.80}.")
    return [Layer(*pair) for pair in overrides]


def prepare(layer: Layer, system: str) -> Prepared:
    """Check a layer against the schema of a system.

    Raises
    ------
    ConfigError
        Naming the source, and its line where that is known, and the path at fault.
    """
    gathered = Prepared(Document(layer.source, {}, {}), {}, {})
    schema = schema_for(system)
    for path, value in layer.values.items():
        if not isinstance(path, str):
            raise ConfigError(f"{layer.source}: expected a dotted path, got {path!r}.")
        where = layer.where((path,))
        if path in aliases() or ("[" in path and not path.startswith("theta.")):
            gathered.edits[path], gathered.origins[path] = value, where
        else:
            _refuse(where, path, system)
            _insert(layer, gathered.document, keys_of_path(path, schema, f"{where}: "), value, (path,))
    document = in_declared_units(gathered.document, schema, layer.trusted)
    check(document, schema)
    return gathered._replace(document=document)


def _refuse(where: str, path: str, system: str) -> None:
    """Refuse what no override can change, with what to do instead."""
    if path in ("system", "extends", "name"):
        raise ConfigError(f"{where}: {path!r} is fixed; write a profile that extends this one.")
    section, _, name = path.partition(".")
    quantity = derived_properties(SYSTEMS[system]).get(name) if section == "optics" else None
    if quantity is not None:
        primitives = ", ".join(f"{section}.{primitive}" for primitive in quantity.follows_from or ())
        alias = f", or the alias {quantity.alias}" if quantity.alias else ""
        raise ConfigError(f"{where}: {path!r} is derived; give its primitives ({primitives}){alias}.")


def _insert(layer: Layer, document: Document, keys: tuple[str, ...], value: Any, given: tuple[str, ...]) -> None:
    """Put a value at its place in the document, mappings entry by entry; `given` leads to it in the layer."""
    where = layer.where(given)
    if not isinstance(keys[-1], str):
        raise ConfigError(f"{where}: expected text keys below {keys[:-1]}, got {keys[-1]!r}.")
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _insert(layer, document, (*keys, key), inner, (*given, key))
        return
    *parents, last = keys
    values: Any = document.values
    for key in parents:
        values = values.setdefault(key, {}) if isinstance(values, dict) else values
    if not isinstance(values, dict) or last in values:
        raise ConfigError(f"{where}: {'.'.join(keys)!r} is given twice, or once with what is around it.")
    values[last] = value
    if given in layer.lines:
        document.lines[keys] = layer.lines[given]
