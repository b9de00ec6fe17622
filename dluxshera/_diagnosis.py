"""Diagnoses of a scan or of the run of its reconstruction, put together, with their JSON and pictures."""

from pathlib import Path
from typing import Any

import numpy as np

from .config.scan_runs import ScanRun, open_scan_run
from .inference._artifact_json import encode_json
from .ptychography import (
    bias_summary,
    canvas_and_energy,
    canvas_of,
    coverage_mask,
    default_probe,
    group_patterns,
    grouping_summary,
    illumination,
    intensity_chain,
    place_on_canvas,
    probe_normalisation,
    read_scan,
)

DOOR = {"dc": "centre", "find_bad": False, "drop_empty": False, "photons": None}  # options of read_scan, by default


def diagnose(
    source: Path,
    door: dict[str, Any],
    *,
    gridsize: int,
    neighbours: int,
    groups: int | None,
    canvas: int | None,
    seed: int,
    output: Path | None,
) -> dict[str, Any]:
    """Every diagnosis that a scan file, or a run of its reconstruction, allows.

    Parameters
    ----------
    source : Path
        A scan file or a run directory.
    door : dict
        Options of `read_scan`, of a file.
    gridsize, neighbours, groups, seed
        Of the grouping; as many groups as patterns by default.
    canvas : int, pixels, optional
        Nominal side to compare with.
    output : Path, optional
        Folder for a JSON file and a picture of each.

    Returns
    -------
    record : dict
        `grouping`, `probe`, `canvas`, `intensities` and, where the truth is known to a run, `bias`.
    """
    run = _run(source, door)
    data = read_scan(source, **door) if run is None else run.data()
    found = None if run is None else run.reconstruction()
    probe = data.probe if found is None else found.probe
    chosen = group_patterns(data.positions, gridsize, groups or len(data), seed, neighbours)
    record = {"grouping": grouping_summary(data.positions, chosen, groups or len(data))}
    object = None
    if probe is not None:
        photons = float(data.photons.mean())
        record["probe"] = probe_normalisation(probe, default_probe(data.npix), photons)
        record["canvas"] = canvas_and_energy(data.positions, probe, canvas)
    if found is not None:
        object = _on_the_grid_of(data, found)
    record["intensities"] = intensity_chain(data, None, object, None if found is None else probe)
    pair = None if found is None or data.object is None else _amplitudes(data, found)
    if pair is not None:
        record["bias"] = bias_summary(*pair)
    if output is not None:
        _write(output, record, data, probe, chosen, canvas, pair)
    return record


def _run(source: Path, door: dict[str, Any]) -> ScanRun | None:
    """The run of a directory; None for a file."""
    if not source.exists():
        raise ValueError(f"{source}: expected a scan file or the run directory of a reconstruction, got nothing there.")
    if not source.is_dir():
        return None
    given = ["--" + name.replace("_", "-") for name, plain in DOOR.items() if door[name] != plain]
    if given:
        raise ValueError(
            f"{source}: expected {' and '.join(given)} only with a scan file, got a run directory, which holds its "
            "data as they were reconstructed. Leave out what is for files."
        )
    return open_scan_run(source)


def _on_the_grid_of(data: Any, found: Any) -> np.ndarray:
    """The reconstructed object on the grid that the file's positions count from, one where it was not reached."""
    shape = np.maximum(np.asarray(found.object.shape) + found.origin, 1)
    placed, known = place_on_canvas(found.object, -np.asarray(found.origin), tuple(int(n) for n in shape))
    return np.where(known, placed, 1.0)


def _amplitudes(data: Any, found: Any) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of the reconstruction and of the truth where both are known and light falls."""
    truth, known = place_on_canvas(data.object, found.origin, found.object.shape)
    seen = known & coverage_mask(found.coverage)
    return np.abs(found.object[seen]), np.abs(truth[seen])


def _write(output: Path, record: dict[str, Any], data, probe, chosen, canvas, pair) -> None:
    from .plotting import ptychography_diagnosis as draw

    output.mkdir(exist_ok=True)
    figures = {"grouping": draw.plot_groups(data.positions, chosen.nn_indices, chosen.coords_relative),
               "intensities": draw.plot_intensity_chain(record["intensities"]["stages"])}  # fmt: skip
    if probe is not None:
        scaled = default_probe(data.npix) * record["probe"]["b"]["scale_to_photons"]
        figures["probe"] = draw.plot_probes(probe, scaled, ("of the data", "default"))
        place = canvas_of(data.positions, data.npix)
        light = illumination(probe, place.corners, place.shape)
        figures["canvas"] = draw.plot_canvas(light, place.corners, data.npix, canvas)
    if pair is not None:
        figures["bias"] = draw.plot_bias(*pair, record["bias"]["scale"])
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png", dpi=150)
        (output / f"{name}.json").write_bytes(encode_json(record[name], name))
