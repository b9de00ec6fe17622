"""Groups of a scan as arrays for the network: which patterns, and where on a canvas of the group's own."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from ..data import ScanData
from ..grouping import group_patterns
from ..scan_errors import ScanError


class ScanArrays(NamedTuple):
    """A scan in single precision, for the compiled functions.

    Attributes
    ----------
    counts : array (n, N, N), photons
    used : array of bool (N, N) or (n, N, N), or None for all pixels
    probe : complex array (M, N, N), sqrt(photons)
    background : array () or (N, N), photons per pixel
    """

    counts: Float[Array, "n N N"]
    used: Bool[Array, "..."] | None
    probe: Complex[Array, "M N N"]
    background: Float[Array, "..."]

    def used_in(self, index: Int[Array, "b C"]) -> Bool[Array, "..."] | None:
        """Which pixels of some patterns are used, (N, N) or (b, C, N, N); None for all."""
        return self.used if self.used is None or self.used.ndim == 2 else self.used[index]


class GroupSet(NamedTuple):
    """Groups of a scan.

    Attributes
    ----------
    index : array of int (B, C)
        Patterns of each group.
    corners : array (B, C, 2), pixels
        (y, x) of each window's corner on the group's canvas, between 0 and `side` - N - 1.
    origins : array of int (B, 2), pixels
        Position of the group's pixel [0, 0] on the file's own grid: canvases lie on that grid, so that the true object
        is one that they can hold.
    side : int, pixels
        Of the canvases.
    """

    index: np.ndarray
    corners: np.ndarray
    origins: np.ndarray
    side: int

    def select(self, rows: np.ndarray) -> "GroupSet":
        """Some of the groups."""
        return GroupSet(self.index[rows], self.corners[rows], self.origins[rows], self.side)

    def __len__(self) -> int:
        return len(self.index)


def scan_arrays(data: ScanData, probe: np.ndarray | None = None, background: np.ndarray | None = None) -> ScanArrays:
    """Give a scan in single precision.

    Parameters
    ----------
    data : ScanData
    probe : complex array (M, N, N), optional
        In place of the data's.
    background : array () or (N, N), photons per pixel, optional
        In place of the data's.

    Raises
    ------
    ScanError
        As `light_arrays`.
    """
    modes, background = light_arrays(data, probe, background)
    counts = jnp.asarray(np.asarray(data.counts, np.float32))
    used = None if data.mask is None else jnp.asarray(data.mask)
    return ScanArrays(counts, used, jnp.asarray(modes), jnp.asarray(background))


def light_arrays(
    data: ScanData, probe: np.ndarray | None = None, background: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Give probe (M, N, N) and background () or (N, N) of a scan in single precision; arguments as of `scan_arrays`.

    Raises
    ------
    ScanError
        If no probe is known, or windows between pixels are not bilinear.
    """
    modes = data.probe if probe is None else probe
    if modes is None:
        raise ScanError(f"{data.source}: Expected a calibrated probe, got none (probeGuess). Reconstruct one first.")
    if data.interpolation != "bilinear":
        raise ScanError(f'{data.source}: Expected interpolation "bilinear", got {data.interpolation!r}.')
    modes = np.asarray(modes, np.complex64)
    dark = data.background if background is None else background
    return modes.reshape(-1, *modes.shape[-2:]), np.asarray(0.0 if dark is None else dark, np.float32)


def group_set(data: ScanData, gridsize: int, groups: int | None, neighbours: int, seed: int) -> GroupSet:
    """Group the patterns of a scan.

    Parameters
    ----------
    data : ScanData
    gridsize : int
        C = gridsize^2 patterns to a group.
    groups : int or None
        How many; one for each pattern by default, and at most.
    neighbours : int
        K, from which members are drawn.
    seed : int

    Raises
    ------
    ScanError
        For more groups than patterns, and as `group_patterns`.
    """
    number = len(data) if groups is None else groups
    if number > len(data):
        raise ScanError(
            f"{data.source}: Expected groups of at most {len(data)}, one for each pattern, got {number}. Lower groups "
            "(--groups)."
        )
    found = group_patterns(data.positions, gridsize, number, seed, neighbours)
    corners = np.asarray(data.positions, float)[found.nn_indices] - data.npix // 2
    origins = np.floor(corners.min(axis=1)).astype(int)
    relative = corners - origins[:, None]
    side = data.npix + int(np.floor(relative.max())) + 2
    return GroupSet(found.nn_indices.astype(np.int32), relative.astype(np.float32), origins, side)
