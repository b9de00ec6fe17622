"""What varies in a campaign: each axis a list of assignments, all of them a product."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from ..config import ConfigError
from .counts import check_size, counted, is_number, whole
from .drift import FRAME_SETTINGS, series

Assignment = dict[str, Any]

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
        Naming the axis and key at fault, before anything too large is made.
    """
    axes, rows, names = [], 1, 0
    for i, axis in enumerate(vary):
        axes.append(_axis(axis, f"{where}: vary[{i}]"))
        rows, names = rows * len(axes[-1]), names + len(axes[-1][0])
        check_size(rows, names, f"{where}: vary")
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
    columns = _columns(given, where, math.prod)
    return [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]


def _zip(given: Any, where: str) -> list[Assignment]:
    columns = _columns(given, where, max)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ConfigError(f"{where}: expected lists of one length, got {lengths}.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns(given: Any, where: str, rows: Callable[[list[int]], int]) -> dict[str, list[Any]]:
    """The values of each setting, made once it is known that their rows are not too many."""
    given = _mapping(given, where)
    check_size(rows([_count(values, f"{where}.{name}") for name, values in given.items()]), len(given), where)
    return {_varied(name, where): _values(values, f"{where}.{name}") for name, values in given.items()}


def _varied(name: str, where: str) -> str:
    if name in FRAME_SETTINGS:
        raise ConfigError(f"{where}.{name}: only a series gives it, frame by frame. Use the axis series.")
    return name


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
    maps = [_distribution(given, f"{where}.of.{_varied(name, where)}") for name, given in of.items()]
    inside = np.clip(points, 1e-12, 1 - 1e-12)
    try:
        return [{name: f(float(u)) for name, f, u in zip(of, maps, point, strict=True)} for point in inside]
    except OverflowError as error:
        raise ConfigError(f"{where}.of: expected distributions of numbers below 1e308: {error}.") from error


def _sample_of(given: Any, where: str) -> tuple[int, int, Mapping[str, Any]]:
    given = _mapping(given, where)
    unknown = given.keys() - {"count", "seed", "of"}
    if unknown or not {"count", "of"} <= given.keys():
        raise ConfigError(f"{where}: expected count, of and, if wanted, seed, got {', '.join(given)}.")
    count, of = counted(given["count"], f"{where}: count"), _mapping(given["of"], f"{where}.of")
    check_size(count, len(of), where)
    return count, whole(given.get("seed", 0), f"{where}: seed"), of


def _distribution(given: Any, where: str) -> Callable[[float], float]:
    match given:
        case dict() if len(given) == 1:
            name, numbers = next(iter(given.items()))
            fine = isinstance(numbers, list | tuple) and len(numbers) == 2 and all(map(is_number, numbers))
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
        return [whole(seed, where) for seed in given]
    return list(range(counted(given, where)))


KINDS: dict[str, Callable[[Any, str], list[Assignment]]] = {
    "grid": _grid,
    "zip": _zip,
    "random": _random,
    "sobol": _sobol,
    "seeds": _seeds,
    "starts": _starts,
    "series": series,
}


def _count(given: Any, where: str) -> int:
    """How many values there are in what `_values` takes."""
    match given:
        case {"linear": [_, _, count]} | {"log": [_, _, count]}:
            return counted(count, where)
    return len(given) if isinstance(given, list) else 1


def _values(given: Any, where: str) -> list[Any]:
    """A list as it is, or `{linear: [first, last, count]}`, or the same with `log`."""
    match given:
        case list() if given:
            return given
        case {"linear": [first, last, count]} if len(given) == 1:
            return list(_spaced(np.linspace, first, last, count, where))
        case {"log": [first, last, count]} if len(given) == 1 and _are_positive(first, last):
            return list(_spaced(np.geomspace, first, last, count, where))
    raise ConfigError(f"{where}: expected a list, or {{linear|log: [first, last, count]}}, got {given!r:.80}.")


def _spaced(space: Callable, first: Any, last: Any, count: Any, where: str) -> Iterator[float]:
    if not (is_number(first) and is_number(last)):
        raise ConfigError(f"{where}: expected numbers, got {first!r} and {last!r}.")
    return (float(f"{x:.12g}") for x in space(first, last, counted(count, where)))


def _are_positive(*values: Any) -> bool:
    return all(is_number(value) and value > 0 for value in values)


def _mapping(given: Any, where: str) -> Mapping[str, Any]:
    if not (isinstance(given, Mapping) and given):
        raise ConfigError(f"{where}: expected settings and their values, got {given!r:.80}.")
    return given
