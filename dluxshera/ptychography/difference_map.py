"""The difference map."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from .batches import split_evenly
from .epoch_engine import AbstractEpochEngine, Epoch, number, whole
from .exit_waves import TINY, cut, updated, with_counted_amplitude
from .propagation import windows_transposed


class DifferenceMap(AbstractEpochEngine):
    """All exit waves at once, between the counted amplitudes and what one object and one probe allow (Thibault et al.,
    Ultramicroscopy 109, 338, 2009).

    psi <- psi + F(2 Q psi - psi) - Q psi, with F the projection on the counted amplitudes and Q that on products of
    object and probe, which are found in turn. All exit waves stay in memory. Positions and background stay.

    Parameters
    ----------
    shape : (int, int, int)
        Patterns, modes and N; see `for_objective`.
    max_steps : int
        Epochs.
    inner : int
        Turns of object and probe in a projection.
    damping : float, fraction
        Of the largest light, added to the object's weights.
    probe_start : int
        Epochs before the probe moves.
    batch : int
        Patterns that are computed together.
    seed : int
        Not used: the method has no order.
    """

    shape: tuple[int, int, int] = eqx.field(static=True)
    max_steps: Int[Array, ""] = whole(100)
    inner: int = eqx.field(static=True, default=2)
    damping: Float[Array, ""] = number(1e-3)
    probe_start: Int[Array, ""] = whole(2)
    batch: int = eqx.field(static=True, default=32)
    seed: Int[Array, ""] = whole(0)

    @staticmethod
    def for_objective(objective: Any, **options: Any) -> "DifferenceMap":
        """The engine for a `ScanObjective`."""
        modes = objective.model.probe.modes_real.shape
        return DifferenceMap((objective.counts.shape[0], modes[0], modes[1]), **options)

    def blank(self, theta: Float[Array, " D"]) -> Complex[Array, "k b M N N"]:
        """Exit waves of zero, batch by batch: the first epoch fills them."""
        index, _ = split_evenly(self.shape[0], self.batch)
        return jnp.zeros((*index.shape, self.shape[1], self.shape[2], self.shape[2]), jnp.complex64)

    def epoch(self, objective: Any, theta: Float[Array, " D"], own: Any, step: Int[Array, ""], key: Array) -> Epoch:
        """One application of the map."""
        model = objective.at(theta)
        index, real = map(jnp.asarray, split_evenly(self.shape[0], self.batch))
        own = jax.lax.cond(step == 0, lambda: jax.lax.map(lambda i: self._product(model, i), index), lambda: own)
        for _ in range(self.inner):
            model = self._overlap(objective, model, own, index, real, step)

        def project(waves, index, real):
            product = self._product(model, index)
            target = (objective.counts[index], objective.used_in(index), model.background)
            counted, _ = with_counted_amplitude(2 * product - waves, *target)
            return waves + counted - product, objective.misfit(model.patterns(index), index, real)

        own, (losses, deviances) = jax.lax.map(lambda batch: project(*batch), (own, index, real))
        deviance = 2 * jnp.sum(deviances) / objective.pixels
        return Epoch(objective.theta_of(model), own, jnp.mean(losses), deviance)

    def _product(self, model, index) -> Complex[Array, "b M N N"]:
        return model.probe.modes * cut(model, index)[:, None]

    def _overlap(self, objective, model, own, index, real, step):
        """The object that fits the exit waves best with this probe, then the probe with that object."""
        object, modes = model.sample.object, model.probe.modes
        if objective.moves("object"):
            object = self._fitted_object(model, own, index, real)
            model = updated(model, object, modes)
        if objective.moves("probe"):
            fitted = self._fitted_probe(model, own, index, real)
            modes = jnp.where(step < self.probe_start, modes, fitted)
        return updated(model, object, modes)

    def _fitted_object(self, model, own, index, real) -> Complex[Array, "h w"]:
        modes, shape = model.probe.modes, model.sample.object_real.shape
        light = jnp.sum(jnp.abs(modes) ** 2, axis=0)

        def add(total, batch):
            waves, index, real = batch
            corners, kept = model.corners[index], real[:, None, None]
            part = jnp.where(kept, jnp.sum(jnp.conj(modes) * waves, axis=1), 0.0)
            patches = (part, jnp.where(kept, light, 0.0))
            return tuple(t + windows_transposed(p, corners, shape) for t, p in zip(total, patches, strict=True)), None

        blank = (jnp.zeros(shape, modes.dtype), jnp.zeros(shape, light.dtype))
        (total, weight), _ = jax.lax.scan(add, blank, (own, index, real))
        little = self.damping.astype(weight.dtype) * jnp.max(weight) + TINY
        return (total + little * model.sample.object) / (weight + little)

    def _fitted_probe(self, model, own, index, real) -> Complex[Array, "M N N"]:
        def add(total, batch):
            waves, index, real = batch
            window = jnp.where(real[:, None, None], cut(model, index), 0.0)
            parts = (jnp.sum(jnp.conj(window)[:, None] * waves, axis=0), jnp.sum(jnp.abs(window) ** 2, axis=0))
            return tuple(t + p for t, p in zip(total, parts, strict=True)), None

        modes = model.probe.modes
        blank = (jnp.zeros_like(modes), jnp.zeros(modes.shape[1:], modes.real.dtype))
        (total, weight), _ = jax.lax.scan(add, blank, (own, index, real))
        return total / (weight + TINY)
