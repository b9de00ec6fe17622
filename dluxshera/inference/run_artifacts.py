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
from dluxshera.inference._artifact_errors import CorruptArtifact, RunExists, SchemaError
from dluxshera.inference._artifact_json import encode_json
from dluxshera.inference._artifact_loading import (
    RunPath,
    load_arrays,
    load_checkpoint,
    load_diag_steps,
    load_meta,
    load_observation_arrays,
    load_signals,
    load_summary,
    load_trace,
    newest_valid,
    verify,
)
from dluxshera.inference._artifact_npz import encode_npz, plain_arrays
from dluxshera.inference._artifact_schema import (
    FILE_NAMES,
    NAME,
    SCHEMA,
    check_run_id,
    checkpoint_arrays,
    complete_meta,
    complete_summary,
    trace_arrays,
)

__all__ = [
    "SCHEMA",
    "CorruptArtifact",
    "RunExists",
    "SchemaError",
    "check_run_id",
    "load_arrays",
    "load_checkpoint",
    "load_diag_steps",
    "load_meta",
    "load_observation_arrays",
    "load_signals",
    "load_summary",
    "load_trace",
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
    SchemaError
        If trace, meta, summary or an array does not fit the schema. Nothing is written then.
    ValueError
        If the parent folder is missing, or `run_dir` is a file or leads out of its parent.
    """
    target = _checked_target(Path(run_dir).absolute(), overwrite)
    arrays = trace_arrays(trace)
    dim = arrays["theta"].shape[1]
    files = {"trace.npz": encode_npz(arrays, "trace")}
    files |= _npz_files(signals=signals, precond=precond, curvature=curvature, grads=grads, observation=observation)
    files |= _npz_files(**_checked_extra(extra or {}))
    files |= _checkpoint_files(dim, checkpoint_best=checkpoint_best, checkpoint_final=checkpoint_final)
    if diag_steps is not None:
        files["diag_steps.jsonl"] = _json_lines(diag_steps)
    full_meta = complete_meta(meta, target.name, dim)
    full_summary = complete_summary(summary, full_meta, arrays["loss"], files)
    files |= {
        "meta.json": encode_json(full_meta, "meta"),
        "summary.json": encode_json(full_summary, "summary"),
    }
    commit = storage.replace if _has_content(target) else storage.create
    commit(target, files)
    return target


def _checked_target(target: Path, overwrite: bool) -> Path:
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


def _npz_files(**named: Any) -> dict[str, bytes]:
    given = {name: plain_arrays(value, name) for name, value in named.items() if value is not None}
    return {f"{name}.npz": encode_npz(arrays, name) for name, arrays in given.items()}


def _checkpoint_files(dim: int, **named: Any) -> dict[str, bytes]:
    given = {name: checkpoint_arrays(v, dim, name) for name, v in named.items() if v is not None}
    return _npz_files(**given)


def _json_lines(lines: Iterable[Mapping]) -> bytes:
    return b"".join(encode_json(line, f"diag_steps[{i}]", indent=None) for i, line in enumerate(lines))


def _checked_extra(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in extra:
        file = f"{name}.npz"
        if file in FILE_NAMES or not NAME.fullmatch(file):
            raise SchemaError(
                "Expected names in extra made of letters, digits and ._- that no file of the schema has, "
                f"got {name!r}. Rename it."
            )
    return extra
