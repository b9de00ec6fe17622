"""Which run directories of an experiment count, and what happens to those that do not."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from ..inference.run_artifacts import CorruptArtifact, SchemaError, load_meta, load_summary, verify

RUNS, FAILURES, DAMAGED = "runs", "failures", "damaged"


def run_name(content: str) -> str:
    """The name of the run of a content hash."""
    return f"run-{content[:16]}"


def is_valid(run_dir: Path, content: str) -> bool:
    """Whether a run is there, sound file by file, ended, and of this content."""
    if not run_dir.is_dir() or verify(run_dir):
        return False
    try:
        recorded = load_meta(run_dir).get("campaign")
        status = load_summary(run_dir).get("status")
    except (CorruptArtifact, SchemaError):
        return False
    return isinstance(recorded, dict) and recorded.get("content") == content and status in ("ok", "failed")


def make_room(run_dir: Path) -> None:
    """Put what stands in the place of a run, and does not count, into the experiment's folder of damaged runs."""
    if not run_dir.exists():
        return
    shelf = run_dir.parent.parent / DAMAGED
    shelf.mkdir(exist_ok=True)
    home = shelf / run_dir.name
    if home.exists():
        shutil.rmtree(home)
    with contextlib.suppress(FileNotFoundError):  # another worker was as quick
        os.rename(run_dir, home)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, all of it or nothing."""
    write_bytes(path, json.dumps(value, indent=1, allow_nan=False).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, all of it or nothing."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
