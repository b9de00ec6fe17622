"""Reading and writing values by dotted path."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np

from .aliases import check_targets, refuse_derived, solve_alias
from .checks import is_traced, validate, value_problem
from .coerce import as_float
from .elements import Target, read_place, target
from .fields import as_buffer
from .paths import Place, descend, describe_kind
from .spec import ParameterError, ParamSpec
from .units import in_unit


def get_value(model: Any, path: str) -> Any:
    """Return the value at a path; a derived quantity is computed.

    Parameters
    ----------
    model : eqx.Module
    path : str
        Dotted path, with an optional element suffix: `[3]`, `[2:]` or a label such as `[Z4]`.

    Raises
    ------
    UnknownPathError
        If the path leads nowhere; the message suggests close matches.
    """
    place, item = target(model, path)
    value = read_place(place)
    return value if item.elements is None else item.read(value)


def replace_paths(model: Any, values: Mapping[str, Any]) -> Any:
    """Return the model with new values at the given paths, unchecked; safe under every transformation.

    Aliases are solved for after the primitives.

    Parameters
    ----------
    model : eqx.Module
    values : mapping of str to array
        Values by path, with optional element suffixes; they are put in place as they are.

    Raises
    ------
    ParameterError
        If a path leads nowhere, is static, or is derived and cannot be solved for.
    """
    resolved = [(*_settable(model, path), value) for path, value in values.items()]
    return _write(model, resolved)


def set_values(model: Any, values: Mapping[str, Any]) -> Any:
    """Return the model with new values, converted to the declared units and checked.

    Parameters
    ----------
    model : eqx.Module
    values : mapping of str to number, array, astropy Quantity or text such as `550 nm`
        Values by path of parameters, buffers and aliases, with optional element suffixes. The shape must
        be the present one, except that a whole buffer may change its shape. Plain numbers are in the declared
        unit; one that is far too large for it is refused as a slip, unless its unit is given.

    Returns
    -------
    model : eqx.Module
        The new model, validated.

    Raises
    ------
    ParameterError
        If a path cannot be set, or a value has the wrong unit or shape or is out of bounds.
    TypeError
        If a value is not a number.
    """
    return _set(model, values, _from_user)


def restore_values(model: Any, values: Mapping[str, Any]) -> Any:
    """As `set_values`, for numbers that a model has held before: none is taken for a slip of units."""
    return _set(model, values, lambda value, spec: value)


def _set(model: Any, values: Mapping[str, Any], read: Callable[[Any, ParamSpec], Any]) -> Any:
    resolved = [(*_settable(model, path), value) for path, value in values.items()]
    resolved = [(place, item, _coerced(place, item, value, read)) for place, item, value in resolved]
    return validate(_write(model, resolved))


def write_targets(model: Any, pairs: list[tuple[Target, Any]]) -> Any:
    """Return the model with the given elements replaced, in one edit."""
    leaves = {}
    for item, value in pairs:
        old = leaves[item.tokens] if item.tokens in leaves else descend(model, item.tokens)
        leaves[item.tokens] = item.write(old, value)
    if not leaves:
        return model
    where = tuple(leaves)
    return eqx.tree_at(
        lambda m: [descend(m, tokens) for tokens in where],
        model,
        list(leaves.values()),
        is_leaf=lambda x: x is None,
    )


def _write(model: Any, resolved: list[tuple[Place, Target, Any]]) -> Any:
    primitives = [(item, value) for place, item, value in resolved if place.kind != "derived"]
    aliases = [(item, value) for place, item, value in resolved if place.kind == "derived"]
    check_targets(model, [item for item, _ in primitives], [item for item, _ in aliases])
    model = write_targets(model, primitives)
    for item, value in aliases:
        model = solve_alias(model, item, value)
    return model


def _settable(model: Any, path: str) -> tuple[Place, Target]:
    place, item = target(model, path)
    if place.kind == "derived" and not place.value.is_alias:
        raise refuse_derived(place)
    if place.kind == "static":
        raise ParameterError(
            f"Expected a parameter, buffer or alias, got {path!r}, which is static: it is part of the "
            "structure. Use model.rebuild, or build the model anew with another value."
        )
    if place.kind == "node":
        raise ParameterError(f"Expected a parameter, buffer or alias at {path!r}, got {describe_kind(place)}.")
    return place, item


def _from_user(value: Any, spec: ParamSpec) -> Any:
    return value if is_traced(value) else in_unit(value, spec)


def _coerced(place: Place, item: Target, value: Any, read: Callable[[Any, ParamSpec], Any]) -> Any:
    spec = ParamSpec() if place.spec is None else place.spec
    try:
        value = _convert(place, read(value, spec))
    except TypeError as error:
        raise TypeError(f"{item.name}: {error}") from error
    except ValueError as error:
        raise ParameterError(f"{item.name}: {error}") from error
    _check_shape(place, item, value)
    if place.kind == "derived" and not is_traced(value):
        problem = value_problem(np.asarray(value), place.spec)
        if problem:
            raise ParameterError(f"{item.name}: {problem}")
    return value


def _convert(place: Place, value: Any) -> Any:
    if place.kind != "buffer":
        return as_float(value, place.spec.unit if place.spec is not None else "")
    return None if value is None else as_buffer(value, place.spec.unit, place.spec.dtype)


def _check_shape(place: Place, item: Target, value: Any) -> None:
    free = place.kind == "buffer" or place.value is None
    if item.elements is None and free:
        return
    if np.shape(value) != item.shape:
        raise ParameterError(
            f"{item.name}: Expected shape {item.shape}, got {np.shape(value)}. Give one number per element."
        )
