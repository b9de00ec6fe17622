"""What ails a network: units that do nothing, and the first layer whose numbers are not finite."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .forward import PhysicsNetwork

STILL = 1e-6  # of a layer's rms: a unit that varies by less, over images and pixels, says nothing


@eqx.filter_jit
def still_units(model: PhysicsNetwork, x: Float[Array, "b h w c"]) -> dict[str, Float[Array, ""]]:
    """Fraction of the units of every activated layer that give the same number whatever they are shown.

    A dead ReLU is one; so is a unit of any other activation that does nothing.

    Parameters
    ----------
    model : PhysicsNetwork
    x : array (b, h, w, channels)
        A batch to look at.
    """

    def still(activation):
        rms = jnp.sqrt(jnp.mean(activation**2))
        return jnp.mean((jnp.std(activation, axis=(0, 1, 2)) <= np.float32(STILL) * rms).astype(jnp.float32))

    return {name: still(a) for name, a in model(x).activations.items() if not name.endswith("head")}


def dead_fraction(model: PhysicsNetwork, x: Float[Array, "b h w c"]) -> float:
    """Fraction of all units that are still."""
    found = still_units(model, x)
    sizes = layer_sizes(model.network)
    return float(sum(float(share) * sizes[name] for name, share in found.items()) / sum(sizes[name] for name in found))


def layer_sizes(network: Any) -> dict[str, int]:
    """Units of every activated layer, by its name."""
    stages = {f"encoder.{i}": stage for i, stage in enumerate(network.encoder)}
    for name, decoder in (("amplitude", network.amplitude), ("phase", network.phase)):
        stages |= {} if decoder is None else {f"{name}.{i}": stage for i, stage in enumerate(decoder.stages)}
    both = ("first", "second")
    return {f"{name}.{part}": getattr(stage, part).bias.size for name, stage in stages.items() for part in both}


def first_nonfinite(arrays: Mapping[str, Any]) -> str | None:
    """Name of the first array that holds a number that is not finite."""
    return next((name for name, array in arrays.items() if not bool(np.isfinite(np.asarray(array)).all())), None)


def unsound_weight(network: Any) -> str | None:
    """What weights hold a number that is not finite; None if all are sound."""
    return first_nonfinite({f"weights of {k}": v for k, v in _named(network).items()})


def blamed_layer(model: PhysicsNetwork, x: Float[Array, "b h w c"], expected: Array, slopes: Any) -> str:
    """Name what failed first in a batch: a weight, an input, a layer on the way, the physics, or a gradient.

    Parameters
    ----------
    model : PhysicsNetwork
    x : array (b, h, w, channels)
    expected : array (b, C, N, N)
    slopes : PatchNetwork
        The gradient.
    """
    name = unsound_weight(model.network)
    if name is not None:
        return name
    stages: dict[str, Any] = {"input": x, **model(x).activations, "expected counts": expected}
    stages |= {f"gradient of {k}": v for k, v in reversed(_named(slopes).items())}
    return first_nonfinite(stages) or "loss"


def _named(tree: Any) -> dict[str, Array]:
    found = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in found}
