"""What the engines that go through a scan pattern by pattern have in common: one step is one epoch."""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..inference import AbstractEngine, EngineState, initial_state


class EpochMemory(NamedTuple):
    """Poisson deviance per pixel of the last epoch, and the engine's own arrays."""

    deviance: Float[Array, ""]
    own: Any


class Epoch(NamedTuple):
    """What an epoch gives: θ (D,), the engine's own arrays, and loss and deviance per pixel, running means."""

    theta: Float[Array, " D"]
    own: Any
    loss: Float[Array, ""]
    deviance: Float[Array, ""]


def number(default: Any):
    """Field of an engine: numbers, as an array so that others compile nothing anew."""
    return eqx.field(converter=lambda x: jnp.asarray(x, float), default=default)


def whole(default: Any):
    """Field of an engine: a whole number, as an array so that another compiles nothing anew."""
    return eqx.field(converter=lambda x: jnp.asarray(x, int), default=default)


class AbstractEpochEngine(AbstractEngine):
    """Epoch after epoch over the patterns of a `ScanObjective`, in random order.

    The first step evaluates the start. The loss of another is the mean over its epoch, each batch as it was met, so
    that it costs nothing: finish with full-batch steps. An epoch that ends in numbers that are not finite is refused.
    θ and all arrays are float32, whatever the settings.

    Attributes
    ----------
    seed : Array () of int
        Of the order of the patterns: with the same seed, a fit that was interrupted goes on bit for bit.
    """

    seed: eqx.AbstractVar[Int[Array, ""]]
    chunk: ClassVar[int] = 1
    exact_loss: ClassVar[bool] = False

    @abc.abstractmethod
    def blank(self, theta: Float[Array, " D"]) -> Any:
        """The engine's own arrays before the first epoch."""

    @abc.abstractmethod
    def epoch(self, objective: Any, theta: Float[Array, " D"], own: Any, step: Int[Array, ""], key: Array) -> Epoch:
        """One epoch, the `step`-th from 0, with the random key of that epoch."""

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """Loss and deviance are found by the first step."""
        return initial_state(theta, None, EpochMemory(jnp.zeros((), theta.dtype), self.blank(theta)))

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """One epoch; the first evaluates the start."""
        begin, go_on = (lambda s: self._begin(objective, s)), (lambda s: self._epoch(objective, s))
        return jax.lax.cond(state.step < 0, begin, go_on, state)

    def tried(self, objective: Any, state: EngineState) -> Float[Array, " D"]:
        """θ (D,) after the epoch that led to a state, made again: of one that was refused, what was refused."""
        key = jax.random.fold_in(jax.random.key(self.seed), state.step - 1)
        return _epoch(self, objective, state.theta, state.memory.own, state.step - 1, key).theta

    def _begin(self, objective: Any, state: EngineState) -> EngineState:
        deviance, loss = 2 * objective.half_deviance(state.theta), objective.loss(state.theta)
        return _after(state, Epoch(state.theta, state.memory.own, loss, deviance))

    def _epoch(self, objective: Any, state: EngineState) -> EngineState:
        key = jax.random.fold_in(jax.random.key(self.seed), state.step)
        return _after(state, self.epoch(objective, state.theta, state.memory.own, state.step, key))


@eqx.filter_jit
def _epoch(engine: AbstractEpochEngine, *arguments: Any) -> Epoch:
    return engine.epoch(*arguments)


def _after(state: EngineState, epoch: Epoch) -> EngineState:
    """The state after an epoch; the one before, with the blame, where numbers are not finite."""
    finite = jnp.isfinite(epoch.loss) & jnp.all(jnp.isfinite(epoch.theta))
    accepted = finite | (state.step < 0)
    pick = lambda new, old: jax.tree.map(lambda n, o: jnp.where(accepted, n, o), new, old)  # noqa: E731
    return EngineState(
        theta=pick(epoch.theta, state.theta),
        loss=pick(epoch.loss, state.loss),
        step=state.step + 1,
        grad_norm=jnp.zeros_like(state.grad_norm),
        step_norm=jnp.linalg.norm(epoch.theta - state.theta),
        accepted=accepted,
        rejections=pick(0, state.rejections + 1),
        converged=jnp.asarray(False),
        information=None,
        memory=pick(EpochMemory(epoch.deviance, epoch.own), state.memory),
        finite=finite,
        tally=state.tally,
    )


def cosine_rate(step: Int[Array, ""], steps: Int[Array, ""], last: Float[Array, ""]) -> Float[Array, ""]:
    """Factor that falls from one to `last` by half a cosine, over so many steps."""
    share = jnp.clip(step / jnp.maximum(steps, 1), 0.0, 1.0)
    return last + (1 - last) * 0.5 * (1 + jnp.cos(jnp.pi * share))
