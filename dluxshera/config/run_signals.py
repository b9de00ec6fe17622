"""The signals of a run: the standard ones of the instrument, and those that users registered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..inference import run_artifacts as artifacts
from ..inference.added_arrays import add_arrays
from ..inference.signal_arrays import key_of, signal_arrays, signal_key, signals_from_arrays
from ..inference.signal_summaries import summarise
from ..inference.signals import Signal, SignalDefinition, decode_signals, registered_signals
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


def signal_definitions() -> tuple[SignalDefinition, ...]:
    """Return the standard signals, then those that users registered; one of a standard name takes its place."""
    by_name = {definition.name: definition for definition in (*STANDARD_SIGNALS, *registered_signals())}
    return tuple(by_name.values())


def with_summaries(signals: dict[str, Signal], how: Sequence[str] = ("rms",)) -> dict[str, Signal]:
    """Return the signals, and after each vector its summaries."""
    found: dict[str, Signal] = {}
    for name, signal in signals.items():
        found[name] = signal
        if signal.values.ndim == 2:
            made = [summarise(signal, word) for word in how]
            found |= {summary.name: summary for summary in made}
    return found


def run_signals(run: "Run", refresh: bool = False, save: bool = False) -> dict[str, Signal]:
    """Signals of a run by name: those stored with it if they were made from this trace, else made now.

    Parameters
    ----------
    run : Run
    refresh : bool
        Make them now in any case: stored ones do not know of changes in what a registered function calls.
    save : bool
        Whether those that were made now are stored with the run, as `signals.npz`.

    Raises
    ------
    RunLocked
        If they are to be stored, and somebody is writing the run.
    """
    trace, definitions = run.trace(), signal_definitions()
    key = signal_key(trace, definitions)
    stored = {} if refresh else _stored(run)
    if key_of(stored) == key:
        return signals_from_arrays(stored)
    signals = with_summaries(
        decode_signals(definitions, trace["theta"], run.space(), run.start_model(), run.truth_model())
    )
    if save:
        add_arrays(run.path, "signals", signal_arrays(signals, key))
    return signals


def _stored(run: "Run") -> dict[str, np.ndarray]:
    """Arrays of `signals.npz`; none where there is no sound one, for it can be made again."""
    try:
        return artifacts.load_signals(run.path)
    except (artifacts.CorruptArtifact, artifacts.SchemaError):
        return {}
