"""Dotted paths: walking a model's tree, and finding the place a path leads to."""

import dataclasses
import difflib
import functools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax

from .derived import DerivedProperty
from .fields import field_kind
from .spec import ParameterError, ParamSpec

_TOKEN = re.compile(r"[^.\[\]]+|\[[^\[\]]*\]")


class Place(NamedTuple):
    """One place in a model's tree.

    `kind` is "parameter", "buffer", "static", "derived", "node" or "leaf" (an undeclared dynamic value);
    `owner` is the node that holds it, and `tokens` the steps from the root.
    """

    path: str
    tokens: tuple[str, ...]
    kind: str
    value: Any
    owner: Any
    spec: ParamSpec | None


class UnknownPathError(ParameterError):
    """A path leads nowhere; the message suggests close matches."""


def walk(node: Any, tokens: tuple[str, ...] = ()) -> Iterator[Place]:
    """Yield every place under a node in flatten order, containers before what they hold."""
    for place in children(node, tokens):
        yield place
        if place.kind == "node":
            yield from walk(place.value, place.tokens)


def children(node: Any, tokens: tuple[str, ...] = ()) -> Iterator[Place]:
    """Yield the places directly under a node, in flatten order."""
    if isinstance(node, eqx.Module):
        for field in dataclasses.fields(node):
            value, spec = getattr(node, field.name), field.metadata.get("spec")
            yield _place((*tokens, field.name), field_kind(field) or _kind_of(value), value, node, spec)
    elif isinstance(node, dict):
        for key in sorted(node):
            yield _place((*tokens, str(key)), _kind_of(node[key]), node[key], node, None)
    else:
        for i, value in enumerate(node):
            yield _place((*tokens, f"[{i}]"), _kind_of(value), value, node, None)


def derived_places(model: Any) -> Iterator[Place]:
    """Yield the derived quantities of the model and of every module in it; their values are not computed."""
    nodes = [((), model), *((p.tokens, p.value) for p in walk(model) if p.kind == "node")]
    for tokens, node in nodes:
        for name, quantity in derived_properties(type(node)).items():
            yield _place((*tokens, name), "derived", quantity, node, quantity.spec)


@functools.cache
def derived_properties(cls: type) -> dict[str, DerivedProperty]:
    """Return the derived properties of a class by name, in the order of their declaration."""
    names = {name: None for base in reversed(cls.__mro__) for name in vars(base)}
    found = {name: getattr(cls, name, None) for name in names if not name.startswith("__")}
    return {name: value for name, value in found.items() if isinstance(value, DerivedProperty)}


def parameter_paths(model: Any) -> tuple[str, ...]:
    """Return the dotted path of every parameter, in flatten order."""
    return tuple(p.path for p in walk(model) if is_parameter(p))


def is_parameter(place: Place) -> bool:
    """Whether a place holds a parameter that is present."""
    return place.kind == "parameter" and place.value is not None


def parameter_mask(model: Any) -> Any:
    """Return the model's tree with True at parameters and False elsewhere, for `eqx.partition`."""
    return mask_of(model, [p.tokens for p in walk(model) if is_parameter(p)])


def mask_of(model: Any, where: list[tuple[str, ...]]) -> Any:
    """Return the model's tree with True at the given places and False elsewhere."""
    mask = jax.tree.map(lambda _: False, model)
    if not where:
        return mask
    return eqx.tree_at(lambda m: [descend(m, tokens) for tokens in where], mask, [True] * len(where))


def split_path(path: str) -> tuple[str, ...]:
    """Split `"optics.stops[0].radius"` into `("optics", "stops", "[0]", "radius")`."""
    tokens = tuple(_TOKEN.findall(path))
    if not tokens or join_tokens(tokens) != path:
        raise UnknownPathError(f"Expected a dotted path such as 'optics.m1.diameter', got {path!r}.")
    return tokens


def join_tokens(tokens: tuple[str, ...]) -> str:
    """Join tokens to a dotted path; the inverse of `split_path`."""
    return "".join(t if t.startswith("[") else f".{t}" for t in tokens).removeprefix(".")


def descend(model: Any, tokens: tuple[str, ...]) -> Any:
    """Follow tokens from the root by plain attribute and item access."""
    for token in tokens:
        model = _step(model, token)
    return model


def find(model: Any, path: str) -> tuple[Place, str | None]:
    """Return the place that a path leads to, and its element suffix (`"2:"` of `"...[2:]"`) or None.

    Raises
    ------
    UnknownPathError
        If the path leads nowhere; the message lists what exists at that level and close matches.
    """
    tokens, node, place = split_path(path), model, None
    for depth, token in enumerate(tokens):
        if place is not None and place.kind != "node":
            if place.kind != "static" and token.startswith("[") and depth == len(tokens) - 1:
                return place, token[1:-1]
            raise _unknown(model, path, place.path, token, [])
        level = _level(node, tokens[:depth])
        if token not in level:
            raise _unknown(model, path, join_tokens(tokens[:depth]), token, list(level))
        place = level[token]
        node = place.value
    return place, None


def spec_of(model: Any, path: str) -> ParamSpec:
    """Return the `ParamSpec` of a parameter, buffer, static or derived quantity, given its path.

    Raises
    ------
    UnknownPathError
        If the path leads nowhere.
    ParameterError
        If nothing was declared about what is there.
    """
    place, _ = find(model, path)
    if place.spec is None:
        raise ParameterError(f"Expected a declared quantity at {path!r}, got {describe_kind(place)}.")
    return place.spec


def describe_kind(place: Place) -> str:
    """Say in words what is at a place, for error messages."""
    if place.kind == "node":
        inside = ", ".join(p.tokens[-1] for p in children(place.value)) or "nothing"
        return f"a container ({type(place.value).__name__}) of {inside}"
    words = {"static": "a static value", "leaf": "an undeclared value", "derived": "a derived quantity"}
    return words.get(place.kind, f"a {place.kind}")


def suggestions(model: Any, path: str) -> str:
    """Return " Did you mean ...?" with the paths close to the given one, or an empty string."""
    known = [p.path for p in walk(model) if p.kind != "node"] + [p.path for p in derived_places(model)]
    last = {p: p.rsplit(".", 1)[-1] for p in known}
    close = difflib.get_close_matches(path, known, n=3, cutoff=0.7)
    close += [p for p, name in last.items() if name == path.rsplit(".", 1)[-1] and p not in close]
    return f" Did you mean {' or '.join(map(repr, close[:3]))}?" if close else ""


def _place(tokens: tuple[str, ...], kind: str, value: Any, owner: Any, spec: ParamSpec | None) -> Place:
    return Place(join_tokens(tokens), tokens, kind, value, owner, spec)


def _kind_of(value: Any) -> str:
    return "node" if isinstance(value, eqx.Module | tuple | list | dict) else "leaf"


def _level(node: Any, tokens: tuple[str, ...]) -> dict[str, Place]:
    level = {place.tokens[-1]: place for place in children(node, tokens)}
    for name, quantity in derived_properties(type(node)).items():
        level[name] = _place((*tokens, name), "derived", quantity, node, quantity.spec)
    return level


def _step(node: Any, token: str) -> Any:
    if token.startswith("["):
        return node[int(token[1:-1])]
    if isinstance(node, dict):
        return next(value for key, value in node.items() if str(key) == token)
    return getattr(node, token)


def _unknown(model: Any, path: str, parent: str, token: str, level: list[str]) -> UnknownPathError:
    there = f" It has: {', '.join(level)}." if level else " Nothing lies below it."
    return UnknownPathError(
        f"Expected an existing path, got {path!r}: {parent or 'the model'!r} has no {token!r}."
        f"{suggestions(model, path)}{there}"
    )
