"""A strict YAML reader: YAML 1.2 scalars, no duplicate keys, no tags, bounded, with the line of every key."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000
MAX_NODES = 20_000  # after aliases are expanded
MAX_ALIASES = 50
MAX_DEPTH = 20

_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_CONSTANTS |= {"Null": None, "NULL": None, "True": True, "TRUE": True, "False": False, "FALSE": False}
_NUMBERS: tuple[tuple[re.Pattern, Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]{1,300}"), int),
    (re.compile(r"0o[0-7]{1,300}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,300}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: -math.inf if text[0] == "-" else math.inf),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: math.nan),
)


class ConfigError(ValueError):
    """A profile, a configuration file or an override is not acceptable; the message names it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Document:
    """Nested values of a file, and the line of each key.

    Parameters
    ----------
    name : str
        Name of the file for messages.
    values : dict
        Nested values: dicts with text keys, lists, and scalars.
    lines : mapping of tuple of str to int
        Line of each key, by the keys that lead to it.
    """

    name: str
    values: dict[str, Any]
    lines: Mapping[tuple[str, ...], int] = dataclasses.field(default_factory=dict)

    def where(self, keys: tuple[str, ...]) -> str:
        """File and line of a key, `profile.yaml:12`, or of the closest key around it that has one."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.name}:{self.lines[keys]}" if keys else self.name


def read_yaml(path: str | Path, name: str | None = None) -> Document:
    """Read a YAML file whose top level is a mapping.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        Name for messages; the path by default.

    Raises
    ------
    ConfigError
        If the file is missing, too large, not UTF-8, or not strict YAML.
    """
    path, name = Path(path), str(path) if name is None else name
    if not path.is_file():
        raise ConfigError(f"{name}: expected a file, found {'a folder' if path.is_dir() else 'none'}.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return parse_yaml(data.decode("utf-8-sig"), name)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: expected UTF-8 text; byte {error.start} is not.") from error


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text whose top level is a mapping; an empty text is an empty mapping.

    Raises
    ------
    ConfigError
        With `name` and the line at fault.
    """
    values, lines = _parse(text, name)
    if not isinstance(values, dict | None):
        raise ConfigError(f"{name}: expected keys and values at the top level, got {values!r:.60}.")
    return Document(name, values or {}, lines)


def parse_value(text: str, name: str) -> Any:
    """Parse one value as it would stand in a file: `1e-4`, `[4, 5, 6]`, `auto`.

    Raises
    ------
    ConfigError
        With `name`.
    """
    return _parse(text, name)[0]


def _parse(text: str, name: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    import yaml

    if len(text) > MAX_BYTES:
        raise ConfigError(f"{name}: expected at most {MAX_BYTES} bytes.")
    try:
        node = _bounded_loader(yaml, name)(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{name}:{mark.line + 1}: not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {error}.") from error
    builder = _Builder(name)
    return (None if node is None else builder.value(node, ())), builder.lines


def _bounded_loader(yaml: Any, name: str) -> type:
    """A SafeLoader that refuses tags, many aliases and deep nesting while it composes."""

    class Loader(yaml.SafeLoader):
        aliases = 0
        depth = 0

        def compose_node(self, parent, index):
            event = self.peek_event()
            line = event.start_mark.line + 1
            alias = isinstance(event, yaml.AliasEvent)
            self.aliases += alias
            if not alias and event.tag is not None:
                raise ConfigError(f"{name}:{line}: tags are not allowed, got {event.tag!r}.")
            if self.aliases > MAX_ALIASES or self.depth >= MAX_DEPTH:
                limits = f"{MAX_ALIASES} aliases and {MAX_DEPTH} levels of nesting"
                raise ConfigError(f"{name}:{line}: expected at most {limits}.")
            self.depth += 1
            node = yaml.SafeLoader.compose_node(self, parent, index)
            self.depth -= 1
            return node

    return Loader


class _Builder:
    """Turns composed nodes into values, and notes the line of every key."""

    def __init__(self, name: str):
        self.name = name
        self.lines: dict[tuple[str, ...], int] = {}
        self.count = 0

    def value(self, node: Any, keys: tuple[str, ...]) -> Any:
        """The value of a node; `keys` lead to it."""
        self.count += 1
        if self.count > MAX_NODES or len(keys) > MAX_DEPTH:
            raise ConfigError(f"{self._at(node)}: expected at most {MAX_NODES} values, aliases expanded.")
        if node.id == "mapping":
            return self._mapping(node, keys)
        if node.id == "sequence":
            return [self.value(item, (*keys, f"[{i}]")) for i, item in enumerate(node.value)]
        return node.value if node.style else _plain(node.value)

    def _mapping(self, node: Any, keys: tuple[str, ...]) -> dict[str, Any]:
        values = {}
        for key, item in node.value:
            if key.id != "scalar":
                raise ConfigError(f"{self._at(key)}: expected a text key.")
            if key.value in values:
                first = f"first given on line {self.lines[*keys, key.value]}"
                raise ConfigError(f"{self._at(key)}: duplicate key {key.value!r}, {first}.")
            self.lines[*keys, key.value] = key.start_mark.line + 1
            values[key.value] = self.value(item, (*keys, key.value))
        return values

    def _at(self, node: Any) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"


def _plain(text: str) -> Any:
    """The value of an unquoted scalar in the YAML 1.2 core schema; what is nothing else is text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    found = (convert for pattern, convert in _NUMBERS if pattern.fullmatch(text))
    convert = next(found, str)
    return convert(text)
