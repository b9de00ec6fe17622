"""What a reconstruction gives, and its file."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..inference._artifact_errors import CorruptArtifact
from ..inference._artifact_npz import decode_npz
from .batches import map_batches
from .model import Ptychography, build_model
from .scan_errors import ScanError
from .whole_file import whole_file

ARRAYS = ("object", "probe", "positions", "coverage", "background")
HISTORY = "history_"


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """Object, probe and positions that explain a scan.

    |FFT2(probe * window)|^2, orthonormal and with the zero frequency in the middle, summed over modes, plus the
    background, is the expected counts of a pattern; its window is cut from the object at its corner, bilinear unless
    `interpolation` says otherwise.

    Attributes
    ----------
    object : complex array (h, w)
    probe : complex array (M, N, N), sqrt(photons)
    positions : array (n, 2), pixels
        (y, x) of each window's corner on the canvas: from 0 to below (h - N, w - N), so that the window and one more
        row and column lie on it.
    coverage : array (h, w), photons
        Mean illumination of each pixel of the canvas.
    background : array () or (N, N), photons per pixel
    origin : array of int (2,), pixels
        Position of the canvas' pixel [0, 0] on the file's own grid.
    interpolation : str
    deviance : float
        Poisson deviance per pixel, over all pixels that the detector has.
    held_out_deviance : float or None
        The same over pixels kept out of the likelihood, where some were.
    history : dict of arrays (T,)
        `seconds` of optimisation, `loss`, `deviance` (running means within an epoch, NaN where not known), `stage`, and
        `finite`: False for an epoch that was refused.
    facts : dict
        Settings, times, and what happened, plain values: `nonfinite_steps` epochs were refused, `failure` says why it
        broke down, or is None.
    """

    object: np.ndarray
    probe: np.ndarray
    positions: np.ndarray
    coverage: np.ndarray
    background: np.ndarray
    origin: np.ndarray
    interpolation: str
    deviance: float
    held_out_deviance: float | None
    history: dict[str, np.ndarray]
    facts: dict[str, Any]

    def model(self, **options: Any) -> Ptychography:
        """Return the model that these arrays make; `options` are other fields of `Ptychography`."""
        centres = np.asarray(self.positions, float) + self.probe.shape[-1] // 2
        options = {"interpolation": self.interpolation, **options}
        return build_model(self.object, self.probe, centres, self.background, **options)

    def write(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write everything to an NPZ file, which appears in one step.

        Raises
        ------
        ScanError
            If the folder does not exist, or the file does.
        """
        with whole_file(Path(path), overwrite) as temporary, open(temporary, "wb") as file:
            np.savez(file, **self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as plain arrays: those of the file that `write` makes."""
        meta = {
            "interpolation": self.interpolation,
            "deviance": self.deviance,
            "held_out_deviance": self.held_out_deviance,
            "facts": self.facts,
        }
        history = {HISTORY + name: np.asarray(values) for name, values in self.history.items()}
        found = {name: np.asarray(getattr(self, name)) for name in (*ARRAYS, "origin")}
        return {**found, **history, "meta": np.asarray(json.dumps(meta))}

    @staticmethod
    def read(path: str | os.PathLike) -> "Reconstruction":
        """Read a file written by `write`, or one with only its five arrays.

        Raises
        ------
        ScanError
            Naming the file and the key, if it cannot be read or does not fit together.
        """
        return Reconstruction.from_arrays(_stored(Path(path)), str(path))

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray], where: str) -> "Reconstruction":
        """Give back what `arrays` took apart; `where` is what error messages call it.

        Raises
        ------
        ScanError
            Naming `where` and the key, if the arrays do not fit together.
        """
        stored = {"background": np.zeros(()), **arrays}
        _check_shapes(stored, where)
        meta = _meta(stored, where)
        history = {k.removeprefix(HISTORY): v for k, v in stored.items() if k.startswith(HISTORY)}
        origin = np.asarray(stored.get("origin", np.zeros(2, int)))
        arrays = {name: stored[name] for name in ARRAYS}
        return Reconstruction(**arrays, origin=origin, history=history, **meta)


def _stored(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ScanError(f"{path}: Expected a reconstruction file, got none there.")
    try:
        return decode_npz(path.read_bytes(), str(path))
    except (CorruptArtifact, OSError) as error:
        raise ScanError(f"{path}: Expected a reconstruction file (NPZ), got: {error}") from error


def _check_shapes(stored: Mapping[str, np.ndarray], path: str) -> None:
    missing = [name for name in ARRAYS if name not in stored]
    if missing:
        raise ScanError(f"{path}: Expected the keys {', '.join(ARRAYS)}, got no {', '.join(missing)}.")
    shape = {name: stored[name].shape for name in ARRAYS}
    npix = shape["probe"][-1:] * 2
    good = {
        "object": len(shape["object"]) == 2,
        "probe": len(shape["probe"]) == 3 and shape["probe"][1:] == npix,
        "positions": len(shape["positions"]) == 2 and shape["positions"][1] == 2,
        "coverage": shape["coverage"] == shape["object"],
        "background": shape["background"] in ((), npix),
    }
    for name, fits in good.items():
        if not fits:
            raise ScanError(f"{path}: Expected {name} to fit the other arrays, got shape {shape[name]}.")
        if stored[name].dtype.kind not in "uifc" or not np.isfinite(stored[name]).all():
            raise ScanError(f"{path}: Expected finite numbers in {name}.")
    _check_on_canvas(stored["positions"], shape["object"], npix, path)


def _check_on_canvas(corners: np.ndarray, shape: tuple[int, ...], npix: tuple[int, ...], path: str) -> None:
    outside = np.flatnonzero(((corners < 0) | (corners >= np.subtract(shape, npix))).any(1))
    if outside.size:
        y, x = corners[outside[0]]
        raise ScanError(
            f"{path}: positions: Expected corners whose windows of {npix[0]} x {npix[1]}, and one more row and column, "
            f"lie on the canvas of {shape[0]} x {shape[1]}, got ({y:g}, {x:g}) for pattern {outside[0]}, and "
            f"{outside.size - 1} more outside."
        )


def corners_on_canvas(corners: ArrayLike, shape: tuple[int, ...], npix: int) -> np.ndarray:
    """Corners (n, 2) as the model takes them: those beyond the canvas (h, w) are moved to its edge.

    Parameters
    ----------
    corners : array (n, 2), pixels
    shape : (h, w), pixels
    npix : int
        N.
    """
    last = np.nextafter(np.subtract(shape, npix).astype(np.float32), np.float32(0))  # in single precision too
    return np.clip(np.asarray(corners, float), 0.0, last.astype(float))


def _meta(stored: Mapping[str, np.ndarray], path: Any) -> dict[str, Any]:
    blank = {"interpolation": "bilinear", "deviance": np.nan, "held_out_deviance": None, "facts": {}}
    try:
        found = json.loads(str(stored["meta"])) if "meta" in stored else {}
    except json.JSONDecodeError as error:
        raise ScanError(f"{path}: Expected meta to be JSON, got: {error}") from error
    return {name: found.get(name, value) for name, value in blank.items()}


def deviances(model: Ptychography, counts: ArrayLike, weights: Mapping[str, ArrayLike | None]) -> dict[str, float]:
    """Poisson deviance per pixel of a model over several sets of pixels.

    Parameters
    ----------
    model : Ptychography
    counts : array (n, N, N), photons
    weights : mapping of str to array of bool (N, N) or (n, N, N), or None for all pixels
    """
    counts = jnp.asarray(np.asarray(counts, np.float32))
    found = {}
    for name, used in weights.items():
        used = np.ones(counts.shape[1:], bool) if used is None else np.asarray(used, bool)
        used = np.broadcast_to(used, counts.shape)
        total = np.asarray(_summed_deviance(model, counts, jnp.asarray(used)), float).sum()
        found[name] = float(total / used.sum(dtype=float))
    return found


@eqx.filter_jit
def _summed_deviance(model: Ptychography, counts: Array, used: Array) -> Float[Array, " n"]:
    """Of each pattern."""

    def part(index):
        n, expected = counts[index], model.patterns(index)
        seen = (n > 0) & used[index]
        excess = (expected - n) / jnp.where(seen, n, 1.0)
        pixels = jnp.where(seen, n * (excess - jnp.log1p(jnp.where(seen, excess, 0.0))), expected)
        return 2 * jnp.sum(jnp.where(used[index], pixels, 0.0), axis=(1, 2))

    return map_batches(part, counts.shape[0], model.batch)
