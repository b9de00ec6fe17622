"""Saving and loading the values of a model by dotted path."""

import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .access import restore_values
from .paths import Place, suggestions, walk
from .spec import ParameterError

SCHEMA = "dluxshera-params-v0"
_META = "__meta__"
_UNREADABLE = (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def save_values(model: Any, path: str | os.PathLike, *, buffers: bool = False) -> None:
    """Write the parameters of a model to an NPZ file, by dotted path, with their units.

    The file appears in one step: a half-written one is never seen.

    Parameters
    ----------
    model : eqx.Module
    path : str or Path
        The file, used as given. Its folder must exist.
    buffers : bool
        Whether to write the buffers too.
    """
    places = _saved_places(model, buffers)
    meta = {"schema": SCHEMA, "buffers": buffers, "units": {p.path: p.spec.unit for p in places}}
    arrays = jax.device_get({p.path: p.value for p in places})
    _write_atomically(Path(path), {_META: np.asarray(json.dumps(meta)), **arrays})


def load_values(model: Any, path: str | os.PathLike, renames: Mapping[str, str] | None = None) -> Any:
    """Return the model with the values of a file written by `save_values`.

    Parameters
    ----------
    model : eqx.Module
        Gives the structure; its own values are all replaced.
    path : str or Path
    renames : mapping of str to str, optional
        New path by the path in the file.

    Raises
    ------
    ParameterError
        If a path is unknown or missing, a unit differs, or a value is not acceptable.
    ValueError
        If the file cannot be read or is not such a file; the message names it.
    FileNotFoundError
        If there is no such file.
    """
    meta, stored = _read(Path(path))
    renames = {} if renames is None else renames
    _check_renames(path, stored, renames)
    values = {renames.get(name, name): array for name, array in stored.items()}
    units = {renames.get(name, name): unit for name, unit in meta["units"].items()}
    known = {p.path: p for p in walk(model) if p.kind in ("parameter", "buffer")}
    needed = [p.path for p in _saved_places(model, meta["buffers"])]
    _check_paths(path, model, values, known, needed)
    _check_units(path, units, {name: known[name].spec.unit for name in values})
    return restore_values(model, values)


def _saved_places(model: Any, buffers: bool) -> list[Place]:
    kinds = ("parameter", "buffer") if buffers else ("parameter",)
    return [p for p in walk(model) if p.kind in kinds and p.value is not None]


def _write_atomically(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    try:
        zipfile.ZipFile(path).close()  # np.load also opens what is not an archive
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop(_META)))
    except _UNREADABLE as error:
        raise ValueError(f"Expected a file of values at {str(path)!r}, got: {error}. Save it again.") from error
    _check_meta(path, meta, arrays)
    return meta, arrays


def _check_meta(path: Path, meta: Any, arrays: Mapping[str, np.ndarray]) -> None:
    schema = meta.get("schema") if isinstance(meta, dict) else meta
    if schema != SCHEMA:
        raise ValueError(f"Expected schema {SCHEMA!r} in {str(path)!r}, got {schema!r}.")
    units = meta.get("units")
    if not isinstance(units, dict) or set(units) != set(arrays) or not isinstance(meta.get("buffers"), bool):
        raise ValueError(f"Expected buffers and a unit for each array in {str(path)!r}, got {meta!r}.")


def _check_renames(path: Any, stored: Mapping, renames: Mapping[str, str]) -> None:
    absent = [old for old in renames if old not in stored]
    if absent:
        raise ParameterError(f"renames: Expected paths in {str(path)!r}, got {', '.join(absent)}.")
    new = [renames.get(name, name) for name in stored]
    if len(set(new)) < len(new):
        twice = sorted({name for name in new if new.count(name) > 1})
        raise ParameterError(f"renames: Expected distinct new paths, got {', '.join(twice)} twice.")


def _check_paths(path: Any, model: Any, values: Mapping, known: Mapping, needed: list[str]) -> None:
    unknown = [name for name in values if name not in known]
    if unknown:
        hint = suggestions(model, unknown[0])
        raise ParameterError(
            f"Expected paths of this model in {str(path)!r}, got {', '.join(unknown)}.{hint} Use renames={{old: new}}."
        )
    missing = [name for name in needed if name not in values]
    if missing:
        raise ParameterError(f"Expected every parameter in {str(path)!r}, got none for {', '.join(missing)}.")


def _check_units(path: Any, stored: Mapping[str, str], declared: Mapping[str, str]) -> None:
    for name, unit in declared.items():
        if stored[name] != unit:
            raise ParameterError(f"{name}: Expected unit {unit!r}, got {stored[name]!r} in {str(path)!r}.")
