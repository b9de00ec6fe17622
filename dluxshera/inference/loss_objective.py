"""A user's own loss as an objective."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from .abstract_objective import AbstractObjective


class LossObjective(AbstractObjective):
    """A function of θ as an objective, without information: a fit of it has no error bars.

    What the function closes over is compiled into the step as constants. For big arrays give a method of an
    `eqx.Module` that holds them, or an `AbstractObjective`: they are then arguments, and other data of the same
    shape compile nothing anew.

    Parameters
    ----------
    loss : callable
        `loss(theta)`, or `loss(theta) -> (loss, aux)` with `has_aux`.
    labels : sequence of str, optional
        Names of the elements of θ, (D,), for messages.
    has_aux : bool
        Whether the function gives something besides the loss: then `solution.aux` is that of the best θ.
    """

    function: Callable[..., Any]
    labels: tuple[str, ...] | None = eqx.field(static=True)
    has_aux: bool = eqx.field(static=True)

    def __init__(self, loss: Any, labels: Any = None, has_aux: bool = False):
        if not callable(loss):
            raise TypeError(f"Expected a function of theta, got {loss!r:.80}. Give loss(theta) or an objective.")
        self.function = loss
        self.labels = None if labels is None else tuple(labels)
        self.has_aux = has_aux

    def loss(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """The function's loss."""
        return self.function(theta)[0] if self.has_aux else self.function(theta)

    def aux(self, theta: Float[Array, " D"]) -> Any:
        """What the function gives besides; None without `has_aux`."""
        return self.function(theta)[1] if self.has_aux else None


def as_objective(objective: Any) -> Any:
    """An objective as it is; a plain function of θ as a `LossObjective`.

    Raises
    ------
    TypeError
        For anything else.
    """
    if isinstance(objective, AbstractObjective) or callable(getattr(objective, "loss", None)):
        return objective
    return LossObjective(objective)


def label_of(objective: Any, index: int) -> str:
    """Name of one element of θ."""
    named = getattr(objective, "space", objective)
    labels = getattr(named, "labels", None)
    return f"theta[{index}]" if labels is None else labels[index]
