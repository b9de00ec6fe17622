"""Sweeps: the loss along one parameter with all others held."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .fisher import fisher_information, prior_information
from .objective import Objective


class Sweep(NamedTuple):
    """The loss along one parameter.

    Attributes
    ----------
    label, unit : str
    values : array (k,)
        Of the parameter, in `unit`.
    loss : array (k,)
    parabola : array (k,)
        What the expected information and the gradient at `theta` predict.
    """

    label: str
    unit: str
    values: np.ndarray
    loss: np.ndarray
    parabola: np.ndarray


def sweep(objective: Objective, theta: Float[Array, " D"], label: str, values: ArrayLike | Sequence[float]) -> Sweep:
    """Loss of an objective along one parameter, the others held at `theta`.

    Parameters
    ----------
    objective : Objective
    theta : Array (D,)
    label : str
        A label of the objective's space, or the name of a scalar parameter.
    values : array (k,)
        In the parameter's unit, inside its bounds.

    Raises
    ------
    ParameterError
        If the label names no element of θ, or a value lies on or outside a bound.
    ValueError
        If it names several elements, or there are no values.
    """
    space = objective.space
    chosen = space.slice(label)
    if chosen.stop - chosen.start != 1:
        raise ValueError(f"Expected the label of one element, got {label!r}. Name one of {space.labels[chosen]}.")
    i, values = chosen.start, jnp.asarray(values, float)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"Expected values of shape (k,), one at least, got {values.shape}.")
    here = space.physical(theta)
    thetas = jnp.stack([space.from_physical(here.at[i].set(value)) for value in values])
    losses = _losses(objective, thetas)
    loss, gradient = _value_and_gradient(objective, theta)
    curvature = (fisher_information(objective, theta) + prior_information(objective, theta))[i, i]
    step = thetas[:, i] - theta[i]
    parabola = loss + gradient[i] * step + 0.5 * curvature * step**2
    return Sweep(label, space.units[i], np.asarray(values), np.asarray(losses), np.asarray(parabola))


@eqx.filter_jit
def _losses(objective: Objective, thetas: Float[Array, "k D"]) -> Float[Array, " k"]:
    return jax.lax.map(objective.loss, thetas)


@eqx.filter_jit
def _value_and_gradient(objective: Objective, theta: Float[Array, " D"]):
    return jax.value_and_grad(objective.loss)(theta)
