"""Engines: how a fit moves. An engine sees a function of a vector, and keeps its state in plain arrays."""

import abc
import dataclasses
import enum
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

MOST_REJECTIONS = 12  # tries in a row that do not lower the loss, after which a fit has stalled


class FitResult(enum.StrEnum):
    """How a fit ended."""

    RUNNING = "running"
    CONVERGED = "converged"
    LOSS_SETTLED = "loss settled"
    STEP_SETTLED = "step below its tolerance"
    GRADIENT_SETTLED = "gradient below its tolerance"
    STEP_LIMIT = "step limit reached"
    TIME_LIMIT = "time limit reached"
    STALLED = "no step lowers the loss"
    RISING = "the loss rises"
    NOT_FINITE = "loss or gradient not finite"
    INTERRUPTED = "interrupted"
    AT_BOUND = "ended on a bound"
    UNDETERMINED = "converged, but the data do not determine everything"

    @property
    def is_convergence(self) -> bool:
        """Whether the engine's own criterion or a stopping rule was met."""
        return self in CONVERGENCE

    @property
    def is_failure(self) -> bool:
        """Whether the fit broke down; the best θ before that is kept."""
        return self in (FitResult.RISING, FitResult.NOT_FINITE)


CONVERGENCE = (
    *(FitResult.CONVERGED, FitResult.LOSS_SETTLED, FitResult.STEP_SETTLED, FitResult.GRADIENT_SETTLED),
    *(FitResult.AT_BOUND, FitResult.UNDETERMINED),
)
RESULTS = tuple(FitResult)  # by code


class Tally(NamedTuple):
    """What `fit` counts beside an engine, so that a resumed fit goes on counting; engines leave it alone.

    Attributes
    ----------
    start_loss : Array ()
    nonfinite, refused : Array () of int
        Tries refused because loss or gradient was not finite, and all that were refused.
    rising, settled : Array () of int
        Accepted tries in a row that raised the loss, and that met a stopping rule.
    """

    start_loss: Float[Array, ""]
    nonfinite: Int[Array, ""]
    refused: Int[Array, ""]
    rising: Int[Array, ""]
    settled: Int[Array, ""]


def blank_tally() -> Tally:
    """Nothing counted."""
    return Tally(jnp.zeros((), float), *(jnp.zeros((), int) for _ in range(4)))


def _flag(value: Any) -> Bool[Array, ""]:
    return jnp.asarray(value, bool)


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
    finite : Array () of bool
        Whether loss and gradient of the last try were finite.
    tried : Array (D,), optional
        θ of the last try that was not finite, else of the last try, where the engine keeps it: names what is at fault.
    base_lr : Array (), optional
        Rate of the next step, where the engine has one.
    tally : Tally
        What `fit` counts.
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
    finite: Bool[Array, ""] = eqx.field(converter=_flag, default=True)
    tried: Float[Array, " D"] | None = None
    base_lr: Float[Array, ""] | None = None
    tally: Tally = eqx.field(default_factory=blank_tally)


def initial_state(
    theta: Float[Array, " D"],
    information: Any,
    memory: Any,
    *,
    tried: Float[Array, " D"] | None = None,
    base_lr: Float[Array, ""] | None = None,
) -> EngineState:
    """State before the start has been evaluated; optional fields that `step` fills must be given here too."""
    unknown, no = jnp.asarray(jnp.inf, theta.dtype), jnp.asarray(False)
    zero, none = jnp.zeros((), theta.dtype), jnp.asarray(0, int)
    rest = {"tried": tried, "base_lr": base_lr}
    return EngineState(theta, unknown, none - 1, unknown, zero, no, none, no, information, memory, **rest)


class AbstractEngine(eqx.Module):
    """One way to lower a loss, by pure functions.

    The step after step -1 evaluates the start and moves nowhere, whatever the memory holds, so that one compiled
    function does everything and a new fit may begin with the memory of another. `step` gives a state of the same
    structure, shapes and types as `init`.

    Attributes
    ----------
    max_steps : int
        Most tries.
    chunk : int
        Most steps that `fit` takes before it looks at the clock, asks whether to stop and reports.
    needs_information : bool
        Whether the objective must be an `AbstractInformedObjective`.
    exact_loss : bool
        Whether a state's loss is the objective's at its θ; False for a mean over what a step met on its way.
    """

    max_steps: eqx.AbstractVar[int]
    chunk: ClassVar[int] = 100
    needs_information: ClassVar[bool] = False
    exact_loss: ClassVar[bool] = True

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


def instance_of(kind: type, name: str, *default: Any):
    """Field of a module of one kind, with or without a default.

    Raises
    ------
    TypeError
        When the module is made with anything else there.
    """

    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            what = kind.__name__.removeprefix("Abstract").lower()
            raise TypeError(f"Expected {name} as a {what} ({kind.__name__}), got {value!r:.80}.")
        return value

    return eqx.field(converter=check, **({"default": default[0]} if default else {}))


def check_positive(name: str, value: Float[Array, ""] | None) -> None:
    """Raise ValueError unless the number is above zero; absent and traced ones pass."""
    if value is None or isinstance(value, jax.core.Tracer):
        return
    if value.shape != () or not 0 < float(value) < jnp.inf:
        raise ValueError(f"Expected {name} above zero, got {value}.")


def check_max_steps(max_steps: int) -> None:
    """Raise ValueError unless the step limit is a positive whole number."""
    check_whole("max_steps", max_steps)


def check_whole(name: str, value: Any) -> None:
    """Raise ValueError unless a count is a positive whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"Expected {name} of 1 or more, a whole number, got {value!r}.")


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


NO_RATES = {"base_lr": None, "schedule": None, "preconditioning": None}  # the record of an engine without


def engine_settings(engine: AbstractEngine) -> dict[str, Any]:
    """Give an engine's name and settings as plain values, for the record of a run.

    Parameters
    ----------
    engine : AbstractEngine
        Its own `settings()`, where it has one, go before its fields.
    """
    own = getattr(engine, "settings", dict)()
    fields = {f.name: _plain(getattr(engine, f.name)) for f in dataclasses.fields(engine)}
    return {"name": type(engine).__name__, **NO_RATES, **(fields | dict(own))}


def _plain(value: Any) -> Any:
    """Numbers, text and lists as they are; modules as mappings; functions by their name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return value.tolist()
    if dataclasses.is_dataclass(value):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"name": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return getattr(value, "__qualname__", type(value).__name__)
