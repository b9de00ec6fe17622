"""A trained network as a file: weights by path, settings, constants of the inputs, probe and schema version."""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...inference import run_artifacts as artifacts
from ...inference._artifact_npz import decode_npz, encode_npz, plain_arrays
from ..data_checks import checked_background, checked_probe
from ..scan_errors import ScanError
from ..whole_file import whole_file
from .forward import PhysicsNetwork
from .inputs import Conditioning
from .network import PatchNetwork
from .settings import TrainingSettings

SCHEMA = "dluxshera-network-v0"
FILE = "bundle.npz"
WEIGHTS = "weights."
_VERSION = re.compile(r"dluxshera-network-v(\d{1,6})")


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """Everything that inference needs.

    Attributes
    ----------
    model : PhysicsNetwork
        Network and constants of its inputs.
    settings : TrainingSettings
    probe : complex array (M, N, N), sqrt(photons)
        Of the training set.
    background : array () or (N, N), photons per pixel
    facts : dict
        Plain values: epochs, validation loss, parameters.
    source : str
        The file that it was loaded from.
    """

    model: PhysicsNetwork
    settings: TrainingSettings
    probe: np.ndarray
    background: np.ndarray
    facts: dict[str, Any]
    source: str = "memory"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of the constants of the inputs."""
        digest = hashlib.sha256()
        for name, array in weights_by_path(self.model).items():
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as plain arrays: those of `bundle.npz`."""
        meta = {"schema": SCHEMA, "settings": self.settings.record(), "facts": self.facts}
        weights = {WEIGHTS + name: array for name, array in weights_by_path(self.model.network).items()}
        return {
            "meta": np.asarray(json.dumps(meta)),
            "input_offset": np.asarray(self.model.conditioning.offset),
            "input_gain": np.asarray(self.model.conditioning.gain),
            "probe": self.probe,
            "background": self.background,
            **weights,
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray], where: str) -> "Bundle":
        """Give back what `arrays` took apart.

        Raises
        ------
        ScanError
            Naming `where` and what does not fit.
        """
        meta = _meta(arrays, where)
        try:
            settings = TrainingSettings.from_record(meta["settings"])
        except ScanError as error:
            raise ScanError(f"{where}: meta: settings: {error}") from error
        weights = {k.removeprefix(WEIGHTS): v for k, v in arrays.items() if k.startswith(WEIGHTS)}
        network = network_from(blank_network(settings), weights, where)
        for name, weight in weights.items():
            _check_finite(weight, WEIGHTS + name, where)
        offset, gain = (_constants(arrays, name, settings, where) for name in ("input_offset", "input_gain"))
        model, npix = PhysicsNetwork(network, Conditioning(offset, gain)), settings.architecture.npix
        probe = checked_probe(_there(arrays, "probe", where), npix, where).astype(np.complex64)
        background = checked_background(_there(arrays, "background", where), npix, where).astype(np.float32)
        return Bundle(model, settings, probe, background, dict(meta["facts"]), where)


def save_bundle(folder: str | os.PathLike, bundle: Bundle, overwrite: bool = False) -> Path:
    """Write `bundle.npz` into a folder, which is made if it is not there, and give its path.

    Parameters
    ----------
    folder : path
    bundle : Bundle
    overwrite : bool

    Raises
    ------
    ScanError
        If the parent folder is missing, or the file is there already.
    """
    path = Path(folder) / FILE
    if not path.parent.parent.is_dir():
        raise ScanError(f"{folder}: Expected an existing folder, got {path.parent.parent}. Create it first.")
    path.parent.mkdir(exist_ok=True)
    with whole_file(path, overwrite) as temporary:
        temporary.write_bytes(encode_npz(plain_arrays(bundle.arrays(), FILE), FILE))
    return path


def load_bundle(folder: str | os.PathLike) -> Bundle:
    """Load a bundle from the run directory of a training, or from a folder or file of `save_bundle`.

    Parameters
    ----------
    folder : path

    Raises
    ------
    ScanError
        Naming the file, if there is none, or it is damaged, of a newer schema, or does not fit together.
    CorruptArtifact, SchemaError
        If the run directory is damaged, or no training.
    """
    path = Path(folder)
    if (path / "MANIFEST.json").is_file():
        _check_is_training(path)
        return Bundle.from_arrays(artifacts.load_arrays(path, "bundle"), str(path / FILE))
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise ScanError(f"{path}: Expected a bundle ({FILE}) or the run directory of a training, got none there.")
    try:
        arrays = decode_npz(file.read_bytes(), str(file))
    except (artifacts.CorruptArtifact, OSError) as error:
        raise ScanError(f"{file}: Expected a bundle, got a damaged file: {error}") from error
    return Bundle.from_arrays(arrays, str(file))


def _check_is_training(run_dir: Path) -> None:
    if "bundle" not in artifacts.extra_names(run_dir):
        raise artifacts.SchemaError(
            f"{run_dir}: Expected the run directory of a training, with {FILE}, got another run's. Give one of "
            "dluxshera ptycho train."
        )


def weights_by_path(tree: Any) -> dict[str, np.ndarray]:
    """Arrays of a tree by their dotted paths."""
    found = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in found}


def network_from(blank: Any, arrays: Mapping[str, np.ndarray], where: str) -> Any:
    """A tree like `blank` with arrays by path.

    Raises
    ------
    ScanError
        Naming `where` and the path, if an array is missing, not wanted, or not of the right shape and type.
    """
    wanted, tree = jax.tree_util.tree_flatten_with_path(blank)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in wanted]
    unknown = sorted(set(arrays) - set(names))
    if unknown:
        raise ScanError(f"{where}: Expected no array {unknown[0]}, got one: settings and weights do not fit together.")
    leaves = []
    for name, (_, leaf) in zip(names, wanted, strict=True):
        array = arrays.get(name)
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            got = "none" if array is None else f"{array.dtype} {array.shape}"
            raise ScanError(f"{where}: Expected {name} to be {leaf.dtype} {leaf.shape}, got {got}.")
        leaves.append(jnp.asarray(array))
    return jax.tree.unflatten(tree, leaves)


def blank_network(settings: TrainingSettings) -> PatchNetwork:
    """A network without numbers: shapes and types only."""
    return eqx.filter_eval_shape(PatchNetwork.drawn, settings.architecture, 0)


def _meta(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, Any]:
    try:
        meta = json.loads(str(_there(arrays, "meta", where)))
    except (ValueError, RecursionError) as error:
        raise ScanError(f"{where}: meta: Expected the meta of a bundle, got: {error}") from error
    if not isinstance(meta, dict):
        raise ScanError(f"{where}: meta: Expected the meta of a bundle, a mapping, got {type(meta).__name__}.")
    schema = meta.get("schema")
    version = _VERSION.fullmatch(schema) if isinstance(schema, str) else None
    if version is None:
        raise ScanError(f"{where}: meta: Expected schema {SCHEMA}, got {schema!r}.")
    if int(version[1]) > int(_VERSION.fullmatch(SCHEMA)[1]):
        raise ScanError(f"{where}: needs a dluxshera that reads {schema}; this one reads {SCHEMA}. Upgrade dluxshera.")
    for key in ("settings", "facts"):
        if not isinstance(meta.get(key), dict):
            raise ScanError(f"{where}: meta: Expected {key} to be a mapping, got {type(meta.get(key)).__name__}.")
    return meta


def _there(arrays: Mapping[str, np.ndarray], name: str, where: str) -> np.ndarray:
    if arrays.get(name) is None:
        raise ScanError(f"{where}: {name}: Expected the {name} of a bundle, got none. Give the run of a training.")
    return arrays[name]


def _constants(arrays: Mapping[str, np.ndarray], name: str, settings: TrainingSettings, where: str) -> Array:
    """Offset or gain of the inputs, float32."""
    array, shape = _there(arrays, name, where), (settings.architecture.channels,)
    if array.dtype.kind != "f" or array.shape != shape:
        raise ScanError(f"{where}: {name}: Expected real numbers of shape {shape}, got {array.dtype} {array.shape}.")
    _check_finite(array, name, where)
    return jnp.asarray(array, jnp.float32)


def _check_finite(array: np.ndarray, name: str, where: str) -> None:
    bad = int((~(np.abs(array) <= np.finfo(np.float32).max)).sum())
    if bad:
        raise ScanError(f"{where}: {name}: Expected finite numbers, got {bad} that are not. Train anew.")
