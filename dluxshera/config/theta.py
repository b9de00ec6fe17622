"""The θ-space that a profile describes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..instrument.instrument import Instrument
from ..params import LogNormal, Normal, ParameterError, ThetaSpace, TruncatedNormal, Uniform
from ..params.priors import AbstractPrior
from .profile import Profile
from .strict_yaml import ConfigError

PRIORS: dict[str, tuple[type[AbstractPrior], int]] = {
    "normal": (Normal, 2),
    "truncated_normal": (TruncatedNormal, 4),
    "log_normal": (LogNormal, 2),
    "uniform": (Uniform, 2),
}


def default_space(
    model: Instrument, profile: Profile, free: Sequence[str] | None = None, priors: bool = False
) -> ThetaSpace:
    """The θ-space of a profile's `theta` section.

    Parameters
    ----------
    model : Instrument
    profile : Profile
        Its `theta.free`, `theta.bounds` and `theta.priors` are used.
    free : sequence of str, optional
        Patterns of parameters that move, in place of `theta.free`.
    priors : bool
        Whether the priors of the profile enter.

    Raises
    ------
    ConfigError
        If neither says what is free, or a prior has no such number.
    ParameterError
        If the names or bounds do not suit the model.
    """
    names = profile.get("theta.free") if free is None else free
    if not names:
        where = profile.origin("theta.free")
        raise ConfigError(f"{where}: theta.free: expected the parameters that move, got none.")
    settings: dict[str, dict[str, Any]] = {}
    for path, bounds in _table(profile, "bounds").items():
        settings.setdefault(path, {})["bounds"] = tuple(bounds)
    for path, prior in _table(profile, "priors").items() if priors else ():
        settings.setdefault(path, {})["prior"] = _prior(profile, path, prior)
    return ThetaSpace(model, names, overrides=settings)


def _table(profile: Profile, key: str) -> dict[str, Any]:
    """Entries of a table of `theta`; one that is null or `none` takes back what it inherits."""
    entries = profile.get(f"theta.{key}", {})
    return {path: value for path, value in entries.items() if value is not None and value != "none"}


def _prior(profile: Profile, path: str, given: dict[str, Any]) -> AbstractPrior:
    name, numbers = next(iter(given.items()))
    try:
        return PRIORS[name][0](*(_centre(profile, path) if item == "value" else item for item in numbers))
    except ParameterError as error:
        where = profile.origin(f"theta.priors.{path}")
        raise ConfigError(f"{where}: theta.priors: {path}: {error}") from error


def _centre(profile: Profile, path: str) -> Any:
    """The profile's own value, after overrides."""
    value = profile.get(path)
    if value is None:
        where = profile.origin(f"theta.priors.{path}")
        raise ConfigError(f"{where}: theta.priors: {path}: the profile has no value of it; give a number.")
    return np.asarray(value, float)
