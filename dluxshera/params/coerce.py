"""Turning what a user gives into strongly typed float arrays, in the declared unit."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .units import without_unit

_NOT_NUMBERS = (str, bytes, bool, np.bool_, type(None))


def as_float(value: Any, unit: str = "") -> Array:
    """Convert a number, an array, a sequence of numbers or a quantity with a unit to a float array.

    Weak types are removed, because they would trace a compiled function twice.

    Parameters
    ----------
    value : number, array, sequence of numbers, traced array, astropy Quantity or text such as `550 nm`
    unit : str
        Unit to which a quantity is converted; plain numbers are taken to be in it.

    Raises
    ------
    TypeError
        If the value is not made of real numbers.
    ValueError
        If a unit is not known or does not have the dimension of `unit`.
    """
    value = without_unit(value, unit)
    if isinstance(value, _NOT_NUMBERS):
        raise TypeError(f"Expected a real number or an array of them, got {value!r}.")
    array = jnp.asarray(value)
    if not (jnp.issubdtype(array.dtype, np.floating) or jnp.issubdtype(array.dtype, np.integer)):
        raise TypeError(f"Expected real numbers, got an array of {array.dtype}.")
    return jnp.asarray(array, jnp.result_type(float))
