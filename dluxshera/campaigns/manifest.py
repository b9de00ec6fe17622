"""The manifest of an experiment: its plan, with a SHA-256 of its own, and all that may be wrong with one."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..config import ConfigError
from ..inference._artifact_errors import MAX_JSON_BYTES
from ..inference._artifact_json import decode_json, encode_json
from ..inference._artifact_provenance import environment, utc_now
from ..inference.run_artifacts import CorruptArtifact, SchemaError
from .campaign import Campaign, Row
from .cases import canonical
from .description import SIZES
from .folders import run_name
from .provenance import git_of_process

SCHEMA = "dluxshera-experiment-v0"
MANIFEST = "manifest.json"
_VERSION = re.compile(r"dluxshera-experiment-v(\d{1,6})")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Check = Callable[[Any], bool]


def manifest_bytes(campaign: Campaign) -> bytes:
    """Content of the manifest of a campaign that is about to be run."""
    content = {
        "experiment_schema": SCHEMA,
        "name": campaign.name,
        "doc": campaign.values["doc"],
        "created_at": utc_now(),
        "size": campaign.size,
        "campaign": dict(campaign.values),
        "settings": list(campaign.settings),
        "plot": {"x": None, "y": None} | campaign.values["plot"],
        "git": git_of_process(),
        "environment": environment(),
        "rows": [row._asdict() for row in campaign.rows],
    }
    content = decode_json(encode_json(content, "manifest"), "manifest")  # tuples and NumPy numbers become plain
    return encode_json({**content, "sha256": _sum(content)}, "manifest", indent=1)


def read_manifest(path: Path) -> tuple[dict[str, Any], tuple[Row, ...]]:
    """Read and check a manifest.

    Returns
    -------
    content : dict
        By the keys of `manifest_bytes`; earlier builds wrote none with a `sha256`.
    rows : tuple of Row

    Raises
    ------
    CorruptArtifact
        If it is damaged; the message names the key, where that is known, and how it is made anew.
    SchemaError
        If a newer schema wrote it.
    """
    try:
        content = _decoded(path)
        problem = next(_problems(content), None)
        if problem is None and "sha256" in content and content["sha256"] != _sum(content):
            problem = "its content does not match its own SHA-256"
        if problem is not None:
            raise CorruptArtifact(f"{path} is damaged: {problem}.")
        rows = tuple(Row(**row) for row in content["rows"])
        if "sha256" not in content:
            _check_against_plan(path, content, rows)
    except CorruptArtifact as error:
        anew = f"dluxshera campaign run FILE -o {path.parent} --update"
        raise CorruptArtifact(f"{error} Make it anew from the campaign's file, runs are kept: {anew}.") from error
    return content, rows


def _decoded(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise CorruptArtifact(f"{path} has {size} bytes, more than the limit of {MAX_JSON_BYTES}.")
    content = decode_json(path.read_bytes(), str(path))
    if not isinstance(content, dict):
        raise CorruptArtifact(f"{path} is damaged: it is not a JSON object.")
    schema = content.get("experiment_schema")
    version = _VERSION.fullmatch(schema) if isinstance(schema, str) else None
    if version and schema != SCHEMA:
        raise SchemaError(
            f"{path} needs a dluxshera that reads {schema!r}; this one reads {SCHEMA!r}. Upgrade dluxshera."
        )
    return content


def _sum(content: Mapping[str, Any]) -> str:
    """SHA-256 of everything but itself."""
    kept = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_KEYS: dict[str, tuple[Check, str]] = {
    "experiment_schema": (lambda value: value == SCHEMA, repr(SCHEMA)),
    "name": (_is_text, "text"),
    "doc": (_is_text, "text"),
    "created_at": (_is_text, "text"),
    "size": (lambda value: value in SIZES, " or ".join(SIZES)),
    "campaign": (_is_mapping, "a description"),
    "settings": (_are_texts, "a list of names"),
    "plot": (_is_mapping, "the keys x and y"),
    "git": (_is_mapping, "a mapping"),
    "environment": (_is_mapping, "a mapping"),
    "rows": (lambda value: isinstance(value, list), "a list of rows"),
}
_ROW_KEYS: dict[str, tuple[Check, str]] = {
    "run_id": (_is_text, "text"),
    "content": (lambda value: _is_text(value) and bool(_SHA256.fullmatch(value)), "a SHA-256"),
    "group": (lambda value: isinstance(value, int) and value >= 0, "a whole number of at least 0"),
    "settings": (_is_mapping, "settings by name"),
}


def _problems(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with keys and types, in words; without a SHA-256 there may be no other key either."""
    yield from _wrong_keys(content, _KEYS, "", "sha256" not in content)
    names = set()
    for i, row in enumerate(content["rows"]):
        where = f"rows[{i}]"
        if not isinstance(row, dict):
            yield f"{where}: expected a row of the plan, got {row!r:.80}"
        yield from _wrong_keys(row, _ROW_KEYS, f"{where}.", True)
        if row["run_id"] != run_name(row["content"]) or row["run_id"] in names:
            yield f"{where}.run_id: expected {run_name(row['content'])!r}, once, got {row['run_id']!r:.80}"
        names.add(row["run_id"])


def _wrong_keys(
    values: Mapping[str, Any], known: Mapping[str, tuple[Check, str]], where: str, no_others: bool
) -> Iterator[str]:
    for key, (fine, what) in known.items():
        if key not in values:
            yield f"{where}{key}: missing key"
        if not fine(values[key]):
            yield f"{where}{key}: expected {what}, got {values[key]!r:.80}"
    yield from (f"{where}{key:.80}: unknown key" for key in values if no_others and key not in known)


def _check_against_plan(path: Path, content: Mapping[str, Any], rows: tuple[Row, ...]) -> None:
    """Without a SHA-256: do settings and content hashes belong together? That cannot be told of another version's."""
    try:
        planned = {row.content: row.settings for row in Campaign(content["campaign"], content["size"], str(path)).rows}
    except ConfigError:  # a profile that is gone by now, or a description that is refused by now
        return
    if not any(row.content in planned for row in rows):
        return
    for row in rows:
        if row.content not in planned or canonical(row.settings) != canonical(planned[row.content]):
            raise CorruptArtifact(f"{path} is damaged: the settings of {row.run_id} are not those of its content hash.")
