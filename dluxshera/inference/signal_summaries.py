"""Vectors over the steps of a fit told by one number, or by one number and the largest components."""

from collections.abc import Callable

import numpy as np

from .signals import Signal, with_word

SUMMARIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rms": lambda values: np.sqrt(np.mean(values**2, axis=1)),
    "norm": lambda values: np.linalg.norm(values, axis=1),
    "mean_abs": lambda values: np.mean(np.abs(values), axis=1),
}
_WORDS = {"rms": "RMS", "norm": "norm", "mean_abs": "mean size"}


def summarise(signal: Signal, how: str = "rms") -> Signal:
    """Tell a vector signal by one number a step, about its truth.

    Parameters
    ----------
    signal : Signal
        Of shape (T, k).
    how : str
        "rms" (root mean square of the components), "norm" (root of the sum of squares) or "mean_abs".

    Returns
    -------
    Signal
        Of shape (T,), named `..._rms_nm` and so on; its truth is zero.

    Raises
    ------
    ValueError
        If the signal is not a vector or `how` is none of these.
    """
    if how not in SUMMARIES:
        raise ValueError(f"Expected a summary of {', '.join(SUMMARIES)}, got {how!r}.")
    values = SUMMARIES[how](_deviation(signal))
    return Signal(with_word(signal.name, how), values, truth=np.zeros(()))


def hybrid(signal: Signal, top: int = 3, how: str = "rms") -> Signal:
    """Tell a vector signal by one number a step and by its components that end furthest from the truth.

    Parameters
    ----------
    signal : Signal
        Of shape (T, k).
    top : int
        Number of components, the largest at the last step first.
    how : str
        As for `summarise`.

    Returns
    -------
    Signal
        Of shape (T, 1 + top), about the truth.

    Raises
    ------
    ValueError
        As `summarise`; if there is no step, or `top` is negative.
    """
    if top < 0 or not len(signal.values):
        got = f"top={top}" if top < 0 else "no step"
        raise ValueError(f"Expected one step or more of {signal.name} and none or more components, got {got}.")
    total, deviation = summarise(signal, how), _deviation(signal)
    last = np.nan_to_num(np.abs(deviation[-1]), nan=np.inf)  # what is not a number is worth seeing
    order = np.argsort(-last, kind="stable")[:top]
    values = np.column_stack([total.values, deviation[:, order]])
    labels = (_WORDS[how], *(signal.labels[i] for i in order))
    return Signal(with_word(signal.name, "hybrid"), values, labels, np.zeros(()))


def _deviation(signal: Signal) -> np.ndarray:
    if signal.values.ndim != 2:
        raise ValueError(f"Expected a vector signal of shape (T, k), got {signal.name} of {signal.values.shape}.")
    return signal.values - (0.0 if signal.truth is None else signal.truth)
