"""Curvatures made of others: blended, smoothed, refreshed now and then."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .curvature import AbstractCurvature, average_of_nothing, check_fraction
from .engines import check_whole, instance_of


class Blend(AbstractCurvature):
    """alpha * a + (1 - alpha) * b.

    Parameters
    ----------
    alpha : float
        Share of `a`, in [0, 1].
    a, b : AbstractCurvature
    """

    alpha: Float[Array, ""] = eqx.field(converter=lambda x: jnp.asarray(x, float))
    a: AbstractCurvature = instance_of(AbstractCurvature, "a")
    b: AbstractCurvature = instance_of(AbstractCurvature, "b")

    def __check_init__(self):
        check_fraction("alpha", self.alpha)

    def init(self, theta):
        """The states of both."""
        return self.a.init(theta), self.b.init(theta)

    def estimate(self, objective, theta, state, step, gradient=None):
        """Both, mixed."""
        first, state_a = self.a.estimate(objective, theta, state[0], step, gradient)
        second, state_b = self.b.estimate(objective, theta, state[1], step, gradient)
        alpha = self.alpha.astype(theta.dtype)
        return alpha * first + (1 - alpha) * second, (state_a, state_b)

    def settings(self):
        """Method, alpha, and the settings of both."""
        return {"method": "blend", "alpha": float(self.alpha), "a": self.a.settings(), "b": self.b.settings()}


class Smoothed(AbstractCurvature):
    """Exponential average of another's estimates, unbiased from the first one on.

    Inside `Refreshed` it averages the refreshes.

    Parameters
    ----------
    beta : float
        Weight that the past keeps at each estimate, in [0, 1).
    of : AbstractCurvature
    """

    beta: Float[Array, ""] = eqx.field(converter=lambda x: jnp.asarray(x, float))
    of: AbstractCurvature = instance_of(AbstractCurvature, "of")

    def __check_init__(self):
        check_fraction("beta", self.beta, below_one=True)

    def init(self, theta):
        """The other's state, and the average so far."""
        return self.of.init(theta), average_of_nothing(theta)

    def estimate(self, objective, theta, state, step, gradient=None):
        """The average with a new estimate in it."""
        inner, average = state
        fresh, inner = self.of.estimate(objective, theta, inner, step, gradient)
        average = average.updated(fresh, self.beta)
        return average.total / average.weight, (inner, average)

    def settings(self):
        """The other's, and the smoothing."""
        return {**self.of.settings(), "smoothing": float(self.beta)}


def _as_cadence(every: Any) -> int | None:
    if every is not None:
        check_whole("every", every)
    return every


class Refreshed(AbstractCurvature):
    """Another's estimate, kept for a number of steps, or for ever.

    Parameters
    ----------
    of : AbstractCurvature
    every : int, optional
        Steps between estimates, the first at step 0; refused tries do not count. None keeps that one.
    """

    of: AbstractCurvature = instance_of(AbstractCurvature, "of")
    every: int | None = eqx.field(static=True, converter=_as_cadence, default=None)

    def init(self, theta):
        """The other's state, the estimate in use, and its age."""
        return self.of.init(theta), jnp.zeros_like(theta), jnp.asarray(0)

    def estimate(self, objective, theta, state, step, gradient=None):
        """A new estimate at step 0 and where one is due."""
        inner, diagonal, age = state

        def fresh():
            new, after = self.of.estimate(objective, theta, inner, step, gradient)
            return new, (after, new, jnp.ones_like(age))

        due = (step == 0) if self.every is None else (step == 0) | (age >= self.every)
        return jax.lax.cond(due, fresh, lambda: (diagonal, (inner, diagonal, age + 1)))

    def settings(self):
        """The other's, the cadence, and whether it is ever updated."""
        return {**self.of.settings(), "refresh_every": self.every, "updated": self.every is not None}
