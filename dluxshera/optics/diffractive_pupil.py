"""The diffractive pupil: a fine binary map reduced to area fractions of pupil pixels."""

import functools
import importlib.util
from pathlib import Path

import numpy as np

TOLIMAN_MAP = "toliman"


def toliman_map_path() -> Path:
    """Where the installed dLuxToliman package keeps its 2048 x 2048 map (the package is not imported)."""
    found = importlib.util.find_spec("dLuxToliman")
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            "The diffractive pupil map ships with dLuxToliman, which is not installed. Run `pip install dLuxToliman`."
        )
    return Path(found.origin).with_name("diffractive_pupil.npy")


def read_map(path: str | Path) -> np.ndarray:
    """Read a square map of values in [0, 1] (0: no step, 1: step) from an .npy file.

    Raises
    ------
    ValueError
        Naming the file, where it is missing, unreadable, not square, or has values outside [0, 1].
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected an .npy file with a diffractive pupil map; {error}.") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not 0 < array.shape[0] == array.shape[1]:
        raise ValueError(f"{path}: expected a square two-dimensional map, got {getattr(array, 'shape', 'an archive')}.")
    if array.dtype.kind not in "fiub" or not (np.isfinite(array).all() and (array >= 0).all() and (array <= 1).all()):
        raise ValueError(f"{path}: expected map values in [0, 1]: the fraction of a pixel that has the phase step.")
    return array.astype(float)


def _overlaps(fine: int, coarse: int) -> np.ndarray:
    """Weights (coarse, fine): how much of each coarse pixel every fine pixel covers; rows sum to one."""
    edges_fine, edges_coarse = np.arange(fine + 1) / fine, np.arange(coarse + 1) / coarse
    low = np.maximum(edges_coarse[:-1, None], edges_fine[None, :-1])
    high = np.minimum(edges_coarse[1:, None], edges_fine[None, 1:])
    return np.clip(high - low, 0, None) * coarse


def area_fractions(fine_map: np.ndarray, npix: int) -> np.ndarray:
    """Fraction (npix, npix) of every pupil pixel that carries the step, by exact area overlap."""
    weights = _overlaps(fine_map.shape[0], npix)
    return weights @ fine_map @ weights.T


@functools.lru_cache(maxsize=8)
def _reduced(path: str, modified_ns: int, npix: int) -> np.ndarray:
    fractions = np.clip(area_fractions(read_map(path), npix), 0.0, 1.0)
    fractions.flags.writeable = False
    return fractions


def diffractive_pupil_fraction(source: str | Path | None, npix: int) -> np.ndarray:
    """Step fraction (npix, npix) of a named map (`"toliman"`), of a user's .npy file, or zeros for None."""
    if source is None:
        return np.zeros((npix, npix))
    path = toliman_map_path() if source == TOLIMAN_MAP else Path(source)
    if not path.is_file():
        raise ValueError(f"{path}: no such diffractive pupil map. Give {TOLIMAN_MAP!r} or the path of an .npy file.")
    return _reduced(str(path), path.stat().st_mtime_ns, npix)
