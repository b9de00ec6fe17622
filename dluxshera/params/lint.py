"""What is wrong with the declarations of a model: units, descriptions, symbols, bounds and priors."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .checks import bounds_text, outside_bounds, value_problem
from .paths import Place, derived_places, walk
from .priors import AbstractPrior
from .spec import ParamSpec

LARGEST_TAIL = 1e-6  # of a prior's mass beyond the bounds

_SI = ("m", "1/m", "s", "K", "")
_SUFFIXES = {
    "as": ("arcsec", "arcsec/pixel"),
    "deg": ("deg",),
    "nm": ("nm",),
    "m": ("m",),
    "s": ("s",),
    "e": ("electron", "electron/s"),
    "adu": ("adu", "electron/adu"),
}


def lint(model: Any, priors: Mapping[str, AbstractPrior] | None = None) -> list[str]:
    """Say what is wrong with the declarations of a model; an empty list is what one wants.

    Of every parameter and derived quantity: a description that is a sentence, a symbol, a unit that astropy knows and
    that the ending of the name announces (`_as`, `_nm`, `_deg`; none where it is SI). Of every parameter also: bounds
    that hold its default and its value, and priors whose mass lies inside the bounds.

    Parameters
    ----------
    model : eqx.Module
    priors : mapping of str to prior, optional
        Priors by path besides those of the specs, such as those of a profile.

    Returns
    -------
    list of str
        One line for every problem, with its path.
    """
    parameters = [place for place in walk(model) if place.kind == "parameter"]
    given = {} if priors is None else priors
    found = [f"{p.path}: {text}" for p in (*parameters, *derived_places(model)) for text in _declaration(p)]
    found += [f"{p.path}: {text}" for p in parameters for text in _numbers(p, given.get(p.path))]
    paths = {place.path for place in parameters}
    return found + [f"{path}: a prior of something that is no parameter." for path in given if path not in paths]


def conflicting_units(models: Iterable[Any]) -> list[str]:
    """Say which names stand for quantities of different units in models, one line for each name.

    Parameters
    ----------
    models : iterable of eqx.Module
        All systems that share one language.
    """
    units: dict[str, dict[str, str]] = {}
    for model in models:
        places = [place for place in walk(model) if place.kind == "parameter"]
        for place in (*places, *derived_places(model)):
            where = f"{type(place.owner).__name__}.{place.tokens[-1]}"
            units.setdefault(place.tokens[-1], {})[where] = place.spec.unit
    clashes = {name: found for name, found in units.items() if len(set(found.values())) > 1}
    return [f"{name}: {', '.join(f'{w} in {u!r}' for w, u in found.items())}." for name, found in clashes.items()]


def _declaration(place: Place) -> Iterator[str]:
    spec = place.spec
    if not spec.doc.strip().endswith("."):
        yield f"Expected a description that ends in a full stop, got {spec.doc!r}."
    if not spec.symbol:
        yield "Expected a symbol, got none."
    wrong = _unit_problem(place.tokens[-1], spec.unit)
    if wrong:
        yield wrong


def _unit_problem(name: str, unit: str) -> str | None:
    import astropy.units

    try:
        astropy.units.Unit(unit)
    except ValueError:
        return f"Expected a unit that astropy knows, got {unit!r}."
    suffix = name.rpartition("_")[2] if "_" in name else ""
    expected = _SUFFIXES.get(suffix, _SI)
    fine = unit in expected or (suffix not in _SUFFIXES and unit in _SI)
    return None if fine else f"Expected a unit of {expected} for this name, got {unit!r}."


def _numbers(place: Place, prior: AbstractPrior | None) -> Iterator[str]:
    spec = place.spec
    value = None if place.value is None else value_problem(np.asarray(place.value), spec)
    if value:
        yield value
    if isinstance(spec.default, int | float):
        wrong = value_problem(np.asarray(spec.default, float), spec)
        if wrong:
            yield f"The default: {wrong}"
    for each in (spec.prior, prior):
        if each is not None and _tail(each, spec) > LARGEST_TAIL:
            yield f"Expected a prior inside the bounds {bounds_text(spec.bounds)}, got {each}."


def _tail(prior: AbstractPrior, spec: ParamSpec) -> float:
    """Mass of a prior outside the bounds; 1 where a bounded support reaches beyond them."""
    ends = [np.asarray(end) for end in prior.support]
    finite = [end for end in ends if np.all(np.isfinite(end))]
    if any(outside_bounds(end, spec.bounds).size for end in finite):
        return 1.0
    lower, upper = spec.bounds
    below = 0.0 if lower is None else np.max(prior.cdf(lower))
    above = 0.0 if upper is None else np.max(1 - np.asarray(prior.cdf(upper)))
    return float(below + above)
