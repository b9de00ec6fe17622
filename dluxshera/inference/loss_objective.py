"""A user's own loss as an objective."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .abstract_objective import AbstractObjective, is_informed


class LossObjective(AbstractObjective):
    """A function of θ as an objective, without information: a fit of it has no error bars.

    What the function closes over is compiled into the step as constants. For big arrays give a method of an
    `eqx.Module` that holds them, or an `AbstractObjective`: they are then arguments, and other data of the same
    shape compile nothing anew.

    Parameters
    ----------
    loss : callable
        `loss(theta)`, or `loss(theta) -> (loss, aux)`: then `solution.aux` is that of the best θ.
    labels : sequence of str, optional
        Names of the elements of θ, (D,), for messages.
    """

    function: Callable[..., Any]
    labels: tuple[str, ...] | None = eqx.field(static=True)

    def __init__(self, loss: Any, labels: Any = None):
        if not callable(loss):
            raise TypeError(f"Expected a function of theta, got {loss!r:.80}. Give loss(theta) or an objective.")
        self.function = loss
        self.labels = None if labels is None else tuple(labels)

    def loss(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """The function's loss."""
        return _split(self.function(theta))[0]

    def aux(self, theta: Float[Array, " D"]) -> Any:
        """What the function gives besides, or None."""
        return _split(self.function(theta))[1]


def _split(found: Any) -> tuple[Any, Any]:
    """Loss and aux of what a function of θ gave."""
    return found if isinstance(found, tuple) and len(found) == 2 else (found, None)


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


def with_one_loss(objective: Any, theta: Float[Array, " D"]) -> Any:
    """An objective of one's own whose `loss` gives `(loss, aux)` as a `LossObjective`; any other as it is."""
    if isinstance(objective, LossObjective) or is_informed(objective):
        return objective
    pair = _split(eqx.filter_eval_shape(objective.loss, theta))[1] is not None
    return LossObjective(objective.loss, getattr(objective, "labels", None)) if pair else objective


def check_loss(objective: Any, theta: Float[Array, " D"]) -> None:
    """Raise TypeError unless a function of θ gives one real number, or that and something else.

    Other objectives are believed.
    """
    if not isinstance(objective, LossObjective):
        return
    value, _ = _split(eqx.filter_eval_shape(objective.function, theta))
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape != () or not jnp.issubdtype(kind, jnp.floating):
        got = type(value).__name__ if shape is None else f"{kind} of shape {shape}"
        raise TypeError(
            f"Expected loss(theta) to give one real number, or (loss, aux), got {got}. Sum over what it gives."
        )


def label_of(objective: Any, index: int) -> str:
    """Name of one element of θ."""
    own, space = getattr(objective, "labels", None), getattr(objective, "space", None)
    labels = getattr(space, "labels", None) if own is None else own  # a stack of frames has a space for each frame
    return f"theta[{index}]" if labels is None else labels[index]
