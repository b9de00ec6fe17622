"""The manifest of a run directory, and reads of committed files that are checked against it.

The plain files of a run directory are the generation that ``MANIFEST.json`` lists with sizes and SHA-256. An
earlier generation is kept under ``.generations/<number>/``, with its own manifest. Where a commit was cut
short, a plain file that is not the manifest's has its twin in ``.generations/<number of the manifest>/``, and
readers take that. At rest there is no such folder: damage to a plain file is reported, never papered over.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dluxshera.inference._artifact_errors import MAX_BYTES, MAX_JSON_BYTES, CorruptArtifact, SchemaError
from dluxshera.inference._artifact_json import decode_json, encode_json
from dluxshera.inference._artifact_provenance import package_version
from dluxshera.inference._artifact_schema import NAME, SCHEMA, check_version, refuse_newer

MANIFEST = "MANIFEST.json"
GENERATIONS = ".generations"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """The files of one generation: name to (size in bytes, SHA-256 as hexadecimal text)."""

    generation: int
    files: Mapping[str, tuple[int, str]]


def read_manifest(run_dir: Path) -> Manifest:
    """Read and check the manifest of a run directory or of a generation folder.

    Raises
    ------
    CorruptArtifact
        If it is missing or damaged.
    SchemaError
        If a newer schema wrote it.
    """
    path = run_dir / MANIFEST
    if not os.path.isfile(path):
        raise CorruptArtifact(f"Expected a run directory with {MANIFEST}, got {run_dir}, which has none.")
    content = decode_json(_read_bytes(path, MAX_JSON_BYTES), str(path))
    if not isinstance(content, dict):
        raise CorruptArtifact(f"{path} is damaged: it is not a JSON object.")
    refuse_newer(content.get("artifact_schema"), str(path), content.get("written_by"))
    checksum = content.pop("sha256", None)
    if checksum != _content_hash(content):
        raise CorruptArtifact(f"{path} is damaged: its content does not match its own SHA-256.")
    check_version(content.get("artifact_schema"), str(path))
    return _parse_manifest(content, path)


def read(run_dir: Path, name: str) -> bytes:
    """Give the bytes of one committed file, checked against the manifest.

    Raises
    ------
    SchemaError
        If this generation has no such file.
    CorruptArtifact
        If the file, or the manifest, is missing or damaged.
    """
    manifest = read_manifest(run_dir)
    while True:
        try:
            return _read_committed(run_dir, manifest, name)
        except CorruptArtifact:
            latest = read_manifest(run_dir)
            if latest == manifest:
                raise
            manifest = latest  # a writer committed while we read


def read_all(run_dir: Path) -> dict[str, bytes]:
    """Give the bytes of every file of one and the same generation, checked; raises as `read`."""
    manifest = read_manifest(run_dir)
    while True:
        try:
            return {name: _read_committed(run_dir, manifest, name) for name in manifest.files}
        except CorruptArtifact:
            latest = read_manifest(run_dir)
            if latest == manifest:
                raise
            manifest = latest


def checked_file(run_dir: Path, manifest: Manifest, name: str, most: int) -> bytes:
    """Give the bytes of a file of a manifest that was read before, as `read` does; none of one above `most` bytes.

    Of that, only the size is checked.
    """
    size = manifest.files.get(name, (0, ""))[0]
    try:
        if size > most and (run_dir / name).stat().st_size == size:
            return b""
        return _read_committed(run_dir, manifest, name)
    except (CorruptArtifact, OSError):
        return read(run_dir, name)


def shelved_generations(run_dir: Path) -> list[int]:
    """Give the numbers of the generations kept under ``.generations/``, newest first."""
    shelf = run_dir / GENERATIONS
    names = os.listdir(shelf) if os.path.isdir(shelf) else []
    return sorted((int(name) for name in names if re.fullmatch(r"\d{1,18}", name)), reverse=True)


def generation_folder(run_dir: Path, number: int) -> Path:
    """Give the folder that keeps an earlier generation; it reads like a run directory."""
    return run_dir / GENERATIONS / str(number)


def is_sound(run_dir: Path) -> bool:
    """Tell whether every file of the committed generation matches its manifest."""
    try:
        for name in read_manifest(run_dir).files:
            read(run_dir, name)
    except (CorruptArtifact, SchemaError):
        return False
    return True


def manifest_bytes(files: Mapping[str, bytes], number: int) -> bytes:
    """Give the content of the manifest of a generation."""
    content = {
        "artifact_schema": SCHEMA,
        "written_by": f"dluxshera {package_version('dluxshera') or 'of unknown version'}",
        "generation": number,
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }
    return encode_json({**content, "sha256": _content_hash(content)}, MANIFEST)


def _content_hash(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parse_manifest(content: dict, path: Path) -> Manifest:
    match content:
        case {"generation": int(number), "files": {**entries}} if number > 0:
            return Manifest(number, {name: _parse_entry(name, e, path) for name, e in entries.items()})
    raise CorruptArtifact(f"{path} is damaged: it lacks a generation number or its list of files.")


def _parse_entry(name: str, entry: object, path: Path) -> tuple[int, str]:
    match entry:
        case {"size": int(size), "sha256": str(digest)} if _SHA256.fullmatch(digest) and NAME.fullmatch(name):
            return size, digest
    raise CorruptArtifact(f"{path} is damaged: its entry {name!r} is not a file name with size and SHA-256.")


def _read_committed(run_dir: Path, manifest: Manifest, name: str) -> bytes:
    if name not in manifest.files:
        raise SchemaError(f"Expected {run_dir / name}, but this run was saved without it.")
    try:
        return _read_checked(run_dir / name, *manifest.files[name])
    except CorruptArtifact:
        twin = generation_folder(run_dir, manifest.generation) / name  # there after a commit was cut short
        if not twin.is_file():
            raise
        return _read_checked(twin, *manifest.files[name])


def _read_checked(path: Path, size: int, digest: str) -> bytes:
    data = _read_bytes(path, MAX_BYTES)
    if len(data) != size:
        raise CorruptArtifact(f"{path} is damaged: it has {len(data)} bytes where {size} were committed.")
    if hashlib.sha256(data).hexdigest() != digest:
        raise CorruptArtifact(f"{path} is damaged: its SHA-256 is not the committed one.")
    return data


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        if not path.is_file():
            raise CorruptArtifact(f"{path} is missing or is not a regular file.")
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limit:
                raise CorruptArtifact(f"{path} has {size} bytes, more than the limit of {limit}.")
            return stream.read(size)
    except OSError as error:
        raise CorruptArtifact(f"{path} cannot be read: {error.strerror}.") from error
