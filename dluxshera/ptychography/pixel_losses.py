"""What a pixel adds to a loss: its counts against the expected ones, finite and smooth down to empty pixels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Num

LIKELIHOODS = ("poisson", "amplitude")
SERIES = 0.02  # relative excess below which three terms are exact to a few millionths
FLOOR = 1e-3  # photons per pixel; bends a loss only where fewer are expected


def half_deviance(
    counts: Float[Array, "*s"], expected: Float[Array, "*s"], floor: ArrayLike = FLOOR
) -> Float[Array, "*s"]:
    r"""Half the Poisson deviance, \(\lambda - n + n \log(n/\lambda)\), with \(\lambda\) raised by `floor`.

    Written as n (r - log(1 + r)), r = (lambda - n)/n, and by its series where r is small: that keeps its precision at
    large counts in single precision.

    Parameters
    ----------
    counts, expected : Array, photons
    floor : float, photons
        Keeps value and gradient finite where nothing is expected.
    """
    mean = expected + floor
    seen = counts > 0
    safe = jnp.where(seen, counts, 1.0)
    excess = (mean - safe) / safe
    series = excess**2 * (1 / 2 - excess * (1 / 3 - excess / 4))
    full = excess - jnp.log(mean / safe)
    return jnp.where(seen, safe * jnp.where(jnp.abs(excess) < SERIES, series, full), mean)


def amplitude_error(
    counts: Float[Array, "*s"], expected: Float[Array, "*s"], floor: ArrayLike = FLOOR
) -> Float[Array, "*s"]:
    r"""Twice the squared error of the amplitude, \(2 (\sqrt{n} - \sqrt{\lambda})^2\), close to half the deviance.

    The variance of a root of Poisson counts is 1/4. Both are raised by `floor`, below which the root is straightened.
    """
    return 2 * (jnp.sqrt(counts + floor) - jnp.sqrt(expected + floor)) ** 2


def pixel_loss(
    likelihood: Int[Array, ""], counts: Float[Array, "*s"], expected: Float[Array, "*s"], floor: ArrayLike = FLOOR
) -> Float[Array, "*s"]:
    """The loss of that number in `LIKELIHOODS`: a number, so that another one compiles nothing anew."""
    return jax.lax.cond(likelihood == 0, half_deviance, amplitude_error, counts, expected, floor)


def likelihood_number(name: str) -> int:
    """The number of a likelihood.

    Raises
    ------
    ValueError
        Listing the names there are.
    """
    if name not in LIKELIHOODS:
        raise ValueError(f"Expected likelihood among {', '.join(LIKELIHOODS)}, got {name!r}.")
    return LIKELIHOODS.index(name)


def mean_deviance(counts: Num[ArrayLike, "*s"], expected: Float[ArrayLike, "*s"]) -> Float[Array, ""]:
    r"""Poisson deviance per pixel, \(2 \langle \lambda - n + n \log(n/\lambda) \rangle\), without any floor.

    Infinite where counts were seen and none expected.

    Parameters
    ----------
    counts, expected : array, photons
    """
    counts, expected = jnp.asarray(counts), jnp.asarray(expected)
    seen = counts > 0
    ratio = jnp.where(seen, counts, 1.0) / jnp.where(seen, expected, 1.0)
    return 2 * jnp.mean(expected - counts + jnp.where(seen, counts * jnp.log(ratio), 0.0))
