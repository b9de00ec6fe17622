r"""Bijectors: increasing maps from an unconstrained number to a bounded physical one, elementwise."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .spec import ParameterError


def as_leaf(value: Any) -> Any:
    """Convert a number to a float array; on the host if it is there, so that declarations start no device."""
    if isinstance(value, jax.Array):
        return jnp.asarray(value, jnp.result_type(float))
    return np.asarray(value, np.float64)


class AbstractBijector(eqx.Module):
    """An increasing map between the real line and an interval."""

    @abc.abstractmethod
    def to_physical(self, u: Any) -> jax.Array:
        """Map unconstrained numbers to physical ones."""

    @abc.abstractmethod
    def to_unconstrained(self, x: Any) -> jax.Array:
        """Map physical numbers to unconstrained ones; infinite at a bound, NaN outside."""

    @abc.abstractmethod
    def log_det(self, u: Any) -> jax.Array:
        r"""Return \(\log |dx/du|\), elementwise."""


class Identity(AbstractBijector):
    r"""\(x = u\): no bounds."""

    def to_physical(self, u: Any) -> jax.Array:
        return jnp.asarray(u)

    def to_unconstrained(self, x: Any) -> jax.Array:
        return jnp.asarray(x)

    def log_det(self, u: Any) -> jax.Array:
        return jnp.zeros_like(u)


class Log(AbstractBijector):
    r"""\(x = l + e^u\): above a lower bound `lower` (default 0)."""

    lower: Any = eqx.field(converter=as_leaf, default=0.0)

    def to_physical(self, u: Any) -> jax.Array:
        return self.lower + jnp.exp(u)

    def to_unconstrained(self, x: Any) -> jax.Array:
        return jnp.log(x - self.lower)

    def log_det(self, u: Any) -> jax.Array:
        return jnp.asarray(u)


class Softplus(AbstractBijector):
    r"""\(x = b + s \log(1 + e^{s u})\): above (`sign` +1) or below (-1) the bound b; linear far off."""

    bound: Any = eqx.field(converter=as_leaf, default=0.0)
    sign: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.sign not in (-1, 1):
            raise ParameterError(f"Softplus.sign: Expected +1 or -1, got {self.sign!r}.")

    def to_physical(self, u: Any) -> jax.Array:
        return self.bound + self.sign * jax.nn.softplus(self.sign * jnp.asarray(u))

    def to_unconstrained(self, x: Any) -> jax.Array:
        distance = self.sign * (x - self.bound)
        return self.sign * (distance + jnp.log(-jnp.expm1(-distance)))

    def log_det(self, u: Any) -> jax.Array:
        return jax.nn.log_sigmoid(self.sign * jnp.asarray(u))


class Interval(AbstractBijector):
    r"""\(x = l + (h - l) / (1 + e^{-u})\): between `lower` and `upper`."""

    lower: Any = eqx.field(converter=as_leaf)
    upper: Any = eqx.field(converter=as_leaf)

    def __check_init__(self):
        check_order("Interval", self.lower, self.upper)

    def to_physical(self, u: Any) -> jax.Array:
        u = jnp.asarray(u)
        step = (self.upper - self.lower) * jax.nn.sigmoid(-jnp.abs(u))  # from the nearer end: never leaves it
        return jnp.where(u < 0, self.lower + step, self.upper - step)

    def to_unconstrained(self, x: Any) -> jax.Array:
        return jnp.log(x - self.lower) - jnp.log(self.upper - x)

    def log_det(self, u: Any) -> jax.Array:
        u = jnp.asarray(u)
        return jnp.log(self.upper - self.lower) + jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u)


def bijector_for(lower: Any, upper: Any) -> AbstractBijector:
    """Choose the bijector that bounds ask for; `None` is an open side.

    None: `Identity`; lower only: `Log`; upper only: `Softplus`; both: `Interval`.
    """
    if lower is None:
        return Identity() if upper is None else Softplus(upper, -1)
    return Log(lower) if upper is None else Interval(lower, upper)


def check_order(name: str, lower: Any, upper: Any) -> None:
    """Check lower < upper where both are known on the host or device; traced values are skipped."""
    if isinstance(lower, jax.core.Tracer) or isinstance(upper, jax.core.Tracer):
        return
    if not _comparable(lower, upper) or not np.all(np.asarray(lower) < np.asarray(upper)):
        raise ParameterError(f"{name}: Expected lower < upper, got lower={lower}, upper={upper}.")


def _comparable(lower: Any, upper: Any) -> bool:
    return np.size(lower) > 0 and np.size(upper) > 0
