"""A first estimate of a group's object: projections on its counts, from a flat start."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from ..exit_waves import with_counted_amplitude
from ..propagation import cut_windows, modes_far_field, windows_transposed

DAMPING = np.float32(1e-2)  # of the largest light, added to a pixel's: what is dark stays as it was
MOMENTUM = np.float32(0.7)
LEAST = np.float32(0.1)  # share of a flat object's light that used pixels see at least; its square, of the counts


class Estimate(NamedTuple):
    """What the counts of a group tell at once.

    Attributes
    ----------
    object : complex array (h, w)
        On the group's canvas.
    left : complex array (C, N, N)
        Of each pattern: by how much its exit wave misses the counts, brought back through the probe.
    """

    object: Complex[Array, "h w"]
    left: Complex[Array, "C N N"]


def estimated(
    counts: Float[Array, "C N N"],
    used: Bool[Array, "..."] | None,
    probe: Complex[Array, "M N N"],
    corners: Float[Array, "C 2"],
    background: Float[Array, "..."],
    shape: tuple[int, int],
    sweeps: int,
    is_real: bool,
) -> Estimate:
    """Sweep over a group: every exit wave takes the counted amplitudes, and the object follows all at once.

    O <- O + sum_k T_k conj(P) (psi'_k - psi_k) / (sum_k T_k |P|^2 + damping), with momentum: steepest descent of the
    squared amplitude error, scaled by the light on each pixel.

    Parameters
    ----------
    counts : array (C, N, N)
    used : array of bool (N, N) or (C, N, N), or None
    probe : complex array (M, N, N)
    corners : array (C, 2), pixels
        (y, x) on the group's canvas.
    background : array () or (N, N)
    shape : (h, w), pixels
        Of the canvas.
    sweeps : int
    is_real : bool
        Whether the object is known to be real.
    """
    light = jnp.sum(probe.real**2 + probe.imag**2, axis=0)
    power = windows_transposed(jnp.broadcast_to(light, counts.shape), corners, shape)
    scale = 1 / (power + DAMPING * jnp.max(power))

    def missing(object):
        waves = probe * cut_windows(object, corners, probe.shape[-1])[:, None]
        revised, _ = with_counted_amplitude(waves, counts, used, background)
        return jnp.sum(jnp.conj(probe) * (revised - waves), axis=1)

    def sweep(carry, _):
        object, before = carry
        ahead = object + MOMENTUM * (object - before)
        moved = ahead + scale * windows_transposed(missing(ahead), corners, shape)
        return (jnp.abs(moved).astype(moved.dtype) if is_real else moved, object), None

    level = flat_level(counts, used, probe, background, jnp.sum(light))
    flat = jnp.full(shape, level, probe.dtype)
    (object, _), _ = jax.lax.scan(sweep, (flat, flat), None, length=sweeps)
    return Estimate(object, missing(object) / jnp.max(light))


def flat_level(
    counts: Float[Array, "*g N N"],
    used: Bool[Array, "..."] | None,
    probe: Complex[Array, "M N N"],
    background: Float[Array, "..."],
    light: Float[Array, ""],
) -> Float[Array, ""]:
    """Amplitude of the flat object that sends as many photons into the used pixels as were counted there.

    The background is taken out of the counts, of which a hundredth is left at least. Where a mask hides nearly all that
    a flat object would send, a tenth of the light is taken to be seen.

    Parameters
    ----------
    counts : array (..., N, N)
        Zero where pixels are not used.
    used : array of bool (N, N) or (..., N, N), or None
    probe : complex array (M, N, N)
    background : array () or (N, N)
    light : array ()
        Sum of |P|^2.
    """
    patterns, total = counts.size // (counts.shape[-1] * counts.shape[-2]), jnp.sum(counts)
    if used is None:
        dark, seen = patterns * jnp.sum(jnp.broadcast_to(background, counts.shape[-2:])), patterns * light
    else:
        used = jnp.broadcast_to(used, counts.shape)
        far = modes_far_field(probe, jnp.ones((1, *counts.shape[-2:]), probe.dtype))[0]
        flat = jnp.sum(far.real**2 + far.imag**2, axis=0)
        dark = jnp.sum(jnp.where(used, background, 0))
        seen = jnp.maximum(jnp.sum(jnp.where(used, flat, 0)), LEAST * patterns * light)
    return jnp.sqrt(jnp.maximum(total - dark, LEAST**2 * total) / seen)
