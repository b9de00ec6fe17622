"""Simulated scans at a chosen dose: expected counts of a forward model, and Poisson draws on the host."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from .data import BLOCK_PIXELS, ScanData
from .data_checks import checked_background
from .independent import independent_counts
from .memory import check_memory
from .objects import make_object
from .probes import default_probe
from .propagation import expected_counts
from .scan_errors import ScanError
from .trajectories import DEFAULT_MARGIN, nongrid_positions, raster_positions, spiral_positions

SCANS = ("nongrid", "raster", "spiral")
LARGEST_MEAN = 1e15  # photons in a pixel
PIXEL_BYTES = 24  # of memory for each pixel of the patterns: expected counts, their scaled copy, counts


def make_scan(
    kind: str | ArrayLike = "lines",
    *,
    size: int = 192,
    npix: int = 64,
    scan: str = "nongrid",
    number: int = 600,
    step: float | int = 6.0,
    margin: float | int = DEFAULT_MARGIN,
    photons: float | int = 1e9,
    seed: int = 0,
    probe: ArrayLike | None = None,
    **options: Any,
) -> ScanData:
    """Simulate a scan of an object of lines.

    Parameters
    ----------
    kind : str or complex array (h, w)
        Object: "lines", "phase" or "mixed" (see `make_object`), or one's own.
    size : int, pixels
        Side of an object that is made; positions lie on it, and it is continued beyond its edges as the windows need.
    npix : int
        N.
    scan : str
        Positions: "nongrid", "raster" or "spiral".
    number : int
        Patterns, of a nongrid scan or a spiral.
    step : float, pixels
        Of a raster.
    margin : float, pixels
        Between positions and the object's edge.
    photons : float
        Mean photons per pattern.
    seed : int
        Of object, trajectory and noise, which do not disturb each other: the trajectory is the same at any dose.
    probe : complex array (N, N) or (M, N, N), optional
        The default probe otherwise.
    **options
        Of `simulate_scan`.

    Returns
    -------
    ScanData
        Whose `object` and `probe` are the truth.
    """
    if scan not in SCANS:
        raise ScanError(f"Expected a scan {', '.join(SCANS)}, got {scan!r}.")
    object = make_object(kind, size, seed) if isinstance(kind, str) else np.asarray(kind)
    if object.ndim != 2:
        raise ScanError(f"Expected an object (h, w), got shape {object.shape}. Give one plane.")
    if scan == "raster":
        positions = raster_positions(step, object.shape, margin)
    elif scan == "spiral":
        positions = spiral_positions(number, object.shape, margin)
    else:
        positions = nongrid_positions(number, object.shape, seed, margin)
    probe = default_probe(npix) if probe is None else probe
    return simulate_scan(object, probe, positions, photons, seed, **options)


def simulate_scan(
    object: ArrayLike,
    probe: ArrayLike,
    positions: ArrayLike,
    photons: float | int = 1e9,
    seed: int = 0,
    *,
    mask: ArrayLike | None = None,
    background: ArrayLike | float | int | None = None,
    interpolation: str = "bilinear",
    independent: bool = False,
    noise: bool = True,
) -> ScanData:
    """Simulate a scan: lambda = (s A)^2 plus the background, and Poisson draws of it.

    s = sqrt(photons / mean_k sum A_k^2) makes `photons` the mean per pattern, on the whole detector, without the
    background; it goes into the probe, which is calibrated then.

    Parameters
    ----------
    object : complex array (h, w)
        It is continued with the values at its edges until it holds every window.
    probe : complex array (N, N) or (M, N, N)
        In any unit.
    positions : array (n, 2), pixels
        (y, x) on the object.
    photons : float
        Mean photons per pattern.
    seed : int
        Of the noise.
    mask : array of bool (N, N) or (n, N, N), optional
        True where the detector has a pixel.
    background : float or array (N, N), photons per pixel, optional
        Known to who reads the result.
    interpolation : str
        Of windows between pixels, "bilinear" or "fourier".
    independent : bool
        Compute on a grid four times finer instead (see `independent_counts`).
    noise : bool
        If False, counts are the expected ones.

    Raises
    ------
    ScanError
        For arguments that cannot be simulated, or a dose at which a pattern came out empty.
    """
    if not 0 < photons < np.inf:
        raise ScanError(f"Expected photons above zero per pattern, got {photons}.")
    modes = np.asarray(probe, complex)
    modes = modes[None] if modes.ndim == 2 else modes
    background = checked_background(background, modes.shape[-1], "simulated scan")
    _check_room(positions, modes.shape[-1])
    object, positions = fit_object(object, positions, modes.shape[-1])
    if interpolation not in ("bilinear", "fourier"):
        raise ScanError(f'Expected interpolation "bilinear" or "fourier", got {interpolation!r}.')
    standard = functools.partial(counts_at, interpolation=interpolation)
    forward = independent_counts if independent else standard
    expected = _in_blocks(forward, object, modes, positions)
    mean = expected.sum((1, 2)).mean()
    if not 0 < mean < np.inf:
        raise ScanError(f"Expected a scan that light passes, got {mean:g} on the detector before scaling.")
    scale = np.sqrt(photons / mean)
    expected = scale**2 * expected + (0.0 if background is None else background)
    if not expected.max() < LARGEST_MEAN:
        raise ScanError(
            f"Expected less than {LARGEST_MEAN:g} photons in every pixel, got {expected.max():g}. Lower photons, now "
            f"{photons:g} per pattern, or the background."
        )
    counts = _draw(expected, seed) if noise else expected
    _check_not_empty(counts, mask, photons)
    return ScanData(
        counts,
        positions,
        scale * modes,
        object,
        mask,
        background,
        interpolation="fourier" if independent else interpolation,
        source="simulated scan",
    )


def _check_room(positions: ArrayLike, npix: int) -> None:
    needed = PIXEL_BYTES * len(np.atleast_1d(positions)) * npix**2
    check_memory(needed, "patterns", "Simulate fewer (--number), or smaller ones (--npix).")


def fit_object(object: ArrayLike, positions: ArrayLike, npix: int) -> tuple[np.ndarray, np.ndarray]:
    """Continue an object, with the values at its edges, until it holds every window and one spare row and column.

    Parameters
    ----------
    object : array (h, w)
    positions : array (n, 2), pixels
        (y, x) on the object.
    npix : int
        N.

    Returns
    -------
    object : complex array (h', w')
    positions : array (n, 2), pixels
        The same positions, on the larger object: moved by whole pixels.
    """
    object, positions = np.asarray(object, complex), np.asarray(positions, float)
    if object.ndim != 2 or positions.ndim != 2 or positions.shape[1] != 2 or not len(positions):
        raise ScanError(f"Expected an object (h, w) and positions (n, 2), got {object.shape} and {positions.shape}.")
    if not (np.isfinite(object).all() and np.isfinite(positions).all()):
        raise ScanError("Expected a finite object and finite positions, got some that are not.")
    corners = np.floor(positions - npix // 2).astype(int)
    before = np.maximum(-corners.min(0), 0)
    after = np.maximum(corners.max(0) + npix + 1 - np.asarray(object.shape), 0)
    padded = np.pad(object, list(zip(before, after, strict=True)), mode="edge")
    return padded, positions + before


def scan_facts(data: ScanData) -> dict[str, Any]:
    """Return what a study prints of a data set.

    Returns
    -------
    facts : dict
        `counts_shape, probe_shape, object_shape` (None where there is none), `patterns`, `mean_photons` (per pattern),
        `mean_counts`, `rms_amplitude` and `mean_amplitude` (per pixel, of the square root of the counts),
        `empty_pixels` (fraction), `largest_count`. Masked pixels count as empty.
    """
    empty, amplitude, largest = 0, 0.0, 0.0
    for _, block in data.blocks():
        empty += int((block == 0).sum())
        amplitude += float(np.sqrt(block, dtype=float).sum())
        largest = max(largest, float(block.max()))
    pixels = len(data) * data.npix**2
    mean = float(data.photons.sum()) / pixels
    return {
        "counts_shape": list(data.counts.shape),
        "probe_shape": None if data.probe is None else list(data.probe.shape),
        "object_shape": None if data.object is None else list(data.object.shape),
        "patterns": len(data),
        "mean_photons": float(data.photons.mean()),
        "mean_counts": mean,
        "rms_amplitude": float(np.sqrt(mean)),
        "mean_amplitude": amplitude / pixels,
        "empty_pixels": empty / pixels,
        "largest_count": largest,
    }


def gap_mask(npix: int, gap: int = 2, beam_stop: float | int = 0.0) -> np.ndarray:
    """Mask of a detector of four modules with a cross of gaps between them, and of a round beam stop.

    Parameters
    ----------
    npix : int
        N.
    gap : int, pixels
        Width of the gaps, which cross at a quarter of the width from the middle.
    beam_stop : float, pixels
        Radius around the zero frequency.

    Returns
    -------
    mask : array of bool (N, N)
        True where the detector has a pixel.
    """
    mask = np.ones((npix, npix), bool)
    start = npix // 4
    mask[start : start + gap] = mask[:, start : start + gap] = False
    y, x = np.ogrid[-(npix // 2) : npix - npix // 2, -(npix // 2) : npix - npix // 2]
    return mask & (np.hypot(y, x) >= beam_stop)


@functools.partial(jax.jit, static_argnames="interpolation")
def counts_at(object: ArrayLike, probe: ArrayLike, positions: ArrayLike, interpolation: str) -> jax.Array:
    """Expected counts (n, N, N), without a background, of windows whose pixel [N//2, N//2] is at given positions.

    Parameters
    ----------
    object : complex array (h, w)
    probe : complex array (M, N, N)
    positions : array (n, 2), pixels
        (y, x) on the object.
    interpolation : str
        "bilinear" or "fourier".
    """
    return expected_counts(object, probe, positions - probe.shape[-1] // 2, 0.0, interpolation)


def _in_blocks(forward: Callable[..., Any], object: np.ndarray, probe: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Apply a forward model to some positions at a time, always as many, for one compilation."""
    n = len(positions)
    size = min(n, max(1, BLOCK_PIXELS // (probe.size * 4)))
    filled = np.pad(positions, ((0, -n % size), (0, 0)), mode="edge")
    parts = [forward(object, probe, filled[start : start + size]) for start in range(0, n, size)]
    return np.concatenate([np.asarray(part, float) for part in parts])[:n]


def _draw(expected: np.ndarray, seed: int) -> np.ndarray:
    # On the host: jax.random.poisson works in single precision inside, and is wrong from a million counts on.
    counts = np.random.default_rng([seed, 2]).poisson(expected)
    return counts.astype(np.uint32 if counts.max() < 2**32 - 1 else np.int64)


def _check_not_empty(counts: np.ndarray, mask: ArrayLike | None, photons: float | int) -> None:
    seen = counts if mask is None else counts * np.asarray(mask, bool)
    empty = int((~seen.any((1, 2))).sum())
    if empty:
        raise ScanError(f"Expected counts in every pattern, got none in {empty}. Raise photons, now {photons:g}.")
