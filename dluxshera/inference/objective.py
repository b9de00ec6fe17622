"""The objective: how badly a model with θ in place explains an observation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..params import AbstractSpace, validate
from .abstract_objective import AbstractInformedObjective
from .abstract_objective import Expansion as Expansion
from .likelihoods import AbstractLikelihood, PixelData, likelihood_named

LEAST_RESPONSE = 1e-10


class Objective(AbstractInformedObjective):
    """Minus the log posterior of θ, given an observation.

    Of a model it asks only `model()`, the expected image of one exposure, and `variance(expected)`.

    Parameters
    ----------
    model : eqx.Module
        Supplies every parameter that `space` does not move, and the detector's noise: that is taken as known, so that
        the loss is flat in a read noise or a gain that `space` frees.
    space : ThetaSpace or EigenSpace
        What θ means; its priors, if it has any, enter the loss.
    observation : object with `image`, `variance`, `mask`, `exposures`
        Electrons; the mask is True where a pixel is used.
    likelihood : str
        `"poisson"`, `"gaussian"` (the observation's variance) or `"gaussian_model"` (the model's variance).

    Raises
    ------
    ValueError
        For an unknown likelihood, an image of another shape than the model's, or a missing variance.
    ParameterError
        Naming each parameter of the model that is not valid.
    """

    model: Any
    space: AbstractSpace
    image: Float[Array, "n n"]
    variance: Float[Array, "n n"] | None
    mask: Bool[Array, "n n"]
    exposures: Float[Array, ""]
    likelihood: AbstractLikelihood

    def __init__(self, model: Any, space: AbstractSpace, observation: Any, likelihood: str = "poisson"):
        self.model = jax.tree.map(_strong, validate(model))
        self.space = space
        self.likelihood = likelihood_named(likelihood)
        self.image = jnp.asarray(observation.image, float)
        self.mask = jnp.asarray(observation.mask, bool)
        _check_pixels(self.image, self.mask)
        self.exposures = jnp.asarray(observation.exposures, float)
        self.variance = _positive_variance(observation, likelihood)
        expected = jax.eval_shape(lambda m: m.model(), model).shape
        if expected != self.image.shape:
            raise ValueError(
                f"Expected an image of shape {expected}, as the model makes, got {self.image.shape}. "
                "Crop the image, or build the model with `optics.psf_npix` to match."
            )

    def expected(self, theta: Float[Array, " D"]) -> Float[Array, "n n"]:
        """Expected electrons of the whole observation at θ."""
        return self.exposures * self.space.unpack(theta, self.model).model()

    def loss(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """Minus log-likelihood (up to a constant) minus log prior, over the pixels of the mask."""
        return self.signal_loss(self.expected(theta)) - self.space.log_prior(theta)

    def log_prob(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """Log posterior density of the physical parameters, up to a constant."""
        return -self.loss(theta)

    def residuals(self, theta: Float[Array, " D"]) -> Float[Array, "n n"]:
        """(data - expected) / standard deviation; zero where a pixel is not used."""
        expected = self.expected(theta)
        sigma = jnp.sqrt(self.likelihood.variance(expected, self.pixel_data()))
        return jnp.where(self.mask, (self.image - expected) / jnp.where(self.mask, sigma, 1.0), 0.0)

    @property
    def num_data(self) -> Int[Array, ""]:
        """Number of used pixels."""
        return jnp.sum(self.mask)

    def jacobian(self, theta: Float[Array, " D"]) -> tuple[Float[Array, "n n"], Float[Array, "D n n"]]:
        """Expected image and its derivative by each element of θ, in forward mode."""
        push = lambda direction: jax.jvp(self.expected, (theta,), (direction,))  # noqa: E731
        return jax.vmap(push, out_axes=(None, 0))(jnp.eye(theta.shape[0], dtype=theta.dtype))

    def expansion(self, theta: Float[Array, " D"]) -> Expansion:
        """Loss, gradient and expected information, all from one set of forward derivatives."""
        expected, jacobian = self.jacobian(theta)
        signal_loss, slope = jax.value_and_grad(self.signal_loss)(expected)
        weight = jnp.where(self.mask, self.likelihood.information(expected, self.pixel_data()), 0.0)
        flat = jacobian.reshape(theta.shape[0], -1)
        log_prior, prior_slope = jax.value_and_grad(self.space.log_prior)(theta)
        information, seen = _above_rounding((flat * weight.ravel()) @ flat.T, jnp.sum(weight * expected**2))
        return Expansion(
            loss=signal_loss - log_prior,
            gradient=jnp.where(seen, flat @ slope.ravel(), 0.0) - prior_slope,
            information=information,
            prior_information=self.prior_information(theta),
        )

    def prior_information(self, theta: Float[Array, " D"]) -> Float[Array, "D D"]:
        """Information that the priors add at θ."""
        return self.space.prior_information_matrix(theta)

    def signal_loss(self, expected: Float[Array, "n n"]) -> Float[Array, ""]:
        """Minus log-likelihood of an expected signal."""
        pixels = self.likelihood.loss(jnp.where(self.mask, expected, 1.0), self.pixel_data())
        return jnp.sum(jnp.where(self.mask, pixels, 0.0))

    def pixel_data(self) -> PixelData:
        """What the likelihood knows: the noise is that of `exposures` frames of the detector in `model`, never of θ."""
        n, model = self.exposures, jax.lax.stop_gradient(self.model)
        return PixelData(self.image, self.variance, lambda expected: n * model.variance(expected / n))


def _above_rounding(information: Float[Array, "D D"], total: Float[Array, ""]):
    """Information with zeros for elements of θ to which the image responds by rounding only, and which are not so.

    A response per unit of less than 1e-10 of the image, whose own information is `total`, is none.
    """
    seen = ~(jnp.diagonal(information) <= LEAST_RESPONSE**2 * total)  # what is not a number stays so
    return jnp.where(seen[:, None] & seen, information, 0.0), seen


def _check_pixels(image: Array, mask: Array) -> None:
    """Raise ValueError unless every used pixel is finite; traced ones pass, and shapes are checked apart."""
    if isinstance(image, jax.core.Tracer) or isinstance(mask, jax.core.Tracer) or image.shape != mask.shape:
        return
    bad = int(np.sum(~np.isfinite(image) & np.asarray(mask)))
    if bad:
        raise ValueError(f"Expected finite counts in every used pixel, got {bad} that are not. Mask them.")


def _strong(leaf: Any) -> Any:
    """Without the weak type of `jnp.asarray(9.9)`, which would compile everything once more."""
    return jax.lax.convert_element_type(leaf, leaf.dtype) if isinstance(leaf, jax.Array) else leaf


def _positive_variance(observation: Any, likelihood: str) -> Float[Array, "n n"] | None:
    """The observation's variance with ones in place of what is masked; needed by the Gaussian likelihood only."""
    if likelihood != "gaussian":
        return None
    if observation.variance is None:
        raise ValueError('The "gaussian" likelihood needs Observation.variance. Give one, or use "gaussian_model".')
    mask, variance = np.asarray(observation.mask), np.asarray(observation.variance)
    if (variance[mask] <= 0).any():
        raise ValueError("Expected Observation.variance above zero in every used pixel; mask the others.")
    return jnp.asarray(np.where(mask, variance, 1.0), float)
