"""Which parameters and aliases a list of path patterns selects."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .aliases import check_targets, refuse_derived
from .elements import Target, target
from .paths import Place, describe_kind, find, is_parameter, suggestions, walk
from .spec import ParameterError, ParamSpec

_WILDCARDS = ("*", "?")


class Choice(NamedTuple):
    """One selected parameter or alias, with the spec that holds in this selection."""

    place: Place
    target: Target
    spec: ParamSpec

    @property
    def is_alias(self) -> bool:
        return self.place.kind == "derived"


def select(model: Any, names: Sequence[str], adopted: Mapping[str, ParamSpec]) -> list[Choice]:
    """Return what the patterns select: parameters in flatten order, then aliases as given.

    Parameters
    ----------
    model : eqx.Module
    names : sequence of str
        Patterns over parameter paths (`*` also crosses dots), with optional element suffixes, or exact names
        of aliases.
    adopted : mapping of str to ParamSpec
        Specs by exact path that replace declared ones or adopt undeclared leaves.

    Raises
    ------
    ParameterError
        If a pattern selects nothing, or two select the same element or an alias and its primitive.
    """
    candidates = _candidates(model, adopted)
    order = {path: i for i, path in enumerate(candidates)}
    chosen = [_choice(model, path, adopted) for name in names for path in _expand(model, name, candidates)]
    if not chosen:
        raise ParameterError("Expected at least one parameter, got an empty list of names.")
    primitives = [c for c in chosen if not c.is_alias]
    aliases = [c for c in chosen if c.is_alias]
    check_targets(model, [c.target for c in primitives], [c.target for c in aliases])
    primitives.sort(key=lambda c: (order[c.place.path], c.target.first))
    return primitives + aliases


def matches(pattern: str, path: str) -> bool:
    """Whether a path matches a pattern in which `*` stands for any text and `?` for one character."""
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, path) is not None


def _candidates(model: Any, adopted: Mapping[str, ParamSpec]) -> dict[str, Place]:
    candidates = {p.path: p for p in walk(model) if is_parameter(p) or p.path in adopted}
    for path in adopted:
        place, _ = find(model, path)
        if place.kind != "derived":
            _check_adoptable(path, place)
    return candidates


def _check_adoptable(path: str, place: Place) -> None:
    if place.kind not in ("parameter", "leaf"):
        kind = describe_kind(place)
        raise ParameterError(f"Expected a parameter or an undeclared leaf at {path!r}, got {kind}.")
    dtype = getattr(place.value, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, np.floating):
        raise ParameterError(
            f"Expected a float array at {path!r}, got {place.value!r}. "
            "Put jnp.asarray(value, float) there with eqx.tree_at first."
        )


def _expand(model: Any, name: str, candidates: Mapping[str, Place]) -> list[str]:
    """Return the exact paths, with suffix, that one pattern selects."""
    whole = [path for path in candidates if matches(name, path)]
    if whole:
        return whole
    base, bracket, suffix = name.rpartition("[")
    parts = [f"{path}[{suffix}" for path in candidates if matches(base, path)] if bracket else []
    if parts:
        return parts
    if any(wildcard in name for wildcard in _WILDCARDS):
        raise ParameterError(_nothing_selected(model, name, candidates))
    _check_exact(model, name)
    return [name]


def _nothing_selected(model: Any, name: str, candidates: Mapping[str, Place]) -> str:
    stem = name.replace("*", "").strip(".")
    hint = suggestions(model, stem) if stem else ""
    known = ", ".join(candidates) or "none"
    return f"Expected a pattern that matches parameters, got {name!r}.{hint} There are: {known}."


def _check_exact(model: Any, name: str) -> None:
    """Refuse an exact name that is not an alias, saying what it is."""
    place, _ = find(model, name)
    if place.kind == "derived" and place.value.is_alias:
        return
    if place.kind == "derived":
        raise refuse_derived(place)
    advice = {
        "node": f" Use '{name}.*' for all that it holds.",
        "leaf": " Give a ParamSpec for it in overrides to adopt it.",
        "parameter": " It is absent (None) in this model.",
    }
    raise ParameterError(
        f"Expected a parameter or an alias, got {name!r}, {describe_kind(place)}.{advice.get(place.kind, '')}"
    )


def _choice(model: Any, path: str, adopted: Mapping[str, ParamSpec]) -> Choice:
    place, item = target(model, path)
    return Choice(place, item, adopted.get(place.path, place.spec))
