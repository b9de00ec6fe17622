"""What the report of a reconstruction shows, read from its run directory."""

from pathlib import Path

import numpy as np

from .config.scan_runs import open_scan_run
from .plotting.ptychography_report import ReconstructionReport, reconstruction_report
from .ptychography import Reconstruction, ScanData

BLOCK = 64  # patterns that are modelled together


def scan_report(run_dir: Path, notice: str = "") -> str:
    """HTML of the report of a reconstruction; `notice` is a word on what is damaged."""
    run = open_scan_run(run_dir)
    found, data = run.reconstruction(), run.data()
    residual, by_pattern = _residuals(found, data)
    keys = ("optimizer", "objective", "scan", "environment", "git")
    return reconstruction_report(
        ReconstructionReport(
            title=f"Reconstruction of {Path(data.source).name}",
            run_id=run.summary["run_id"],
            summary=run.summary,
            object=found.object,
            probe=found.probe,
            coverage=found.coverage,
            positions=data.positions,
            changes=run.changes(),
            mean_pattern=data.mean_pattern,
            residual=residual,
            deviance_by_pattern=by_pattern,
            history=found.history,
            settings={key: run.meta[key] for key in keys if run.meta.get(key) is not None},
            notice=notice,
        )
    )


def _residuals(found: Reconstruction, data: ScanData) -> tuple[np.ndarray, np.ndarray]:
    """Summed residual over the root of the summed expectation (N, N), and the deviance of each pattern (n,)."""
    model = found.model()
    difference, total, deviance = 0.0, 0.0, []
    for start in range(0, len(data), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(data)))
        used, counts = data.used(slice(rows[0], rows[-1] + 1)), np.asarray(data.counts[rows], float)
        expected = np.asarray(model.patterns(rows), float)
        ratio = np.where(counts > 0, counts, 1.0) / np.where(counts > 0, np.maximum(expected, 1e-30), 1.0)
        pixels = 2 * (expected - counts + counts * np.log(ratio))
        used = np.broadcast_to(used, counts.shape)
        difference += np.where(used, counts - expected, 0.0).sum(0)
        total += np.where(used, expected, 0.0).sum(0)
        deviance += (np.where(used, pixels, 0.0).sum((1, 2)) / used.sum((1, 2))).tolist()
    return difference / np.sqrt(np.maximum(total, 1e-30)), np.asarray(deviance)
