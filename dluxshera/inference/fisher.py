"""Expected Fisher information, its inverse, and what it cannot see."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..params import AbstractSpace

RANK_TOLERANCE = 1e-13  # eigenvalues of the unit-diagonal information below this are not told from zero


@eqx.filter_jit
def fisher_information(objective: Any, theta: Float[Array, " D"]) -> Float[Array, "D D"]:
    """Expected information J^T W J of the likelihood about θ; priors are not in it.

    Parameters
    ----------
    objective : Objective
    theta : Array (D,)

    Returns
    -------
    Array (D, D)
        In units of 1/θ^2.
    """
    return objective.expansion(theta).information


@eqx.filter_jit
def prior_information(objective: Any, theta: Float[Array, " D"]) -> Float[Array, "D D"]:
    """Information (D, D) of the priors at θ, in units of 1/θ^2."""
    return objective.prior_information(theta)


def not_finite(information: ArrayLike, labels: Sequence[str]) -> tuple[str, ...]:
    """Labels of what has an information that is infinite or no number; empty where all is finite."""
    bad = ~np.isfinite(np.asarray(information))
    own = np.diagonal(bad)
    return tuple(label for label, lost in zip(labels, own if own.any() else bad.any(axis=0), strict=True) if lost)


def check_finite_information(information: ArrayLike, labels: Sequence[str]) -> None:
    """Raise ValueError, naming parameters, unless an information matrix is finite."""
    if bad := not_finite(information, labels):
        raise ValueError(
            f"Expected finite information, got numbers that are not for {', '.join(bad)}. The model's signal or its "
            "derivative is not finite there: choose other values."
        )


class Spectrum(NamedTuple):
    """Eigenvalues (ascending) and eigenvectors of the information scaled to a unit diagonal, and that scale."""

    values: Float[Array, " D"]
    vectors: Float[Array, "D D"]
    scale: Float[Array, " D"]

    @property
    def seen(self):
        """Which eigenvectors the data constrain, shape (D,)."""
        return self.values > RANK_TOLERANCE * self.values.shape[0]


def scaled_spectrum(information: Float[Array, "D D"]) -> Spectrum:
    """Spectrum of an information matrix after scaling each parameter by its own sensitivity."""
    diagonal = jnp.diagonal(information)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    values, vectors = jnp.linalg.eigh(scale[:, None] * information * scale)
    return Spectrum(values, vectors, scale)


def covariance(information: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """Inverse of an information matrix; infinite variance for what it does not constrain.

    A direction without information is never hidden by a pseudo-inverse: every parameter that takes part in one
    has an infinite variance and zero covariances.
    """
    values, vectors, scale = spectrum = scaled_spectrum(information)
    seen = spectrum.seen
    inverse = (vectors * jnp.where(seen, 1 / jnp.where(seen, values, 1.0), 0.0)) @ vectors.T
    lost = (scale == 0) | (jnp.sum(jnp.where(seen, 0.0, vectors**2), axis=1) > 1e-6)
    finite = scale[:, None] * inverse * scale
    blank = jnp.where(lost[:, None] | lost[None, :], 0.0, finite)
    return jnp.where(jnp.diag(lost), jnp.inf, blank)


def covariance_along(directions: Float[Array, "P D"], information: Float[Array, "D D"]) -> Float[Array, "P P"]:
    """Covariance of `directions @ θ` from the information about θ; infinite variance for what it does not constrain.

    A row is lost if a combination that is not seen has more than a millionth of it, by square, each element of θ in
    units of its own error.
    """
    values, vectors, scale = spectrum = scaled_spectrum(information)
    seen = spectrum.seen
    rows = directions * jnp.where(scale > 0, scale, 1.0)
    parts = rows @ vectors
    finite = (parts * jnp.where(seen, 1 / jnp.where(seen, values, 1.0), 0.0)) @ parts.T
    lost = jnp.sum(jnp.where(seen, 0.0, parts**2), axis=1) > 1e-6 * jnp.sum(rows**2, axis=1)
    return jnp.where(jnp.diag(lost), jnp.inf, jnp.where(lost[:, None] | lost, 0.0, finite))


def parameter_bound(
    space: AbstractSpace, theta: Float[Array, " D"], information: Float[Array, "D D"]
) -> Float[Array, "P P"]:
    """Covariance of the parameters' θ, `space.decode(theta)`, from the information about θ."""
    if space.kind == "primitive":
        return covariance(information)
    return covariance_along(jax.jacfwd(space.decode)(theta), information)


def parameter_covariance(
    objective: Any, theta: Float[Array, " D"], covariance_of_theta: Float[Array, "D D"]
) -> Float[Array, "P P"]:
    """Covariance of the parameters' θ, `objective.space.decode(theta)`, from that of θ.

    An infinite variance of a coefficient does not say which combination is lost: then the information is asked again.
    """
    if objective.space.kind == "primitive":
        return covariance_of_theta
    if np.isfinite(covariance_of_theta).all():
        basis = jax.jacfwd(objective.space.decode)(theta)
        return basis @ covariance_of_theta @ basis.T
    curvature = fisher_information(objective, theta) + prior_information(objective, theta)
    return parameter_bound(objective.space, theta, curvature)


class Identifiability(NamedTuple):
    """What a fit cannot determine.

    Attributes
    ----------
    dead : tuple of str
        Labels of parameters to which the image does not respond at all.
    degenerate : tuple of tuple of str
        Labels that take part in each combination the image does not respond to.
    condition : float
        Ratio of the largest to the smallest eigenvalue, after scaling, of what is left.
    """

    dead: tuple[str, ...]
    degenerate: tuple[tuple[str, ...], ...]
    condition: float

    def __str__(self) -> str:
        lines = [f"{label}: the image does not respond to it; freeze it or give it a prior." for label in self.dead]
        lines += [f"{' + '.join(c)}: only other combinations are seen; freeze one." for c in self.degenerate]
        return "\n".join(lines)


def identifiability(information: Float[Array, "D D"], labels: tuple[str, ...]) -> Identifiability:
    """Name dead parameters and degenerate combinations.

    Parameters
    ----------
    information : Array (D, D)
    labels : tuple of str (D,)
        Names of the elements of θ.

    Raises
    ------
    ValueError
        If the information is not finite, naming where.
    """
    check_finite_information(information, labels)
    diagonal = np.diagonal(np.asarray(information))
    alive = np.flatnonzero(diagonal > 0)
    dead = tuple(label for label, value in zip(labels, diagonal, strict=True) if not value > 0)
    if not alive.size:
        return Identifiability(dead, (), np.inf)
    spectrum = scaled_spectrum(jnp.asarray(information)[np.ix_(alive, alive)])
    seen, vectors = np.asarray(spectrum.seen), np.asarray(spectrum.vectors)
    degenerate = tuple(
        tuple(labels[alive[i]] for i in np.flatnonzero(np.abs(vectors[:, k]) > 0.05)) for k in np.flatnonzero(~seen)
    )
    values = np.asarray(spectrum.values)[seen]
    return Identifiability(dead, degenerate, float(values[-1] / values[0]))
