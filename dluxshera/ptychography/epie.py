"""The extended ptychographical iterative engine."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .epoch_engine import AbstractEpochEngine, Epoch, number, whole
from .exit_waves import TINY, cut, updated, with_counted_amplitude
from .propagation import windows_transposed


class EPIE(AbstractEpochEngine):
    """Pattern after pattern, object and probe follow the exit wave with the counted amplitude (Maiden and Rodenburg,
    Ultramicroscopy 109, 1256, 2009; several modes as in Thibault and Menzel, Nature 494, 68, 2013).

    O <- O + a conj(P) (psi' - psi) / max|P|^2, and the like for P. Positions and background stay.

    Parameters
    ----------
    max_steps : int
        Epochs.
    object_step, probe_step : float
        The factor a of each, in (0, 1].
    seed : int
        Of the order of the patterns.
    """

    max_steps: Int[Array, ""] = whole(100)
    object_step: Float[Array, ""] = number(0.5)
    probe_step: Float[Array, ""] = number(0.5)
    seed: Int[Array, ""] = whole(0)

    def blank(self, theta: Float[Array, " D"]) -> tuple:
        """Nothing is remembered."""
        return ()

    def epoch(self, objective: Any, theta: Float[Array, " D"], own: Any, step: Int[Array, ""], key: Array) -> Epoch:
        """Every pattern once."""
        model, one = objective.at(theta), jnp.ones(1, bool)
        order = jax.random.permutation(key, objective.counts.shape[0])[:, None]

        def visit(model, index):
            window, modes = cut(model, index), model.probe.modes
            waves = modes * window[:, None]
            target = (objective.counts[index], objective.used_in(index), model.background)
            revised, expected = with_counted_amplitude(waves, *target)
            return self._follow(objective, model, index, window, revised - waves), objective.misfit(
                expected, index, one
            )

        model, (losses, deviances) = jax.lax.scan(visit, model, order)
        deviance = 2 * jnp.sum(deviances) / objective.pixels
        return Epoch(objective.theta_of(model), own, jnp.mean(losses), deviance)

    def _follow(self, objective, model, index, window, change):
        """Object and probe after one pattern, as far as they move."""
        object, modes = model.sample.object, model.probe.modes
        light, glass = jnp.max(jnp.sum(jnp.abs(modes) ** 2, axis=0)), jnp.max(jnp.abs(window) ** 2)
        if objective.moves("object"):
            patch = jnp.sum(jnp.conj(modes) * change, axis=1) / jnp.maximum(light, TINY)
            moved = windows_transposed(patch, model.corners[index], object.shape)
            object = object + self.object_step.astype(light.dtype) * moved
        if objective.moves("probe"):
            rate = self.probe_step.astype(light.dtype) / jnp.maximum(glass, TINY)
            modes = modes + rate * jnp.sum(jnp.conj(window)[:, None] * change, axis=0)
        return updated(model, object, modes)
