"""What a fit found."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..params import get_value
from .abstract_objective import check_informed
from .engines import AbstractEngine, EngineState, FitResult
from .fisher import Identifiability, parameter_covariance
from .trace import Trace

ON_A_BOUND = 1e-3  # of the way to a bound


class Solution(eqx.Module):
    """What a fit found.

    Attributes
    ----------
    theta : Array (D,)
        The best.
    model : eqx.Module
        The model there; None where the objective has none.
    information : Array (D, D)
        Expected information of the data about θ there, without priors; None where the objective has none.
    covariance : Array (D, D)
        Of θ, from the expected information and the curvature of the priors; infinite where nothing constrains;
        None where the objective has no information.
    trace : Trace
    engine : AbstractEngine
    result : FitResult
    stats : dict
        `steps` (of this call), `seconds`, `loss` and `best_step` of the best θ, `refused_steps`, `nonfinite_steps` and
        `first_bad` (the parameter that made the loss of the last such try not finite), counted since the start.
        With an informed objective also `chi_square`, `degrees_of_freedom`, `reduced_chi_square`, `at_bounds` and, among
        them, `pinned`: what has run off into a bound, so that nothing is known of its error.
    objective : AbstractObjective
    state, best_state : EngineState
        The last, from which to go on, and the best.
    identifiability : Identifiability
        None where the objective has no information.
    aux : any
        What a function `loss(theta) -> (loss, aux)` gives at the best θ.
    """

    theta: Float[Array, " D"]
    model: Any
    information: Float[Array, "D D"] | None
    covariance: Float[Array, "D D"] | None
    trace: Trace
    engine: AbstractEngine
    result: FitResult = eqx.field(static=True)
    stats: dict[str, Any] = eqx.field(static=True)
    objective: Any
    state: EngineState
    best_state: EngineState
    identifiability: Identifiability | None = eqx.field(static=True)
    aux: Any = None

    @property
    def converged(self) -> bool:
        """Whether the engine's own criterion or a stopping rule was met."""
        return self.result.is_convergence

    def sigma(self, name: str) -> Float[Array, "..."]:
        """One-sigma error of a parameter, alias or derived quantity, in its unit and shape.

        Parameters
        ----------
        name : str
            A dotted path; it need not be free in the fit, as long as it follows from what was.

        Raises
        ------
        ValueError
            If the objective has no expected information.
        """
        check_informed(self.objective, "sigma")
        spread = parameter_covariance(self.objective, self.theta, self.covariance)
        return sigma_of(self.objective, self.theta, spread, name)


def sigma_of(objective: Any, theta: Float[Array, " D"], spread: Float[Array, "P P"], name: str) -> Float[Array, "..."]:
    """One-sigma error of what a name stands for, from the covariance of the parameters' θ; infinite where unknown."""
    space, model = objective.space, objective.model
    read = lambda primitive: get_value(space.primitive.unpack(primitive, model), name)  # noqa: E731
    slope = jax.jacfwd(read)(space.decode(theta))
    infinite = ~jnp.isfinite(jnp.diagonal(spread))
    finite = jnp.where(infinite[:, None] | infinite[None, :], 0.0, spread)
    variance = jnp.einsum("...i,ij,...j->...", slope, finite, slope)
    sigma = jnp.where(jnp.any((slope != 0) & infinite, axis=-1), jnp.inf, jnp.sqrt(variance))
    return _with_own_infinities(space.primitive, name, infinite, sigma)


def _with_own_infinities(space: Any, name: str, infinite: Bool[Array, " P"], sigma: Float[Array, "..."]):
    """Sigma of a parameter of the fit, infinite where its θ is lost: on a bound its slope by θ vanishes as well."""
    if name not in (*space.labels, *space.names):
        return sigma
    return jnp.where(infinite[space.slice(name)].reshape(sigma.shape), jnp.inf, sigma)


@eqx.filter_jit
def whitened_residuals(objective: Any, theta: Float[Array, " D"]) -> Float[Array, "..."]:
    """Residuals at θ, in standard deviations."""
    return objective.residuals(theta)


def goodness(objective: Any, theta: Float[Array, " D"], covariance: Float[Array, "D D"]) -> dict[str, Any]:
    """Chi-square, and the parameters within a standard deviation of a bound, or run off into it."""
    chi_square = float(jnp.sum(whitened_residuals(objective, theta) ** 2))
    freedom = int(objective.num_data) - theta.shape[0]
    labels = objective.space.primitive.labels
    touching, pinned = _at_bounds(objective, theta, covariance)
    return {
        "chi_square": chi_square,
        "degrees_of_freedom": freedom,
        "reduced_chi_square": chi_square / freedom if freedom > 0 else np.nan,
        "at_bounds": tuple(label for label, t in zip(labels, touching | pinned, strict=True) if t),
        "pinned": tuple(label for label, p in zip(labels, pinned, strict=True) if p),
    }


def _at_bounds(objective: Any, theta: Float[Array, " D"], covariance: Float[Array, "D D"]):
    """Which primitives (P,) stand within their sigma of a bound, and which have no sigma and stand on one.

    There θ has run off to infinity. A thousandth of the way from the bound to the other one, or to the value of the
    objective's model, counts as on it.
    """
    space, primitive = objective.space.primitive, objective.space.decode(theta)
    spread = np.diagonal(np.asarray(parameter_covariance(objective, theta, covariance)))
    physical, (lower, upper) = np.asarray(space.physical(primitive)), map(np.asarray, space.bounds)
    lost = ~np.isfinite(spread)
    sigma = np.asarray(space.jacobian_diag(primitive)) * np.sqrt(np.where(lost, 0.0, spread))
    below, above, usual = physical - lower, upper - physical, _values_of(objective.model, space)
    pinned = np.zeros(lost.shape, bool)
    for bound, away in ((lower, below), (upper, above)):
        near = ON_A_BOUND * np.minimum(upper - lower, np.abs(usual - bound))
        pinned |= (lost | (sigma == 0)) & np.isfinite(bound) & (away <= near)
    return ~lost & ((below < sigma) | (above < sigma)), pinned


def _values_of(model: Any, space: Any) -> np.ndarray:
    """Physical values (P,) of a model, on a bound too."""
    return np.concatenate([np.ravel(np.asarray(get_value(model, name), float)) for name in space.names])
