"""The dose sweep: errors of network and iterative reconstruction beside the Cramér-Rao bound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ._network_study import carry_out
from .campaigns import write_table
from .config.dose_study import Arm, DoseStudy
from .config.dose_study_arms import ArmFolders
from .config.scan_runs import open_scan_run
from .inference._artifact_json import decode_json, encode_json
from .ptychography import ScanData, canvas_of, coverage_mask, dose_bounds, judge_scan, place_on_canvas, reconstruct
from .ptychography.whole_file import whole_file

DOSES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
EPOCHS = 60  # of the iterative reconstruction


def dose_sweep(
    study: DoseStudy,
    folder: Path,
    *,
    epochs: int = EPOCHS,
    say: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Carry out a study over many doses, reconstruct the same held-back patterns iteratively, and draw both errors.

    Parameters
    ----------
    study : DoseStudy
        Of one object, scan and gridsize.
    folder : Path
    epochs : int
        Of each iterative reconstruction.
    say, should_stop : callable

    Returns
    -------
    facts : dict
        Those of `carry_out`, and the paths of `sweep_table` and `sweep_figure`.
    """
    from .plotting.network import plot_dose_sweep

    facts = carry_out(study, folder, say=say, should_stop=should_stop)
    if facts["left"] or facts["failed"]:
        return facts
    rows, bounds = [], {}
    for arm in study.arms():
        found = open_scan_run(ArmFolders(folder, arm.name).inferred("test"))
        data, made = found.data(), found.reconstruction()
        seen = judge_scan(data, made.object, made.positions, made.coverage, shift=False, ramp=False)
        row = {**arm._asdict(), "network": seen.record["amplitude"]["rmse"]}
        if arm.loss == study.losses[0]:
            row |= _iterated(folder, arm, data, epochs)
            say(f"{arm.name}: network {row['network']:.4f}, iterative {row['iterative']:.4f}")
        bounds[arm.photons] = row["bound"] = _bound(data)
        rows.append(row)
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    table = write_table(columns, folder / "sweep.csv")
    curves = {f"network, {loss}": _curve(study, rows, "network", loss) for loss in study.losses}
    curves["iterative, Poisson"] = _curve(study, rows, "iterative", study.losses[0])
    figure = plot_dose_sweep(np.asarray(study.doses), curves, [bounds[photons] for photons in study.doses])
    figure.savefig(folder / "sweep.png", dpi=150)
    return facts | {"sweep_table": str(table), "sweep_figure": str(folder / "sweep.png")}


def _iterated(folder: Path, arm: Arm, data: ScanData, epochs: int) -> dict[str, float]:
    """Error and seconds of the iterative reconstruction with the known probe; kept, for it takes a while."""
    path = folder / "metrics" / f"iterative-{arm.name}.json"
    if path.is_file():
        return decode_json(path.read_bytes(), str(path))
    made = reconstruct(data, refine=(), epochs=epochs, seed=arm.seed)
    seen = judge_scan(data, made.object, made.positions, made.coverage, shift=False, ramp=False).record["amplitude"]
    record = {"iterative": seen["rmse"], "iterative_seconds": float(made.history["seconds"][-1])}
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_bytes(encode_json(record, path.name))
    return record


def _bound(data: ScanData) -> float:
    """Root of the mean variance that an unbiased amplitude can have, over what is covered and told."""
    canvas = canvas_of(data.positions, data.npix)
    truth, known = place_on_canvas(data.object, np.asarray(canvas.origin, int), canvas.shape)
    found = dose_bounds(np.where(known, truth, 1.0), data.probe, canvas.corners)
    told = coverage_mask(found.covered.astype(float)) & known & np.isfinite(found.amplitude_sigma)
    return float(np.sqrt(np.mean(found.amplitude_sigma[told] ** 2)))


def _curve(study: DoseStudy, rows: list[dict[str, Any]], name: str, loss: str) -> list[list[float]]:
    """Errors (seeds, doses) of a loss."""
    pick = {(row["seed"], row["photons"]): row[name] for row in rows if row["loss"] == loss}
    return [[pick[seed, photons] for photons in study.doses] for seed in study.seeds]
