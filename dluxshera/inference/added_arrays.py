"""One more file of arrays for a run that is there already."""

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import ArrayLike

from ._artifact_json import encode_json
from ._artifact_loading import RunPath, load_summary
from ._artifact_manifest import read, read_manifest
from ._artifact_npz import encode_npz, plain_arrays
from ._artifact_schema import OPTIONAL_ARRAYS
from .run_artifacts import commit_run
from .run_lock import RunLock


def add_arrays(run_dir: RunPath, name: str, arrays: Mapping[str, ArrayLike]) -> None:
    """Commit one optional file to a run, all or nothing, in place of one of that name; the others stay as they are.

    Parameters
    ----------
    run_dir : path
    name : str
        "signals", "precond", "curvature" or "grads", without suffix.
    arrays : mapping of str to array

    Raises
    ------
    ValueError
        If `name` is none of these.
    RunLocked
        If somebody is writing the run.
    CorruptArtifact, SchemaError
        If another file of the run is damaged, or an array cannot be stored. Nothing is written then.
    """
    if name not in OPTIONAL_ARRAYS:
        raise ValueError(f"Expected one of {', '.join(OPTIONAL_ARRAYS)}, got {name!r}.")
    path = Path(run_dir).absolute()
    added = encode_npz(plain_arrays(arrays, name), name)
    with RunLock(path):
        files = {file: read(path, file) for file in read_manifest(path).files if file != f"{name}.npz"}
        files["summary.json"] = encode_json(load_summary(path) | {f"has_{name}": True}, "summary")
        commit_run(path, files | {f"{name}.npz": added}, overwrite=True)
