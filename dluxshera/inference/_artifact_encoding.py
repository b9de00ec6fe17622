"""The files of one generation of a run, as bytes."""

from collections.abc import Iterable, Mapping
from typing import Any

from dluxshera.inference._artifact_errors import SchemaError
from dluxshera.inference._artifact_json import encode_json
from dluxshera.inference._artifact_npz import encode_npz, plain_arrays
from dluxshera.inference._artifact_schema import (
    FILE_NAMES,
    NAME,
    checkpoint_arrays,
    complete_meta,
    complete_summary,
    trace_arrays,
)


def encode_run(
    name: str,
    trace: Any,
    meta: Mapping,
    summary: Mapping,
    parts: Mapping[str, Any],
    diag_steps: Iterable[Mapping] | None = None,
    extra: Mapping[str, Any] | None = None,
    ready: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Check a run against the schema and encode it; arguments as of `save_run`, `parts` by name.

    Parameters
    ----------
    name : str
        Of the run directory.
    ready : mapping of bytes, optional
        Files that have been encoded before.

    Raises
    ------
    SchemaError
        If something does not fit the schema.
    """
    arrays = trace_arrays(trace)
    dim = arrays["theta"].shape[1]
    files = {"trace.npz": encode_npz(arrays, "trace"), **(ready or {})}
    files |= encode_parts(parts, dim) | npz_files(_checked_extra(extra or {}))
    if diag_steps is not None:
        files["diag_steps.jsonl"] = _json_lines(diag_steps)
    full_meta = complete_meta(meta, name, dim)
    full_summary = complete_summary(summary, full_meta, arrays["loss"], files)
    return files | {
        "meta.json": encode_json(full_meta, "meta"),
        "summary.json": encode_json(full_summary, "summary"),
    }


def encode_parts(parts: Mapping[str, Any], dim: int) -> dict[str, bytes]:
    """Encode the optional arrays of a run; what is None is left out."""
    given = {name: value for name, value in parts.items() if value is not None}
    checked = {
        name: checkpoint_arrays(value, dim, name) if name.startswith("checkpoint_") else value
        for name, value in given.items()
    }
    return npz_files(checked)


def npz_files(named: Mapping[str, Any]) -> dict[str, bytes]:
    """Encode mappings of arrays by name."""
    given = {name: plain_arrays(value, name) for name, value in named.items()}
    return {f"{name}.npz": encode_npz(arrays, name) for name, arrays in given.items()}


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
