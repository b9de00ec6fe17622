"""Time series: how far each drifting parameter is from where it began, frame by frame."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import ConfigError
from .counts import check_size, counted, is_number, whole

FRAME_SETTINGS = ("frame", "time_days")  # what a frame is told apart by; nothing but a series gives them
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
    if not _is_positive(step):
        raise ConfigError(f"{where}.step_days: expected a number above zero, got {step!r:.80}.")
    if not isinstance(drift, Mapping):
        raise ConfigError(f"{where}.drift: expected terms by path, got {drift!r:.80}.")
    check_size(counted(frames, f"{where}.frames"), len(FRAME_SETTINGS) + len(drift), where)
    seed, days = whole(given.get("seed", 0), f"{where}.seed"), step * np.arange(frames)
    columns = {f"drift.{path}": _course(terms, days, np.random.default_rng([seed, i]), f"{where}.drift.{path}")
               for i, (path, terms) in enumerate(drift.items())}  # fmt: skip
    return [
        {"frame": i, "time_days": float(days[i]), **{name: float(column[i]) for name, column in columns.items()}}
        for i in range(frames)
    ]


def _course(terms: Any, days: np.ndarray, generator: np.random.Generator, where: str) -> np.ndarray:
    """The sum of the terms of one parameter at each time."""
    listed = terms if isinstance(terms, list) and terms else [terms]
    return np.sum([_term(term, days, generator, where) for term in listed], axis=0)


def _term(term: Any, days: np.ndarray, generator: np.random.Generator, where: str) -> np.ndarray:
    match term:
        case {"rate": rate} if len(term) == 1 and is_number(rate):
            return rate * days
        case {"sinusoid": [amplitude, period, *phase]} if len(term) == 1 and _is_sinusoid(amplitude, period, phase):
            return amplitude * np.sin(2 * math.pi * days / period + math.radians(phase[0] if phase else 0.0))
        case {"walk": sigma} if len(term) == 1 and is_number(sigma) and sigma >= 0:
            steps = np.diff(days, prepend=days[0])
            return np.cumsum(sigma * np.sqrt(steps) * generator.standard_normal(len(days)))
    raise ConfigError(
        f"{where}: expected {{rate: r}}, {{sinusoid: [amplitude, period_days, phase_deg]}} or {{walk: sigma}}, "
        f"got {term!r:.80}."
    )


def _is_sinusoid(amplitude: Any, period: Any, phase: list[Any]) -> bool:
    return _is_positive(period) and len(phase) < 2 and all(map(is_number, (amplitude, *phase)))


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0
