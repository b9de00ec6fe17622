"""What varies in a campaign: each axis a list of assignments, all of them a product."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from ..config import ConfigError
from .drift import series

Assignment = dict[str, Any]
MOST_ROWS = 100_000  # of one experiment: its manifest names them all

# Values at probabilities u in (0, 1), from the two numbers of the distribution.
DISTRIBUTIONS: dict[str, Callable[[float, float, float], float]] = {
    "uniform": lambda u, lower, upper: lower + (upper - lower) * u,
    "log_uniform": lambda u, lower, upper: lower * (upper / lower) ** u,
    "normal": lambda u, mean, sigma: NormalDist(mean, sigma).inv_cdf(u),
    "log_normal": lambda u, median, sigma: median * math.exp(NormalDist(0.0, sigma).inv_cdf(u)),
}


def assignments(vary: Sequence[Any], where: str) -> list[Assignment]:
    """Every combination of the axes; one empty assignment where there are none.

    Parameters
    ----------
    vary : sequence of mapping
        Each with one key: `grid`, `zip`, `random`, `sobol`, `seeds`, `starts` or `series`.
    where : str
        For messages.

    Raises
    ------
    ConfigError
        Naming the axis and key at fault.
    """
    axes = [_axis(axis, f"{where}: vary[{i}]") for i, axis in enumerate(vary)]
    if math.prod(len(axis) for axis in axes) > MOST_ROWS:
        raise ConfigError(f"{where}: vary: expected at most {MOST_ROWS} runs. Divide the campaign.")
    return [_joined(parts, where) for parts in itertools.product(*axes)]


def _joined(parts: tuple[Assignment, ...], where: str) -> Assignment:
    joined: Assignment = {}
    for part in parts:
        twice = joined.keys() & part.keys()
        if twice:
            raise ConfigError(f"{where}: vary: {sorted(twice)[0]!r} is varied twice. Leave one out.")
        joined |= part
    return joined


def _axis(axis: Any, where: str) -> list[Assignment]:
    if not (isinstance(axis, Mapping) and len(axis) == 1 and next(iter(axis)) in KINDS):
        raise ConfigError(f"{where}: expected one of {', '.join(KINDS)}, as in {{seeds: 10}}, got {axis!r:.80}.")
    kind, given = next(iter(axis.items()))
    return KINDS[kind](given, f"{where}.{kind}")


def _grid(given: Any, where: str) -> list[Assignment]:
    columns = {name: _values(v, f"{where}.{name}") for name, v in _mapping(given, where).items()}
    return [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]


def _zip(given: Any, where: str) -> list[Assignment]:
    columns = {name: _values(v, f"{where}.{name}") for name, v in _mapping(given, where).items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ConfigError(f"{where}: expected lists of one length, got {lengths}.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _random(given: Any, where: str) -> list[Assignment]:
    count, seed, of = _sample_of(given, where)
    points = np.random.default_rng(seed).random((count, len(of)))
    return _at(points, of, where)


def _sobol(given: Any, where: str) -> list[Assignment]:
    from scipy.stats import qmc

    count, seed, of = _sample_of(given, where)
    power = count.bit_length() - 1
    if count != 2**power:
        raise ConfigError(f"{where}: count: expected a power of two, got {count}.")
    return _at(qmc.Sobol(len(of), rng=np.random.default_rng(seed)).random_base2(power), of, where)


def _at(points: np.ndarray, of: Mapping[str, Any], where: str) -> list[Assignment]:
    maps = [_distribution(given, f"{where}.of.{name}") for name, given in of.items()]
    inside = np.clip(points, 1e-12, 1 - 1e-12)
    return [{name: f(float(u)) for name, f, u in zip(of, maps, point, strict=True)} for point in inside]


def _sample_of(given: Any, where: str) -> tuple[int, int, Mapping[str, Any]]:
    given = _mapping(given, where)
    unknown = given.keys() - {"count", "seed", "of"}
    if unknown or not {"count", "of"} <= given.keys():
        raise ConfigError(f"{where}: expected count, of and, if wanted, seed, got {', '.join(given)}.")
    return _whole(given["count"], f"{where}: count", 1), _whole(given.get("seed", 0), f"{where}: seed"), given["of"]


def _distribution(given: Any, where: str) -> Callable[[float], float]:
    match given:
        case dict() if len(given) == 1:
            name, numbers = next(iter(given.items()))
            fine = isinstance(numbers, list | tuple) and len(numbers) == 2 and all(map(_is_number, numbers))
            if name in DISTRIBUTIONS and fine and _makes_sense(name, *numbers):
                return lambda u: float(DISTRIBUTIONS[name](u, *numbers))
    raise ConfigError(
        f"{where}: expected {{NAME: [a, b]}} with NAME one of {', '.join(DISTRIBUTIONS)} and two numbers that suit "
        f"it, got {given!r:.80}."
    )


def _makes_sense(name: str, first: float | int, second: float | int) -> bool:
    if name in ("uniform", "log_uniform"):
        return first < second and (name == "uniform" or first > 0)
    return second > 0 and (name == "normal" or first > 0)


def _seeds(given: Any, where: str) -> list[Assignment]:
    return [{"seed": seed} for seed in _counted(given, where)]


def _starts(given: Any, where: str) -> list[Assignment]:
    return [{"start.seed": seed} for seed in _counted(given, where)]


def _counted(given: Any, where: str) -> list[int]:
    """The first so many seeds, or those of a list."""
    if isinstance(given, list) and given:
        return [_whole(seed, where) for seed in given]
    return list(range(_whole(given, where, 1)))


KINDS: dict[str, Callable[[Any, str], list[Assignment]]] = {
    "grid": _grid,
    "zip": _zip,
    "random": _random,
    "sobol": _sobol,
    "seeds": _seeds,
    "starts": _starts,
    "series": series,
}


def _values(given: Any, where: str) -> list[Any]:
    """A list as it is, or `{linear: [first, last, count]}`, or the same with `log`."""
    match given:
        case list() if given:
            return given
        case {"linear": [first, last, count]} if len(given) == 1:
            return list(_spaced(np.linspace, first, last, count, where))
        case {"log": [first, last, count]} if len(given) == 1 and _is_number(first) and first > 0:
            return list(_spaced(np.geomspace, first, last, count, where))
    raise ConfigError(f"{where}: expected a list, or {{linear|log: [first, last, count]}}, got {given!r:.80}.")


def _spaced(space: Callable, first: Any, last: Any, count: Any, where: str) -> Iterator[float]:
    if not (_is_number(first) and _is_number(last)):
        raise ConfigError(f"{where}: expected numbers, got {first!r} and {last!r}.")
    return (float(f"{x:.12g}") for x in space(first, last, _whole(count, where, 1)))


def _mapping(given: Any, where: str) -> Mapping[str, Any]:
    if not (isinstance(given, Mapping) and given):
        raise ConfigError(f"{where}: expected settings and their values, got {given!r:.80}.")
    return given


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, where: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{where}: expected a whole number of at least {least}, got {value!r}.")
    return value
