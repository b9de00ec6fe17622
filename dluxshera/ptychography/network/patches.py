"""Patches of a group put together on the group's own canvas, with the functions of the forward model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Num

from ..propagation import cut_windows, expected_counts, windows_transposed

EMPTY = 1e-6  # of a weight of one: below it a pixel of the canvas belongs to no patch


def merged(
    patches: Num[Array, "b C s s"], corners: Float[Array, "b C 2"], mask: Float[Array, "s s"], shape: tuple[int, int]
) -> Num[Array, "b h w"]:
    """Average overlapping patches of each group, with the same mask in numerator and denominator.

    Parameters
    ----------
    patches : array (b, C, s, s)
    corners : array (b, C, 2), pixels
        (y, x) of each patch's corner on its group's canvas; between pixels by bilinear weights.
    mask : array (s, s)
        Weight of each pixel of a patch.
    shape : (h, w), pixels
        Of the canvas, with one spare row and column.

    Returns
    -------
    canvas : array (b, h, w)
        Zero where no patch has weight.
    """

    def one(patches, corners):
        top = windows_transposed(mask.astype(patches.dtype) * patches, corners, shape)
        weight = windows_transposed(jnp.broadcast_to(mask, patches.shape), corners, shape)
        return jnp.where(weight > EMPTY, top / jnp.where(weight > EMPTY, weight, 1), 0)

    return jax.vmap(one)(patches, corners)


def windows(canvas: Num[Array, "b h w"], corners: Float[Array, "b C 2"], npix: int) -> Num[Array, "b C N N"]:
    """Windows of each group's canvas at its corners."""
    return jax.vmap(lambda c, r: cut_windows(c, r, npix))(canvas, corners)


def counts_of(
    canvas: Complex[Array, "b h w"],
    probe: Complex[Array, "M N N"],
    corners: Float[Array, "b C 2"],
    background: Float[Array, "..."],
) -> Float[Array, "b C N N"]:
    """Expected counts of each group's patterns: the forward model of the package."""
    return jax.vmap(lambda c, r: expected_counts(c, probe, r, background))(canvas, corners)
