"""Elements of a vector parameter: suffixes such as `[3]`, `[2:]` and `[Z4]`, and their labels."""

import collections
import dataclasses
import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from .paths import Place, find
from .spec import ParameterError


@dataclasses.dataclass(frozen=True)
class Target:
    """The elements of one place that a path names.

    Attributes
    ----------
    name : str
        The path as given, with its suffix.
    tokens : tuple of str
        Steps from the root to the array.
    elements : tuple of ints or None
        Positions in the flattened array; None when the whole array is meant.
    shape : tuple of ints
        Shape of what is named.
    """

    name: str
    tokens: tuple[str, ...]
    elements: tuple[int, ...] | None
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def positions(self) -> tuple[int, ...]:
        """Positions in the flattened array, also when the whole array is meant."""
        return tuple(range(self.size)) if self.elements is None else self.elements

    @property
    def first(self) -> int:
        """The first of these positions."""
        return 0 if self.elements is None else self.elements[0]

    def read(self, array: Any) -> Any:
        """Take the named elements out of the array."""
        if self.elements is None:
            return jnp.asarray(array)
        return jnp.ravel(array)[np.asarray(self.elements)].reshape(self.shape)

    def write(self, array: Any, value: Any) -> Any:
        """Return the array with the named elements replaced."""
        if self.elements is None:
            return value
        flat = jnp.ravel(array).at[np.asarray(self.elements)].set(jnp.ravel(value))
        return flat.reshape(jnp.shape(array))


def target(model: Any, path: str) -> tuple[Place, Target]:
    """Resolve a path with an optional element suffix.

    Raises
    ------
    ParameterError
        If the path leads nowhere or the suffix names no element.
    """
    place, suffix = find(model, path)
    if suffix is None:
        shape = () if place.kind in ("node", "static") else _shape(place)
        return place, Target(path, place.tokens, None, shape)
    positions = np.arange(math.prod(_shape(place))).reshape(_shape(place))
    picked = positions[parse_suffix(suffix, place)]
    if picked.size == 0:
        raise ParameterError(f"Expected an element of {place.path!r}, got the empty selection [{suffix}].")
    return place, Target(path, place.tokens, tuple(picked.ravel().tolist()), picked.shape)


def parse_suffix(suffix: str, place: Place) -> Any:
    """Turn `"3"`, `"2:"`, `"1,0"` or a label such as `"Z4"` into a NumPy index of the place's array.

    Raises
    ------
    ParameterError
        If it is none of these, or out of range; the message lists the labels.
    """
    labels, shape = element_labels(place), _shape(place)
    if suffix in labels and len(shape) == 1:
        return labels.index(suffix)
    try:
        index = tuple(_parse_axis(part) for part in suffix.split(","))
        np.empty(shape, np.bool_)[index]
    except (ValueError, IndexError) as error:
        known = ", ".join(labels[:12]) or "none, it is a scalar"
        raise ParameterError(
            f"Expected an element of {place.path!r} of shape {shape}, got [{suffix}]. It has: {known}."
        ) from error
    return index


def element_labels(place: Place) -> tuple[str, ...]:
    """Return one label per element in flattened order: declared ones such as `Z4`, else `i` or `i,j`."""
    declared = declared_labels(place)
    return indices(_shape(place)) if declared is None else declared


def declared_labels(place: Place) -> tuple[str, ...] | None:
    """Return the labels that the spec of a vector gives its elements, or None."""
    shape = _shape(place)
    if place.spec is None or place.spec.element_labels is None or len(shape) != 1:
        return None
    labels = tuple(map(str, place.spec.element_labels(place.owner)))
    if len(labels) != shape[0]:
        raise ParameterError(f"{place.path}: Expected {shape[0]} element labels, got {len(labels)}.")
    return labels


def indices(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the index of every element of an array as text, in flattened order; none of a scalar."""
    return tuple(",".join(map(str, index)) for index in np.ndindex(shape)) if shape else ()


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of one part of θ, written out only when asked for: a part may be an image.

    Attributes
    ----------
    path : str
    shape : tuple of int
        Of the whole array.
    elements : tuple of int or None
        Positions of those that are meant; None for all.
    declared : tuple of str or None
        Of the whole array.
    """

    path: str
    shape: tuple[int, ...]
    elements: tuple[int, ...] | None
    declared: tuple[str, ...] | None

    def write(self) -> tuple[str, ...]:
        """Return one label per element."""
        if not self.shape:
            return (self.path,)
        every = indices(self.shape) if self.declared is None else self.declared
        chosen = every if self.elements is None else [every[i] for i in self.elements]
        return tuple(f"{self.path}[{label}]" for label in chosen)


def labels_of(place: Place, item: Target) -> Labels:
    """Return the labels of what a target names."""
    return Labels(place.path, _shape(place), item.elements, declared_labels(place))


@functools.lru_cache(maxsize=16)
def written(parts: tuple[Labels, ...]) -> tuple[str, ...]:
    """Return the labels of all parts, one per element."""
    return tuple(label for part in parts for label in part.write())


def read_place(place: Place) -> Any:
    """Return the value at a place; a derived quantity is computed."""
    return getattr(place.owner, place.tokens[-1]) if place.kind == "derived" else place.value


def check_disjoint(targets: list[Target]) -> None:
    """Check that no element is named twice.

    Raises
    ------
    ParameterError
        Naming the two that overlap.
    """
    seen, places = {}, collections.Counter(item.tokens for item in targets)
    for item in targets:
        for position in item.positions() if places[item.tokens] > 1 else ():
            other = seen.setdefault((item.tokens, position), item)
            if other is not item:
                raise ParameterError(
                    f"Expected distinct parameters, got {other.name!r} and {item.name!r}, which overlap. "
                    "Name each element once."
                )


def _shape(place: Place) -> tuple[int, ...]:
    return np.shape(read_place(place))


def _parse_axis(text: str) -> int | slice:
    if ":" not in text:
        return int(text)
    return slice(*(int(part) if part.strip() else None for part in text.split(":")))
