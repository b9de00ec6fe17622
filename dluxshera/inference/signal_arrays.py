"""Signals as named plain arrays, for a file, and back."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import ArrayLike

from .function_state import UntoldState
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
        Counted by their `state`: all fields, and what the functions compute.

    Returns
    -------
    str
        Empty where a function sees something whose state cannot be told: what it made is never known to be its own.
    """
    digest = hashlib.sha256(np.ascontiguousarray(trace["theta"]).tobytes())
    try:
        for definition in definitions:
            digest.update(f"{definition.state}\n".encode())
    except UntoldState:
        return ""
    return digest.hexdigest()
