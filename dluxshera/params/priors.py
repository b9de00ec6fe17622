r"""Priors: normalised densities of a physical value, elementwise."""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

from .bijectors import as_leaf, check_order
from .spec import ParameterError


class AbstractPrior(eqx.Module):
    """A density over the real line or part of it.

    Every prior has `support` (lower, upper) and `std`, the standard deviation of the value, in its own unit.
    """

    @abc.abstractmethod
    def log_prob(self, x: Any) -> jax.Array:
        """Return the log density at `x`, elementwise; minus infinity outside the support."""

    @abc.abstractmethod
    def cdf(self, x: Any) -> jax.Array:
        """Return the probability of a value below `x`, elementwise."""

    @abc.abstractmethod
    def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw values of a shape."""

    @property
    @abc.abstractmethod
    def std(self) -> jax.Array:
        """Standard deviation."""

    @property
    @abc.abstractmethod
    def support(self) -> tuple:
        """Lower and upper end of the support."""


class Normal(AbstractPrior):
    """Normal density.

    Parameters
    ----------
    mean, sigma : float or array
        Mean and standard deviation.

    Raises
    ------
    ParameterError
        If `sigma` is not positive.
    """

    mean: Any = eqx.field(converter=as_leaf)
    sigma: Any = eqx.field(converter=as_leaf)

    def __check_init__(self):
        _check_positive("Normal", self.sigma)

    def log_prob(self, x: Any) -> jax.Array:
        return stats.norm.logpdf(x, self.mean, self.sigma)

    def cdf(self, x: Any) -> jax.Array:
        return stats.norm.cdf(x, self.mean, self.sigma)

    def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        return self.mean + self.sigma * jax.random.normal(key, shape)

    @property
    def std(self) -> jax.Array:
        return jnp.asarray(self.sigma)

    @property
    def support(self) -> tuple:
        return (-math.inf, math.inf)


class TruncatedNormal(AbstractPrior):
    """Normal density cut to an interval and normalised on it.

    Parameters
    ----------
    mean, sigma : float or array
        Mean and standard deviation of the normal density before it is cut.
    lower, upper : float or array
        Ends of the interval.

    Raises
    ------
    ParameterError
        If `sigma` is not positive or the interval is empty.
    """

    mean: Any = eqx.field(converter=as_leaf)
    sigma: Any = eqx.field(converter=as_leaf)
    lower: Any = eqx.field(converter=as_leaf)
    upper: Any = eqx.field(converter=as_leaf)

    def __check_init__(self):
        _check_positive("TruncatedNormal", self.sigma)
        check_order("TruncatedNormal", self.lower, self.upper)

    def log_prob(self, x: Any) -> jax.Array:
        return stats.truncnorm.logpdf(x, *self._cuts, loc=self.mean, scale=self.sigma)

    def cdf(self, x: Any) -> jax.Array:
        return stats.truncnorm.cdf(x, *self._cuts, loc=self.mean, scale=self.sigma)

    def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        return self.mean + self.sigma * jax.random.truncated_normal(key, *self._cuts, shape)

    @property
    def std(self) -> jax.Array:
        a, b = self._cuts
        at_a, at_b = (jnp.exp(stats.truncnorm.logpdf(cut, a, b)) for cut in (a, b))
        edge_a, edge_b = (jnp.where(jnp.isinf(c), 0.0, c) * d for c, d in ((a, at_a), (b, at_b)))
        return self.sigma * jnp.sqrt(1 + edge_a - edge_b - (at_a - at_b) ** 2)

    @property
    def support(self) -> tuple:
        return (self.lower, self.upper)

    @property
    def _cuts(self) -> tuple:
        return (self.lower - self.mean) / self.sigma, (self.upper - self.mean) / self.sigma


class LogNormal(AbstractPrior):
    """Density of a positive value whose natural logarithm is normal.

    Parameters
    ----------
    mu, sigma : float or array
        Mean and standard deviation of the logarithm; `std` is the standard deviation of the value itself.

    Raises
    ------
    ParameterError
        If `sigma` is not positive.
    """

    mu: Any = eqx.field(converter=as_leaf)
    sigma: Any = eqx.field(converter=as_leaf)

    def __check_init__(self):
        _check_positive("LogNormal", self.sigma)

    def log_prob(self, x: Any) -> jax.Array:
        inside = jnp.asarray(x) > 0
        log_x = jnp.log(jnp.where(inside, x, 1.0))
        return jnp.where(inside, stats.norm.logpdf(log_x, self.mu, self.sigma) - log_x, -jnp.inf)

    def cdf(self, x: Any) -> jax.Array:
        inside = jnp.asarray(x) > 0
        log_x = jnp.log(jnp.where(inside, x, 1.0))
        return jnp.where(inside, stats.norm.cdf(log_x, self.mu, self.sigma), 0.0)

    def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        return jnp.exp(self.mu + self.sigma * jax.random.normal(key, shape))

    @property
    def std(self) -> jax.Array:
        variance = jnp.asarray(self.sigma) ** 2
        return jnp.exp(self.mu + variance / 2) * jnp.sqrt(jnp.expm1(variance))

    @property
    def support(self) -> tuple:
        return (0.0, math.inf)


class Uniform(AbstractPrior):
    """Constant density on an interval.

    Parameters
    ----------
    lower, upper : float or array
        Ends of the interval, both inside it.

    Raises
    ------
    ParameterError
        If the interval is empty.
    """

    lower: Any = eqx.field(converter=as_leaf)
    upper: Any = eqx.field(converter=as_leaf)

    def __check_init__(self):
        check_order("Uniform", self.lower, self.upper)

    def log_prob(self, x: Any) -> jax.Array:
        inside = (jnp.asarray(x) >= self.lower) & (x <= self.upper)
        return jnp.where(inside, -jnp.log(self.upper - self.lower), -jnp.inf)

    def cdf(self, x: Any) -> jax.Array:
        return jnp.clip((jnp.asarray(x) - self.lower) / (self.upper - self.lower), 0.0, 1.0)

    def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        return self.lower + (self.upper - self.lower) * jax.random.uniform(key, shape)

    @property
    def sigma(self) -> jax.Array:
        """Standard deviation, the width over the square root of twelve."""
        return jnp.asarray(self.upper - self.lower) / math.sqrt(12)

    @property
    def std(self) -> jax.Array:
        return self.sigma

    @property
    def support(self) -> tuple:
        return (self.lower, self.upper)


def _check_positive(name: str, sigma: Any) -> None:
    if isinstance(sigma, jax.core.Tracer):
        return
    if not np.all(np.asarray(sigma) > 0):
        raise ParameterError(f"{name}: Expected sigma > 0, got {sigma}.")
