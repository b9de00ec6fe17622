"""What an engine leaves behind."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Trace(eqx.Module):
    """History of a fit; row 0 is the start, or the state from which a fit was resumed.

    Attributes
    ----------
    loss : Array (T,)
    theta : Array (T, D)
        Shape (T, 0) where it was not recorded.
    grad_norm, step_norm : Array (T,), optional
        Length of the gradient and of the step that led to a row, in the engine's own metric.
    accepted : Array (T,) of bool, optional
        Whether the step that led to a row was taken.
    base_lr : Array (T,), optional
        Rate of the step that follows a row, for engines that have one.
    """

    loss: Float[Array, " T"]
    theta: Float[Array, "T D"]
    grad_norm: Float[Array, " T"] | None = None
    step_norm: Float[Array, " T"] | None = None
    accepted: Bool[Array, " T"] | None = None
    base_lr: Float[Array, " T"] | None = None

    def followed_by(self, other: "Trace") -> "Trace":
        """This trace and that of the fit that was resumed from its last row, as one."""
        return jax.tree.map(lambda first, rest: jnp.concatenate([first, rest[1:]]), self, other)
