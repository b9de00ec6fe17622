"""Save runs to directories and load them back: arrays in NPZ files, everything else in JSON.

A run directory holds ``trace.npz``, ``meta.json`` and ``summary.json``, optional files beside them, and a
``MANIFEST.json`` with every file's size and SHA-256. Each save is all or nothing: after a kill at any
instant the loaders give the state before it or the state after it. Loading runs no code, reads at most 1 GiB
of arrays from a file, and changes nothing. In the JSON files non-finite numbers are the strings ``"NaN"``,
``"Infinity"`` and ``"-Infinity"``; the loaders give floats.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dluxshera.inference import _artifact_storage as storage
from dluxshera.inference._artifact_encoding import encode_run
from dluxshera.inference._artifact_errors import CorruptArtifact, RunExists, RunLocked, SchemaError
from dluxshera.inference._artifact_loading import (
    OPTIONAL_FILES,
    RunPath,
    damage_of,
    extra_names,
    load_arrays,
    load_checkpoint,
    load_diag_steps,
    load_meta,
    load_observation_arrays,
    load_run,
    load_signals,
    load_summary,
    load_trace,
    newest_usable,
    newest_valid,
    verify,
)
from dluxshera.inference._artifact_schema import SCHEMA, check_folder_name, check_run_id
from dluxshera.inference.run_lock import RunLock

__all__ = [
    "OPTIONAL_FILES",
    "SCHEMA",
    "CorruptArtifact",
    "RunExists",
    "RunLocked",
    "SchemaError",
    "check_run_id",
    "damage_of",
    "extra_names",
    "load_arrays",
    "load_checkpoint",
    "load_diag_steps",
    "load_meta",
    "load_observation_arrays",
    "load_run",
    "load_signals",
    "load_summary",
    "load_trace",
    "newest_usable",
    "newest_valid",
    "save_run",
    "verify",
]


def save_run(
    run_dir: RunPath,
    trace: Any,
    meta: Mapping,
    summary: Mapping,
    *,
    signals: Any = None,
    precond: Any = None,
    curvature: Any = None,
    checkpoint_best: Any = None,
    checkpoint_final: Any = None,
    diag_steps: Iterable[Mapping] | None = None,
    grads: Any = None,
    observation: Any = None,
    extra: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Save a run, all or nothing, and give its directory.

    Parameters
    ----------
    run_dir : path
        The directory to make; its parent must exist. Its name is the run id where it is legal as one.
    trace : Trace or mapping of arrays
        ``loss (T,)`` and ``theta (T, D)``, optionally ``grad_norm, step_norm, base_lr, accepted (T,)``.
    meta : mapping
        How to read theta: ``theta {dim, theta_space, index_map}``, ``objective``, ``optimizer``, and more.
        Schema, run id, ``created_at``, ``git`` and ``environment`` are filled in where it does not give them.
    summary : mapping
        What happened. Run id, time, commit, steps and losses are filled in where it does not give them,
        presence flags always; a ``status`` left out is ``"ok"``.
    signals, precond, curvature, grads, observation : mapping of arrays, optional
        Stored as NPZ files of these names; entries that are None are left out.
    checkpoint_best, checkpoint_final : mapping of arrays, optional
        ``theta (D,)``, ``step``, ``loss``, and the arrays of the engine's state.
    diag_steps : sequence of mappings, optional
        One line of ``diag_steps.jsonl`` each.
    extra : mapping of mappings of arrays, optional
        Further NPZ files by name, without suffix.
    overwrite : bool
        Replace the run in an existing directory; what it held before is kept as the earlier generation.

    Raises
    ------
    RunExists
        If the directory exists, is not empty, and `overwrite` is False.
    RunLocked
        If somebody else is writing it.
    SchemaError
        If trace, meta, summary or an array does not fit the schema. Nothing is written then.
    ValueError
        If the parent folder is missing, `run_dir` is a file or leads out of its parent, or its name begins with a dot
        or dash, has control characters, or more than 100 characters.
    """
    target = check_target(Path(run_dir).absolute(), overwrite)
    parts = {"signals": signals, "precond": precond, "curvature": curvature, "grads": grads,
             "observation": observation, "checkpoint_best": checkpoint_best,
             "checkpoint_final": checkpoint_final}  # fmt: skip
    files = encode_run(target.name, trace, meta, summary, parts, diag_steps, extra or {})
    with RunLock(target):
        commit_run(target, files, overwrite=overwrite)
    return target


def commit_run(target: Path, files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Commit the files of a generation to a run directory, new or there already; the caller holds its lock."""
    check_target(target, overwrite)
    commit = storage.replace if _has_content(target) else storage.create
    try:
        commit(target, files)
    except RunExists:
        raise
    except OSError as error:
        reason = f"Could not write {target}: {error.strerror}. What was committed before is kept"
        raise OSError(error.errno, reason) from error


def check_target(target: Path, overwrite: bool) -> Path:
    """Give `target` back if a run may be written there.

    Raises
    ------
    RunExists, SchemaError, ValueError
        As `save_run`.
    """
    check_folder_name(target.name)
    if not target.parent.is_dir():
        raise ValueError(f"Expected the parent folder {target.parent} to exist. Create it first.")
    if target.resolve().parent != target.parent.resolve():
        raise ValueError(f"Expected a run directory in {target.parent}, got {target}, which leads elsewhere.")
    if target.exists() and not target.is_dir():
        raise RunExists(f"Expected a run directory, got the file {target}. Choose another name.")
    if not overwrite and _has_content(target):
        raise RunExists(
            f"Expected a new run directory, got {target}, which exists. "
            "Choose another, or pass overwrite=True to replace the run."
        )
    return target


def _has_content(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
