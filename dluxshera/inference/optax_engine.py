"""Any optax optimiser as an engine."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float

from .engines import AbstractEngine, EngineState, check_max_steps, check_positive, initial_state


class _Memory(NamedTuple):
    """The optimiser's state, the gradient at the present θ (D,), and by how much steps are shortened ()."""

    optimiser: Any
    gradient: Float[Array, " D"]
    shortening: Float[Array, ""]


def _as_rate(value: Any) -> Any:
    return value if value is None or callable(value) else jnp.asarray(value, float)


def _as_optimiser(value: Any) -> Any:
    """An optimiser, which has two functions."""
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in ("init", "update")):
        raise TypeError(
            f"Expected optimiser as an optax.GradientTransformation, such as optax.adam(0.1), got {value!r:.80}."
        )
    return value


def _as_pairs(options: Any) -> tuple[tuple[str, Any], ...]:
    """A mapping as what can be compared and hashed."""
    return tuple((name, _hashable(value)) for name, value in dict(options).items())


def _hashable(value: Any) -> Any:
    value = value.tolist() if isinstance(value, jax.Array | np.ndarray | np.generic) else value
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return value if is_plain else getattr(value, "__qualname__", type(value).__name__)


class OptaxEngine(AbstractEngine):
    """theta <- theta + rate * update, with the update of an optax optimiser.

    A try whose loss or gradient is not finite is refused and repeated at half the length; lengths grow back as tries
    are accepted. Nothing else is refused, so that the loss may rise for a while. There is no criterion of its own
    for convergence: give `StoppingRules`.

    Parameters
    ----------
    optimiser : optax.GradientTransformation
        As `optax.adam(1e-3)`, with its sign and rate, or with a rate of one beside `learning_rate`. Its functions
        are compiled in: the same object compiles nothing anew. One that asks for more than the gradient is given the
        loss as `value`, `grad`, and the objective's loss as `value_fn` (`optax.lbfgs`, `optax.polyak_sgd`).
    learning_rate : float or callable, optional
        Factor on the update, or a schedule of it by the number of steps (as in `optax.schedules`); by default one.
        Another number compiles nothing anew; another schedule does.
    max_steps : int
    name : str
        For the record of a run.
    options : mapping of str to plain values, optional
        What `optimiser` was made with, for the record of a run: its functions do not tell.

    Raises
    ------
    TypeError
        If `optimiser` is none.
    """

    optimiser: optax.GradientTransformation = eqx.field(converter=_as_optimiser)
    learning_rate: Float[Array, ""] | Callable[[Any], Any] | None = eqx.field(converter=_as_rate, default=None)
    max_steps: int = eqx.field(static=True, default=1000)
    name: str = eqx.field(static=True, default="optax")
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True, converter=_as_pairs, default=())

    def __check_init__(self):
        check_max_steps(self.max_steps)
        if not callable(self.learning_rate):
            check_positive("learning_rate", self.learning_rate)

    def settings(self) -> Mapping[str, Any]:
        """Plain values for the record of a run, `options` among them; of a rate that is a schedule, its name."""
        rate, changes = self.learning_rate, callable(self.learning_rate)
        schedule = getattr(rate, "__qualname__", type(rate).__name__) if changes else "constant"
        base = None if changes or rate is None else float(rate)
        options = {name: _plain(value) for name, value in self.options}
        return {"base_lr": base, "schedule": {"name": schedule}, "preconditioning": None, "options": options}

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """The gradient is found by the first step."""
        memory = _Memory(self.optimiser.init(theta), jnp.zeros_like(theta), jnp.ones((), theta.dtype))
        return initial_state(theta, None, memory, tried=theta, base_lr=jnp.ones((), theta.dtype))

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """One update of the optimiser, from the gradient at the present θ."""
        start, memory = state.step < 0, state.memory
        update, optimiser = self._update(objective, state)
        move = jnp.where(start, 0.0, memory.shortening * self._rate(state.step) * update)
        theta = state.theta + move.astype(state.theta.dtype)
        loss, gradient = jax.value_and_grad(objective.loss)(theta)
        finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        accepted = start | finite
        pick = lambda new, old: jax.tree.map(lambda n, o: jnp.where(accepted, n, o), new, old)  # noqa: E731
        keep = lambda new, old: jax.tree.map(lambda n, o: jnp.where(start | ~accepted, o, n), new, old)  # noqa: E731
        gradient = pick(gradient, memory.gradient)
        norm = jnp.linalg.norm(gradient)
        shortening = jnp.where(accepted, jnp.minimum(2 * memory.shortening, 1.0), 0.5 * memory.shortening)
        return EngineState(
            theta=pick(theta, state.theta),
            loss=pick(loss, state.loss),
            step=state.step + 1,
            grad_norm=norm,
            step_norm=jnp.linalg.norm(move),
            accepted=accepted,
            rejections=pick(0, state.rejections + 1),
            converged=norm == 0,
            information=None,
            memory=_Memory(keep(optimiser, memory.optimiser), gradient, shortening),
            finite=finite,
            tried=theta,
            base_lr=self._rate(state.step + 1),
        )

    def _update(self, objective: Any, state: EngineState) -> tuple[Float[Array, " D"], Any]:
        """The optimiser's update and next state; at the start, where nothing is known yet, neither is used."""
        known = {"value": state.loss, "grad": state.memory.gradient, "value_fn": objective.loss}
        update = optax.with_extra_args_support(self.optimiser).update
        return update(state.memory.gradient, state.memory.optimiser, state.theta, **known)

    def _rate(self, step: Any) -> Float[Array, ""]:
        """Of the step after so many."""
        if callable(self.learning_rate):
            return jnp.asarray(self.learning_rate(jnp.maximum(step, 0)), float)
        return jnp.ones(()) if self.learning_rate is None else self.learning_rate


@functools.cache
def _optimiser(name: str, options: tuple[tuple[str, Any], ...]) -> optax.GradientTransformation:
    """One object for the same settings, so that they compile once."""
    return getattr(optax, name)(1.0, **dict(options))


def adam(learning_rate: ArrayLike | Callable = 0.01, max_steps: int = 1000, **options: Any) -> OptaxEngine:
    """Adam (Kingma and Ba, arXiv:1412.6980) as an engine.

    Parameters
    ----------
    learning_rate : float or callable
        Largest length of a step of one element, in units of θ, or a schedule of it.
    max_steps : int
    options : float
        `b1`, `b2`, `eps` and the like, as `optax.adam` takes them.
    """
    optimiser = _optimiser("adam", tuple(sorted(options.items())))
    return OptaxEngine(optimiser, learning_rate, max_steps, "adam", options)


def sgd(
    learning_rate: ArrayLike | Callable, max_steps: int = 1000, momentum: float = 0.0, nesterov: bool = False
) -> OptaxEngine:
    """Gradient descent with momentum as an engine.

    Parameters
    ----------
    learning_rate : float or callable
        In units of θ^2 per loss, or a schedule of it.
    max_steps : int
    momentum : float
        Share of the last step that is kept, in [0, 1).
    nesterov : bool
        Whether the gradient is looked at ahead.
    """
    options = (("momentum", momentum or None), ("nesterov", nesterov))
    known = {"momentum": momentum, "nesterov": nesterov}
    return OptaxEngine(_optimiser("sgd", options), learning_rate, max_steps, "sgd", known)
