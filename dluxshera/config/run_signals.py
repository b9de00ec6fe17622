"""The signals of a run: the standard ones of the instrument, and those that users registered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..inference import run_artifacts as artifacts
from ..inference.added_arrays import add_arrays
from ..inference.signal_arrays import key_of, signal_arrays, signal_key, signals_from_arrays
from ..inference.signal_summaries import summarise
from ..inference.signals import (
    AUTOMATIC,
    Signal,
    SignalDefinition,
    decode_signals,
    keep_names_of_summaries,
    registered_signals,
)
from ..instrument import signals as instrument

if TYPE_CHECKING:  # a run asks this file for its signals
    from .runs import Run

_M1, _M2, _RELAY = (f"optics.{part}.zernike_coeffs_nm" for part in ("m1", "m2", "relay"))
STANDARD_SIGNALS = (
    SignalDefinition("binary.x_error_uas", instrument.x_error_uas),
    SignalDefinition("binary.y_error_uas", instrument.y_error_uas),
    SignalDefinition("binary.separation_error_uas", instrument.separation_error_uas),
    SignalDefinition("binary.position_angle_error_uas", instrument.position_angle_error_uas),
    SignalDefinition("system.plate_scale_error_ppm", instrument.plate_scale_error_ppm),
    SignalDefinition("binary.raw_flux_error_ppm", instrument.raw_flux_error_ppm, labels=("A", "B")),
    SignalDefinition("binary.contrast_error_ppm", instrument.contrast_error_ppm),
    SignalDefinition("primary.zernike_error_nm", instrument.primary_zernike_error_nm, labels_of=_M1),
    SignalDefinition("secondary.zernike_error_nm", instrument.secondary_zernike_error_nm, labels_of=_M2),
    SignalDefinition("relay.zernike_error_nm", instrument.relay_zernike_error_nm, labels_of=_RELAY),
)
keep_names_of_summaries(STANDARD_SIGNALS)


def signal_definitions() -> tuple[SignalDefinition, ...]:
    """Return the standard signals, then those that users registered; one of a standard name takes its place."""
    by_name = {definition.name: definition for definition in (*STANDARD_SIGNALS, *registered_signals())}
    return tuple(by_name.values())


def with_summaries(signals: dict[str, Signal], how: Sequence[str] = (AUTOMATIC,)) -> dict[str, Signal]:
    """Return the signals, and after each vector its summaries.

    Raises
    ------
    ValueError
        Naming a signal that is called as the summary of another.
    """
    found: dict[str, Signal] = {}
    for name, signal in signals.items():
        found[name] = signal
        if signal.values.ndim == 2:
            made = {summary.name: summary for summary in (summarise(signal, word) for word in how)}
            if taken := made.keys() & signals.keys():
                raise ValueError(f"Expected no signal of the name {min(taken)}, which sums up {name}. Rename it.")
            found |= made
    return found


def run_signals(run: "Run", refresh: bool = False, save: bool = False) -> dict[str, Signal]:
    """Signals of a run by name: those stored with it if they are known to be of this trace and these functions.

    All others are made now, also where a function sees an object whose state cannot be told (`function_state`).

    Parameters
    ----------
    run : Run
    refresh : bool
        Make them now in any case: stored ones do not know what a registered function reads from a file, a clock or the
        environment.
    save : bool
        Whether those that were made now are stored with the run, as `signals.npz`.

    Warns
    -----
    SignalWarning
        Naming a signal that cannot be made, and is left out.

    Raises
    ------
    RunLocked
        If they are to be stored, and somebody is writing the run.
    """
    trace, definitions = run.trace(), signal_definitions()
    key = signal_key(trace, definitions)
    stored = {} if refresh or not key else _stored(run)
    if stored and key_of(stored) == key:
        return signals_from_arrays(stored)
    model, truth, left_out = run.start_model(), run.truth_model(), []
    made = decode_signals(
        definitions, trace["theta"], run.space(), model, truth, fresh=refresh, on_fault=left_out.append
    )
    signals = with_summaries(made)
    if save:  # an incomplete set is stored, but made again when it is asked for
        add_arrays(run.path, "signals", signal_arrays(signals, "" if left_out else key))
    return signals


def _stored(run: "Run") -> dict[str, np.ndarray]:
    """Arrays of `signals.npz`; none where there is no sound one, for it can be made again."""
    try:
        return artifacts.load_signals(run.path)
    except (artifacts.CorruptArtifact, artifacts.SchemaError):
        return {}
