"""A trained network as a file: weights by path, settings, constants of the inputs, probe and schema version."""

import dataclasses
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

from ...inference import run_artifacts as artifacts
from ...inference._artifact_npz import decode_npz, encode_npz, plain_arrays
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
    """

    model: PhysicsNetwork
    settings: TrainingSettings
    probe: np.ndarray
    background: np.ndarray
    facts: dict[str, Any]

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
        settings = TrainingSettings.from_record(meta["settings"])
        architecture = settings.architecture
        weights = {k.removeprefix(WEIGHTS): v for k, v in arrays.items() if k.startswith(WEIGHTS)}
        network = network_from(blank_network(settings), weights, where)
        channels, npix = architecture.channels, architecture.npix
        wanted = {"input_offset": (channels,), "input_gain": (channels,), "probe": (-1, npix, npix), "background": None}
        offset, gain, probe, background = (_checked(arrays, name, shape, where) for name, shape in wanted.items())
        conditioning = Conditioning(jnp.asarray(offset), jnp.asarray(gain))
        return Bundle(PhysicsNetwork(network, conditioning), settings, probe, background, dict(meta["facts"]))


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
        return Bundle.from_arrays(artifacts.load_arrays(path, "bundle"), str(path / FILE))
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise ScanError(f"{path}: Expected a bundle ({FILE}) or the run directory of a training, got none there.")
    try:
        arrays = decode_npz(file.read_bytes(), str(file))
    except (artifacts.CorruptArtifact, OSError) as error:
        raise ScanError(f"{file}: Expected a bundle, got a damaged file: {error}") from error
    return Bundle.from_arrays(arrays, str(file))


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
        meta = json.loads(str(arrays["meta"]))
        schema, _ = meta["schema"], (meta["settings"].keys(), meta["facts"].keys())
    except (KeyError, json.JSONDecodeError, TypeError, AttributeError) as error:
        raise ScanError(f"{where}: Expected the meta of a bundle, got: {error!r}.") from error
    version = _VERSION.fullmatch(schema) if isinstance(schema, str) else None
    if version is None:
        raise ScanError(f"{where}: Expected schema {SCHEMA}, got {schema!r}.")
    if int(version[1]) > int(_VERSION.fullmatch(SCHEMA)[1]):
        raise ScanError(f"{where}: needs a dluxshera that reads {schema}; this one reads {SCHEMA}. Upgrade dluxshera.")
    return meta


def _checked(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...] | None, where: str) -> np.ndarray:
    array = arrays.get(name)
    if array is None:
        raise ScanError(f"{where}: Expected {name}, got none.")
    fits = shape is None or (array.ndim == len(shape) and array.shape[1:] == shape[1:] and shape[0] in (-1, len(array)))
    if not fits or array.dtype.kind not in "fc" or not np.isfinite(array).all():
        raise ScanError(f"{where}: Expected finite {name} of shape {shape}, got {array.dtype} {array.shape}.")
    return array
