"""Patterns in batches of one size, so that a loop over them compiles once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int


def split_evenly(number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Split indices into batches of one size, at most `size`; the last is filled up with indices of the first.

    Parameters
    ----------
    number : int
    size : int

    Returns
    -------
    index : array of int (k, b)
    real : array of bool (k, b)
        False where an index only fills up.
    """
    k = -(-number // max(1, min(size, number)))
    b = -(-number // k)
    flat = np.arange(k * b)
    return (flat % number).reshape(k, b), (flat < number).reshape(k, b)


def shuffled(key: Array, index: Int[Array, "k b"], number: int) -> Int[Array, "k b"]:
    """The same batches with the patterns in random order."""
    return jax.random.permutation(key, number)[index]


def map_batches(function: Callable[[Array], Any], number: int, size: int) -> Any:
    """Apply a function of indices (b,), whose results have a leading axis b, to all indices, batch by batch."""
    index, _ = split_evenly(number, size)
    found = jax.lax.map(function, jnp.asarray(index))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], found)


def sum_batches(function: Callable[[Int[Array, " b"], Bool[Array, " b"]], Any], number: int, size: int) -> Any:
    """Sum a function of indices (b,) and of which of them are real over all batches; differentiable.

    Its inner results are computed again for the gradient, so that memory is that of one batch.
    """
    index, real = split_evenly(number, size)
    once = jax.checkpoint(lambda total, batch: (jax.tree.map(jnp.add, total, function(*batch)), None))
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, index[0], real[0]))
    return jax.lax.scan(once, blank, (jnp.asarray(index), jnp.asarray(real)))[0]
