"""What may be asked of an object and a probe beside the data."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .gauge import probe_centre
from .model import Ptychography

EDGE = 1e-3  # differences below this are smoothed quadratically


def _real(value: Any) -> Float[Array, "..."] | None:
    return None if value is None else jnp.asarray(value, float)


def _mask(value: Any) -> Bool[Array, "..."] | None:
    return None if value is None else jnp.asarray(value, bool)


class Regularisers(eqx.Module):
    """Penalties on object and probe, in units of the loss per pixel; none by default.

    Parameters
    ----------
    total_variation : float, optional
        Times the mean of the length of the object's gradient.
    support : array of bool (N, N), optional
        Where the probe may have light.
    support_weight : float
        Times the share of the probe's photons outside.
    centre : array (2,), pixels, optional
        Where the centre (y, x) of the probe's light is held. No pattern tells it, but bilinear windows resist a drift
        by part of a pixel, and then keep a fit from coming back.
    centre_weight : float
        Times the squared distance from there.
    """

    total_variation: Float[Array, ""] | None = eqx.field(converter=_real, default=None)
    support: Bool[Array, "N N"] | None = eqx.field(converter=_mask, default=None)
    support_weight: Float[Array, ""] = eqx.field(converter=_real, default=1.0)
    centre: Float[Array, "2"] | None = eqx.field(converter=_real, default=None)
    centre_weight: Float[Array, ""] = eqx.field(converter=_real, default=1.0)

    def settings(self) -> dict[str, Any]:
        """For the record of a run."""
        return {
            "total_variation": None if self.total_variation is None else float(self.total_variation),
            "support_weight": None if self.support is None else float(self.support_weight),
        }

    def __call__(self, model: Ptychography) -> Float[Array, ""]:
        """Sum of the penalties of a model."""
        total = jnp.zeros((), model.sample.object_real.dtype)
        if self.total_variation is not None:
            total = total + self.total_variation * total_variation(model.sample.object)
        if self.support is not None:
            total = total + self.support_weight * share_outside(model, self.support)
        if self.centre is not None:
            total = total + self.centre_weight * jnp.sum((probe_centre(model) - self.centre) ** 2)
        return total


def total_variation(object: Array) -> Float[Array, ""]:
    """Mean length of the gradient of a complex image, smoothed at zero."""
    down, right = object[1:, :-1] - object[:-1, :-1], object[:-1, 1:] - object[:-1, :-1]
    squares = down.real**2 + down.imag**2 + right.real**2 + right.imag**2
    return jnp.mean(jnp.sqrt(squares + EDGE**2) - EDGE)


def share_outside(model: Ptychography, support: Bool[Array, "N N"]) -> Float[Array, ""]:
    """Fraction of the probe's photons outside a support."""
    intensity = jnp.sum(model.probe.modes_real**2 + model.probe.modes_imag**2, axis=0)
    return jnp.sum(jnp.where(support, 0.0, intensity)) / jnp.sum(intensity)
