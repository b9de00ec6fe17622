"""Loaders of the committed files of a run, and the check of all of them. They change nothing on disk."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dluxshera.inference._artifact_errors import CorruptArtifact, SchemaError
from dluxshera.inference._artifact_json import decode_json
from dluxshera.inference._artifact_manifest import (
    MANIFEST,
    generation_folder,
    read,
    read_all,
    read_manifest,
    shelved_generations,
)
from dluxshera.inference._artifact_npz import decode_npz
from dluxshera.inference._artifact_schema import FILE_NAMES, check_meta, check_trace, check_version, refuse_newer

RunPath = str | os.PathLike
# Files that a run can do without, to be shown, reported, and gone on with.
OPTIONAL_FILES = frozenset(["curvature.npz", "signals.npz", "precond.npz", "grads.npz", "diag_steps.jsonl"])


def load_trace(run_dir: RunPath) -> dict[str, np.ndarray]:
    """Load ``loss (T,)``, ``theta (T, D)`` and the optional channels ``(T,)`` of a run.

    Raises
    ------
    CorruptArtifact
        If the file is missing or damaged.
    SchemaError
        If a newer schema wrote it or it is not a trace.
    """
    arrays = load_arrays(run_dir, "trace")
    check_trace(arrays, str(Path(run_dir) / "trace.npz"))
    return arrays


def load_meta(run_dir: RunPath) -> dict:
    """Load what says how to read theta and how the run was made. Raises as `load_trace` does."""
    path = Path(run_dir) / "meta.json"
    try:
        meta = _load_mapping(path)
    except CorruptArtifact:
        _refuse_newer_meta(path)
        raise
    check_version(meta.get("artifact_schema"), str(path))
    check_meta(meta, None, str(path))
    return meta


def load_summary(run_dir: RunPath) -> dict:
    """Load what happened in a run. Raises as `load_trace` does."""
    return _load_mapping(Path(run_dir) / "summary.json")


def load_checkpoint(run_dir: RunPath, which: str = "best") -> dict[str, np.ndarray]:
    """Load ``theta (D,)``, ``step ()``, ``loss ()`` and the engine's state of the best or the final step.

    Raises
    ------
    ValueError
        If `which` is neither ``"best"`` nor ``"final"``; else as `load_trace`.
    """
    if which not in ("best", "final"):
        raise ValueError(f"Expected which to be 'best' or 'final', got {which!r}.")
    return load_arrays(run_dir, f"checkpoint_{which}")


def load_signals(run_dir: RunPath) -> dict[str, np.ndarray]:
    """Load the stored signals, name (with unit) to array. Raises as `load_trace` does."""
    return load_arrays(run_dir, "signals")


def load_observation_arrays(run_dir: RunPath) -> dict[str, np.ndarray]:
    """Load the arrays of the observation that was fitted. Raises as `load_trace` does."""
    return load_arrays(run_dir, "observation")


def load_diag_steps(run_dir: RunPath) -> list[dict]:
    """Load the diagnostics, one mapping a recorded step. Raises as `load_trace` does."""
    return _load(Path(run_dir) / "diag_steps.jsonl")


def load_arrays(run_dir: RunPath, name: str) -> dict[str, np.ndarray]:
    """Load the arrays of ``<name>.npz`` in a run directory.

    Raises
    ------
    CorruptArtifact
        If the file is missing or damaged.
    SchemaError
        If the run was saved without it, or by a newer schema.
    """
    file = f"{name}.npz"
    return decode_npz(read(Path(run_dir), file), str(Path(run_dir) / file))


def load_run(run_dir: RunPath) -> dict[str, Any]:
    """Load everything of one and the same generation, whatever a writer does meanwhile.

    Returns
    -------
    dict
        By name without suffix: "trace", "meta", "summary" and what else there is.

    Raises
    ------
    CorruptArtifact, SchemaError
        As `load_trace`, for any of the files.
    """
    folder = Path(run_dir)
    return {Path(name).stem: _decoded(folder / name, data) for name, data in read_all(folder).items()}


def extra_names(run_dir: RunPath) -> list[str]:
    """Give the names of the NPZ files of a run that the schema does not name. Raises as `load_trace` does."""
    names = read_manifest(Path(run_dir)).files
    return sorted(n.removesuffix(".npz") for n in names if n.endswith(".npz") and n not in FILE_NAMES)


def verify(run_dir: RunPath) -> list[str]:
    """Give what is wrong with the committed files of a run, earlier generations too; empty if it is sound."""
    return [problem for folder in _generations(Path(run_dir)) for problem in damage_of(folder).values()]


def newest_valid(run_dir: RunPath) -> Path:
    """Give the folder of the newest generation without damage, for the loaders: the run's own if it is sound.

    Raises
    ------
    CorruptArtifact
        If no generation is sound.
    """
    folders = _generations(Path(run_dir))
    found = next((folder for folder in folders if not damage_of(folder)), None)
    if found is None:
        raise CorruptArtifact(f"{run_dir} has no sound generation: {' '.join(damage_of(folders[0]).values())}")
    return found


def newest_usable(run_dir: RunPath) -> tuple[Path, list[str]]:
    """Give the folder of the newest generation that lacks none but optional files, and what is wrong with those.

    Raises
    ------
    CorruptArtifact
        If there is none.
    """
    folders = _generations(Path(run_dir))
    for folder in folders:
        damage = damage_of(folder)
        if damage.keys() <= OPTIONAL_FILES:
            return folder, list(damage.values())
    needed = [problem for name, problem in damage_of(folders[0]).items() if name not in OPTIONAL_FILES]
    raise CorruptArtifact(f"{run_dir} has no sound generation: {' '.join(needed)}")


def _generations(run_dir: Path) -> list[Path]:
    return [run_dir, *(generation_folder(run_dir, number) for number in shelved_generations(run_dir))]


def _refuse_newer_meta(path: Path) -> None:
    # A file that says it is of a newer schema is better called new than damaged.
    if path.is_file():
        with open(path, "rb") as stream:
            found = re.search(rb'"artifact_schema": *"(dluxshera-run-v\d+)"', stream.read(4096))
        if found:
            refuse_newer(found[1].decode(), str(path))


def _load_mapping(path: Path) -> dict:
    value = _load(path)
    if not isinstance(value, dict):
        raise SchemaError(f"Expected {path} to hold a JSON object, got {type(value).__name__}.")
    return value


def _load(path: Path) -> Any:
    return _decoded(path, read(path.parent, path.name))


def _decoded(path: Path, data: bytes) -> Any:
    match path.suffix:
        case ".npz":
            return decode_npz(data, str(path))
        case ".jsonl":
            return [decode_json(line, str(path)) for line in data.splitlines()]
    return decode_json(data, str(path))


def damage_of(folder: Path) -> dict[str, str]:
    """Give what is wrong with the files of one generation, by name."""
    try:
        names = read_manifest(folder).files
    except (CorruptArtifact, SchemaError) as error:
        return {MANIFEST: str(error)}
    found = {name: _problem(folder, name) for name in sorted({*names, "trace.npz", "meta.json", "summary.json"})}
    damage = {name: problem for name, problem in found.items() if problem}
    return damage | (_disagreements(folder, names) if damage.keys() <= OPTIONAL_FILES else {})


def _disagreements(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Files that are each in order, but not of one run."""
    meta = load_meta(folder)
    dim, run_id = meta["theta"]["dim"], meta.get("run_id")
    thetas = {"trace.npz": load_trace(folder)["theta"][0]}
    for which in ("best", "final"):
        if f"checkpoint_{which}.npz" in names:
            thetas[f"checkpoint_{which}.npz"] = load_checkpoint(folder, which).get("theta", np.zeros(()))
    found = {
        name: f"{folder / name} does not belong to this run: its theta has the shape {theta.shape}, not ({dim},)."
        for name, theta in thetas.items()
        if theta.shape != (dim,)
    }
    if load_summary(folder).get("run_id") != run_id:
        name = "summary.json"
        found[name] = f"{folder / name} does not belong to this run: its run_id is not {run_id!r}."
    return found


def _problem(folder: Path, name: str) -> str | None:
    loaders = {"trace.npz": load_trace, "meta.json": load_meta, "summary.json": load_summary}
    try:
        if name in loaders:
            loaders[name](folder)
        else:
            _load(folder / name)
    except (CorruptArtifact, SchemaError) as error:
        return str(error)
    return None
