"""Learning rates from curvature: one rate for each element of θ."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..params.selection import matches

FORMS = ("inverse", "inverse_sqrt")
POWER_STEPS = 30


def preconditioner(
    curvature: Float[Array, " D"],
    form: str = "inverse",
    floor: ArrayLike | None = None,
    eps: ArrayLike = 0.0,
    clip: tuple[ArrayLike, ArrayLike] | None = None,
) -> Float[Array, " D"]:
    """Scale of the steps: 1/(max(curv, floor) + eps), or one over the square root of that.

    Parameters
    ----------
    curvature : Array (D,), in units of 1/θ^2
    form : str
        `"inverse"` makes a step independent of the units of θ; `"inverse_sqrt"` is for squared gradients.
    floor : float or Array (D,), in units of 1/θ^2, optional
        The information of a prior, 1/sigma^2, is a good one. Without one, elements that have no positive curvature
        get a scale of zero, which holds them.
    eps : float
        Keeps the division finite.
    clip : pair of float or Array (D,), optional
        Least and greatest scale.

    Raises
    ------
    ValueError
        For another form.
    """
    if form not in FORMS:
        raise ValueError(f"Expected a form among {', '.join(FORMS)}, got {form!r}.")
    held = (curvature <= 0) if floor is None else jnp.zeros(curvature.shape, bool)
    kept = jnp.where(held, 1.0, (curvature if floor is None else jnp.maximum(curvature, floor)) + eps)
    scale = 1 / kept if form == "inverse" else 1 / jnp.sqrt(kept)
    return jnp.where(held, 0.0, scale if clip is None else jnp.clip(scale, *clip))


def rate_vector(
    base_rate: ArrayLike, scale: Float[Array, " D"], clip: tuple[ArrayLike, ArrayLike] | None = None
) -> Float[Array, " D"]:
    """Learning rates base_rate * scale; zero where the scale is zero.

    Parameters
    ----------
    base_rate : float or Array (D,)
    scale : Array (D,)
        As `preconditioner` gives it.
    clip : pair of float or Array (D,), optional
        Least and greatest rate.
    """
    rates = base_rate * scale
    return rates if clip is None else jnp.where(scale > 0, jnp.clip(rates, *clip), 0.0)


def block_rates(space: Any, rates: Mapping[str, float | int], default: float | int = 1.0) -> Float[Array, " D"]:
    """Base rates (D,) given by block, parameter or label.

    Parameters
    ----------
    space : ThetaSpace
        Or anything with `labels`, `blocks` and `index_map`.
    rates : mapping of str to float
        Keys are blocks (`"binary"`), names of parameters or labels of elements of θ, in which `*` stands for any
        text; of several that fit, the last one counts.
    default : float
        Where none fits.

    Raises
    ------
    ValueError
        If a key fits nothing, or a rate is not above zero.
    """
    names = [entry.name for entry in space.index_map.entries for _ in range(entry.start, entry.stop)]
    places = list(zip(space.labels, names, space.blocks, strict=True))
    vector = np.full(len(places), float(default))
    for key, rate in rates.items():
        fits = np.array([any(matches(key, text) for text in place) for place in places])
        if not fits.any():
            known = ", ".join(dict.fromkeys([*space.blocks, *names]))
            raise ValueError(f"Expected a block, parameter or label of this fit, got {key!r}. There are: {known}.")
        vector[fits] = rate
    if not (vector > 0).all():
        raise ValueError(f"Expected rates above zero, got {vector.min()}.")
    return jnp.asarray(vector)


def stable_rate(loss: Any, theta: Float[Array, " D"], scale: Float[Array, " D"]) -> Float[Array, ""]:
    """Base rate at which a descent with these scales is stable at θ: one over the largest curvature it meets.

    That is the largest eigenvalue, by modulus, of P^1/2 H P^1/2, with P the scales and H the Hessian, found by power
    iteration with products only. A descent without momentum is unstable from twice this rate on.

    Parameters
    ----------
    loss : callable
        Of θ; returns a scalar.
    theta : Array (D,)
    scale : Array (D,)
    """
    root = jnp.sqrt(scale)
    _, hessian_times = jax.linearize(jax.grad(loss), theta)

    def turn(_, carry):
        vector, _ = carry
        image = root * hessian_times(root * vector)
        length = jnp.linalg.norm(image)
        return jnp.where(length > 0, image / jnp.where(length > 0, length, 1.0), vector), length

    # Signs at random: an even start would be orthogonal to the odd combinations of like parameters.
    start = jax.random.rademacher(jax.random.key(0), theta.shape, theta.dtype) / jnp.sqrt(theta.size)
    largest = jax.lax.fori_loop(0, POWER_STEPS, turn, (start, jnp.zeros((), theta.dtype)))[1]
    return jnp.where(largest > 0, 1 / jnp.where(largest > 0, largest, 1.0), 1.0)
