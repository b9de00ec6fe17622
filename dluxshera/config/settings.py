"""What the command line's options add up to: a profile with overrides, and an engine."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..inference import LevenbergMarquardt, SimpleGD
from ..inference.engines import AbstractEngine
from .profile import Profile, read_profile
from .strict_yaml import ConfigError, parse_value, read_yaml

ENGINES: dict[str, type[AbstractEngine]] = {"lm": LevenbergMarquardt, "gd": SimpleGD}
_KEYS = ("profile", "overrides", "theta", "engine")


def read_settings(
    profile: str | None, config: Path | None, assignments: Sequence[str], extra: dict[str, Any] | None = None
) -> Profile:
    """Profile with the overrides of a config file and of `path=value` texts; later ones win.

    Parameters
    ----------
    profile : str, optional
        Name or file; else the config file's.
    config : Path, optional
        YAML file with the keys `profile`, `overrides`, `theta`, `engine`.
    assignments : sequence of str
        `path=value`, values in YAML.
    extra : dict, optional
        Overrides that give way to all others.

    Raises
    ------
    ConfigError
        Naming the file and key, or the assignment, at fault.
    """
    document = {} if config is None else _read_config(config)
    name = profile or document.get("profile")
    if name is None:
        raise ConfigError("No profile given. Name one, for example shera_flight, or give --config with a profile.")
    layers = [("the image", extra or {})]
    layers += [(str(config), {key: document[key]}) for key in ("theta", "engine") if key in document]
    layers += [(str(config), document.get("overrides", {}))]
    layers += [(f"--set {text}", _assignment(text)) for text in assignments]
    return read_profile(name, layers)


def _read_config(path: Path) -> dict[str, Any]:
    values = read_yaml(path).values
    for key in values:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}; expected {', '.join(_KEYS)}.")
    if not isinstance(values.get("profile", ""), str):
        raise ConfigError(f"{path}: profile: expected a name or a file, got {values['profile']!r:.80}.")
    for key in _KEYS[1:]:
        if not isinstance(values.get(key, {}), dict):
            raise ConfigError(f"{path}: {key}: expected a mapping, got {values[key]!r:.80}.")
    return values


def _assignment(text: str) -> dict[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip() or not value.strip():
        raise ConfigError(f"--set {text!r}: expected path=value.")
    return {path.strip(): parse_value(value, f"--set {text}")}


def engine_of(profile: Profile, name: str | None = None, max_steps: int | None = None) -> AbstractEngine:
    """The engine that the profile's `engine` section, or `name`, asks for.

    Raises
    ------
    ConfigError
        For an engine or an option that does not exist.
    """
    options = dict(profile.get("engine", {}))
    chosen = options.pop("name", "lm")
    if name is not None and name != chosen:
        chosen, options = name, {}  # the options of another engine do not go with it
    if chosen not in ENGINES:
        raise ConfigError(f"engine.name: expected one of {', '.join(ENGINES)}, got {chosen!r}.")
    if max_steps is not None:
        options["max_steps"] = max_steps
    for option, value in options.items():
        _check_option(ENGINES[chosen], option, value)
    return ENGINES[chosen](**options)


def _check_option(engine: type[AbstractEngine], option: str, value: Any) -> None:
    """Refuse an option that the engine does not have, or a value that is no number above zero."""
    known = [field.name for field in dataclasses.fields(engine)]
    if option not in known:
        raise ConfigError(f"engine.{option}: unknown; {engine.__name__} has {', '.join(known)}.")
    kind, what = (int, "a whole number") if option == "max_steps" else (int | float, "a number")
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
        raise ConfigError(f"engine.{option}: expected {what} above zero, got {value!r}.")
