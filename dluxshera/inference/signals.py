"""Signals: named series with units over the steps of a fit, decoded from its trace for figures and reports."""

import contextlib
import dataclasses
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..params import AbstractSpace, ParameterError
from ..params.elements import element_labels
from ..params.paths import UnknownPathError, find
from .function_state import UntoldState, function_state
from .signal_record import UNITS as UNITS
from .signal_record import Signal, check_name, with_word
from .signal_record import unit_of as unit_of

_MODE_ERROR = "eigen.coefficient_error"
AUTOMATIC = "rms"  # the summary that each vector signal of a run gets
# What a function may raise that somebody else wrote; one that does costs its own signal.
_FAULTS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError,
           StopIteration, TypeError, ValueError)  # fmt: skip


class SignalWarning(UserWarning):
    """A signal could not be made; the others are there."""


class _SignalFault(ValueError):
    def __init__(self, name: str, reason: str):
        ValueError.__init__(self, f"The signal {name} cannot be made: {reason.rstrip('.')}.")
        self.name = name


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
        _check_texts(self.name, self.needs, self.labels, self.labels_of)
        _argument_count(self)

    @property
    def is_residual(self) -> bool:
        """Whether the function compares a model with the truth."""
        return _argument_count(self) == 2

    @property
    def state(self) -> str:
        """All that it is, and that its function computes; raises `UntoldState` where that cannot be told."""
        return repr((self.name, self.needs, self.labels, self.labels_of, function_state(self.function)))

    def applies_to(self, model: Any) -> bool:
        """Whether the model has what the signal needs."""
        wanted = self.needs if self.labels_of is None else (*self.needs, self.labels_of)
        return all(_has(model, path) for path in wanted)


def _check_texts(name: str, needs: Any, labels: Any, labels_of: Any) -> None:
    """Raise TypeError for a text where several are expected, which would be taken apart, and for what is no text."""
    for field, texts in {"needs": needs, "labels": labels}.items():
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"Expected {field} of {name} to be a list of texts, got {texts!r:.80}.")
    if not isinstance(labels_of, str | None):
        raise TypeError(f"Expected labels_of of {name} to be a path, got {labels_of!r:.80}.")


def _argument_count(definition: SignalDefinition) -> int:
    """How many arguments the function must be given: the model, or the model and the truth; the others have defaults.

    Raises
    ------
    ValueError
        If it is something else, or its truth has a default, so that one cannot tell.
    """
    wanted = f"Expected a function of (model) or (model, truth) for {definition.name}"
    try:
        given = inspect.signature(definition.function).parameters.values()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{wanted}, got {definition.function!r:.80}.") from error
    free = [p for p in given if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unsure = [p for p in given if p.name == "truth" and p not in free]
    if unsure or len(free) not in (1, 2) or any(p.kind is p.KEYWORD_ONLY for p in free):
        got = ", ".join(map(str, given))
        raise ValueError(f"{wanted}, got one of ({got}). What else it takes must have a default; the truth, none.")
    return len(free)


_REGISTERED: dict[str, SignalDefinition] = {}
_SUMMED_UP = {f"{_MODE_ERROR}_{AUTOMATIC}_sigma", f"{_MODE_ERROR}_{AUTOMATIC}"}  # names of automatic summaries


def keep_names_of_summaries(definitions: Iterable[SignalDefinition]) -> None:
    """Keep users from registering what the automatic summaries of these signals are called."""
    _SUMMED_UP.update(with_word(definition.name, AUTOMATIC) for definition in definitions)


def _check_collisions(name: str) -> None:
    """Raise ValueError if a name is that of an automatic summary, or its own summary would take a registered name."""
    summary = with_word(name, AUTOMATIC)
    theirs = {with_word(other, AUTOMATIC) for other in _REGISTERED} | _SUMMED_UP
    if name in theirs or summary in _REGISTERED:
        taken = name if name in theirs else summary
        raise ValueError(
            f"Expected a name other than {taken}, which is what the automatic summary of a vector signal is called, "
            f"got {name} registered beside it. Rename one of them."
        )


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
        If the name is not qualified or that of an automatic summary (`..._rms_nm` of a vector), or the function takes
        neither one nor two arguments without defaults.
    TypeError
        If `needs` or `labels` is one text.
    """
    check_name(name)
    needs, labels = (texts if isinstance(texts, str) else tuple(texts) for texts in (needs, labels))
    _check_texts(name, needs, labels, labels_of)
    _check_collisions(name)

    def register(function: Callable) -> Callable:
        _REGISTERED[name] = SignalDefinition(name, function, needs, labels, labels_of)
        return function

    return register


def registered_signals() -> tuple[SignalDefinition, ...]:
    """Return the signals that users registered, in that order."""
    return tuple(_REGISTERED.values())


def decode_signals(
    definitions: Iterable[SignalDefinition],
    theta: ArrayLike,
    space: AbstractSpace,
    model: Any,
    truth: Any = None,
    *,
    fresh: bool = False,
    on_fault: Callable[[str], None] = lambda name: None,
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
    fresh : bool
        Whether functions are compiled again though they seem to be the same: they may read a file that has changed.
    on_fault : callable
        Called with the name of a signal that is left out because it fails.

    Returns
    -------
    dict of str to Signal
        By name; for a space of eigenmodes also the residuals of its coefficients, where the truth is known.

    Warns
    -----
    SignalWarning
        Naming a signal that is left out because its function fails, is not in `jax.numpy`, or is not real and of shape
        () or (k,), or because its labels do not fit.
    """
    wanted = [d for d in definitions if (truth is not None or not d.is_residual) and d.applies_to(model)]
    rows = jnp.asarray(theta, float)
    return _made(wanted, fresh, on_fault, rows, space, model, truth) | _mode_errors(rows, space, truth)


def _made(
    definitions: Sequence[SignalDefinition], fresh: bool, on_fault: Callable[[str], None], *parts: Any
) -> dict[str, Signal]:
    """All at once, and again without one at fault."""
    try:
        arrays = _run(definitions, fresh, *parts)
        pairs = [(d, np.asarray(array)) for d, array in zip(definitions, arrays, strict=True) if array.size]
        return {d.name: _signal(d, values, *parts[-2:]) for d, values in pairs}
    except _SignalFault as fault:
        warnings.warn(f"{fault} It is left out.", SignalWarning, stacklevel=3)
        on_fault(fault.name)
        return _made([d for d in definitions if d.name != fault.name], fresh, on_fault, *parts)


def _run(definitions: Sequence[SignalDefinition], fresh: bool, *parts: Any) -> tuple[Array, ...]:
    """The series; where running all together fails, the first that fails alone is named."""
    try:
        return jax.block_until_ready(_along(tuple(definitions), _state(definitions, fresh), *parts))
    except RuntimeError:  # of the compiled function: which signal it was is not told
        for definition in definitions:
            with _named(definition):
                jax.block_until_ready(_along((definition,), _state([definition], True), *parts))
        raise


def _state(definitions: Sequence[SignalDefinition], fresh: bool) -> Any:
    """What a compiled function counts as the same; without an equal where that cannot be told, or must not be asked."""
    try:
        return object() if fresh else tuple(definition.state for definition in definitions)
    except UntoldState:
        return object()


@eqx.filter_jit
def _along(
    definitions: tuple[SignalDefinition, ...],
    state: Any,  # so that what was compiled is not taken for a function that has changed since
    theta: Float[Array, "T D"],
    space: AbstractSpace,
    model: Any,
    truth: Any,
) -> tuple[Array, ...]:
    def at(row: Float[Array, " D"]) -> tuple[Array, ...]:
        state = space.unpack(row, model)
        return tuple(_value(definition, state, truth) for definition in definitions)

    return jax.vmap(at)(theta)


def _value(definition: SignalDefinition, model: Any, truth: Any) -> Array:
    with _named(definition):
        found = jnp.asarray(definition.function(model, truth) if definition.is_residual else definition.function(model))
        if not (jnp.issubdtype(found.dtype, jnp.number) or found.dtype == bool) or jnp.iscomplexobj(found):
            raise ValueError(f"expected real numbers, got {found.dtype}")
        if found.ndim > 1:
            raise ValueError(f"expected the shape () or (k,) at one state, got {found.shape}; ravel it")
        return found


@contextlib.contextmanager
def _named(definition: SignalDefinition) -> Iterator[None]:
    """Say whose fault an error is."""
    try:
        yield
    except jax.errors.JAXTypeError as error:
        raise _SignalFault(definition.name, f"not written in jax.numpy, {error}") from error
    except _FAULTS as error:
        raise _SignalFault(definition.name, f"{type(error).__name__}, {error}") from error


def _signal(definition: SignalDefinition, values: np.ndarray, model: Any, truth: Any) -> Signal:
    with _named(definition):
        labels = definition.labels
        if definition.labels_of is not None:
            labels = element_labels(find(model, definition.labels_of)[0])
        if values.ndim == 2 and not labels:
            labels = tuple(map(str, range(values.shape[1])))
        known = np.zeros(()) if definition.is_residual else None
        if known is None and truth is not None:
            known = np.asarray(_value(definition, truth, None))
        return Signal(definition.name, values, tuple(labels), known)


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
