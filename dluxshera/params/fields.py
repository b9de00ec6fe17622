"""Field declarations of a model: `param`, `buffer` and `static`."""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .coerce import as_float
from .spec import REQUIRED, ParamSpec
from .units import without_unit

_ATOMS = (int, str, bytes, enum.Enum, type(None))  # bool is an int


def param(
    unit: str,
    doc: str,
    *,
    symbol: str | None = None,
    bounds: tuple | None = None,
    prior: Any = None,
    bijector: Any = None,
    shape: tuple[int | str, ...] | None = None,
    block: str | None = None,
    default: Any = REQUIRED,
    factory: Any = REQUIRED,
    validator: Callable | None = None,
    element_labels: Callable | None = None,
    slip_above: float | None = None,
) -> Any:
    """Declare a parameter: a float-array leaf, in `unit`, that a fit may move.

    The arguments are those of `ParamSpec`. What is given at construction becomes a strongly typed
    float array; what says its unit (a quantity, `"550 nm"`) is converted to `unit`. With `default=None` the
    parameter may be absent.
    """
    spec = ParamSpec(
        unit=unit,
        doc=doc,
        symbol=symbol,
        bounds=bounds,
        prior=prior,
        bijector=bijector,
        shape=shape,
        block=block,
        default=default,
        factory=factory,
        validator=validator,
        element_labels=element_labels,
        slip_above=slip_above,
    )
    return _field("parameter", spec, _lenient(lambda value: as_float(value, unit)))


def buffer(
    doc: str,
    *,
    unit: str = "",
    default: Any = REQUIRED,
    optional: bool = False,
    dtype: type = float,
    slip_above: float | None = None,
) -> Any:
    """Declare an array fixed by structure: a leaf that can be swapped but is not a parameter.

    Parameters
    ----------
    doc : str
        One line that says what the array is.
    unit : str
        Unit of the stored numbers.
    default : optional
        Value when none is given.
    optional : bool
        Whether the array may be absent; the default is then `None`.
    dtype : type
        `float` (booleans and complex numbers stay what they are) or `int` for arrays of indices.
    slip_above : float, optional
        As for `ParamSpec`.
    """
    if optional and default is REQUIRED:
        default = None
    spec = ParamSpec(unit=unit, doc=doc, default=default, dtype=dtype, slip_above=slip_above)
    return _field("buffer", spec, _lenient(lambda value: as_buffer(value, unit, dtype)), optional=optional)


def static(doc: str, *, default: Any = REQUIRED, converter: Callable | None = None) -> Any:
    """Declare a structural choice, described by `doc`: an int, str, bool, enum, frozen record, or a tuple of those.

    Without a `default` it must be given. Lists and arrays become tuples (after `converter`), so that the tree
    structure can be hashed.
    """
    spec = ParamSpec(doc=doc, default=default)
    convert = as_static if converter is None else (lambda value: as_static(converter(value)))
    return _field("static", spec, convert, static=True)


def as_buffer(value: Any, unit: str, dtype: type) -> Any:
    """Convert to an array of `dtype`, in `unit`; booleans and complex numbers are kept."""
    value = without_unit(value, unit)
    if isinstance(value, str | bytes):
        raise TypeError(f"Expected an array of numbers, got {value!r}.")
    array = jnp.asarray(value)
    kept = (np.bool_, np.complexfloating)
    if any(jnp.issubdtype(array.dtype, kind) for kind in kept):
        return array
    return jnp.asarray(array, jnp.result_type(dtype))


def as_static(value: Any) -> Any:
    """Turn lists and arrays into tuples and NumPy integers into Python ones, recursively."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return tuple(as_static(item) for item in value)
    return value


def is_static_value(value: Any) -> bool:
    """Whether a value may be part of the tree structure (hashable, equal by value, no bare floats)."""
    if isinstance(value, tuple):
        return all(is_static_value(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return value.__dataclass_params__.frozen and value.__dataclass_params__.eq
    return isinstance(value, _ATOMS)


@functools.cache  # of a class; asked for at every walk through a tree
def field_kind(field: dataclasses.Field) -> str | None:
    """Return "parameter", "buffer" or "static", or None for an undeclared dynamic field."""
    return field.metadata.get("kind", "static" if field.metadata.get("static", False) else None)


def _field(kind: str, spec: ParamSpec, converter: Callable, *, static: bool = False, optional: bool = False):
    metadata = {"kind": kind, "spec": spec, "optional": optional or spec.default is None}
    arguments = {} if spec.required else _default_argument(spec)
    return eqx.field(converter=converter, static=static, metadata=metadata, **arguments)


def _default_argument(spec: ParamSpec) -> dict:
    if spec.factory is not REQUIRED:
        return {"default_factory": spec.factory}
    if isinstance(spec.default, list | dict | np.ndarray | jax.Array):  # a dataclass refuses mutable defaults
        return {"default_factory": lambda: spec.default}
    return {"default": spec.default}


def _lenient(convert: Callable) -> Callable:
    """Leave what cannot be converted as it is: `Model.__check_init__` names the field and says why."""

    def converter(value: Any) -> Any:
        try:
            return convert(value) if value is not None else None
        except (TypeError, ValueError):
            return value

    return converter
