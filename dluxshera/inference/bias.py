"""Bias: what a model error does to the estimates, predicted from the Fisher information and checked by a fit."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..params import AbstractSpace, ParameterError
from .engines import AbstractEngine, FitResult
from .fisher import covariance
from .fit import fit
from .forecast import expected_objective
from .objective import Objective


class ConvergenceWarning(UserWarning):
    """A number that follows from a fit that has not converged."""


@dataclasses.dataclass(frozen=True, eq=False)
class BiasForecast:
    """Error of the estimates when the data come from another model than the one that is fitted.

    Attributes
    ----------
    labels, units : tuple of str (D,)
    linear : array (D,)
        b = (F + P)^-1 J^T W dm, in `units`; NaN for what the data do not determine.
    sigma : array (D,)
        One-sigma bound beside which to read it, in `units`.
    refit : array (D,), optional
        Of a fit of the noiseless data, where one was asked for; NaN where `linear` is.
    refit_result : FitResult, optional
        How that fit ended: where it has not converged, `refit` is no more than how far it came.
    """

    labels: tuple[str, ...]
    units: tuple[str, ...]
    linear: np.ndarray
    sigma: np.ndarray
    refit: np.ndarray | None
    refit_result: FitResult | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping for each parameter: `label, unit, linear, refit, sigma`."""
        refit = [None] * len(self.labels) if self.refit is None else self.refit.tolist()
        columns = zip(self.labels, self.units, self.linear.tolist(), refit, self.sigma.tolist(), strict=True)
        return [dict(zip(("label", "unit", "linear", "refit", "sigma"), row, strict=True)) for row in columns]

    def of(self, label: str) -> float:
        """Linear bias of one parameter, in its unit."""
        return float(self.linear[_known(self.labels, label)])


def bias_forecast(
    model: Any,
    space: AbstractSpace,
    truth: Any,
    exposures: float | int = 1,
    *,
    refit: bool = False,
    engine: AbstractEngine | None = None,
) -> BiasForecast:
    """Bias of the free parameters when data of `truth` are fitted with `model`.

    Parameters
    ----------
    model : eqx.Module
        What is fitted, at the true values of everything that is free.
    space : ThetaSpace or EigenSpace
        What is free; its priors hold the estimates back as they do in a fit.
    truth : eqx.Module
        What makes the data; it differs from `model` in what the fit does not know.
    exposures : float
        Exposures summed: of the bias, only what the priors do depends on it.
    refit : bool
        Also fit the noiseless data, which costs a fit and holds beyond first order.
    engine : AbstractEngine, optional
        For the refit; Levenberg-Marquardt by default.

    Returns
    -------
    BiasForecast
        Estimate minus `model`'s value.

    Raises
    ------
    ValueError
        If `exposures` is not above zero.

    Warns
    -----
    ConvergenceWarning
        If the refit has not converged.

    Notes
    -----
    First order in the difference dm of the two expected images, with W the inverse of the model's variance
    (the linear response of a maximum-likelihood estimate; Amara & Refregier 2008, MNRAS 391, 228).
    """
    objective = expected_objective(model, space, truth, exposures)
    theta = space.pack(model)
    move, spread = _linear_response(objective, theta)
    slope = np.asarray(space.jacobian_diag(theta))
    found, result = None, None
    if refit:
        found, result = _refit(objective, theta, engine)
        found = np.where(np.isfinite(move), found, np.nan)  # else where a fit happens to hold it
    sigma = slope * np.sqrt(np.diagonal(np.asarray(spread)))
    return BiasForecast(space.labels, space.units, slope * np.asarray(move), sigma, found, result)


def _refit(objective: Objective, theta: Float[Array, " D"], engine: AbstractEngine | None):
    """Where a fit of the noiseless data goes (D,), in units of the parameters, and how it ended."""
    solution = fit(objective, theta, engine)
    if not solution.converged:
        text = f"The refit has not converged: {solution.result} after {solution.stats['steps']} steps. "
        text += "Its bias is no more than how far it came. Give it more steps, or another engine."
        warnings.warn(text, ConvergenceWarning, stacklevel=3)
    return np.asarray(objective.space.physical(solution.theta) - objective.space.physical(theta)), solution.result


@eqx.filter_jit
def _linear_response(objective: Objective, theta: Float[Array, " D"]) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
    """Newton step from θ to the optimum of the noiseless data, and the covariance of θ."""
    expected, jacobian = objective.jacobian(theta)
    spread = _spread(objective, theta)
    pull = jnp.einsum("dij,ij->d", jacobian, _weighted(objective, expected, objective.image - expected))
    return _apply(spread, pull), spread


def _spread(objective: Objective, theta: Float[Array, " D"]) -> Float[Array, "D D"]:
    expansion = objective.expansion(theta)
    return covariance(expansion.information + expansion.prior_information)


def _weighted(objective: Objective, expected, change) -> Float[Array, "n n"]:
    """J^T W change needs W change: the residual's weight in every used pixel."""
    information = objective.likelihood.information(expected, objective.pixel_data())
    return jnp.where(objective.mask, information * change, 0.0)


def _apply(spread: Float[Array, "D D"], pull: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """Covariance times pull; NaN for what is not determined."""
    lost = ~jnp.isfinite(jnp.diagonal(spread))
    finite = jnp.where(lost[:, None] | lost, 0.0, spread)
    return jnp.where(lost, jnp.nan, pull @ finite)


@dataclasses.dataclass(frozen=True, eq=False)
class Sensitivities:
    """Bias of every free parameter per unit of each change that the fit does not know of.

    Attributes
    ----------
    changes : tuple of str (c,)
    labels, units : tuple of str (D,)
    matrix : array (c, D)
        d(bias)/d(change), in `units` per unit of the change.
    """

    changes: tuple[str, ...]
    labels: tuple[str, ...]
    units: tuple[str, ...]
    matrix: np.ndarray

    def of(self, label: str) -> dict[str, float]:
        """Bias of one parameter per unit of each change."""
        column = _known(self.labels, label)
        return dict(zip(self.changes, self.matrix[:, column].tolist(), strict=True))


def sensitivities(
    model: Any,
    space: AbstractSpace,
    changes: Mapping[str, Callable[[Any, Float[Array, ""]], Any]],
    exposures: float | int = 1,
) -> Sensitivities:
    """First-order bias of a fit per unit of changes of the truth that the fitted model leaves out.

    Parameters
    ----------
    model : eqx.Module
    space : ThetaSpace or EigenSpace
        What is free in the fit.
    changes : mapping of name to function of (model, amount)
        Each gives the model changed by an amount; differentiated at zero.
    exposures : float
        Only matters where the space has priors.

    Raises
    ------
    ValueError
        If `exposures` is not above zero.
    """
    objective = expected_objective(model, space, None, exposures)
    theta = space.pack(model)
    slope = np.asarray(space.jacobian_diag(theta))
    images = _image_slopes(model, tuple(changes.values()))
    matrix = _responses(objective, theta, objective.exposures * images)
    return Sensitivities(tuple(changes), space.labels, space.units, slope * np.asarray(matrix))


@eqx.filter_jit
def _image_slopes(model: Any, changes: tuple[Callable, ...]) -> Float[Array, "c n n"]:
    """Derivative of the expected image of one exposure by the amount of each change, at zero.

    The changes are made one after another, which to first order is the same as each alone and compiles once.
    """

    def image(amounts):
        changed = model
        for change, amount in zip(changes, amounts, strict=True):
            changed = change(changed, amount)
        return changed.model()

    zero = jnp.zeros(len(changes))
    return jax.vmap(lambda direction: jax.jvp(image, (zero,), (direction,))[1])(jnp.eye(len(changes)))


@eqx.filter_jit
def _responses(objective: Objective, theta: Float[Array, " D"], images: Float[Array, "c n n"]) -> Float[Array, "c D"]:
    expected, jacobian = objective.jacobian(theta)
    weighted = jax.vmap(lambda image: _weighted(objective, expected, image))(images)
    return _apply(_spread(objective, theta), jnp.einsum("dij,cij->cd", jacobian, weighted))


def _known(labels: tuple[str, ...], label: str) -> int:
    if label not in labels:
        raise ParameterError(f"Expected one of {', '.join(labels)}; got {label!r}.")
    return labels.index(label)
