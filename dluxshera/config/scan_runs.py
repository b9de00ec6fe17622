"""A reconstruction as a run directory, and a run directory as a reconstruction again."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..inference import FitResult
from ..inference import run_artifacts as artifacts
from ..params.index_map import build_index_map
from ..ptychography import Reconstruction, ScanData

SCAN_ARRAYS = ("counts", "positions", "probe", "object", "mask", "background", "scan_index")
SCAN_NUMBERS = ("energy_ev", "distance", "detector_pixel")


def fingerprint(data: ScanData) -> str:
    """SHA-256 of a scan's counts and positions."""
    digest = hashlib.sha256()
    for array in (data.counts, data.positions):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_reconstruction(
    run_dir: str | Path,
    found: Reconstruction,
    data: ScanData,
    *,
    interrupted: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a reconstruction as a run directory: `reconstruction.npz`, the scan, settings and history.

    Parameters
    ----------
    run_dir : str or Path
    found : Reconstruction
    data : ScanData
    interrupted : bool
        Whether somebody ended it before its time.
    overwrite : bool
        Whether an existing run may be replaced.

    Notes
    -----
    The object has far too many elements to keep at every step: the trace's θ is empty, and what was found is in
    `reconstruction.npz`.
    """
    return artifacts.save_run(
        run_dir,
        scan_trace(found.history),
        scan_meta(data, {**found.facts, "num_steps": len(found.history["loss"]) - 1}),
        found_summary(found, interrupted),
        observation=observation_arrays(data),
        extra={"reconstruction": found.arrays()},
        overwrite=overwrite,
    )


def scan_trace(history: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The trace of a reconstruction: its loss, and a θ without elements."""
    loss = np.asarray(history["loss"], float)
    return {"loss": loss, "theta": np.zeros((len(loss), 0))}


def scan_meta(data: ScanData, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `meta.json` says of a reconstruction."""
    numbers = {name: getattr(data, name) for name in SCAN_NUMBERS}
    return {
        "theta": {"dim": 0, "theta_space": "primitive", "index_map": build_index_map([]).to_dict()},
        "objective": {"likelihood": settings["likelihood"], "data": fingerprint(data)},
        "optimizer": {"name": "reconstruct", **settings},
        "scan": {"source": data.source, "interpolation": data.interpolation, **numbers},
    }


def observation_arrays(data: ScanData) -> dict[str, Any]:
    """The arrays of `observation.npz`; None where a scan has none."""
    return {name: getattr(data, name) for name in SCAN_ARRAYS}


def found_summary(found: Reconstruction, interrupted: bool, converged: bool = False) -> dict[str, Any]:
    """What `summary.json` says of a reconstruction that has ended."""
    failure = found.facts.get("failure")
    ended = failure or ("converged" if converged else "time or epochs used up")
    return {
        "status": "interrupted" if interrupted else "failed" if failure else "ok",
        "result": str(FitResult.NOT_FINITE) if failure else None,
        "message": "interrupted" if interrupted else ended,
        "converged": converged and not (interrupted or failure),
        "nonfinite_steps": found.facts.get("nonfinite_steps", 0),
        "deviance": found.deviance,
        "held_out_deviance": found.held_out_deviance,
        "fitted_deviance": found.facts["fitted_deviance"],
        "optimisation_s": float(found.history["seconds"][-1]),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class ScanRun:
    """The run directory of a reconstruction, opened.

    Attributes
    ----------
    path : Path
    meta, summary : dict
    """

    path: Path
    meta: dict[str, Any]
    summary: dict[str, Any]

    def reconstruction(self) -> Reconstruction:
        """What was found.

        Raises
        ------
        SchemaError
            If the reconstruction has not ended.
        """
        if "reconstruction" not in artifacts.extra_names(self.path):
            raise artifacts.SchemaError(
                f"{self.path}: expected a reconstruction that has ended, got one that is under way or was killed. "
                f"Go on with it: dluxshera resume {self.path}"
            )
        arrays = artifacts.load_arrays(self.path, "reconstruction")
        return Reconstruction.from_arrays(arrays, str(self.path / "reconstruction.npz"))

    def data(self) -> ScanData:
        """The scan, as it was reconstructed."""
        scan: Mapping[str, Any] = self.meta["scan"]
        return ScanData(**artifacts.load_observation_arrays(self.path), **scan)

    def changes(self) -> np.ndarray:
        """By how much the positions were moved, (n, 2) pixels, without what is common to all."""
        found, data = self.reconstruction(), self.data()
        moved = found.positions + data.npix // 2 + found.origin - data.positions
        moved = moved - np.median(moved, axis=0)
        return np.where(np.abs(moved) < 1e-3, 0.0, moved)


def is_scan_run(run_dir: str | Path) -> bool:
    """Whether a run directory holds a reconstruction.

    Raises
    ------
    CorruptArtifact, SchemaError
        If its `meta.json` cannot be used.
    """
    return "scan" in artifacts.load_meta(run_dir)


def open_scan_run(run_dir: str | Path) -> ScanRun:
    """Open a run directory that `reconstruct_to_run` or `save_reconstruction` wrote.

    Raises
    ------
    CorruptArtifact, SchemaError
        Naming the file and what is wrong with it.
    """
    path = Path(run_dir)
    meta, summary = artifacts.load_meta(path), artifacts.load_summary(path)
    if "scan" not in meta:
        raise artifacts.SchemaError(f"{path / 'meta.json'}: expected the record of a reconstruction, got a fit's.")
    return ScanRun(path, meta, summary)
