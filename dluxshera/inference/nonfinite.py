"""Which parameter makes a loss not finite."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..params import ParameterError
from .abstract_objective import is_informed
from .engines import EngineState
from .frame_stack import FrameStack
from .loss_objective import label_of


@eqx.filter_jit
def _is_finite(
    objective: Any, good: Float[Array, " D"], bad: Float[Array, " D"], count: Int[Array, ""]
) -> Bool[Array, ""]:
    """Whether loss and gradient are, with the first `count` elements of a bad θ in place of those of a good one."""
    theta = jnp.where(jnp.arange(good.size) < count, bad, good)
    loss, gradient = jax.value_and_grad(objective.loss)(theta)
    return jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))


@eqx.filter_jit
def _gradient(objective: Any, theta: Float[Array, " D"]) -> Float[Array, " D"]:
    return jax.grad(objective.loss)(theta)


def first_bad(objective: Any, state: EngineState) -> str | None:
    """Name of the first element of θ whose move made the loss, or its gradient, not finite; None if none is found.

    Moves the elements of the last try one after the other, by bisection. Where the start is at fault, it is set
    against the objective's own model, and else the first element whose gradient is not finite is named.
    """
    if state.step > 0:
        return None if state.tried is None else _between(objective, state.theta, state.tried)
    named = _between(objective, reference, state.theta) if (reference := _own_theta(objective)) is not None else None
    if named is not None:
        return named
    bad = np.flatnonzero(~np.isfinite(_gradient(objective, state.theta)))
    return label_of(objective, int(bad[0])) if bad.size else None


def _own_theta(objective: Any) -> Float[Array, " D"] | None:
    """θ of the objective's model, where that has one; of a stack of frames, that of all its frames."""
    if isinstance(objective, FrameStack):
        own = jnp.tile(objective.reference[np.array(objective.own, int)], (objective.num_observations, 1))
        return objective.join(objective.reference[np.array(objective.shared, int)], own)
    if not is_informed(objective):
        return None
    try:
        return objective.space.pack(objective.model)
    except ParameterError:  # a value stands on a bound
        return None


def _between(objective: Any, good: Float[Array, " D"], bad: Float[Array, " D"]) -> str | None:
    """Name of an element that turns a finite loss into another, on the way from a good θ to a bad one."""
    finite = lambda count: bool(_is_finite(objective, good, bad, jnp.asarray(count)))  # noqa: E731
    low, high = 0, good.size
    if finite(high) or not finite(low):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if finite(middle) else (low, middle)
    return label_of(objective, low)
