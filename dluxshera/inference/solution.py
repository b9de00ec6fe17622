"""What a fit found."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..params import get_value
from .abstract_objective import check_informed
from .engines import AbstractEngine, EngineState, FitResult
from .fisher import Identifiability, parameter_covariance
from .trace import Trace


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
        With an informed objective also `chi_square`, `degrees_of_freedom`, `reduced_chi_square`, `at_bounds`.
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
    return jnp.where(jnp.any((slope != 0) & infinite, axis=-1), jnp.inf, jnp.sqrt(variance))


@eqx.filter_jit
def _residuals(objective: Any, theta: Float[Array, " D"]) -> Float[Array, "..."]:
    return objective.residuals(theta)


def goodness(objective: Any, theta: Float[Array, " D"], covariance: Float[Array, "D D"]) -> dict[str, Any]:
    """Chi-square, and the parameters within a standard deviation of a bound."""
    chi_square = float(jnp.sum(_residuals(objective, theta) ** 2))
    freedom = int(objective.num_data) - theta.shape[0]
    space, primitive = objective.space.primitive, objective.space.decode(theta)
    spread = np.asarray(parameter_covariance(objective, theta, covariance))
    physical, (lower, upper) = np.asarray(space.physical(primitive)), map(np.asarray, space.bounds)
    sigma = np.asarray(space.jacobian_diag(primitive)) * np.sqrt(np.diagonal(spread))
    touching = np.isfinite(sigma) & ((physical - lower < sigma) | (upper - physical < sigma))
    return {
        "chi_square": chi_square,
        "degrees_of_freedom": freedom,
        "reduced_chi_square": chi_square / freedom if freedom > 0 else np.nan,
        "at_bounds": tuple(label for label, t in zip(space.labels, touching, strict=True) if t),
    }
