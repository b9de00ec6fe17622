"""Time series: how far each drifting parameter is from where it began, frame by frame."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import ConfigError

_KEYS = ("frames", "step_days", "seed", "drift")


def series(given: Any, where: str) -> list[dict[str, Any]]:
    """The assignments of the frames of a time series: `frame`, `time_days` and the drifts `drift.<path>`.

    Parameters
    ----------
    given : mapping
        `frames`, `step_days` (default 1), `seed` of random walks (default 0), and `drift`: by path a term, or a list
        of terms, in the unit of the parameter: `{rate: per day}`, `{sinusoid: [amplitude, period in days, phase in
        degrees]}`, `{walk: standard deviation after a day}`.
    where : str
        For messages.

    Raises
    ------
    ConfigError
        Naming the key at fault.
    """
    if not isinstance(given, Mapping) or not {"frames", "drift"} <= given.keys() or given.keys() - set(_KEYS):
        raise ConfigError(f"{where}: expected the keys {', '.join(_KEYS)}, got {given!r:.80}.")
    frames, step, drift = given["frames"], given.get("step_days", 1.0), given["drift"]
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1 or not _is_positive(step):
        raise ConfigError(f"{where}: expected frames of 1 or more and step_days above zero, got {frames!r}, {step!r}.")
    if not isinstance(drift, Mapping):
        raise ConfigError(f"{where}.drift: expected terms by path, got {drift!r:.80}.")
    days = step * np.arange(frames)
    columns = {f"drift.{path}": _course(terms, days, _stream(given, i), f"{where}.drift.{path}")
               for i, (path, terms) in enumerate(drift.items())}  # fmt: skip
    return [
        {"frame": i, "time_days": float(days[i]), **{name: float(column[i]) for name, column in columns.items()}}
        for i in range(frames)
    ]


def _stream(given: Mapping[str, Any], index: int) -> np.random.Generator:
    return np.random.default_rng([given.get("seed", 0), index])


def _course(terms: Any, days: np.ndarray, generator: np.random.Generator, where: str) -> np.ndarray:
    """The sum of the terms of one parameter at each time."""
    listed = terms if isinstance(terms, list) else [terms]
    return np.sum([_term(term, days, generator, where) for term in listed], axis=0)


def _term(term: Any, days: np.ndarray, generator: np.random.Generator, where: str) -> np.ndarray:
    match term:
        case {"rate": int() | float() as rate} if len(term) == 1:
            return rate * days
        case {"sinusoid": [amplitude, period, *phase]} if len(term) == 1 and _is_positive(period) and len(phase) < 2:
            return amplitude * np.sin(2 * math.pi * days / period + math.radians(phase[0] if phase else 0.0))
        case {"walk": int() | float() as sigma} if len(term) == 1 and sigma >= 0:
            steps = np.diff(days, prepend=days[0])
            return np.cumsum(sigma * np.sqrt(steps) * generator.standard_normal(len(days)))
    raise ConfigError(
        f"{where}: expected {{rate: r}}, {{sinusoid: [amplitude, period_days, phase_deg]}} or {{walk: sigma}}, "
        f"got {term!r:.80}."
    )


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
