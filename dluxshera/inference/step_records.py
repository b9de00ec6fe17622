"""Records of single steps that are kept on request: diagnostics, the engine's memory, gradients."""

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .engines import EngineState
from .run_artifacts import CorruptArtifact, load_arrays, load_diag_steps
from .state_arrays import state_arrays

RECORDS = ("diag", "precond", "grads")
_SCALARS = ("step", "loss", "grad_norm", "step_norm", "accepted", "rejections", "tally.refused", "tally.nonfinite")


class StepRecords:
    """What a fit keeps of every few steps, besides its trace.

    Parameters
    ----------
    names : collection of str
        Among "diag" (`diag_steps.jsonl`: loss, norms, counts, and the scalars of the engine's memory), "precond"
        (`precond.npz`: the arrays of the engine's memory, (K, ...) each) and "grads" (`grads.npz`: (K, D)).
    every : int
        Steps between two records.
    objective : object with `loss(theta)`
        Whose gradients are meant.

    Raises
    ------
    ValueError
        For an unknown name, or less than one step.
    """

    def __init__(self, names: Collection[str], every: int, objective: Any):
        unknown = sorted(set(names) - set(RECORDS))
        if unknown or every < 1:
            got = repr(unknown[0]) if unknown else f"every {every} steps"
            raise ValueError(f"Expected records among {', '.join(RECORDS)}, every 1 or more steps, got {got}.")
        self.names, self.every = tuple(name for name in RECORDS if name in names), every
        self._diag: list[dict[str, Any]] = []
        self._rows: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in self.names if name != "diag"}
        self._gradient = eqx.filter_jit(lambda goal, theta: jax.grad(goal.loss)(theta))
        self._objective = objective

    @property
    def chunk(self) -> int | None:
        """Steps that `fit` may take at once; None where nothing is recorded."""
        return self.every if self.names else None

    def note(self, state: EngineState) -> None:
        """Record a state."""
        arrays = state_arrays(state)
        memory = {name: array for name, array in arrays.items() if name.startswith("memory")}
        if "diag" in self.names:
            scalars = {name: memory[name] for name in memory if memory[name].ndim == 0}
            self._diag.append({name: arrays[name].item() for name in (*_SCALARS, *scalars)})
        if "precond" in self.names:
            self._rows["precond"].append({"step": arrays["step"], **memory})
        if "grads" in self.names:
            gradient = np.asarray(self._gradient(self._objective, state.theta))
            self._rows["grads"].append({"step": arrays["step"], "gradient": gradient})

    def parts(self) -> dict[str, Any]:
        """What was recorded, as arguments of `RunWriter.commit`."""
        stacked = {name: _stacked(rows) for name, rows in self._rows.items() if rows}
        return stacked | ({"diag_steps": self._diag} if "diag" in self.names else {})

    def load(self, folder: Path) -> None:
        """Take up what a run recorded before; a record that is damaged begins anew."""
        if "diag" in self.names:
            with contextlib.suppress(CorruptArtifact):
                self._diag = load_diag_steps(folder)
        for name in self._rows:
            with contextlib.suppress(CorruptArtifact):
                self._rows[name] = _unstacked(load_arrays(folder, name))


def _stacked(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _unstacked(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    return [{name: np.asarray(array[i]) for name, array in arrays.items()} for i in range(len(arrays["step"]))]
