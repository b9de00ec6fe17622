"""Signals: named series with units over the steps of a fit, decoded from its trace for figures and reports."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..params import AbstractSpace, ParameterError
from ..params.elements import element_labels
from ..params.paths import UnknownPathError, find

# What the last word of a name says of its unit.
UNITS = {
    **{"as": "arcsec", "mas": "mas", "uas": "µas", "deg": "deg", "rad": "rad"},
    **{"m": "m", "mm": "mm", "um": "µm", "nm": "nm", "pm": "pm", "pixel": "pixel"},
    **{"ppm": "ppm", "ppb": "ppb", "percent": "%", "sigma": "σ", "s": "s", "e": "electron", "ph": "photon"},
}
_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
_MODE_ERROR = "eigen.coefficient_error"


def unit_of(name: str) -> str:
    """Return the unit that the last word of a signal's name says (`_uas`, `_ppm`, `_nm`, ...); "" for none."""
    _, underscore, last = name.rpartition("_")
    return UNITS.get(last, "") if underscore else ""


def with_word(name: str, word: str) -> str:
    """Return a signal's name with a word added before its unit: `a.error_nm` and `rms` make `a.error_rms_nm`."""
    stem, underscore, last = name.rpartition("_")
    return f"{stem}_{word}_{last}" if underscore and last in UNITS else f"{name}_{word}"


@dataclasses.dataclass(frozen=True, eq=False)
class Signal:
    """One named series over the steps of a fit.

    Attributes
    ----------
    name : str
        Fully qualified, with its unit as the last word: `binary.separation_error_uas`.
    values : array (T,) or (T, k)
        In `unit`; row 0 is the start of the fit.
    labels : tuple of str (k,)
        Of the components; empty for a series of numbers.
    truth : array () or (k,), optional
        Where the truth lies, in `unit`: zero for a residual.

    Raises
    ------
    ValueError
        If the name is not qualified, or labels or truth do not fit the values.
    """

    name: str
    values: np.ndarray
    labels: tuple[str, ...] = ()
    truth: np.ndarray | None = None

    def __post_init__(self):
        check_name(self.name)
        if self.values.ndim not in (1, 2):
            raise ValueError(f"Expected {self.name} of shape (T,) or (T, k), got {self.values.shape}.")
        if self.values.shape[1:] != ((len(self.labels),) if self.labels else ()):
            raise ValueError(
                f"Expected one label for each component of {self.name}, got {len(self.labels)} for an array of shape "
                f"{self.values.shape}."
            )
        if self.truth is not None and np.shape(self.truth) not in ((), self.values.shape[1:]):
            raise ValueError(f"Expected one truth for {self.name}, or one a component, got {np.shape(self.truth)}.")

    @property
    def unit(self) -> str:
        """What the name says; "" for a pure number."""
        return unit_of(self.name)

    @property
    def components(self) -> np.ndarray:
        """The values as (T, k), k = 1 for a series of numbers."""
        return self.values.reshape(len(self.values), -1)

    @property
    def line(self) -> float | None:
        """The truth where it is known and one number for all components."""
        return None if self.truth is None or np.ndim(self.truth) else float(self.truth)

    @property
    def is_silent(self) -> bool:
        """Whether it is at its truth in every row: nothing moved, and nothing was wrong."""
        return self.truth is not None and bool(np.all(self.values == self.truth))


def check_name(name: str) -> None:
    """Raise ValueError unless a name is fully qualified: words of letters, digits and `_`, joined by dots."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"Expected a fully qualified name such as 'binary.separation_error_uas', got {name!r}. "
            "Use letters, digits and _, and a dot between the group and the quantity."
        )


@dataclasses.dataclass(frozen=True)
class SignalDefinition:
    """How a signal is made from a model.

    Attributes
    ----------
    name : str
        Fully qualified, with its unit as the last word.
    function : callable
        `function(model)` of one state, or `function(model, truth)`, a residual, which is zero where the two agree;
        in `jax.numpy`, of shape () or (k,).
    needs : tuple of str
        Paths without which a model has no such signal.
    labels : tuple of str (k,)
        Of its components.
    labels_of : str, optional
        The path of a vector parameter whose elements name the components instead.
    """

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    labels_of: str | None = None

    def __post_init__(self):
        check_name(self.name)
        if len(inspect.signature(self.function).parameters) not in (1, 2):
            raise ValueError(f"Expected a function of (model) or (model, truth) for {self.name}, got another.")

    @property
    def is_residual(self) -> bool:
        """Whether the function compares a model with the truth."""
        return len(inspect.signature(self.function).parameters) == 2

    def applies_to(self, model: Any) -> bool:
        """Whether the model has what the signal needs."""
        wanted = self.needs if self.labels_of is None else (*self.needs, self.labels_of)
        return all(_has(model, path) for path in wanted)


_REGISTERED: dict[str, SignalDefinition] = {}


def register_signal(
    name: str, *, needs: Iterable[str] = (), labels: Iterable[str] = (), labels_of: str | None = None
) -> Callable[[Callable], Callable]:
    """Register a function of a model as a signal of every run that is opened afterwards; a decorator.

    Parameters
    ----------
    name : str
        Fully qualified, with its unit as the last word: `binary.mean_error_uas`. A later function of the same name
        takes the place of the earlier one.
    needs : iterable of str
        Paths without which a model has no such signal.
    labels : iterable of str
        Of the components, for a function that returns several numbers.
    labels_of : str, optional
        The path of a vector parameter whose elements name the components instead.

    Returns
    -------
    callable
        Gives the function back as it was. It is `function(model)`, or `function(model, truth)` for a residual, of
        one state, written in `jax.numpy`.

    Raises
    ------
    ValueError
        If the name is not qualified, or the function takes neither one nor two arguments.
    """

    def register(function: Callable) -> Callable:
        _REGISTERED[name] = SignalDefinition(name, function, tuple(needs), tuple(labels), labels_of)
        return function

    return register


def registered_signals() -> tuple[SignalDefinition, ...]:
    """Return the signals that users registered, in that order."""
    return tuple(_REGISTERED.values())


def decode_signals(
    definitions: Iterable[SignalDefinition], theta: ArrayLike, space: AbstractSpace, model: Any, truth: Any = None
) -> dict[str, Signal]:
    """Make the signals of a trace, in whichever coordinates it is.

    Parameters
    ----------
    definitions : iterable of SignalDefinition
        Those that need what the model lacks are left out; residuals too where the truth is not known.
    theta : array (T, D)
        The rows of a trace, in the coordinates of `space`.
    space : AbstractSpace
    model : eqx.Module
        Holds everything that the fit did not move.
    truth : eqx.Module, optional
        What the data were made with.

    Returns
    -------
    dict of str to Signal
        By name; for a space of eigenmodes also the residuals of its coefficients, where the truth is known.

    Raises
    ------
    ValueError
        Naming a signal whose function is not of shape () or (k,), or not in `jax.numpy`.
    """
    wanted = [d for d in definitions if (truth is not None or not d.is_residual) and d.applies_to(model)]
    rows = jnp.asarray(theta, float)
    arrays = _along(tuple(wanted), rows, space, model, truth)
    pairs = [(d, np.asarray(array)) for d, array in zip(wanted, arrays, strict=True) if array.size]
    found = {d.name: _signal(d, values, model, truth) for d, values in pairs}
    return found | _mode_errors(rows, space, truth)


@eqx.filter_jit
def _along(
    definitions: tuple[SignalDefinition, ...], theta: Float[Array, "T D"], space: AbstractSpace, model: Any, truth: Any
) -> tuple[Array, ...]:
    def at(row: Float[Array, " D"]) -> tuple[Array, ...]:
        state = space.unpack(row, model)
        return tuple(_value(definition, state, truth) for definition in definitions)

    return jax.vmap(at)(theta)


def _value(definition: SignalDefinition, model: Any, truth: Any) -> Array:
    try:
        found = jnp.asarray(definition.function(model, truth) if definition.is_residual else definition.function(model))
    except jax.errors.JAXTypeError as error:
        raise ValueError(f"Expected {definition.name} to be written in jax.numpy: {error}") from error
    if found.ndim > 1:
        raise ValueError(f"Expected {definition.name} of shape () or (k,) at one state, got {found.shape}. Ravel it.")
    return found


def _signal(definition: SignalDefinition, values: np.ndarray, model: Any, truth: Any) -> Signal:
    labels = definition.labels
    if definition.labels_of is not None:
        labels = element_labels(find(model, definition.labels_of)[0])
    if values.ndim == 2 and not labels:
        labels = tuple(map(str, range(values.shape[1])))
    expected = np.zeros(()) if definition.is_residual else None
    if expected is None and truth is not None:
        expected = np.asarray(_value(definition, truth, None))
    return Signal(definition.name, values, tuple(labels), expected)


def _mode_errors(theta: Float[Array, "T D"], space: AbstractSpace, truth: Any) -> dict[str, Signal]:
    """Residuals of eigenmode coefficients, where the space has them and the truth lies inside its bounds."""
    if space.kind != "eigen" or truth is None:
        return {}
    try:
        expected = space.pack(truth)
    except ParameterError:  # on a bound the truth has no coefficients
        return {}
    units = set(space.units)
    name = f"{_MODE_ERROR}_sigma" if units == {"sigma"} else _MODE_ERROR
    return {name: Signal(name, np.asarray(theta - expected), space.labels, np.zeros(()))}


def _has(model: Any, path: str) -> bool:
    try:
        find(model, path)
    except UnknownPathError:
        return False
    return True
