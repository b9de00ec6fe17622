"""Engines: how a fit moves. An engine sees a function of a vector, and keeps its state in plain arrays."""

import abc
import enum
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

MOST_REJECTIONS = 12  # tries in a row that do not lower the loss, after which a fit has stalled


class FitResult(enum.StrEnum):
    """How a fit ended."""

    RUNNING = "running"
    CONVERGED = "converged"
    STEP_LIMIT = "step limit reached"
    STALLED = "no step lowers the loss"
    INTERRUPTED = "interrupted"


class EngineState(eqx.Module):
    """Where a fit is: plain arrays, so that they can be saved and resumed from.

    Attributes
    ----------
    theta : Array (D,)
    loss : Array ()
    step : Array () of int
        Tries so far; -1 before the start has been evaluated.
    grad_norm, step_norm : Array ()
        Of the gradient at θ and of the last try, in the engine's own metric.
    accepted : Array () of bool
        Whether the last try was taken.
    rejections : Array () of int
        Tries refused in a row.
    converged : Array () of bool
    information : Array (D, D), optional
        Expected information of the data at θ, where the engine knows it.
    memory : pytree of arrays
        The engine's own.
    """

    theta: Float[Array, " D"]
    loss: Float[Array, ""]
    step: Int[Array, ""]
    grad_norm: Float[Array, ""]
    step_norm: Float[Array, ""]
    accepted: Bool[Array, ""]
    rejections: Int[Array, ""]
    converged: Bool[Array, ""]
    information: Float[Array, "D D"] | None
    memory: Any


def initial_state(theta: Float[Array, " D"], information: Any, memory: Any) -> EngineState:
    """State before the start has been evaluated."""
    unknown, no = jnp.asarray(jnp.inf, theta.dtype), jnp.asarray(False)
    zero, none = jnp.zeros((), theta.dtype), jnp.asarray(0)
    return EngineState(theta, unknown, none - 1, unknown, zero, no, none, no, information, memory)


class AbstractEngine(eqx.Module):
    """One way to lower a loss, by pure functions.

    The first step evaluates the start and moves nowhere, so that one compiled function does everything.
    """

    max_steps: eqx.AbstractVar[int]

    @abc.abstractmethod
    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """State before the start has been evaluated; cheap."""

    @abc.abstractmethod
    def step(self, objective: Any, state: EngineState) -> EngineState:
        """State after one try, taken or not."""


def positive_number(default: float | None):
    """Field of an engine: a number above zero, as an array so that another value compiles nothing anew."""
    return eqx.field(converter=_as_number, default=default)


def _as_number(value: Any) -> Float[Array, ""] | None:
    return None if value is None else jnp.asarray(value, float)


def check_positive(name: str, value: Float[Array, ""] | None) -> None:
    """Raise ValueError unless the number is above zero; absent and traced ones pass."""
    if value is None or isinstance(value, jax.core.Tracer):
        return
    if value.shape != () or not 0 < float(value) < jnp.inf:
        raise ValueError(f"Expected {name} above zero, got {value}.")


def check_max_steps(max_steps: int) -> None:
    """Raise ValueError unless the step limit is a positive whole number."""
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise ValueError(f"Expected max_steps of 1 or more, got {max_steps!r}.")


def run_simple_gd(
    loss: Any, theta: Float[Array, " D"], learning_rate: ArrayLike, num_steps: int
) -> tuple[Float[Array, " T"], Float[Array, "T D"]]:
    """Plain gradient descent with one learning rate: theta <- theta - learning_rate * gradient.

    Parameters
    ----------
    loss : callable
        Of θ; returns a scalar.
    theta : Array (D,)
    learning_rate : float, in units of θ^2 per loss
    num_steps : int

    Returns
    -------
    losses (T,), thetas (T, D)
        With T = num_steps + 1; row 0 is the start.
    """
    value_and_grad = jax.value_and_grad(loss)

    def advance(here, _):
        value, gradient = value_and_grad(here)
        return here - learning_rate * gradient, (value, here)

    last, (losses, thetas) = jax.lax.scan(advance, theta, length=num_steps)
    return jnp.append(losses, loss(last)), jnp.concatenate([thetas, last[None]])
