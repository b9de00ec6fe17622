"""The debugging study: networks that differ in one thing, each pair with its JSON and picture."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._network_study import claim, dose_row
from .config.dose_study import DoseStudy
from .config.dose_study_arms import MEASURES, ArmFolders, run_arm
from .config.strict_yaml import ConfigError
from .inference._artifact_json import encode_json
from .inference.run_lock import RunLock
from .ptychography import (
    canvas_and_energy,
    canvas_of,
    default_probe,
    group_patterns,
    grouping_summary,
    illumination,
    probe_normalisation,
)
from .ptychography.whole_file import whole_file

NOMINAL_CANVAS = 78  # pixels, for groups of N = 64 with small offsets
COMPARISONS: dict[str, dict[str, dict[str, Any]]] = {
    "scan": {"nongrid": {"scans": ("nongrid",)}, "raster": {"scans": ("raster",)}},
    "gridsize": {"2 x 2": {"gridsizes": (2,)}, "single": {"gridsizes": (1,)}},
    "probe": {"flat": {"defocus": 0.0}, "curved": {"defocus": 4.0}},
    "group size": {f"K = {number}": {"neighbours": number} for number in (4, 7, 12)},
    "inputs": {kind: {"inputs": kind} for kind in ("field", "amplitude")},
    "sweeps": {str(number): {"sweeps": number} for number in (4, 0)},
}


def debugging_study(
    base: DoseStudy,
    folder: Path,
    names: tuple[str, ...] = tuple(COMPARISONS),
    *,
    say: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train the networks of each comparison, and write its JSON and picture; then the scan's own diagnoses.

    Parameters
    ----------
    base : DoseStudy
        Whose first arm is compared; each side changes one thing of it.
    folder : Path
        New, or that of the same study: what is there is not done again.
    names : tuple of str
        Among those of `COMPARISONS`.
    say, should_stop : callable

    Returns
    -------
    record : dict
        Of every comparison, the metrics of each side; of `canvas`, `grouping` and `normalisation` the diagnoses.

    Raises
    ------
    ConfigError
        For a comparison that does not exist.
    """
    unknown = [name for name in names if name not in COMPARISONS]
    if unknown:
        raise ConfigError(f"Expected comparisons among {', '.join(COMPARISONS)}, got {unknown[0]!r}.")
    folder.mkdir(exist_ok=True)
    with RunLock(folder):
        claim(folder, base)
        return _compared(base, folder, names, say, should_stop)


def _compared(base: DoseStudy, folder: Path, names: tuple[str, ...], say, should_stop) -> dict[str, Any]:
    record: dict[str, Any] = _diagnosed(base, folder)
    for name in names:
        sides = {}
        for label, change in COMPARISONS[name].items():
            found = _side(base, folder, name, change, should_stop)
            if found is None:
                return record | {"left": True}
            sides[label] = found
            say(f"{name}, {label}: SSIM {found['test']['ssim']:.3f}, MAE {found['test']['mae']:.4f}")
        record[name] = sides
        _write(folder / f"{name.replace(' ', '_')}.json", sides)
        _picture(base, folder, name).savefig(folder / f"{name.replace(' ', '_')}.png", dpi=150)
    return record | {"left": False}


def _home(base: DoseStudy, folder: Path, name: str, change: Mapping[str, Any]) -> Path:
    """Where a side is kept: sides that are the base are one."""
    same = dataclasses.replace(base, **change) == base
    return folder / ("base" if same else f"{name} {'-'.join(map(str, change.values()))}".translate(_LEGAL))


_LEGAL = str.maketrans({" ": "_", "(": None, ")": None, "'": None, ",": None})


def _side(base: DoseStudy, folder: Path, name: str, change: Mapping[str, Any], should_stop) -> dict[str, Any] | None:
    study, home = dataclasses.replace(base, **change), _home(base, folder, name, change)
    arm = next(study.arms())
    home.mkdir(exist_ok=True)
    found = run_arm(study, arm, home, should_stop=should_stop)
    if found is None:
        return None
    measured = {scan: {k: found[scan][arm.parts[0]][k] for k in MEASURES} for scan in ("test", "new")}
    starts = {scan: found[scan]["start"] for scan in ("test", "new")}
    return {**measured, "start": starts, "training": found["training"], "arm": found["arm"]}


def _picture(base: DoseStudy, folder: Path, name: str) -> Any:
    from .plotting.network import plot_dose_study

    sides = {}
    for label, change in COMPARISONS[name].items():
        arm = next(dataclasses.replace(base, **change).arms())
        sides[label] = ArmFolders(_home(base, folder, name, change), arm.name)
    return plot_dose_study([dose_row(arm.photons, sides, arm.parts[0])], tuple(sides), arm.parts[0])


def _diagnosed(base: DoseStudy, folder: Path) -> dict[str, Any]:
    """Canvas, grouping and probe of the base's scan: nothing is trained."""
    from .plotting import ptychography_diagnosis as draw

    arm = next(base.arms())
    data = base.scans_of(arm).train
    groups = group_patterns(data.positions, arm.gridsize, base.groups or len(data), arm.seed, base.neighbours)
    ours, known = default_probe(data.npix), np.asarray(data.probe)
    record = {
        "canvas": canvas_and_energy(data.positions, known, NOMINAL_CANVAS),
        "grouping": grouping_summary(data.positions, groups, base.groups or len(data)),
        "normalisation": probe_normalisation(known, ours, float(data.photons.mean())),
    }
    place = canvas_of(data.positions, data.npix)
    light = illumination(known, place.corners, place.shape)
    scaled = ours * record["normalisation"]["b"]["scale_to_photons"]
    figures = {
        "canvas": draw.plot_canvas(light, place.corners, data.npix, NOMINAL_CANVAS),
        "grouping": draw.plot_groups(data.positions, groups.nn_indices, groups.coords_relative),
        "normalisation": draw.plot_probes(known, scaled, ("of the data", "default")),
    }
    for name, figure in figures.items():
        _write(folder / f"{name}.json", record[name])
        figure.savefig(folder / f"{name}.png", dpi=150)
    return record


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_bytes(encode_json(record, path.name))
