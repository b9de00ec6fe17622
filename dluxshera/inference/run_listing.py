"""Many run directories at a glance: their state, what they came to, and which of them are damaged."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dluxshera.inference._artifact_errors import CorruptArtifact, SchemaError
from dluxshera.inference._artifact_json import decode_json
from dluxshera.inference._artifact_manifest import GENERATIONS, MANIFEST, checked_file, read_manifest
from dluxshera.inference.run_lock import writer_of

HASHED_BYTES = 2**24  # of larger files only the size is looked at; `verify` reads them whole
DAMAGED, KILLED = "damaged", "killed"
_SHOWN = ("status", "num_steps_completed", "converged", "loss_best", "reduced_chi_square", "runtime_total_s", "message")
_TRACES = (MANIFEST, GENERATIONS, "meta.json", "summary.json", "trace.npz")


def list_runs(folders: Iterable[str | os.PathLike]) -> list[dict[str, Any]]:
    """Give one row for each run directory among `folders`, in them, or in a folder `runs` of theirs.

    Parameters
    ----------
    folders : sequence of path

    Returns
    -------
    list of dict
        `run_id, path, state, created_at`, what `summary.json` says, and `problem`, None unless the run is damaged. The
        state is the status of the summary, "damaged", or "killed" for one that is running and has no writer.

    Raises
    ------
    ValueError
        If a folder does not exist.
    """
    return [run_row(path) for folder in folders for path in _runs_in(Path(folder))]


def run_row(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Give the row of `list_runs` of one run directory; reads only, and needs no lock."""
    path = Path(run_dir)
    row = {"run_id": path.name, "path": str(path), "state": DAMAGED, "created_at": None}
    row |= dict.fromkeys(_SHOWN) | {"problem": None}
    try:
        summary = _checked_summary(path)
    except (CorruptArtifact, SchemaError) as error:
        return row | {"problem": str(error)}
    known = {name: summary.get(name) for name in ("run_id", "created_at", *_SHOWN)}
    return row | known | {"state": state_of(path, summary)}


def state_of(run_dir: str | os.PathLike, summary: Mapping[str, Any]) -> str:
    """Give the status of a summary; "killed" if it is that of a run under way which nobody writes any more."""
    status = summary["status"]
    return KILLED if status == "running" and writer_of(run_dir) is None else status


def looks_like_a_run(folder: str | os.PathLike) -> bool:
    """Whether a folder is a run directory, sound or not."""
    return any(os.path.lexists(os.path.join(folder, name)) for name in _TRACES)


def _runs_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder with runs, or a run. There is none.")
    if looks_like_a_run(folder):
        return [folder]
    names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and os.path.isdir(folder / name))
    runs = [folder / name for name in names if looks_like_a_run(folder / name)]
    inner = folder / "runs"
    return runs + (_runs_in(inner) if "runs" in names and inner not in runs else [])


def _checked_summary(path: Path) -> dict[str, Any]:
    """The summary, after a look at every file of the generation."""
    manifest, summary = read_manifest(path), None
    for name in {**manifest.files, "summary.json": None, "meta.json": None, "trace.npz": None}:
        data = checked_file(path, manifest, name, HASHED_BYTES)
        if name == "summary.json":
            summary = decode_json(data, str(path / name))
    if not isinstance(summary, dict) or "status" not in summary:
        raise SchemaError(f"Expected a status in {path / 'summary.json'}, got none.")
    return summary
