"""Choices that make eigenmodes of an information matrix reproducible: scale, signs, how many to keep."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..params import ThetaSpace
from ..params.checks import is_traced
from .fisher import RANK_TOLERANCE

Truncation = int | np.integer | Mapping[str, Any] | None


def prior_scale(space: ThetaSpace, fisher: Float[Array, "D D"], centre: Float[Array, " D"]) -> Float[Array, " D"]:
    """Prior sigmas in units of θ, completed where a parameter has no prior.

    Such a parameter is as wide, in units of its own error 1/sqrt(F_ii), as the widest prior is; one error wide where
    there are no priors; and one unit of θ wide where the data do not respond to it.
    """
    entries = zip(space.priors, space.index_map.entries, strict=True)
    widths = [jnp.broadcast_to(jnp.inf if p is None else p.std, e.shape).ravel() for p, e in entries]
    prior = jnp.concatenate(widths) / space.jacobian_diag(centre)
    precision = jnp.sqrt(jnp.maximum(jnp.diagonal(fisher), 0.0))
    widest = jnp.max(jnp.where(jnp.isfinite(prior), prior * precision, 0.0))
    alone = jnp.where(widest > 0, widest, 1.0) / jnp.where(precision > 0, precision, 1.0)
    return jnp.where(jnp.isfinite(prior), prior, jnp.where(precision > 0, alone, 1.0))


def canonical_signs(vectors: Float[Array, "D k"]) -> Float[Array, "D k"]:
    """Columns with the largest component positive; of components within a millionth of it, the first."""
    size = jnp.abs(vectors)
    first = jnp.argmax(size >= (1 - 1e-6) * jnp.max(size, axis=0), axis=0)
    return vectors * jnp.where(jnp.take_along_axis(vectors, first[None], axis=0) < 0, -1.0, 1.0)


def count_kept(values: Float[ArrayLike, " D"], truncate: Any) -> int:
    """Number of leading modes that a truncation keeps, at least one.

    Parameters
    ----------
    values : array (D,)
        Eigenvalues, descending.
    truncate : None, int or mapping
        As `EigenSpace` takes it.

    Raises
    ------
    ValueError
        If the truncation is none that is known.
    """
    size = len(values)
    truncate = int(truncate) if isinstance(truncate, np.integer) else truncate
    match {"count": truncate} if isinstance(truncate, int) else truncate:
        case None:
            return size
        case {"count": int(count), **others} if count is not True and 1 <= count <= size and not others:
            return count
        case {"eigenvalue": int(limit) | float(limit), **others} if limit >= 0 and not others:
            return max(int(np.sum(np.asarray(values) >= limit)), 1)
        case {"information": int(part) | float(part), **others} if 0 < part <= 1 and not others:
            carried = np.cumsum(np.asarray(values)) / np.sum(np.asarray(values))
            return min(int(np.sum(carried < part * (1 - 1e-12))) + 1, size)
    raise ValueError(
        f'Expected truncate as None, a count from 1 to {size}, {{"eigenvalue": at least 0}} or '
        f'{{"information": above 0, at most 1}}, got {truncate!r}.'
    )


def unseen(vectors: Float[Array, "D m"], values: ArrayLike, scale: ArrayLike, fisher: ArrayLike) -> np.ndarray:
    """Which modes (m,) the data do not see: by rounding only, or no more than parameters that cancel.

    Parameters
    ----------
    vectors : array (D, m)
        Modes of the information scaled by `scale` (D,).
    values : array (D,)
        All eigenvalues, descending.
    """
    vectors, fisher = np.asarray(vectors) * np.asarray(scale)[:, None], np.asarray(fisher)
    together, size = np.sum(vectors * (fisher @ vectors), axis=0), len(fisher)
    apart = np.sum(vectors**2 * np.diagonal(fisher)[:, None], axis=0)
    rounding = 10 * np.finfo(fisher.dtype).eps * size * np.asarray(values)[0]
    return (together <= RANK_TOLERANCE * size * apart) | (together <= rounding)


def finite_array(name: str, array: ArrayLike, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Give an array of floats of that shape; traced ones are taken to be finite.

    Raises
    ------
    ValueError
        Naming the array.
    """
    array = jnp.asarray(array, float)
    if array.shape != shape:
        raise ValueError(f"Expected {name} of shape {shape}, for the {shape[0]} elements of θ, got {array.shape}.")
    if not is_traced(array) and not np.isfinite(array).all():
        raise ValueError(f"Expected a finite {name}, got infinite or undefined numbers.")
    return array
