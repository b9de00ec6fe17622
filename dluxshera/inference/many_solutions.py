"""What many fits found, as arrays."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, Int

from ..params import get_value
from .abstract_objective import check_informed
from .engines import RESULTS, AbstractEngine, FitResult
from .fisher import covariance_along
from .solution import sigma_of
from .stopping import has_converged


class ManySolutions(eqx.Module):
    """What B fits found.

    Attributes
    ----------
    theta : Array (B, D)
        The best of each.
    loss : Array (B,)
    steps, codes, nonfinite_steps : Array (B,) of int
        Steps taken; results as positions in `RESULTS` (`results` gives them by name); tries that were refused because
        loss or gradient was not finite.
    information, covariance : Array (B, D, D)
        As of a `Solution`; None where the objective has no information.
    objective : AbstractObjective
        Of the first member.
    members : AbstractObjective
        Arrays in which the members' objectives differ, with a leading axis of B; None elsewhere.
    engine : AbstractEngine
    """

    theta: Float[Array, "B D"]
    loss: Float[Array, " B"]
    steps: Int[Array, " B"]
    codes: Int[Array, " B"]
    nonfinite_steps: Int[Array, " B"]
    information: Float[Array, "B D D"] | None
    covariance: Float[Array, "B D D"] | None
    objective: Any
    members: Any
    engine: AbstractEngine

    @property
    def results(self) -> tuple[FitResult, ...]:
        """How each fit ended."""
        return tuple(RESULTS[code] for code in self.codes.tolist())

    @property
    def converged(self) -> Bool[Array, " B"]:
        """Whether each has."""
        return has_converged(self.codes)

    def values(self, name: str) -> Float[Array, "B ..."]:
        """Estimates of a parameter, alias or derived quantity, in its unit, with a leading axis of B.

        Parameters
        ----------
        name : str
            A dotted path.

        Raises
        ------
        ValueError
            If the objective has no model.
        """
        check_informed(self.objective, "values")
        return _values(self.objective, self.members, self.theta, name)

    def sigma(self, name: str) -> Float[Array, "B ..."]:
        """One-sigma errors of a parameter, alias or derived quantity, in its unit, with a leading axis of B.

        Parameters
        ----------
        name : str
            A dotted path.

        Raises
        ------
        ValueError
            If the objective has no expected information.
        """
        check_informed(self.objective, "sigma")
        return _sigmas(self.objective, self.members, self.theta, self.information, self.covariance, name)


@eqx.filter_jit
def _values(objective: Any, members: Any, thetas: Float[Array, "B D"], name: str) -> Float[Array, "B ..."]:
    def one(member, theta):
        own = eqx.combine(member, objective)
        return get_value(own.space.unpack(theta, own.model), name)

    return jax.vmap(one)(members, thetas)


@eqx.filter_jit
def _sigmas(objective: Any, members: Any, thetas, informations, covariances, name: str) -> Float[Array, "B ..."]:
    def one(member, theta, information, covariance):
        own = eqx.combine(member, objective)
        if own.space.kind != "primitive":
            basis = jax.jacfwd(own.space.decode)(theta)
            covariance = covariance_along(basis, information + own.prior_information(theta))
        return sigma_of(own, theta, covariance, name)

    return jax.vmap(one)(members, thetas, informations, covariances)
