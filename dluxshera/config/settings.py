"""What the command line's options add up to: a profile with overrides, and an engine."""

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax

from ..inference import (
    BFGS,
    LBFGS,
    Dogleg,
    GaussNewton,
    LevenbergMarquardt,
    Objective,
    OptaxEngine,
    PreconditionedGD,
    SimpleGD,
    fisher_information,
)
from ..inference.engines import AbstractEngine
from ..inference.fisher import prior_information
from ..params.units import is_text_with_unit
from .overrides import Layer
from .profile import Profile
from .strict_yaml import ConfigError, Document, parse_value, read_yaml
from .targets import read_profile_of

_KEYS = ("profile", "overrides", "theta", "engine")
_NOT_NUMBERS = ("sigma", "curvature", "form", "schedule", "scale_clip", "rate_clip", "monotone")


def read_settings(
    profile: str | None,
    config: Path | None,
    assignments: Sequence[str],
    extra: dict[str, Any] | None = None,
    target: str | None = None,
) -> Profile:
    """Profile with the overrides of a config file and of `path=value` texts; later ones win over earlier ones.

    Parameters
    ----------
    profile : str, optional
        Name or file; else the config file's.
    config : Path, optional
        YAML file with the keys `profile`, `overrides`, `theta`, `engine`.
    assignments : sequence of str
        `path=value`, values in YAML, or with a unit: `detector.pixel_pitch=4.6 um`.
    extra : dict, optional
        Overrides that give way to all others.
    target : str, optional
        A binary star to look at, one of `target_names()`; all overrides win over it.

    Raises
    ------
    ConfigError
        Naming the file and key, or the assignment, at fault.
    """
    document = Document("", {}) if config is None else _read_config(config)
    name = profile or document.values.get("profile")
    if name is None:
        raise ConfigError("No profile given. Name one, for example shera_flight, or give --config with a profile.")
    layers = [Layer("the image", extra or {}), *_config_layers(document)]
    layers += [Layer(f"--set {text}", assignment(text)) for text in assignments]
    return read_profile_of(name, layers, target)


def _config_layers(document: Document) -> list[Layer]:
    """The sections of a config file as layers, the overrides last."""
    sections = [{key: document.values[key]} for key in ("theta", "engine") if key in document.values]
    lines = {keys[1:]: line for keys, line in document.lines.items() if keys[0] == "overrides"}
    overrides = Layer(document.name, document.values.get("overrides", {}), lines)
    return [*(Layer(document.name, section, document.lines) for section in sections), overrides]


def _read_config(path: Path) -> Document:
    document = read_yaml(path)
    values = document.values
    for key in values:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}; expected {', '.join(_KEYS)}.")
    if not isinstance(values.get("profile", ""), str):
        raise ConfigError(f"{path}: profile: expected a name or a file, got {values['profile']!r:.80}.")
    for key in _KEYS[1:]:
        if not isinstance(values.get(key, {}), dict):
            raise ConfigError(f"{path}: {key}: expected a mapping, got {values[key]!r:.80}.")
    return document


def assignment(text: str) -> dict[str, Any]:
    """A path and its value from `path=value`, as `--set` takes it.

    Raises
    ------
    ConfigError
        Naming the text, if it is none.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip() or not value.strip():
        raise ConfigError(f"--set {text!r}: expected path=value.")
    plain = is_text_with_unit(value)  # `[1, 2] nm` is not YAML
    return {path.strip(): value.strip() if plain else parse_value(value, f"--set {text}")}


def engine_of(
    profile: Profile,
    name: str | None = None,
    max_steps: int | None = None,
    objective: Objective | None = None,
    theta: Any = None,
) -> AbstractEngine:
    """The engine that the profile's `engine` section, or `name`, asks for.

    Parameters
    ----------
    profile : Profile
    name : str, optional
        One of `ENGINES`; it wins over the profile's.
    max_steps : int, optional
        Wins over the profile's.
    objective, theta : Objective and Array (D,), optional
        What is fitted and where from: Adam takes its steps in units of each parameter's own sigma there.

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
        _check_option(chosen, option, value)
    if chosen == "adam" and objective is not None:
        options["sigma"] = _own_sigma(objective, theta)
    return ENGINES[chosen](**options)


def adam_in_sigmas(sigma: Any = 1.0, learning_rate: float | int = 0.3, max_steps: int = 2000) -> OptaxEngine:
    """Adam with a rate in units of `sigma` (D,) of each element of θ, falling to nothing along a cosine."""
    unscaled = jnp.asarray(sigma, float)
    optimiser = optax.chain(optax.scale_by_adam(), optax.stateless(lambda update, _: -unscaled * update))
    rate = optax.schedules.cosine_decay_schedule(learning_rate, max_steps)
    recorded = {"learning_rate": learning_rate, "schedule": "cosine", "steps": max_steps, "sigma": unscaled}
    return OptaxEngine(optimiser, rate, max_steps, "adam", recorded)


def _own_sigma(objective: Objective, theta: Any) -> Any:
    """One over the root of each element's information, priors included; of a dead one, one."""
    information = jnp.diagonal(fisher_information(objective, theta) + prior_information(objective, theta))
    return jnp.where(information > 0, 1 / jnp.sqrt(jnp.where(information > 0, information, 1.0)), 1.0)


ENGINES: dict[str, Callable[..., AbstractEngine]] = {
    "lm": LevenbergMarquardt,
    "gn": GaussNewton,
    "dogleg": Dogleg,
    "gd": SimpleGD,
    "pgd": PreconditionedGD,
    "adam": adam_in_sigmas,
    "bfgs": BFGS,
    "lbfgs": LBFGS,
}


def _check_option(engine: str, option: str, value: Any) -> None:
    """Refuse an option that the engine does not have, or a value that is no number above zero."""
    known = [name for name in inspect.signature(ENGINES[engine]).parameters if name not in _NOT_NUMBERS]
    if option not in known:
        raise ConfigError(f"engine.{option}: unknown; {engine} has {', '.join(known)}.")
    kind, what = (int, "a whole number") if option == "max_steps" else (int | float, "a number")
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
        raise ConfigError(f"engine.{option}: expected {what} above zero, got {value!r}.")
