"""The state of a fit as named plain arrays, for a file, and back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from .engines import AbstractEngine, EngineState
from .loop import begin


def state_arrays(state: EngineState) -> dict[str, np.ndarray]:
    """Give everything in a state as NumPy arrays: what a checkpoint holds.

    Parameters
    ----------
    state : EngineState

    Returns
    -------
    dict of str to array
        `theta`, `loss`, `step` and the rest, by dotted name; random keys as their bits.
    """
    return {_name(path): np.asarray(_bits(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def state_from_arrays(engine: AbstractEngine, arrays: Mapping[str, ArrayLike], dim: int) -> EngineState:
    """Give the state back that `state_arrays` took apart, exactly.

    Parameters
    ----------
    engine : AbstractEngine
        With the settings that it had, as far as they shape its state.
    arrays : mapping of str to array
    dim : int
        Length of θ.

    Raises
    ------
    ValueError
        If an array is missing, or is not of the shape and type that the engine's state has.
    """
    dtype = np.asarray(arrays["theta"]).dtype if "theta" in arrays else jnp.result_type(float)
    blank = begin(engine.init(jnp.zeros(dim, dtype))).state
    named, tree = jax.tree_util.tree_flatten_with_path(blank)
    return jax.tree.unflatten(tree, [_restored(arrays, _name(path), wanted, engine) for path, wanted in named])


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _bits(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _restored(arrays: Mapping[str, ArrayLike], name: str, wanted: Any, engine: AbstractEngine) -> Any:
    shaped = _bits(wanted)
    found = None if name not in arrays else np.asarray(arrays[name])
    if found is None or found.shape != shaped.shape or found.dtype != shaped.dtype:
        got = "none" if found is None else f"{found.dtype} of shape {found.shape}"
        raise ValueError(
            f"Expected {name!r} to be {shaped.dtype} of shape {shaped.shape}, as {type(engine).__name__} has it, "
            f"got {got}. Resume with the engine and the precision that the state was saved with."
        )
    if not _is_key(wanted):
        return jnp.asarray(found)
    return jax.random.wrap_key_data(jnp.asarray(found), impl=jax.random.key_impl(wanted))
