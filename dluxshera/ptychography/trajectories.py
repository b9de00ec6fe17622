"""Scan positions: anywhere, on a raster, or on a spiral."""

from collections.abc import Sequence

import numpy as np

from .scan_errors import ScanError

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # radians
DEFAULT_MARGIN = 15.0
MOST_POSITIONS = 10**7


def nongrid_positions(number: int, shape: Sequence[int], seed: int, margin: float | int = DEFAULT_MARGIN) -> np.ndarray:
    """Draw positions uniformly over an object, away from its edges.

    Parameters
    ----------
    number : int
    shape : (h, w), pixels
    seed : int
        The same seed gives the same positions; a larger number begins with those of a smaller one.
    margin : float, pixels
        From the edge of the object.

    Returns
    -------
    positions : array (number, 2), pixels
        (y, x) on the object.

    Raises
    ------
    ScanError
        If the margins leave no room.
    """
    _check_number(number)
    low, high = _limits(shape, margin)
    return np.random.default_rng([seed, 1]).uniform(low, high, (number, 2))


def raster_positions(
    step: float | int,
    shape: Sequence[int],
    margin: float | int = DEFAULT_MARGIN,
    jitter: float | int = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Place positions on a rectangular grid, row by row, centred on an object.

    Parameters
    ----------
    step : float, pixels
        Between neighbours.
    shape : (h, w), pixels
    margin : float, pixels
        From the edge of the object to the outermost positions, at least.
    jitter : float, pixels
        Standard deviation of a random displacement, cut at the margin.
    seed : int
        Of the displacements.

    Returns
    -------
    positions : array (n, 2), pixels
    """
    if not 0 < step < np.inf:
        raise ScanError(f"Expected a step above zero, got {step:g} pixels.")
    low, high = _limits(shape, margin)
    _check_number(np.prod((high - low) // step + 1))
    axes = [_centred_steps(a, b, step) for a, b in zip(low, high, strict=True)]
    positions = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    moved = positions + jitter * np.random.default_rng([seed, 1]).standard_normal(positions.shape)
    return np.clip(moved, low, high)


def spiral_positions(number: int, shape: Sequence[int], margin: float | int = DEFAULT_MARGIN) -> np.ndarray:
    """Place positions on a Fermat spiral that fills the largest circle inside the margins, evenly by area.

    Position k lies at radius R sqrt((k + 1/2) / n) and angle k times the golden angle (Huang et al. 2014,
    Optics Express 22, 12634).

    Parameters
    ----------
    number : int
    shape : (h, w), pixels
    margin : float, pixels

    Returns
    -------
    positions : array (number, 2), pixels
    """
    _check_number(number)
    low, high = _limits(shape, margin)
    k = np.arange(number)
    radius = (high - low).min() / 2 * np.sqrt((k + 0.5) / number)
    direction = np.stack([np.sin(k * GOLDEN_ANGLE), np.cos(k * GOLDEN_ANGLE)], axis=-1)
    return (low + high) / 2 + radius[:, None] * direction


def _centred_steps(low: float, high: float, step: float | int) -> np.ndarray:
    number = int((high - low) // step) + 1
    return (low + high) / 2 + step * (np.arange(number) - (number - 1) / 2)


def _limits(shape: Sequence[int], margin: float | int) -> tuple[np.ndarray, np.ndarray]:
    high = np.asarray(shape, float) - 1 - margin
    if margin < 0 or (high < margin).any():
        raise ScanError(f"Expected a margin from 0 to half of an object of {tuple(shape)} pixels, got {margin:g}.")
    return np.full(2, float(margin)), high


def _check_number(number: int | float) -> None:
    if not 1 <= number <= MOST_POSITIONS:
        raise ScanError(f"Expected 1 to {MOST_POSITIONS} positions, got {number:g}.")
