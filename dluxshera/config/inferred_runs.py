"""What a network inferred, as the run directory of a reconstruction: judged, shown and reported like any other."""

from pathlib import Path

import numpy as np

from ..inference import run_artifacts as artifacts
from ..ptychography import ScanData
from ..ptychography.network import Bundle, Inferred
from .scan_runs import found_summary, observation_arrays, scan_meta, scan_trace


def save_inferred(
    run_dir: str | Path, found: Inferred, data: ScanData, bundle: Bundle, *, overwrite: bool = False
) -> Path:
    """Write what was inferred as a run directory, with `reconstruction.npz` and the scan.

    Parameters
    ----------
    run_dir : str or Path
    found : Inferred
    data : ScanData
    bundle : Bundle
    overwrite : bool
        Whether an existing run may be replaced.

    Raises
    ------
    RunExists, RunLocked, ValueError
        As `save_run`.
    """
    made, facts = found.reconstruction, found.facts
    settings = {"likelihood": bundle.settings.loss.name, "name": "infer", "num_steps": 0, **facts}
    settings["bundle"] = bundle.facts
    return artifacts.save_run(
        run_dir,
        scan_trace(made.history),
        scan_meta(data, settings),
        found_summary(made, interrupted=False) | {"message": "inferred by a network", "inference": facts},
        observation=observation_arrays(data),
        extra={"reconstruction": made.arrays() | {"covered": np.asarray(found.covered)}},
        overwrite=overwrite,
    )
