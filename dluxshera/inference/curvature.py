"""Curvature of a loss, parameter by parameter: the diagonal that scales the steps of a descent."""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .abstract_objective import is_informed


class AbstractCurvature(eqx.Module):
    """One way to estimate the diagonal of the Hessian of a loss, by pure functions.

    The state is a pytree of plain arrays, so that it can be saved and resumed from. The full expected information
    is `fisher_information`.
    """

    @abc.abstractmethod
    def init(self, theta: Float[Array, " D"]) -> Any:
        """State before the first estimate; cheap."""

    @abc.abstractmethod
    def estimate(
        self,
        objective: Any,
        theta: Float[Array, " D"],
        state: Any,
        step: Int[Array, ""],
        gradient: Float[Array, " D"] | None = None,
    ) -> tuple[Float[Array, " D"], Any]:
        """Diagonal (D,), in units of 1/θ^2, and the next state.

        Parameters
        ----------
        objective : object with `loss`, and what else the estimate asks for
        theta : Array (D,)
        state : pytree of arrays
            As `init` or the last estimate gave it.
        step : Array () of int
            Steps done by the caller, from 0.
        gradient : Array (D,), optional
            Of the loss at θ, where the caller has it: spares one evaluation.
        """

    @abc.abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Plain values for the record of a run."""


class FisherDiagonal(AbstractCurvature):
    """Diagonal of the expected information J^T W J, and of the priors'.

    Never negative, and the exact curvature in the mean over the noise. Asks the objective for `expansion`.
    """

    def init(self, theta):
        """Nothing to remember."""
        return ()

    def estimate(self, objective, theta, state, step, gradient=None):
        """Exact, from one set of forward derivatives."""
        _check_informed(self, objective)
        expansion = objective.expansion(theta)
        return jnp.diagonal(expansion.information + expansion.prior_information), state

    def settings(self):
        """Method."""
        return {"method": "fisher_diagonal"}


class GaussNewtonDiagonal(AbstractCurvature):
    r"""Diagonal of J^T L'' J, and of the priors' information: the Hessian without the model's second derivatives.

    $\sum_p \ell''(\lambda_p)\,(\partial\lambda_p/\partial\theta_i)^2$ with the curvature of the loss by the expected
    signal at the data, where the Fisher information has its mean: the two agree for Gaussian noise (the generalised
    Gauss-Newton matrix of Schraudolph, Neural Computation 14, 1723, 2002). Asks the objective for `jacobian`,
    `signal_loss` and `prior_information`.
    """

    def init(self, theta):
        """Nothing to remember."""
        return ()

    def estimate(self, objective, theta, state, step, gradient=None):
        """Exact, from one set of forward derivatives."""
        _check_informed(self, objective)
        expected, jacobian = objective.jacobian(theta)
        slope = jax.grad(objective.signal_loss)
        # Pixels are independent: the Hessian by the signal is diagonal, and its product with ones is that diagonal.
        weight = jax.jvp(slope, (expected,), (jnp.ones_like(expected),))[1]
        data = jnp.sum(weight * jacobian**2, axis=tuple(range(1, jacobian.ndim)))
        return data + jnp.diagonal(objective.prior_information(theta)), state

    def settings(self):
        """Method."""
        return {"method": "gauss_newton_diagonal"}


class HutchinsonDiagonal(AbstractCurvature):
    r"""Unbiased estimate of the diagonal of the Hessian from products with random signs.

    The mean of $z \odot H z / s^2$ over vectors $z = \pm s$ of random signs; its variance is
    $\sum_{j\ne i} (H_{ij} s_j / s_i)^2$ over the number of probes (after Bekas, Kokiopoulou and Saad, Applied
    Numerical Mathematics 57, 1214, 2007). Works on any loss; may be negative by chance, or where the loss is not
    convex. New probes are drawn at each estimate.

    Parameters
    ----------
    probes : int
        Products per estimate, each the cost of about two gradients.
    seed : int
    scale : float or Array (D,)
        Size s of the probes. Standard deviations, or what is known of them, make the relative variance independent of
        the units of θ; without that, small curvatures drown in large ones.
    """

    probes: int = eqx.field(static=True, default=8)
    seed: Int[Array, ""] = eqx.field(converter=jnp.asarray, default=0)
    scale: Float[Array, "..."] = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1.0)

    def __check_init__(self):
        if isinstance(self.probes, bool) or not isinstance(self.probes, int) or self.probes < 1:
            raise ValueError(f"Expected probes of 1 or more, got {self.probes!r}.")
        if not isinstance(self.scale, jax.core.Tracer) and not (self.scale > 0).all():
            raise ValueError(f"Expected scale above zero, got {self.scale}.")
        if self.seed.shape != () or not jnp.issubdtype(self.seed.dtype, jnp.integer):
            raise ValueError(f"Expected seed as a whole number, got {self.seed}.")

    def init(self, theta):
        """Nothing to remember: the probes follow from the seed and the step."""
        check_lengths(theta, scale=self.scale)
        return ()

    def estimate(self, objective, theta, state, step, gradient=None):
        """Mean over the probes, one product at a time."""
        key = jax.random.fold_in(jax.random.key(self.seed), step)
        scale = self.scale.astype(theta.dtype)
        probes = scale * jax.random.rademacher(key, (self.probes, theta.shape[0]), theta.dtype)
        _, hessian_times = jax.linearize(jax.grad(objective.loss), theta)
        return jnp.mean(jax.lax.map(lambda z: z * hessian_times(z), probes), axis=0) / scale**2, state

    def settings(self):
        """Method, probes, seed and scale."""
        seed, scale = int(self.seed), self.scale.tolist()
        return {"method": "hutchinson", "probes": self.probes, "seed": seed, "scale": scale}


class EmpiricalFisher(AbstractCurvature):
    """Sum over observations of the squared gradient of each one's loss.

    Its mean is the Fisher information where the model is true and θ is the truth, and only there: far from the optimum
    the common part of the gradients adds to it. Of the data alone, without priors. Asks the objective for
    `num_observations` and `observation_loss(theta, index)`, which a `FrameStack` has.
    """

    def init(self, theta):
        """Nothing to remember."""
        return ()

    def estimate(self, objective, theta, state, step, gradient=None):
        """One gradient for each observation, one at a time."""
        if not callable(getattr(objective, "observation_loss", None)):
            raise ValueError(
                f"Expected an objective of several observations for the squared gradients of each, got "
                f"{type(objective).__name__}. Use a FrameStack, or another curvature."
            )

        def add(total, index):
            return total + jax.grad(objective.observation_loss)(theta, index) ** 2, None

        return jax.lax.scan(add, jnp.zeros_like(theta), jnp.arange(objective.num_observations))[0], state

    def settings(self):
        """Method."""
        return {"method": "empirical_fisher"}


class Average(NamedTuple):
    """Exponential average that knows how much it has seen: the estimate is `total / weight`."""

    total: Float[Array, " D"]
    weight: Float[Array, ""]

    def updated(self, fresh: Float[Array, " D"], decay: Float[Array, ""]) -> "Average":
        """With one more value in it."""
        decay = decay.astype(fresh.dtype)
        return Average(decay * self.total + (1 - decay) * fresh, decay * self.weight + (1 - decay))


def average_of_nothing(theta: Float[Array, " D"]) -> Average:
    """Average before the first value; unbiased from that value on."""
    return Average(jnp.zeros_like(theta), jnp.zeros((), theta.dtype))


class SquaredGradientAverage(AbstractCurvature):
    """Exponential average of squared gradients along the way of a descent.

    Of the gradient of the whole loss it is a scaling of the steps and not a Fisher information: it vanishes at the
    optimum, where that gradient does, whatever the curvature there; use it with the inverse square root. With
    `per_observation` it averages the sum of the squared gradients of single observations, which is the empirical
    Fisher information and does not vanish. It must be updated at every step: do not put it into `Refreshed`.

    Parameters
    ----------
    decay : float
        Weight that the past keeps at each step, in [0, 1).
    initial : float, optional
        Value the average starts from. By default it starts from nothing, and is divided by the weight it has seen.
    per_observation : bool
        Asks the objective for what `EmpiricalFisher` does.
    """

    decay: Float[Array, ""] = eqx.field(converter=lambda x: jnp.asarray(x, float), default=0.99)
    initial: Float[Array, ""] | None = eqx.field(
        converter=lambda x: None if x is None else jnp.asarray(x, float), default=None
    )
    per_observation: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_fraction("decay", self.decay, below_one=True)
        if self.initial is None or isinstance(self.initial, jax.core.Tracer):
            return
        if self.initial.shape != () or not 0 <= float(self.initial) < jnp.inf:
            raise ValueError(f"Expected initial as a finite number of zero or more, or None, got {self.initial}.")

    def init(self, theta):
        """The average so far."""
        if self.initial is None:
            return average_of_nothing(theta)
        return Average(jnp.full_like(theta, self.initial), jnp.ones((), theta.dtype))

    def estimate(self, objective, theta, state, step, gradient=None):
        """The average with the gradient here in it."""
        if self.per_observation:
            fresh, _ = EmpiricalFisher().estimate(objective, theta, (), step)
        else:
            fresh = (jax.grad(objective.loss)(theta) if gradient is None else gradient) ** 2
        state = state.updated(fresh, self.decay)
        return state.total / state.weight, state

    def settings(self):
        """Method, decay as `beta`, initialisation, and of which gradients."""
        initial = None if self.initial is None else float(self.initial)
        of = "per_observation" if self.per_observation else "whole_loss"
        return {"method": "squared_gradient_average", "beta": float(self.decay), "initial": initial, "gradients": of}


def _check_informed(curvature: AbstractCurvature, objective: Any) -> None:
    if not is_informed(objective):
        raise ValueError(
            f"Expected an objective with expected information for {type(curvature).__name__}, "
            f"got {type(objective).__name__}. Use HutchinsonDiagonal, which needs a loss only."
        )


def check_fraction(name: str, value: Any, below_one: bool = False) -> None:
    """Raise ValueError unless the number is between zero and one; traced ones pass."""
    if isinstance(value, jax.core.Tracer):
        return
    fits = value.shape == () and (0 <= float(value) < 1 if below_one else 0 <= float(value) <= 1)
    if not fits:
        raise ValueError(f"Expected {name} in [0, 1{')' if below_one else ']'}, got {value}.")


def check_lengths(theta: Float[Array, " D"], **values: Array | None) -> None:
    """Raise ValueError unless each is a number, or has an element for each of θ."""
    for name, value in values.items():
        if value is not None and value.shape not in ((), theta.shape):
            raise ValueError(f"Expected {name} as a number or of shape {theta.shape}, as theta, got {value.shape}.")
