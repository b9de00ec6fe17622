"""What a run must say of itself: checks of trace, checkpoints, meta and summary; what can be filled in."""

import math
import os
import re
import secrets
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from dluxshera.inference._artifact_errors import SchemaError
from dluxshera.inference._artifact_json import decode_json, encode_json
from dluxshera.inference._artifact_npz import plain_arrays
from dluxshera.inference._artifact_provenance import environment, git_state, utc_now

SCHEMA = "dluxshera-run-v0"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
STATUSES = ("running", "ok", "failed", "interrupted")
CHANNELS = ("grad_norm", "step_norm", "base_lr", "accepted")
OPTIONAL_ARRAYS = (
    *("observation", "checkpoint_best", "checkpoint_final"),
    *("signals", "precond", "curvature", "grads"),
)
FILE_NAMES = frozenset(
    [
        "meta.json",
        "summary.json",
        "diag_steps.jsonl",
        *(f"{name}.npz" for name in ("trace", *OPTIONAL_ARRAYS)),
    ]
)
_VERSION = re.compile(r"dluxshera-run-v(\d{1,6})")


def check_version(schema: object, where: str) -> None:
    """Raise SchemaError unless `schema` names a run schema that this version reads."""
    refuse_newer(schema, where)
    if not (isinstance(schema, str) and _VERSION.fullmatch(schema)):
        raise SchemaError(f"Expected artifact_schema {SCHEMA!r} in {where}, got {schema!r}.")


def refuse_newer(schema: object, where: str, written_by: object = None) -> None:
    """Refuse a schema newer than this version's; the message names the one that it needs.

    Raises
    ------
    SchemaError
        If `schema` is the name of a newer run schema.
    """
    version = _VERSION.fullmatch(schema) if isinstance(schema, str) else None
    if version and int(version[1]) > int(_VERSION.fullmatch(SCHEMA)[1]):
        writer = f" (written by {written_by})" if written_by else ""
        raise SchemaError(
            f"{where} needs a dluxshera that reads {schema!r}{writer}; this one reads up to {SCHEMA!r}. "
            "Upgrade dluxshera."
        )


def check_run_id(run_id: Any) -> str:
    """Give `run_id` back if it is legal.

    Raises
    ------
    SchemaError
        Unless it is 1 to 100 characters of ``A-Za-z0-9._-`` with no leading dot or dash.
    """
    if not (isinstance(run_id, str) and NAME.fullmatch(run_id)):
        raise SchemaError(
            "Expected a run id of 1 to 100 characters from A-Z a-z 0-9 . _ - with no leading dot or dash, "
            f"got {run_id!r}. Choose another."
        )
    return run_id


def check_folder_name(name: str) -> str:
    """Give the name of a run directory back if it can be one; blanks and letters of any language can.

    Raises
    ------
    SchemaError
        Unless it is 1 to 100 characters, and at most 255 bytes, without control characters and with no leading dot or
        dash: hidden names are those of locks and of saves under way, and options begin with a dash.
    """
    has_odd = any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    if not 1 <= len(name) <= 100 or name[0] in ".-" or has_odd or len(os.fsencode(name)) > 255:
        raise SchemaError(
            "Expected the name of a run directory of 1 to 100 characters (at most 255 bytes) with no leading dot or "
            f"dash and no control characters, got {name!r:.120}. Choose another."
        )
    return name


def trace_arrays(trace: Any) -> dict[str, np.ndarray]:
    """Give the arrays of a trace (mapping or object): ``loss (T,)``, ``theta (T, D)``, channels ``(T,)``.

    Raises
    ------
    SchemaError
        If one is missing, has another name or another shape.
    """
    names = ("loss", "theta", *CHANNELS)
    if not isinstance(trace, Mapping):
        trace = {name: getattr(trace, name, None) for name in names}
    unknown = sorted(set(trace) - set(names), key=str)
    if unknown:
        raise SchemaError(f"Expected only {', '.join(names)} in the trace, got {unknown[0]!r}. Remove it.")
    arrays = plain_arrays(trace, "trace")
    check_trace(arrays, "trace")
    return arrays


def check_trace(arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Raise SchemaError unless the arrays are those of a trace with at least its start."""
    for name in ("loss", "theta"):
        if name not in arrays:
            raise SchemaError(f"Expected {name!r} in {where}, got {sorted(arrays)}. Add it.")
    steps = arrays["loss"].shape[0] if arrays["loss"].ndim else 0
    for name, array in arrays.items():
        shape = (steps, *array.shape[1:2]) if name == "theta" and array.ndim == 2 else (steps,)
        ndim = 2 if name == "theta" else 1
        if array.shape != shape or array.ndim != ndim or steps == 0 or array.dtype.kind not in "biuf":
            wanted = "(T, D)" if name == "theta" else "(T,)"
            raise SchemaError(
                f"Expected real {name!r} of shape {wanted} with T = {max(steps, 1)} in {where}, "
                f"got {array.dtype} of shape {array.shape}."
            )


def checkpoint_arrays(checkpoint: Any, dim: int, where: str) -> dict[str, np.ndarray]:
    """Give the arrays of a checkpoint: ``theta (D,)``, ``step ()``, ``loss ()`` and the engine's state, flat.

    Raises
    ------
    SchemaError
        If theta, step or loss is missing or misshaped.
    """
    arrays = plain_arrays(checkpoint, where)
    for name, shape, kinds in (("theta", (dim,), "f"), ("step", (), "iu"), ("loss", (), "fiu")):
        array = arrays.get(name)
        if array is None or array.shape != shape or array.dtype.kind not in kinds:
            got = "none" if array is None else f"{array.dtype} of shape {array.shape}"
            raise SchemaError(f"Expected {name!r} of shape {shape} in {where}, got {got}.")
    return arrays


def check_meta(meta: Any, dim: int | None, where: str) -> None:
    """Raise SchemaError unless `meta` says how to read a theta of `dim` numbers (any length if None)."""
    for key in ("theta", "objective", "optimizer"):
        _mapping(_mapping(meta, where).get(key), f"{where}.{key}")
    theta = meta["theta"]
    size = theta.get("dim")
    if not isinstance(size, int) or dim not in (None, size):
        wanted = "a whole number" if dim is None else dim
        raise SchemaError(f"Expected {where}.theta.dim to be {wanted}, as in the trace, got {size!r}.")
    if theta.get("theta_space") not in ("primitive", "eigen"):
        got = theta.get("theta_space")
        raise SchemaError(f"Expected {where}.theta.theta_space 'primitive' or 'eigen', got {got!r}.")
    index_map = _mapping(theta.get("index_map"), f"{where}.theta.index_map")
    if not isinstance(index_map.get("layout_hash"), str):
        raise SchemaError(f"Expected text in {where}.theta.index_map.layout_hash. Add it.")
    _check_entries(index_map.get("entries"), size, f"{where}.theta.index_map.entries")


def _mapping(value: Any, where: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise SchemaError(f"Expected {where} to be a mapping, got {value!r:.80}. Add it.")
    return value


def _check_entries(entries: Any, dim: int, where: str) -> None:
    if not isinstance(entries, list | tuple):
        raise SchemaError(f"Expected {where} to be a list, got {entries!r:.80}.")
    position = 0
    for i, entry in enumerate(entries):
        stop = position + _size(entry)
        match entry:
            case {"name": str(), "start": int(start), "stop": int(end)} if (start, end) == (position, stop):
                position = stop
            case _:
                raise SchemaError(
                    f"Expected {where}[{i}] with a name, a shape, start {position} and stop = start + size, "
                    f"got {entry!r:.200}."
                )
    if position != dim:
        raise SchemaError(f"Expected {where} to cover theta's {dim} numbers, got {position}.")


def _size(entry: Any) -> int:
    match entry:
        case {"shape": [*lengths]} if all(isinstance(n, int) and n >= 0 for n in lengths):
            return math.prod(lengths)
    return -1


def complete_meta(meta: Mapping, folder_name: str, dim: int) -> dict:
    """Give a checked copy of `meta` with schema, run id, time, git and environment filled in.

    Raises
    ------
    SchemaError
        If a needed key is missing, disagrees with the trace, or is not legal.
    """
    _mapping(meta, "meta")
    run_id = folder_name if NAME.fullmatch(folder_name) else generated_run_id()
    filled = {"artifact_schema": SCHEMA, "run_id": run_id, "created_at": utc_now()}
    filled |= decode_json(encode_json(meta, "meta"), "meta")  # NumPy numbers and tuples become plain
    if filled["artifact_schema"] != SCHEMA:
        got = filled["artifact_schema"]
        raise SchemaError(f"Expected meta.artifact_schema to be {SCHEMA!r}, got {got!r}. Leave it out.")
    check_run_id(filled["run_id"])
    _check_time(filled["created_at"], "meta.created_at")
    check_meta(filled, dim, "meta")
    filled.setdefault("environment", environment())
    if filled.get("git") is None:  # asked for only then, for it takes two processes
        filled["git"] = git_state()
    _mapping(filled["git"], "meta.git")
    return filled


def generated_run_id() -> str:
    """Give a new legal run id from the time and a random token."""
    return f"run-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _check_time(value: Any, where: str) -> None:
    try:
        offset = datetime.fromisoformat(value).utcoffset()
    except (TypeError, ValueError):
        offset = None
    if offset != timedelta(0):
        raise SchemaError(f"Expected {where} to be an ISO-8601 time in UTC, got {value!r}. Leave it out.")


def complete_summary(summary: Mapping, meta: Mapping, loss: np.ndarray, files: Mapping) -> dict:
    """Give a checked copy of `summary`; what meta, the trace and the saved files tell is filled in.

    A summary that does not state its ``status`` is that of a finished run, ``"ok"``.

    Raises
    ------
    SchemaError
        If the status is unknown or the run id is not meta's.
    """
    _mapping(summary, "summary")
    git = {"commit": meta["git"].get("commit")}
    known = {"run_id": meta["run_id"], "created_at": meta["created_at"], "git": git}
    filled = {**known, "status": "ok", **_loss_summary(loss), **summary}
    if filled["status"] not in STATUSES:
        raise SchemaError(f"Expected summary.status one of {', '.join(STATUSES)}, got {filled['status']!r}.")
    if filled["run_id"] != meta["run_id"]:
        wanted, got = meta["run_id"], filled["run_id"]
        raise SchemaError(f"Expected summary.run_id to be {wanted!r}, as in meta, got {got!r}.")
    return filled | {f"has_{name}": f"{name}.npz" in files for name in OPTIONAL_ARRAYS}


def _loss_summary(loss: np.ndarray) -> dict:
    finite = np.flatnonzero(np.isfinite(loss))
    best = int(finite[np.argmin(loss[finite])]) if finite.size else None
    return {
        "num_steps_completed": len(loss) - 1,
        "loss_init": float(loss[0]),
        "loss_final": float(loss[-1]),
        "loss_best": None if best is None else float(loss[best]),
        "best_step": best,
    }
