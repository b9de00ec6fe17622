"""The least-squares maximum-likelihood engine."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from .batches import shuffled, split_evenly
from .epoch_engine import AbstractEpochEngine, Epoch, number, whole
from .exit_waves import TINY, cut, updated, with_counted_amplitude
from .propagation import WINDOWS, windows_transposed

LONGEST = 0.3  # pixels that a position moves at once


class LSQML(AbstractEpochEngine):
    """Minibatches with step lengths of object and probe from a least-squares fit of the exit waves (Odstrcil, Menzel
    and Guizar-Sicairos, Optics Express 26, 3108, 2018).

    Directions are averages weighted by light; for each pattern the two lengths that bring the exit waves closest to
    those with the counted amplitude solve two equations, and their mean over the batch is taken.

    Parameters
    ----------
    max_steps : int
        Epochs.
    batch : int
        Patterns in a batch.
    step_share : float
        Share of the fitted lengths that is taken.
    damping : float, fraction
        Of the largest light, added to the weights.
    position_share : float
        Share of the fitted displacements that is taken.
    seed : int
        Of the order of the patterns.
    """

    max_steps: Int[Array, ""] = whole(100)
    batch: int = eqx.field(static=True, default=43)
    step_share: Float[Array, ""] = number(0.9)
    damping: Float[Array, ""] = number(0.1)
    position_share: Float[Array, ""] = number(0.5)
    seed: Int[Array, ""] = whole(0)

    def blank(self, theta: Float[Array, " D"]) -> tuple:
        """Nothing is remembered."""
        return ()

    def epoch(self, objective: Any, theta: Float[Array, " D"], own: Any, step: Int[Array, ""], key: Array) -> Epoch:
        """Every batch once."""
        patterns = objective.counts.shape[0]
        index, real = split_evenly(patterns, self.batch)
        batches = (shuffled(key, jnp.asarray(index), patterns), jnp.asarray(real))

        def visit(model, batch):
            index, real = batch
            window = cut(model, index)
            waves = model.probe.modes * window[:, None]
            target = (objective.counts[index], objective.used_in(index), model.background)
            revised, expected = with_counted_amplitude(waves, *target)
            change = jnp.where(real[:, None, None, None], revised - waves, 0.0)
            return self._follow(objective, model, index, window, change), objective.misfit(expected, index, real)

        model, (losses, deviances) = jax.lax.scan(visit, objective.at(theta), batches)
        return Epoch(objective.theta_of(model), own, jnp.mean(losses), 2 * jnp.sum(deviances) / objective.pixels)

    def _follow(self, objective, model, index, window, change):
        """Object, probe and positions after one batch, as far as they move."""
        corners, modes = model.corners[index], model.probe.modes
        to_object = self._object_direction(model, corners, change) * objective.moves("object")
        to_probe = self._probe_direction(window, change) * objective.moves("probe")
        cut_direction = WINDOWS[model.interpolation](to_object, corners, model.probe.npix)
        lengths = _lengths(change, cut_direction[:, None] * modes, to_probe * window[:, None])
        share = self.step_share.astype(window.real.dtype) * jnp.mean(lengths, axis=0)
        positions = self._positions(model, index, change) if objective.moves("positions") else None
        return updated(model, model.sample.object + share[0] * to_object, modes + share[1] * to_probe, positions)

    def _object_direction(self, model, corners, change) -> Complex[Array, "h w"]:
        modes, shape = model.probe.modes, model.sample.object_real.shape
        light = jnp.broadcast_to(jnp.sum(jnp.abs(modes) ** 2, axis=0), change.shape[:1] + modes.shape[1:])
        weight = windows_transposed(light, corners, shape)
        total = windows_transposed(jnp.sum(jnp.conj(modes) * change, axis=1), corners, shape)
        return total / (weight + self.damping.astype(weight.dtype) * jnp.max(weight) + TINY)

    def _probe_direction(self, window, change) -> Complex[Array, "M N N"]:
        weight = jnp.sum(jnp.abs(window) ** 2, axis=0)
        total = jnp.sum(jnp.conj(window)[:, None] * change, axis=0)
        return total / (weight + self.damping.astype(weight.dtype) * jnp.max(weight) + TINY)

    def _positions(self, model, index, change) -> Float[Array, "n 2"]:
        """Each moved by the displacement that explains most of the change, along y and along x."""
        corners, modes, npix = model.corners[index], model.probe.modes, model.probe.npix
        moves = []
        for axis in (0, 1):
            slope = WINDOWS[model.interpolation](jnp.gradient(model.sample.object, axis=axis), corners, npix)
            moves.append(_share(change, slope[:, None] * modes))
        move = self.position_share.astype(corners.dtype) * jnp.stack(moves, axis=1)
        return model.scan.positions.at[index].add(jnp.clip(move, -LONGEST, LONGEST))


def _inner(a: Array, b: Array) -> Float[Array, " b"]:
    """Real inner product over modes and pixels."""
    return jnp.sum(a.real * b.real + a.imag * b.imag, axis=(1, 2, 3))


def _share(change: Array, along: Array) -> Float[Array, " b"]:
    """Least-squares factor on `along` that gives the change."""
    return _inner(change, along) / (_inner(along, along) + TINY)


def _lengths(change: Array, by_object: Array, by_probe: Array) -> Float[Array, "b 2"]:
    """The two factors that fit the change together, for each pattern; one alone where the other does not move."""
    a, b, c = _inner(by_object, by_object), _inner(by_probe, by_probe), _inner(by_object, by_probe)
    f, g = _inner(change, by_object), _inner(change, by_probe)
    a, b = 1.001 * a + TINY, 1.001 * b + TINY  # parallel directions share the change
    determinant = a * b - c**2
    return jnp.stack([(b * f - c * g) / determinant, (a * g - c * f) / determinant], axis=1)
