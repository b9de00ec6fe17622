"""A model built anew with another structure, with everything carried over that still fits."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from .checks import is_traced
from .elements import element_labels
from .model import Model
from .paths import Place, walk
from .spec import ParameterError


class RebuildWarning(UserWarning):
    """Something of a model could not be carried into the rebuilt one; `paths` names it."""

    def __init__(self, message: str, paths: tuple[str, ...]):
        UserWarning.__init__(self, message)
        self.paths = paths


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model was built, held by the model as a static value that is equal to any other recipe.

    So models that differ in their recipe alone stack and share compiled code, and a compiled function may give a
    model the recipe of another one: `rebuilt` believes only what the arrays of the model bear out.

    Parameters
    ----------
    build : callable
        `build(changes, carried) -> model`: from the recipe with changes of any kind, then values of parameters and
        buffers of a model, by path; the recipe of the result has the changes in it, not the values.
    planned : tuple of str
        Paths of static values that a build chooses by itself.
    free_sizes : tuple of tuples of str
        Paths of buffers whose size no structural choice fixes, in groups that go together.
    """

    build: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] = dataclasses.field(compare=False, repr=False)
    planned: tuple[str, ...] = dataclasses.field(default=(), compare=False, repr=False)
    free_sizes: tuple[tuple[str, ...], ...] = dataclasses.field(default=(), compare=False, repr=False)


class Carried(NamedTuple):
    """Values that go into the rebuilt model by path, and why others cannot, by path."""

    values: dict[str, Any]
    lost: dict[str, str]


class Versions(NamedTuple):
    """Places by path of the model, of what its recipe builds, and of what it builds with the changes."""

    model: dict[str, Place]
    old: dict[str, Place]
    new: dict[str, Place]


def rebuilt(model: Any, recipe: Recipe | None, changes: Mapping[str, Any]) -> Any:
    """Build a model anew with changes of its structure; see `Instrument.rebuild`.

    Parameters
    ----------
    model : eqx.Module
    recipe : Recipe or None
    changes : mapping of str to value
        By path, as the recipe's `build` takes them.

    Raises
    ------
    ParameterError
        If the model has no recipe, is a stack of models, has a part of another class than its recipe builds, or its
        values are known to a JAX transformation only.

    Warns
    -----
    RebuildWarning
        Naming what could not be carried.
    """
    if recipe is None:
        raise ParameterError("Expected a model built from a profile, got one without a recipe. Use ds.load_profile.")
    if any(map(is_traced, jax.tree.leaves(model))):
        raise ParameterError("Expected a model with known values, got a traced one. Rebuild outside of jit and grad.")
    old = recipe.build({}, {})
    _refuse_other_parts(model, old)
    _refuse_stack(model, old)
    changes = {**_own_structure(model, old, recipe), **dict(flat_changes(changes))}
    versions = Versions(*map(_places, (model, old, recipe.build(changes, {}))))
    carried, lost = _carry(versions, recipe.free_sizes)
    _warn({path: why for path, why in lost.items() if path.partition("[")[0] not in changes})
    return recipe.build(changes, carried)


def _refuse_other_parts(model: Any, old: Any, path: str = "the model") -> None:
    """Refuse a part whose class the recipe does not know: another one would be built in its place."""
    if type(model) is not type(old):
        mine, made = type(model).__name__, type(old).__name__
        raise ParameterError(f"{path}: Expected a {made}, as the recipe builds it, got a {mine}. Build it by hand.")
    for field in dataclasses.fields(model):
        mine, made = getattr(model, field.name), getattr(old, field.name)
        if isinstance(mine, Model) and isinstance(made, Model):
            _refuse_other_parts(mine, made, field.name if path == "the model" else f"{path}.{field.name}")


def _refuse_stack(model: Any, old: Any) -> None:
    made = {place.path: np.ndim(place.value) for place in walk(old) if place.kind == "parameter"}
    for place in walk(model):
        if place.kind == "parameter" and np.ndim(place.value) > made.get(place.path, np.inf):
            shape = np.shape(place.value)
            raise ParameterError(
                f"{place.path}: Expected one model, got a stack of shape {shape}. Rebuild each member."
            )


def _places(model: Any) -> dict[str, Place]:
    """Parameters and buffers by path, with their values on the host."""
    places = [place for place in walk(model) if place.kind in ("parameter", "buffer")]
    values = jax.device_get([place.value for place in places])
    return {p.path: p._replace(value=value) for p, value in zip(places, values, strict=True)}


def _own_structure(model: Any, old: Any, recipe: Recipe) -> dict[str, Any]:
    """Structural choices of the model that its recipe did not make."""
    made = {place.path: place.value for place in walk(old) if place.kind == "static"}
    own = {p.path: p.value for p in walk(model) if p.kind == "static" and p.path not in recipe.planned}
    return {path: value for path, value in own.items() if path in made and value != made[path]}


def _carry(versions: Versions, free_sizes: tuple[tuple[str, ...], ...]) -> Carried:
    carried = Carried({}, {})
    whole = {path for group in free_sizes if any(_is_own(versions, path) for path in group) for path in group}
    for path, place in versions.model.items():
        new = versions.new.get(path)
        if new is None:
            carried.lost[path] = f"{path} (there is none)"
        elif path in whole or (place.kind == "buffer" and place.value is None):
            carried.values[path] = place.value
        elif place.kind == "buffer" and not _is_own(versions, path):
            carried.values[path] = new.value
        elif _is_labelled(place) and _is_labelled(new):
            _carry_by_label(carried, place, new)
        elif np.shape(place.value) == np.shape(new.value) or place.value is None:
            carried.values[path] = place.value
        else:
            carried.lost[path] = f"{path} (shape {np.shape(place.value)}, and {np.shape(new.value)} is needed)"
    return carried


def _is_own(versions: Versions, path: str) -> bool:
    """Whether the model has another array there than its recipe makes."""
    mine, made = (places.get(path) for places in (versions.model, versions.old))
    if mine is None or made is None or mine.value is None or made.value is None:
        return (mine and mine.value is not None) != (made and made.value is not None)
    return not np.array_equal(mine.value, made.value)


def _is_labelled(place: Place) -> bool:
    return place.value is not None and place.spec is not None and place.spec.element_labels is not None


def _carry_by_label(carried: Carried, place: Place, new: Place) -> None:
    """Carry the elements whose label both have, such as a Noll number."""
    values = dict(zip(element_labels(place), np.asarray(place.value), strict=True))
    labels = element_labels(new)
    carried.values[place.path] = np.array([values.get(k, v) for k, v in zip(labels, new.value, strict=True)])
    gone = {label: value for label, value in values.items() if label not in labels and value != 0}
    carried.lost.update({f"{place.path}[{k}]": f"{place.path}[{k}] = {v:.10g}" for k, v in gone.items()})


def _warn(lost: dict[str, str]) -> None:
    if lost:
        message = f"Not carried into the rebuilt model: {'; '.join(lost.values())}. Set what is missing again."
        warnings.warn(RebuildWarning(message, tuple(lost)), stacklevel=5)


def flat_changes(changes: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted paths and values of mappings within mappings."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and value:
            yield from flat_changes(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
