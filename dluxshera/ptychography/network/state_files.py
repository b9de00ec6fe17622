"""Where a training is, as named plain arrays for a file, and back."""

import json
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .bundle import blank_network, network_from, weights_by_path
from .inputs import Conditioning
from .plateau import Plateau
from .settings import TrainingSettings
from .steps import optimiser
from .training import COLUMNS, TrainingState

NETWORK, BEST, MOMENTS, HISTORY = "network.", "best.", "moments.", "history."


def training_arrays(state: TrainingState) -> dict[str, np.ndarray]:
    """Give everything in a state as NumPy arrays: what `training.npz` holds."""
    trees = {NETWORK: state.network, BEST: state.best, MOMENTS: state.moments}
    found = {prefix + name: array for prefix, tree in trees.items() for name, array in weights_by_path(tree).items()}
    found |= {HISTORY + name: np.asarray(values, float) for name, values in state.history.items()}
    return found | {
        "input_offset": np.asarray(state.conditioning.offset),
        "input_gain": np.asarray(state.conditioning.gain),
        "plateau": np.asarray(state.plateau, float),
        "start_loss": np.asarray(state.start_loss),
        "best_epoch": np.asarray(state.best_epoch),
        "nonfinite": np.asarray(json.dumps(state.nonfinite)),
    }


def training_from_arrays(arrays: Mapping[str, np.ndarray], settings: TrainingSettings, where: str) -> TrainingState:
    """Give the state back that `training_arrays` took apart, exactly.

    Parameters
    ----------
    arrays : mapping of str to array
    settings : TrainingSettings
        Of the training.
    where : str
        What error messages call it.

    Raises
    ------
    ScanError
        If an array is missing or does not fit the settings.
    """
    part = lambda prefix: {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}  # noqa: E731
    blank = blank_network(settings)
    moments = eqx.filter_eval_shape(optimiser(settings.clip).init, blank)
    rate, best, waited, idle = arrays["plateau"].tolist()
    return TrainingState(
        network=network_from(blank, part(NETWORK), where),
        best=network_from(blank, part(BEST), where),
        moments=network_from(moments, part(MOMENTS), where),
        conditioning=Conditioning(jnp.asarray(arrays["input_offset"]), jnp.asarray(arrays["input_gain"])),
        plateau=Plateau(rate, best, int(waited), int(idle)),
        start_loss=float(arrays["start_loss"]),
        best_epoch=int(arrays["best_epoch"]),
        history={name: arrays[HISTORY + name].tolist() for name in COLUMNS},
        nonfinite=json.loads(str(arrays["nonfinite"])),
    )
