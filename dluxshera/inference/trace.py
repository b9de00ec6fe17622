"""What an engine leaves behind."""

import equinox as eqx
from jaxtyping import Array, Bool, Float


class Trace(eqx.Module):
    """History of a fit; row 0 is the start.

    Attributes
    ----------
    loss : Array (T,)
    theta : Array (T, D)
    grad_norm, step_norm : Array (T,), optional
        Length of the gradient and of the step that led to a row, in the engine's own metric.
    accepted : Array (T,) of bool, optional
        Whether the step that led to a row was taken.
    """

    loss: Float[Array, " T"]
    theta: Float[Array, "T D"]
    grad_norm: Float[Array, " T"] | None = None
    step_norm: Float[Array, " T"] | None = None
    accepted: Bool[Array, " T"] | None = None
