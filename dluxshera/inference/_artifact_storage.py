"""Commits of whole generations of files to a run directory, each at one point: the replacing of its manifest.

A first commit makes the whole directory by one rename. A later one first keeps the generation before it
(hard links in ``.generations/``), then moves its own files into place, and its manifest last.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from dluxshera.inference._artifact_errors import CorruptArtifact, RunExists
from dluxshera.inference._artifact_manifest import (
    GENERATIONS,
    MANIFEST,
    Manifest,
    generation_folder,
    is_sound,
    manifest_bytes,
    read_manifest,
    shelved_generations,
)
from dluxshera.inference._artifact_schema import FILE_NAMES

MOST_NAME_BYTES = 200  # of a file name; file systems take 255
_NEW = "new"  # the folder that becomes the run directory, in one of its own: so no run can be taken for a left-over


def hidden_beside(run_dir: Path, ending: str) -> Path:
    """Give a hidden path next to a run directory, named after it."""
    name = run_dir.name
    if len(os.fsencode(name)) > MOST_NAME_BYTES:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return run_dir.parent / f".{name}.{ending}"


def create(run_dir: Path, files: Mapping[str, bytes]) -> None:
    """Make a run directory, complete, by one rename. The caller holds its lock.

    Raises
    ------
    RunExists
        If the directory exists and is not empty.
    """
    staging = hidden_beside(run_dir, "tmp")
    _clear(staging)
    os.mkdir(staging)
    try:
        _stage(staging / _NEW, files, 1)
        os.rename(staging / _NEW, run_dir)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise RunExists(f"Expected a new run directory, got {run_dir}, which another writer made.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _sync_folder(run_dir.parent)


def _clear(staging: Path) -> None:
    """Remove what a writer that was killed has left, and nothing else."""
    if not os.path.lexists(staging):
        return
    if staging.is_symlink() or not staging.is_dir() or set(os.listdir(staging)) - {_NEW}:
        raise ValueError(f"Expected nothing but the left-over of a save in {staging}, got something else. Move it.")
    shutil.rmtree(staging, ignore_errors=True)


def replace(run_dir: Path, files: Mapping[str, bytes]) -> None:
    """Commit a new generation to an existing directory; readers see the old one up to the commit point.

    The caller holds the lock of the directory.
    """
    _clear(hidden_beside(run_dir, "tmp"))
    old = _manifest_if_sound(run_dir)
    shelf = run_dir / GENERATIONS
    _open_shelf(shelf)
    number = 1 + max([0, *shelved_generations(run_dir), *([old.generation] if old else [])])
    staging = shelf / f"{number}.tmp"
    try:
        _stage(staging, files, number)
        if old:
            _shelve(run_dir, old)
        _sync_folder(shelf)
        _move_into_place(staging, run_dir, files)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    stale = (set(old.files) if old else set()) | FILE_NAMES
    for name in stale - set(files):
        (run_dir / name).unlink(missing_ok=True)
    _prune(run_dir)


def _stage(folder: Path, files: Mapping[str, bytes], number: int) -> None:
    os.mkdir(folder)
    for name, data in files.items():
        _write(folder / name, data)
    _write(folder / MANIFEST, manifest_bytes(files, number))
    _sync_folder(folder)


def _move_into_place(staging: Path, run_dir: Path, names: Iterable[str]) -> None:
    _sync_folder(run_dir)
    for name in names:
        os.replace(staging / name, run_dir / name)
    _sync_folder(run_dir)
    os.replace(staging / MANIFEST, run_dir / MANIFEST)  # the commit point
    _sync_folder(run_dir)


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest_if_sound(run_dir: Path) -> Manifest | None:
    try:
        return read_manifest(run_dir)
    except CorruptArtifact:
        return None


def _open_shelf(shelf: Path) -> None:
    if shelf.is_symlink():
        raise ValueError(f"Expected {shelf} to be a folder of the run, got a link. Remove it.")
    shelf.mkdir(exist_ok=True)
    for leftover in shelf.glob("*.tmp"):
        shutil.rmtree(leftover)


def _shelve(run_dir: Path, old: Manifest) -> None:
    home = generation_folder(run_dir, old.generation)
    if home.exists():  # kept by a commit that was cut short; the plain files may be newer by now
        return
    staging = home.with_name(f"{old.generation}.old.tmp")
    os.mkdir(staging)
    for name in (*old.files, MANIFEST):
        if (run_dir / name).is_file():
            _link(run_dir / name, staging / name)
    _sync_folder(staging)
    os.rename(staging, home)


def _link(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):  # a file system without hard links
        os.link(source, target)
        return
    _write(target, source.read_bytes())


def _prune(run_dir: Path) -> None:
    numbers = shelved_generations(run_dir)
    keep = next((n for n in numbers if is_sound(generation_folder(run_dir, n))), None)
    for number in numbers:
        if number != keep:
            folder = generation_folder(run_dir, number)
            os.rename(folder, folder.with_name(f"{number}.tmp"))  # so that a kill leaves no half of it
    for leftover in (run_dir / GENERATIONS).glob("*.tmp"):
        shutil.rmtree(leftover)
