"""Gradient descent with a rate for each element of θ, found from the curvature."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .curvature import AbstractCurvature, FisherDiagonal, check_fraction, check_lengths
from .curvature_combinations import Refreshed
from .engines import (
    AbstractEngine,
    EngineState,
    check_max_steps,
    check_positive,
    initial_state,
    instance_of,
    positive_number,
)
from .preconditioning import FORMS, preconditioner, rate_vector, stable_rate
from .schedules import AbstractSchedule, ConstantRate

GROWTH = 1.25  # of a shortened rate at each accepted try: one refusal for about every three of them


class _Memory(NamedTuple):
    """Gradient, velocity and scale (D,) at the present θ, the base rate () or (D,) and by how much it is shortened (),
    and the curvature's state.
    """

    gradient: Float[Array, " D"]
    velocity: Float[Array, " D"]
    scale: Float[Array, " D"]
    base_rate: Float[Array, "..."]
    shortening: Float[Array, ""]
    curvature: Any


def _numbers(default: Any):
    """Field of numbers, as an array so that others compile nothing anew; None stays."""
    return eqx.field(converter=lambda x: None if x is None else jnp.asarray(x, float), default=default)


def _range(name: str):
    """Field of a least and a greatest value; None for no limits."""

    def convert(pair: Any) -> Any:
        if pair is None:
            return None
        parts = pair if isinstance(pair, tuple | list) else np.atleast_1d(pair)
        if len(parts) != 2:
            raise ValueError(f"Expected {name} as a pair (least, greatest) or None, got {pair!r:.80}.")
        return tuple(jnp.asarray(value, float) for value in parts)

    return eqx.field(converter=convert, default=None)


class PreconditionedGD(AbstractEngine):
    """Gradient descent with momentum, each element of θ at its own rate.

    velocity <- momentum * velocity + gradient; theta <- theta - factor(step) * base_rate * scale * velocity, where the
    scale follows from a curvature (`preconditioner`). A try whose loss is not finite is refused, and so is one that
    raises the loss: the velocity starts anew from zero (the restart of O'Donoghue and Candès, Foundations of
    Computational Mathematics 15, 715, 2015), and the rate is halved where it was zero already, to grow back with the
    tries that are accepted.

    Parameters
    ----------
    max_steps : int
        Most tries, refused ones included.
    curvature : AbstractCurvature
        By default the diagonal of the expected information, found again every 20 steps.
    form : str
        `"inverse"`: 1/(max(curv, floor) + eps), or `"inverse_sqrt"`: one over the square root of that.
    base_rate : float or Array (D,), optional
        Of all elements, or of each (`block_rates`). By default the inverse of the largest curvature at the start, which
        is stable there (`stable_rate`).
    schedule : AbstractSchedule
        Factor on the base rate, by step.
    momentum : float
        Share of the velocity that is kept, in [0, 1).
    floor : float or Array (D,), in units of 1/θ^2, optional
        Without one, elements that have no positive curvature are held.
    eps : float
    scale_clip, rate_clip : pair of float or Array (D,), optional
        Least and greatest scale; least and greatest rate.
    monotone : bool
        Whether a try that raises the loss by more than rounding is refused.
    tolerance : float
        Converged when the predicted gain of a step at the base rate, half the sum of rate times gradient squared, is
        below this.
    """

    max_steps: int = eqx.field(static=True, default=1000)
    curvature: AbstractCurvature = instance_of(AbstractCurvature, "curvature", Refreshed(FisherDiagonal(), 20))
    form: str = eqx.field(static=True, default="inverse")
    base_rate: Float[Array, "..."] | None = _numbers(None)
    schedule: AbstractSchedule = instance_of(AbstractSchedule, "schedule", ConstantRate())
    momentum: Float[Array, ""] = _numbers(0.9)
    floor: Float[Array, "..."] | None = _numbers(None)
    eps: Float[Array, ""] = _numbers(0.0)
    scale_clip: tuple[Array, Array] | None = _range("scale_clip")
    rate_clip: tuple[Array, Array] | None = _range("rate_clip")
    monotone: bool = eqx.field(static=True, default=True)
    tolerance: Float[Array, ""] = positive_number(1e-10)

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)
        check_fraction("momentum", self.momentum, below_one=True)
        _check_at_least_zero(base_rate=self.base_rate, floor=self.floor, eps=self.eps)
        _check_ranges(scale_clip=self.scale_clip, rate_clip=self.rate_clip)
        if self.form not in FORMS:
            raise ValueError(f"Expected form among {', '.join(FORMS)}, got {self.form!r}.")

    def settings(self) -> Mapping[str, Any]:
        """Plain values for the record of a run: rates, schedule, momentum and `preconditioning`."""
        clip = {"scale": _plain(self.scale_clip), "rate": _plain(self.rate_clip)}
        scaling = {"form": self.form, "eps": _plain(self.eps), "floor": _plain(self.floor), "clipping": clip}
        return {
            "base_lr": _plain(self.base_rate),
            "schedule": dict(self.schedule.settings()),
            "momentum": _plain(self.momentum),
            "monotone": self.monotone,
            "preconditioning": {"refresh_every": 1, "updated": True, **self.curvature.settings(), **scaling},
        }

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """Gradient, scale and rate are found by the first step.

        Raises
        ------
        ValueError
            If a setting that may differ from element to element has another length than θ.
        """
        check_lengths(theta, base_rate=self.base_rate, floor=self.floor)
        for name, pair in (("scale_clip", self.scale_clip), ("rate_clip", self.rate_clip)):
            check_lengths(theta, **{f"{name}[{i}]": value for i, value in enumerate(pair or ())})
        blank, zero = jnp.zeros_like(theta), jnp.zeros((), theta.dtype)
        rate = zero if self.base_rate is None else jnp.zeros(self.base_rate.shape, theta.dtype)
        memory = _Memory(blank, blank, blank, rate, zero + 1, self.curvature.init(theta))
        return initial_state(theta, None, memory, tried=theta, base_lr=zero)

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """Try one move; the first evaluates the start."""
        memory, start = state.memory, state.step < 0
        velocity = jnp.where(start, 0.0, self.momentum.astype(state.theta.dtype) * memory.velocity + memory.gradient)
        move = self._rates(memory, state.step) * velocity
        theta = state.theta - move
        loss, gradient = jax.value_and_grad(objective.loss)(theta)
        finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        accepted = start | (finite & self._lower(state.loss, loss))
        pick = lambda new, old: jnp.where(accepted, new, old)  # noqa: E731
        tried = EngineState(
            theta=pick(theta, state.theta),
            loss=pick(loss, state.loss),
            step=state.step + 1,
            grad_norm=state.grad_norm,
            step_norm=_length(move, memory.scale),
            accepted=accepted,
            rejections=pick(0, state.rejections + 1),
            converged=state.converged,
            information=None,
            memory=_after(memory, accepted, gradient, velocity),
            finite=finite,
            tried=theta,
            base_lr=state.base_lr,
            tally=state.tally,
        )
        state = jax.lax.cond(accepted, lambda s: self._scaled(objective, s), lambda s: s, tried)
        return eqx.tree_at(lambda s: s.base_lr, state, jnp.max(self._base_rate(state.memory, state.step)))

    def _lower(self, before: Float[Array, ""], loss: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether the loss has not risen by more than rounding."""
        within = before + 8 * jnp.finfo(loss.dtype).eps * jnp.abs(before)
        return (loss <= within) if self.monotone else jnp.asarray(True)

    def _base_rate(self, memory: _Memory, step) -> Float[Array, "..."]:
        """Of the move that makes step `step + 1`."""
        factor = self.schedule.factor(jnp.maximum(step, 0)).astype(memory.scale.dtype)
        return factor * memory.shortening * memory.base_rate

    def _rates(self, memory: _Memory, step) -> Float[Array, " D"]:
        return rate_vector(self._base_rate(memory, step), memory.scale, self.rate_clip)

    def _scaled(self, objective: Any, state: EngineState) -> EngineState:
        """With scale, rate and convergence at the present θ."""
        memory, theta = state.memory, state.theta
        diagonal, curvature = self.curvature.estimate(
            objective, theta, memory.curvature, state.step, gradient=memory.gradient
        )
        scale = preconditioner(diagonal, self.form, self.floor, self.eps, self.scale_clip).astype(theta.dtype)
        rate = jax.lax.cond(
            state.step == 0, lambda: self._first_rate(objective, theta, scale), lambda: memory.base_rate
        )
        memory = memory._replace(scale=scale, base_rate=rate, curvature=curvature)
        # The schedule is not in it: a rate that has died away is no convergence.
        rates = rate_vector(rate, scale, self.rate_clip)
        gain = 0.5 * jnp.sum(memory.gradient**2 * (rates + _held_rates(diagonal, scale)))
        found = (_length(scale * memory.gradient, scale), gain < self.tolerance, memory)
        return eqx.tree_at(lambda s: (s.grad_norm, s.converged, s.memory), state, found)

    def _first_rate(self, objective, theta, scale) -> Float[Array, "..."]:
        if self.base_rate is None:
            return stable_rate(objective.loss, theta, scale)
        return self.base_rate.astype(theta.dtype)


def _after(memory: _Memory, accepted, gradient, velocity) -> _Memory:
    """Gradient and velocity of an accepted move; after a refused one no velocity, and half the rate if it had none."""
    plain, old = jnp.all(memory.velocity == 0), memory.shortening
    return memory._replace(
        gradient=jnp.where(accepted, gradient, memory.gradient),
        velocity=jnp.where(accepted, velocity, 0.0),
        shortening=jnp.where(accepted, jnp.minimum(GROWTH * old, 1.0), jnp.where(plain, 0.5 * old, old)),
    )


def _held_rates(diagonal: Float[Array, " D"], scale: Float[Array, " D"]) -> Float[Array, " D"]:
    """Rates of what is held for a negative curvature, by its size: a gradient there is no convergence either."""
    held = (scale == 0) & (diagonal < 0)
    return jnp.where(held, 1 / jnp.where(held, -diagonal, 1.0), 0.0)


def _length(move: Float[Array, " D"], scale: Float[Array, " D"]) -> Float[Array, ""]:
    """Length of a move in the metric 1/scale; elements that are held have none."""
    return jnp.sqrt(jnp.sum(jnp.where(scale > 0, move**2 / jnp.where(scale > 0, scale, 1.0), 0.0)))


def _check_at_least_zero(**values: Array | None) -> None:
    for name, value in values.items():
        if value is None or isinstance(value, jax.core.Tracer):
            continue
        positive = (value > 0).all() if name == "base_rate" else (value >= 0).all()
        if not (positive and jnp.isfinite(value).all()):
            raise ValueError(f"Expected {name} {'above' if name == 'base_rate' else 'of at least'} zero, got {value}.")


def _check_ranges(**ranges: tuple[Array, Array] | None) -> None:
    for name, pair in ranges.items():
        if pair is None or any(isinstance(value, jax.core.Tracer) for value in pair):
            continue
        least, greatest = pair
        if not ((least >= 0).all() and jnp.isfinite(least).all() and (jnp.max(least - greatest) <= 0)):
            raise ValueError(f"Expected {name} as 0 <= least <= greatest, got ({least}, {greatest}).")


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if value is None else value.tolist()
