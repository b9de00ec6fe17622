"""Likelihoods of counted images, pixel by pixel.

Each gives, for the expected signal of a pixel and its data, minus the log-likelihood (up to a constant that
makes a perfect fit zero or nearly so), the variance for whitening, and the Fisher information about the signal.
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_TINY = 1e-30  # keeps a logarithm finite where a model expects nothing


class PixelData(NamedTuple):
    """What a likelihood knows of the data: arrays over pixels, electrons and electron^2.

    `noise_variance(expected)` is the model's variance at an expected signal; `variance` the observation's own.
    """

    image: Float[Array, "n n"]
    variance: Float[Array, "n n"] | None
    noise_variance: Callable[[Float[Array, "n n"]], Float[Array, "n n"]]


class AbstractLikelihood(eqx.Module):
    """Elementwise likelihood of an image."""

    @abc.abstractmethod
    def loss(self, expected: Float[Array, "n n"], data: PixelData) -> Float[Array, "n n"]:
        """Minus log-likelihood of each pixel."""

    @abc.abstractmethod
    def variance(self, expected: Float[Array, "n n"], data: PixelData) -> Float[Array, "n n"]:
        """Variance that whitens the residual of each pixel."""

    @abc.abstractmethod
    def information(self, expected: Float[Array, "n n"], data: PixelData) -> Float[Array, "n n"]:
        """Expected Fisher information of each pixel about its signal."""


class Poisson(AbstractLikelihood):
    """Photon noise, with read noise s^2 in the shifted form: n + s^2 is Poisson with mean lambda + s^2.

    Counts are real-valued, and a few negative ones are legal. The loss is half the deviance
    n (r - log(1 + r)), r = (lambda - n)/n, which keeps its precision at 1e9 photons per pixel.
    """

    def loss(self, expected, data):
        """Half the deviance; lambda - n log(lambda) where n is not positive; infinite for a truly negative signal."""
        shift = self._shift(expected, data)
        signal, count = expected + shift, data.image + shift
        mean = jnp.maximum(signal, _TINY)
        positive = count > 0
        safe = jnp.where(positive, count, 1.0)
        excess = jnp.where(positive, (mean - safe) / safe, 0.0)
        # log1p(-1) at a mean of zero is infinite: the floor keeps the ratio finite and its gradient too.
        half_deviance = safe * (excess - jnp.log1p(jnp.maximum(excess, -1 + jnp.finfo(excess.dtype).epsneg)))
        empty = mean - jnp.minimum(count, 0.0) * jnp.log(mean)  # a count that is not a number stays none
        impossible = positive & (signal < -1e-3 * count - 1e-6)  # rounding alone makes an empty pixel slightly negative
        return jnp.where(impossible, jnp.inf, jnp.where(positive, half_deviance, empty))

    def variance(self, expected, data):
        """Variance of the model."""
        return data.noise_variance(expected)

    def information(self, expected, data):
        """1 / (lambda + s^2); none where no signal is expected."""
        signal = expected + self._shift(expected, data)
        return jnp.where(signal > _TINY, 1 / jnp.where(signal > _TINY, signal, 1.0), 0.0)

    def _shift(self, expected, data):
        return jax.lax.stop_gradient(data.noise_variance(expected) - expected)


class Gaussian(AbstractLikelihood):
    """Gaussian noise with the observation's own variance."""

    def loss(self, expected, data):
        """Half the squared whitened residual."""
        return 0.5 * (data.image - expected) ** 2 / data.variance

    def variance(self, expected, data):
        """The observation's variance."""
        return data.variance

    def information(self, expected, data):
        """1 / variance."""
        return 1 / data.variance


class GaussianModel(AbstractLikelihood):
    """Gaussian noise with the model's variance v(lambda), its normalisation included."""

    def loss(self, expected, data):
        """(n - lambda)^2 / 2v + log(v) / 2."""
        variance = jnp.maximum(data.noise_variance(expected), _TINY)
        return 0.5 * (data.image - expected) ** 2 / variance + 0.5 * jnp.log(variance)

    def variance(self, expected, data):
        """The model's variance."""
        return data.noise_variance(expected)

    def information(self, expected, data):
        """1/v + (dv/dlambda)^2 / 2v^2: the signal also shows in the scatter."""
        variance, slope = jax.jvp(data.noise_variance, (expected,), (jnp.ones_like(expected),))
        variance = jnp.maximum(variance, _TINY)
        return 1 / variance + 0.5 * (slope / variance) ** 2


LIKELIHOODS = {"poisson": Poisson, "gaussian": Gaussian, "gaussian_model": GaussianModel}


def likelihood_named(name: str) -> AbstractLikelihood:
    """The likelihood of that name.

    Raises
    ------
    ValueError
        Listing the names there are.
    """
    if name not in LIKELIHOODS:
        raise ValueError(f"Expected a likelihood among {', '.join(LIKELIHOODS)}, got {name!r}.")
    return LIKELIHOODS[name]()
