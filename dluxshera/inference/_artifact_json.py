"""Standard JSON that keeps non-finite numbers.

Standard JSON has no NaN, so non-finite floats are written as the strings ``"NaN"``, ``"Infinity"`` and
``"-Infinity"``, which the reader turns back into floats. A text that reads like one of them is written with
one more backslash in front, which the reader takes away.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from dluxshera.inference._artifact_errors import MAX_JSON_BYTES, CorruptArtifact, SchemaError

_MOST_BITS = 13_000  # of a whole number; Python turns no more than 4300 digits into text, and back
_NON_FINITE_TEXT = re.compile(r"\\*(NaN|-?Infinity)")


def encode_json(value: Any, where: str, *, indent: int | None = 2) -> bytes:
    """Write mappings, sequences, arrays and scalars as standard JSON.

    Raises
    ------
    SchemaError
        If a value has no JSON form; the message gives its path from `where`.
    """
    try:
        text = json.dumps(_to_json(value, where), indent=indent, allow_nan=False) + "\n"
    except RecursionError as error:
        raise SchemaError(f"Expected {where} to be nested less deeply, and not to hold itself. Flatten it.") from error
    if len(text) > MAX_JSON_BYTES:
        raise SchemaError(f"Expected {where} to take at most {MAX_JSON_BYTES} bytes, got {len(text)}.")
    return text.encode()


def decode_json(data: bytes, where: str) -> Any:
    """Read standard JSON written by `encode_json`.

    Raises
    ------
    CorruptArtifact
        If `data` is too long or is not standard JSON with unique keys; names `where`.
    """
    if len(data) > MAX_JSON_BYTES:
        raise CorruptArtifact(f"{where} has {len(data)} bytes, more than the limit of {MAX_JSON_BYTES}.")
    try:
        value = json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
        return _from_json(value) if b"NaN" in data or b"Infinity" in data else value
    except (ValueError, RecursionError) as error:
        raise CorruptArtifact(f"{where} is not standard JSON: {error}.") from error


def _to_json(value: Any, where: str) -> Any:
    match value:
        case None | bool():
            return value
        case int():
            return _readable_int(value, where)
        case str():
            return "\\" + value if _NON_FINITE_TEXT.fullmatch(value) else value
        case float():
            return float(value) if math.isfinite(value) else _non_finite_text(value)
        case Mapping():
            return {_key(k, where): _to_json(v, f"{where}.{k}") for k, v in value.items()}
        case list() | tuple():
            return [_to_json(v, f"{where}[{i}]") for i, v in enumerate(value)]
    array = np.asarray(value)
    if array.dtype.kind not in "biufU":
        raise SchemaError(f"Expected {where} to have a JSON form, got {type(value).__name__}. Convert it.")
    return _to_json(array.tolist(), where)


def _readable_int(value: int, where: str) -> int:
    if value.bit_length() > _MOST_BITS:
        raise SchemaError(f"Expected whole numbers of at most {_MOST_BITS} bits in {where}, got a longer one.")
    return value


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise SchemaError(f"Expected the keys of {where} to be text, got {key!r}. Convert it first.")
    return key


def _non_finite_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _from_json(value: Any) -> Any:
    match value:
        case "NaN" | "Infinity" | "-Infinity":
            return float(value)
        case str():
            return value[1:] if _NON_FINITE_TEXT.fullmatch(value) else value
        case dict():
            return {k: _from_json(v) for k, v in value.items()}
        case list():
            return [_from_json(v) for v in value]
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _unique_keys(pairs: list) -> dict:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return dict(pairs)
