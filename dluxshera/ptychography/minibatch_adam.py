"""Adam over minibatches of patterns."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .batches import shuffled, split_evenly
from .epoch_engine import AbstractEpochEngine, Epoch, cosine_rate, number, whole

SMALLEST = 1e-12  # of the root of a second moment


class _Moments(NamedTuple):
    """First and second moment of the scaled gradient (D,), and updates so far."""

    first: Float[Array, " D"]
    second: Float[Array, " D"]
    updates: Int[Array, ""]


class MinibatchAdam(AbstractEpochEngine):
    """Adam (Kingma and Ba, arXiv:1412.6980), an update for every minibatch.

    Every element moves in units of its magnitude (`ScanObjective.magnitudes`), so that one rate serves object, probe,
    positions and background at any dose. It falls by half a cosine to `last_rate` at epoch `max_steps`.

    Parameters
    ----------
    max_steps : int
        Epochs.
    rate : float
        Largest move of an element in one update, in units of its magnitude.
    last_rate : float, fraction of `rate`
    batch : int
        Patterns in a batch.
    seed : int
    decay : (float, float)
        Of the two moments, in [0, 1).
    """

    max_steps: Int[Array, ""] = whole(100)
    rate: Float[Array, ""] = number(0.03)
    last_rate: Float[Array, ""] = number(0.02)
    batch: int = eqx.field(static=True, default=16)
    seed: Int[Array, ""] = whole(0)
    decay: Float[Array, "2"] = number((0.9, 0.999))

    def blank(self, theta: Float[Array, " D"]) -> _Moments:
        """Moments of zero."""
        return _Moments(jnp.zeros_like(theta), jnp.zeros_like(theta), jnp.zeros((), jnp.int32))

    def epoch(self, objective: Any, theta: Float[Array, " D"], own: Any, step: Int[Array, ""], key: Array) -> Epoch:
        """An update for each batch of the shuffled patterns."""
        patterns = objective.counts.shape[0]
        index, real = split_evenly(patterns, self.batch)
        batches = (shuffled(key, jnp.asarray(index), patterns), jnp.asarray(real))
        scale = objective.magnitudes(theta)
        rate = (self.rate * cosine_rate(step, self.max_steps, self.last_rate)).astype(theta.dtype) * scale
        value_and_slope = jax.value_and_grad(objective.batch_loss, has_aux=True)

        def update(carry, batch):
            theta, moments = carry
            (loss, deviance), slope = value_and_slope(theta, *batch)
            move, moments = self._adam(slope * scale, moments)
            return (theta - rate * move, moments), (loss, deviance)

        (theta, own), (losses, deviances) = jax.lax.scan(update, (theta, own), batches)
        return Epoch(theta, own, jnp.mean(losses), 2 * jnp.sum(deviances) / objective.pixels)

    def _adam(self, slope: Float[Array, " D"], moments: _Moments) -> tuple[Float[Array, " D"], _Moments]:
        """Direction of a move, and the moments after it."""
        b1, b2 = self.decay.astype(slope.dtype)
        t = moments.updates + 1
        first = b1 * moments.first + (1 - b1) * slope
        second = b2 * moments.second + (1 - b2) * slope**2
        size = jnp.sqrt(second / (1 - b2**t)) + SMALLEST
        return first / (1 - b1**t) / size, _Moments(first, second, t)
