"""Pieces of the projection methods: exit waves, their far field moved onto the counts, and updates of object and probe.

Array conventions as in `propagation`; formulas in the notation of the engines that use them.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from ..params import replace_paths
from .model import Ptychography
from .propagation import WINDOWS

TINY = 1e-12


def cut(model: Ptychography, index: Int[Array, " b"]) -> Complex[Array, "b N N"]:
    """Windows of the object at some positions."""
    return WINDOWS[model.interpolation](model.sample.object, model.corners[index], model.probe.npix)


def to_detector(waves: Complex[Array, "b M N N"]) -> Complex[Array, "b M N N"]:
    """Orthonormal far field, zero frequency first: the counts are moved there instead (`corner_first`)."""
    return jnp.fft.fft2(waves, norm="ortho")


def from_detector(fields: Complex[Array, "b M N N"]) -> Complex[Array, "b M N N"]:
    """The inverse of `to_detector`."""
    return jnp.fft.ifft2(fields, norm="ortho")


def corner_first(patterns: Float[Array, "*b N N"] | Bool[Array, "*b N N"]) -> Any:
    """Patterns with the zero frequency at [0, 0]."""
    return jnp.fft.ifftshift(patterns, axes=(-2, -1))


def with_counted_amplitude(
    waves: Complex[Array, "b M N N"],
    counts: Float[Array, "b N N"],
    used: Bool[Array, "..."] | None,
    background: Float[Array, "..."],
) -> tuple[Complex[Array, "b M N N"], Float[Array, "b N N"]]:
    """Exit waves whose far field has the counted amplitude where pixels are used, and the expected counts before.

    The amplitudes of all modes are scaled alike, by the root of counts over expected counts.
    """
    fields = to_detector(waves)
    floor = background if jnp.ndim(background) == 0 else corner_first(background)
    expected = jnp.sum(fields.real**2 + fields.imag**2, axis=1) + floor
    ratio = jnp.sqrt(corner_first(counts) / jnp.maximum(expected, TINY))
    if used is not None:
        ratio = jnp.where(corner_first(used), ratio, 1.0)
    return from_detector(ratio[:, None] * fields), jnp.fft.fftshift(expected, axes=(-2, -1))


def updated(
    model: Ptychography,
    object: Complex[Array, "h w"],
    modes: Complex[Array, "M N N"],
    positions: Float[Array, "n 2"] | None = None,
) -> Ptychography:
    """The model with another object and probe, and positions where they are given."""
    found = {
        "sample.object_real": object.real,
        "sample.object_imag": object.imag,
        "probe.modes_real": modes.real,
        "probe.modes_imag": modes.imag,
    }
    return replace_paths(model, found if positions is None else found | {"scan.positions": positions})
