"""What a fit may be asked to lower: any loss of θ, and what more an objective with a likelihood knows."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from ..params import AbstractSpace


class Expansion(NamedTuple):
    """Second-order picture of the loss at one θ.

    Attributes
    ----------
    loss : Array ()
    gradient : Array (D,)
    information : Array (D, D)
        Expected information J^T W J of the likelihood.
    prior_information : Array (D, D)
        Information of the priors.
    """

    loss: Float[Array, ""]
    gradient: Float[Array, " D"]
    information: Float[Array, "D D"]
    prior_information: Float[Array, "D D"]


class AbstractObjective(eqx.Module):
    """A loss over θ: all that a fit needs. Arrays belong in fields, which are arguments of the compiled step."""

    @abc.abstractmethod
    def loss(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """What is to be lowered."""


class AbstractInformedObjective(AbstractObjective):
    """A loss that is minus a log posterior, and that knows its model, what θ means, and its expected information.

    Attributes
    ----------
    model : eqx.Module
        Supplies what `space` does not move.
    space : AbstractSpace
        What θ means.
    """

    model: eqx.AbstractVar[Any]
    space: eqx.AbstractVar[AbstractSpace]

    @property
    @abc.abstractmethod
    def num_data(self) -> Any:
        """Number of data that enter the loss."""

    @abc.abstractmethod
    def residuals(self, theta: Float[Array, " D"]) -> Float[Array, "..."]:
        """Whitened residuals of the data."""

    @abc.abstractmethod
    def expansion(self, theta: Float[Array, " D"]) -> Expansion:
        """Loss, gradient and expected information."""

    @abc.abstractmethod
    def prior_information(self, theta: Float[Array, " D"]) -> Float[Array, "D D"]:
        """Information that the priors add."""

    def with_space(self, space: AbstractSpace) -> "AbstractInformedObjective":
        """The same objective over another θ, such as the coefficients of eigenmodes."""
        return eqx.tree_at(lambda objective: objective.space, self, space)


def is_informed(objective: Any) -> bool:
    """Whether an objective knows its expected information, model and space."""
    return isinstance(objective, AbstractInformedObjective)


def check_informed(objective: Any, what: str) -> None:
    """Raise ValueError unless an objective has expected information."""
    if not is_informed(objective):
        raise ValueError(
            f"Expected an objective with expected information for {what}, got {type(objective).__name__}. "
            "Use Objective, or subclass AbstractInformedObjective."
        )
