"""Checks of declared fields: at construction (`check_fields`) and on a finished model (`validate`)."""

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import AbstractArray

from .coerce import as_float
from .fields import as_buffer, field_kind, is_static_value
from .paths import Place, walk
from .spec import ParameterError, ParamSpec
from .units import slip_hint


def check_fields(module: Any) -> None:
    """Check the declared fields of a module that has just been built.

    Raises
    ------
    ParameterError, TypeError
        Naming the class and the field.
    """
    sizes = dimension_sizes(module)
    for field in dataclasses.fields(module):
        kind, value = field_kind(field), getattr(module, field.name)
        where = f"{type(module).__name__}.{field.name}"
        if kind == "static" and not is_static_value(value):
            raise TypeError(
                f"{where}: Expected an int, str, bool, enum, frozen record or a tuple of those, "
                f"got {value!r}. Declare numbers with param or buffer."
            )
        if kind in ("parameter", "buffer"):
            _check_array_field(where, field, value, sizes)


def validate(model: Any) -> Any:
    """Check every parameter and buffer of a model, on the host; traced values are skipped.

    Parameters must be float arrays of their declared shape, finite, inside their inclusive bounds and
    accepted by their validator; buffers must be arrays without NaN or infinity.

    Parameters
    ----------
    model : eqx.Module

    Returns
    -------
    model : eqx.Module
        The same model.

    Raises
    ------
    ParameterError
        One message that lists every problem by path.
    """
    problems = list(model_problems(model)) or list(_construction_problems(model))
    if problems:
        raise ParameterError("Expected a valid model, got:\n  " + "\n  ".join(problems))
    return model


def _construction_problems(model: Any) -> Iterator[str]:
    """What a class checks when it is built, relations between values above all, checked again after an edit."""
    for node in (model, *(place.value for place in walk(model) if place.kind == "node")):
        for base in type(node).__mro__:
            if "__check_init__" in vars(base):
                try:
                    vars(base)["__check_init__"](node)
                except ValueError as error:
                    yield str(error)


def model_problems(model: Any) -> Iterator[str]:
    """Yield one line for every parameter or buffer that is not acceptable."""
    places = [p for p in walk(model) if p.kind in ("parameter", "buffer") and not is_traced(p.value)]
    host = jax.device_get([p.value for p in places])
    sizes = {id(p.owner): dimension_sizes(p.owner) for p in places}
    for place, value in zip(places, host, strict=True):
        problem = _place_problem(place, value, sizes[id(place.owner)])
        if problem:
            yield f"{place.path}: {problem}"


def value_problem(value: np.ndarray, spec: ParamSpec) -> str | None:
    """Say what is wrong with a concrete value (finite, bounds, validator), or return None."""
    if not np.all(np.isfinite(value)):
        return f"Expected finite numbers, got {_brief(value)}."
    outside = outside_bounds(value, spec.bounds)
    if outside.size:
        hint = slip_hint(outside, spec)
        return f"Expected a value in {bounds_text(spec.bounds)}, got {_brief(value)}.{hint}"
    return spec.validator(value) if spec.validator is not None else None


def outside_bounds(value: Any, bounds: tuple[float | None, float | None]) -> np.ndarray:
    """Return the elements below the lower or above the upper bound, flat."""
    lower, upper = (default if b is None else b for b, default in zip(bounds, (-np.inf, np.inf), strict=True))
    flat = np.ravel(value)
    return flat[(flat < lower) | (flat > upper)]


def bounds_text(bounds: tuple[float | None, float | None]) -> str:
    """Write bounds as an interval, `[0, inf)`."""
    lower, upper = bounds
    left = "(-inf" if lower is None else f"[{lower:.10g}"
    right = "inf)" if upper is None else f"{upper:.10g}]"
    return f"{left}, {right}"


def is_traced(value: Any) -> bool:
    """Whether a value is known only to a JAX transformation."""
    return isinstance(value, jax.core.Tracer)


def dimension_sizes(module: Any) -> dict[str, int]:
    """Return the sizes that field names stand for: static ints, lengths of static tuples and of arrays."""
    sizes = {}
    if not dataclasses.is_dataclass(module):
        return sizes
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        if field_kind(field) == "static":
            sizes |= _static_size(field.name, value)
        elif field_kind(field) is not None and np.ndim(value):
            sizes[field.name] = np.shape(value)[0]
    return sizes


@functools.cache
def declared_dimensions(field: dataclasses.Field) -> tuple[int | str, ...] | None:
    """Return the shape declared by `shape=` or by a jaxtyping annotation; None when there is none."""
    spec = field.metadata["spec"]
    if spec.shape is not None:
        return tuple(spec.shape)
    arrays = [a for a in _alternatives(field.type) if isinstance(a, type) and issubclass(a, AbstractArray)]
    if len(arrays) != 1 or "..." in arrays[0].dim_str or "*" in arrays[0].dim_str:
        return None
    return tuple(int(d) if d.isdigit() else d for d in arrays[0].dim_str.split())


def _check_array_field(where: str, field: dataclasses.Field, value: Any, sizes: dict[str, int]) -> None:
    if type(value) is object or isinstance(value, jax.ShapeDtypeStruct):  # stand-ins for a leaf
        return
    if value is None and field.metadata["optional"]:
        return
    if not isinstance(value, jax.Array):
        _raise_not_an_array(where, field, value)
    problem = _shape_problem(np.shape(value), field, sizes)
    if problem:
        raise ParameterError(f"{where}: {problem}")


def _raise_not_an_array(where: str, field: dataclasses.Field, value: Any) -> None:
    unit = field.metadata["spec"].unit
    try:
        as_float(value, unit) if field_kind(field) == "parameter" else as_buffer(value, unit, float)
    except TypeError as error:
        raise TypeError(f"{where}: {error}") from error
    except ValueError as error:
        raise ParameterError(f"{where}: {error}") from error


def _place_problem(place: Place, value: Any, sizes: dict[str, int]) -> str | None:
    field = place.owner.__dataclass_fields__[place.tokens[-1]]
    if value is None and field.metadata["optional"]:
        return None
    if not isinstance(place.value, jax.Array | np.ndarray | np.generic):
        got = f"{place.value!r} of type {type(value).__name__}"
        return f"Expected an array, got {got}. {_array_advice(value)}"
    if place.kind == "buffer":
        problem = "" if np.all(np.isfinite(value)) else "Expected finite numbers, got NaN or infinity."
        return _shape_problem(np.shape(value), field, sizes) or problem
    if not jnp.issubdtype(value.dtype, np.floating):
        return f"Expected a float array, got {value.dtype}. Give jnp.asarray(value, float)."
    return _shape_problem(np.shape(value), field, sizes) or value_problem(value, place.spec)


def _array_advice(value: Any) -> str:
    return f"Give jnp.asarray({value!r})." if isinstance(value, float) else "Give jnp.asarray(value, float)."


def _shape_problem(shape: tuple[int, ...], field: dataclasses.Field, sizes: dict[str, int]) -> str | None:
    dimensions = declared_dimensions(field)
    if dimensions is None:
        return None
    if field_kind(field) == "buffer":  # a buffer may be swapped for one of another size
        expected = tuple(d if isinstance(d, int) else None for d in dimensions)
    else:
        expected = tuple(sizes.get(d) if isinstance(d, str) else d for d in dimensions)
    fits = len(shape) == len(expected) and all(e in (None, n) for e, n in zip(expected, shape, strict=True))
    return None if fits else f"Expected shape {_shape_text(dimensions, expected)}, got {shape}."


def _shape_text(dimensions: tuple, expected: tuple) -> str:
    sizes = [str(d) if e is None or d == e else f"{d}={e}" for d, e in zip(dimensions, expected, strict=True)]
    return f"({', '.join(sizes)})"


def _static_size(name: str, value: Any) -> dict[str, int]:
    if isinstance(value, tuple):
        return {name: len(value)}
    return {name: value} if isinstance(value, int) and not isinstance(value, bool) else {}


def _alternatives(annotation: Any) -> tuple:
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _brief(value: Any) -> str:
    if np.ndim(value) == 0:
        return f"{float(value):.10g}"
    return np.array2string(np.asarray(value), precision=10, threshold=8, edgeitems=3)
