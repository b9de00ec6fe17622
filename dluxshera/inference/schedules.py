"""Learning-rate schedules: a factor on the base rate, step by step."""

import abc
import operator
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float

from .engines import check_positive, instance_of, positive_number


class AbstractSchedule(eqx.Module):
    """Factor on the base rate as a function of the step, from 0."""

    @abc.abstractmethod
    def factor(self, step: ArrayLike) -> Float[Array, ""]:
        """Factor of the move that is made at a step."""

    @abc.abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Plain values for the record of a run."""


class ConstantRate(AbstractSchedule):
    """The base rate, always."""

    def factor(self, step):
        """One."""
        return jnp.ones(())

    def settings(self):
        """Name."""
        return {"name": "constant"}


def _as_steps(boundaries: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(step) for step in boundaries)
    except TypeError:
        raise ValueError(f"Expected boundaries as whole numbers, got {boundaries!r:.80}.") from None


class PiecewiseRate(AbstractSchedule):
    """Another factor from each boundary on.

    Parameters
    ----------
    boundaries : sequence of int (n,)
        Steps at which the factor changes, ascending.
    factors : array (n + 1,)
        Before the first boundary, between the boundaries, and after the last.
    """

    boundaries: tuple[int, ...] = eqx.field(static=True, converter=_as_steps)
    factors: Float[Array, " m"] = eqx.field(converter=lambda x: jnp.asarray(x, float))

    def __check_init__(self):
        if list(self.boundaries) != sorted(set(self.boundaries)) or min(self.boundaries, default=0) < 0:
            raise ValueError(f"Expected ascending boundaries of zero or more, got {self.boundaries}.")
        if self.factors.shape != (len(self.boundaries) + 1,):
            raise ValueError(
                f"Expected {len(self.boundaries) + 1} factors, one more than boundaries, got {self.factors.size}."
            )
        known = not isinstance(self.factors, jax.core.Tracer)
        if known and not ((self.factors >= 0) & (self.factors < jnp.inf)).all():
            raise ValueError(f"Expected finite factors of zero or more, got {self.factors}.")

    def factor(self, step):
        """The factor of the piece that the step lies in."""
        pieces = [optax.constant_schedule(factor) for factor in self.factors]
        return jnp.asarray(optax.join_schedules(pieces, list(self.boundaries))(step))

    def settings(self):
        """Name, boundaries and factors."""
        return {"name": "piecewise", "boundaries": list(self.boundaries), "factors": self.factors.tolist()}


class CosineRate(AbstractSchedule):
    """Half a cosine from one down to a last factor, which then stays.

    Parameters
    ----------
    steps : int
        Length of the descent.
    last : float
        Factor at its end, above zero.
    """

    steps: int = eqx.field(static=True)
    last: Float[Array, ""] = positive_number(1e-3)

    def __check_init__(self):
        check_steps(self.steps)
        check_positive("last", self.last)

    def factor(self, step):
        """Between one and `last`."""
        return jnp.asarray(optax.cosine_decay_schedule(jnp.ones(()), self.steps, self.last)(step))

    def settings(self):
        """Name, length and last factor."""
        return {"name": "cosine", "steps": self.steps, "last": float(self.last)}


class WarmUp(AbstractSchedule):
    """A straight rise to one, then another schedule from its beginning.

    Parameters
    ----------
    steps : int
        Length of the rise; the first move has the factor 1/(steps + 1).
    then : AbstractSchedule
    """

    steps: int = eqx.field(static=True)
    then: AbstractSchedule = instance_of(AbstractSchedule, "then", ConstantRate())

    def __check_init__(self):
        check_steps(self.steps)

    def factor(self, step):
        """Rising up to `steps`."""
        rise = optax.linear_schedule(1 / (self.steps + 1), 1.0, self.steps)
        return jnp.asarray(optax.join_schedules([rise, self.then.factor], [self.steps])(step))

    def settings(self):
        """Name, length, and what follows."""
        return {"name": "warm_up", "steps": self.steps, "then": dict(self.then.settings())}


def check_steps(steps: Any) -> None:
    """Raise ValueError unless the length is a positive whole number."""
    if isinstance(steps, bool | jax.core.Tracer) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"Expected steps of 1 or more, got {steps!r}.")
