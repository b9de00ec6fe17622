"""Signals as named plain arrays, for a file, and back."""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jaxtyping import ArrayLike

from .signals import Signal, SignalDefinition

_KEY = "trace:sha256"


def signal_arrays(signals: Mapping[str, Signal], key: str = "") -> dict[str, np.ndarray]:
    """Give signals as NumPy arrays: what `signals.npz` holds, readable without anything else.

    Parameters
    ----------
    signals : mapping of str to Signal
    key : str
        What they were made from: see `signal_key`.

    Returns
    -------
    dict of str to array
        The values by the signal's name, its labels and its truth under `name:labels` and `name:truth`.
    """
    arrays = {_KEY: np.array(key)}
    for name, signal in signals.items():
        arrays[name] = signal.values
        if signal.labels:
            arrays[f"{name}:labels"] = np.array(signal.labels)
        if signal.truth is not None:
            arrays[f"{name}:truth"] = np.asarray(signal.truth)
    return arrays


def signals_from_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, Signal]:
    """Give the signals back that `signal_arrays` took apart.

    Raises
    ------
    ValueError
        Naming a signal whose arrays do not fit together.
    """
    names = [name for name in arrays if ":" not in name]
    return {name: _signal(name, arrays) for name in names}


def _signal(name: str, arrays: Mapping[str, np.ndarray]) -> Signal:
    labels = tuple(str(label) for label in np.atleast_1d(arrays.get(f"{name}:labels", ())))
    return Signal(name, np.asarray(arrays[name]), labels, arrays.get(f"{name}:truth"))


def key_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Give what stored signals were made from, as `signal_key` wrote it; empty where it is not said."""
    return str(arrays.get(_KEY, ""))


def signal_key(trace: Mapping[str, ArrayLike], definitions: Iterable[SignalDefinition]) -> str:
    """Give a SHA-256 of a trace and of the definitions of signals, to tell whether stored ones are still theirs.

    Parameters
    ----------
    trace : mapping of arrays
        With `theta` (T, D).
    definitions : iterable of SignalDefinition
        Counted by name and by the code of their functions, not by what that code calls.
    """
    digest = hashlib.sha256(np.ascontiguousarray(trace["theta"]).tobytes())
    for definition in definitions:
        digest.update(f"{definition.name}\n{_code(definition.function)}\n".encode())
    return digest.hexdigest()


def _code(function: Callable) -> str:
    """What a function does, as text; a callable object without code of its own is known by its description."""
    if not inspect.isfunction(function):
        return repr(function)
    code = function.__code__
    constants = [constant for constant in code.co_consts if isinstance(constant, int | float | str | tuple)]
    return repr((code.co_code, constants, code.co_names))
