"""Losses of expected counts against counted ones, means over all pixels that are used."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from ..pixel_losses import FLOOR, amplitude_error, half_deviance
from .settings import LossWeights

SMOOTH = 1e-6  # of a squared difference, so that the total variation has a slope everywhere


def pixel_error(weights: LossWeights, counts: Float[Array, "*s"], expected: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The weighted losses of every pixel.

    The negative log-likelihood is given as half the deviance: less the constant n - n log(n), which is what keeps its
    precision at large counts. Roots are straightened below a thousandth of a photon, so that slopes are finite.
    """
    total = jnp.zeros_like(expected)
    if weights.poisson:
        total += weights.poisson * half_deviance(counts, expected)
    if weights.squared:
        total += weights.squared * amplitude_error(counts, expected) / 2
    if weights.mae:
        total += weights.mae * jnp.abs(jnp.sqrt(counts + FLOOR) - jnp.sqrt(expected + FLOOR))
    return total


def mean_error(
    weights: LossWeights, counts: Float[Array, "b *s"], expected: Float[Array, "b *s"], used: Bool[Array, "..."] | None
) -> Float[Array, " b"]:
    """Mean of the weighted losses of every group, over the pixels that are used."""
    error, axes = pixel_error(weights, counts, expected), tuple(range(1, counts.ndim))
    if used is None:
        return jnp.mean(error, axis=axes)
    used = jnp.broadcast_to(used, error.shape)
    return jnp.sum(jnp.where(used, error, 0), axis=axes) / jnp.maximum(jnp.sum(used.astype(error.dtype), axis=axes), 1)


def total_variation(canvas: Complex[Array, "b h w"], covered: Float[Array, "b h w"]) -> Float[Array, ""]:
    """Mean size of the gradient of each group's object, over pixels that are covered with their neighbours."""
    inside = covered[:, :-1, :-1] * covered[:, 1:, :-1] * covered[:, :-1, 1:]
    down = canvas[:, 1:, :-1] - canvas[:, :-1, :-1]
    across = canvas[:, :-1, 1:] - canvas[:, :-1, :-1]
    size = jnp.sqrt(down.real**2 + down.imag**2 + across.real**2 + across.imag**2 + SMOOTH)
    return jnp.sum(inside * size) / jnp.maximum(jnp.sum(inside), 1)
