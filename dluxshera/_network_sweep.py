"""The dose sweep: errors of network and iterative reconstruction beside the Cramér-Rao bound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._network_study import TITLES, carry_out
from .campaigns import write_table
from .config.dose_study import Arm, DoseStudy
from .config.dose_study_arms import ArmFolders
from .config.scan_runs import open_scan_run
from .config.strict_yaml import ConfigError
from .inference._artifact_json import decode_json, encode_json
from .ptychography import (
    Reconstruction,
    ScanData,
    canvas_of,
    dose_bounds,
    judge_scan,
    place_on_canvas,
    reconstruct,
)
from .ptychography.whole_file import whole_file

DOSES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
EPOCHS = 60  # of the iterative reconstruction


class Bound(NamedTuple):
    """What the counts allow: root of the mean variance that an unbiased estimate can have, and over which pixels.

    Attributes
    ----------
    error : float
    photons : float
        Mean per pattern.
    told : array of float (h, w)
        One where the bound holds: covered, with a known truth, and told by the scan.
    origin : array of int (2,), pixels
        Of its canvas on the file's own grid.
    """

    error: float
    photons: float
    told: np.ndarray
    origin: np.ndarray

    def at(self, photons: float) -> "Bound":
        """The bound at another dose: without a background, information is in proportion to photons."""
        return self._replace(error=self.error * (self.photons / photons) ** 0.5, photons=photons)


def dose_sweep(
    study: DoseStudy,
    folder: Path,
    *,
    epochs: int = EPOCHS,
    say: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Carry out a study over many doses, reconstruct the same held-back patterns iteratively, and draw both errors.

    Errors and bound are root mean squares over the same pixels, of the amplitude, or of the phase where an object has
    nothing else.

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

    Raises
    ------
    ConfigError
        For a study of several objects, scans or gridsizes.
    """
    from .plotting.network import plot_dose_sweep

    for name in ("objects", "scans", "gridsizes"):
        if len(getattr(study, name)) > 1:
            raise ConfigError(f"{name}: expected one in a sweep of doses, got {list(getattr(study, name))}.")
    facts = carry_out(study, folder, say=say, should_stop=should_stop)
    if facts["left"] or facts["failed"]:
        return facts
    bounds = {arm.seed: _bound(folder, arm) for arm in study.arms() if arm.photons == study.doses[0]}
    rows = []
    for arm in study.arms():
        if should_stop():
            return facts | {"left": facts["arms"] - len(rows)}
        rows.append(_row(study, folder, arm, bounds[arm.seed].at(arm.photons), epochs))
        say(", ".join(f"{name} {rows[-1][name]:.4g}" for name in ("photons", "network", "iterative", "bound")))
    table = write_table({name: [row[name] for row in rows] for name in rows[0]}, folder / "sweep.csv")
    curves = {f"network, {TITLES[loss]}": _curve(study, rows, "network", loss) for loss in study.losses}
    curves[f"iterative, {TITLES['poisson']}"] = _curve(study, rows, "iterative", study.losses[0])
    bound = np.median(_curve(study, rows, "bound", study.losses[0]), axis=0)
    part = next(study.arms()).parts[0]
    figure = plot_dose_sweep(np.asarray(study.doses), curves, bound, f"rms error of the {part}")
    figure.savefig(folder / "sweep.png", dpi=150)
    return facts | {"sweep_table": str(table), "sweep_figure": str(folder / "sweep.png")}


def _row(study: DoseStudy, folder: Path, arm: Arm, bound: Bound, epochs: int) -> dict[str, Any]:
    """Errors of an arm's network and of the iterations, beside the bound; iterations are kept for all losses."""
    found = open_scan_run(ArmFolders(folder, arm.name).inferred("test"))
    first = arm._replace(loss=study.losses[0])
    path = folder / "metrics" / f"iterative-{first.name}.json"
    kept = decode_json(path.read_bytes(), str(path)) if path.is_file() else {}
    if kept.get("epochs") != epochs:
        made = reconstruct(found.data(), refine=(), epochs=epochs, seed=arm.seed)
        kept = {
            "epochs": epochs,
            "iterative": _error(found.data(), made, bound, arm.parts[0]),
            "iterative_seconds": float(made.history["seconds"][-1]),
        }
        with whole_file(path, overwrite=True) as temporary:
            temporary.write_bytes(encode_json(kept, path.name))
    error = _error(found.data(), found.reconstruction(), bound, arm.parts[0])
    return {**arm._asdict(), "network": error, **kept, "bound": bound.error, "pixels": int(bound.told.sum())}


def _error(data: ScanData, made: Reconstruction, bound: Bound, part: str) -> float:
    """Root mean square of a reconstruction's error, over the pixels of the bound that it covers."""
    judged = judge_scan(data, made.object, made.positions, made.coverage, shift=False, ramp=False)
    told, _ = place_on_canvas(bound.told, np.asarray(made.origin) - bound.origin, made.object.shape)
    difference = judged.differences[part][told > 0]
    return float(np.sqrt(np.nanmean(difference**2)))


def _bound(folder: Path, arm: Arm) -> Bound:
    data = open_scan_run(ArmFolders(folder, arm.name).inferred("test")).data()
    canvas = canvas_of(data.positions, data.npix)
    origin = np.asarray(canvas.origin, int)
    truth, known = place_on_canvas(data.object, origin, canvas.shape)
    found = dose_bounds(np.where(known, truth, 1.0), data.probe, canvas.corners)
    sigma = {"amplitude": found.amplitude_sigma, "phase": found.phase_sigma}[arm.parts[0]]
    told = found.covered & known & np.isfinite(sigma)
    return Bound(float(np.sqrt(np.mean(sigma[told] ** 2))), arm.photons, told.astype(float), origin)


def _curve(study: DoseStudy, rows: list[dict[str, Any]], name: str, loss: str) -> list[list[float]]:
    """Numbers (seeds, doses) of a loss."""
    pick = {(row["seed"], row["photons"]): row[name] for row in rows if row["loss"] == loss}
    return [[pick[seed, photons] for photons in study.doses] for seed in study.seeds]
