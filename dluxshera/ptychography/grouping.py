"""Groups of overlapping patterns: the samples that a network is trained on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .extras import extra
from .scan_errors import ScanError

DEFAULT_NEIGHBOURS = 4


class Groups(NamedTuple):
    """Groups of C patterns each; the first of a group is its anchor.

    Attributes
    ----------
    nn_indices : array of int (B, C)
        Patterns of each group.
    coords_offsets : array (B, 2), pixels
        (y, x) of each group's centre, the mean of its members, on the object.
    coords_relative : array (B, C, 2), pixels
        Each member minus the centre.
    """

    nn_indices: np.ndarray
    coords_offsets: np.ndarray
    coords_relative: np.ndarray


def group_patterns(
    positions: ArrayLike,
    gridsize: int,
    n_groups: int,
    seed: int,
    neighbor_count: int = DEFAULT_NEIGHBOURS,
    oversample: bool = False,
) -> Groups:
    """Choose groups of gridsize^2 patterns that lie next to each other.

    Anchors are drawn without replacement; the others of a group at random from the anchor's nearest neighbours.

    Parameters
    ----------
    positions : array (n, 2), pixels
        (y, x) of each pattern.
    gridsize : int
        C = gridsize^2 patterns to a group; 1 for single patterns.
    n_groups : int
        B.
    seed : int
        The same seed gives the same groups.
    neighbor_count : int
        K, the neighbours to choose from; near the edge of a small scan there may be no more than n - 1.
    oversample : bool
        Allow more groups than positions: each position then is an anchor about equally often.

    Raises
    ------
    ScanError
        For fewer positions than C, K below C - 1, more groups than positions without `oversample`, and sizes below 1.
    ImportError
        Without scipy.
    """
    points = _checked_points(positions)
    members = gridsize**2
    _check_sizes(len(points), gridsize, n_groups, neighbor_count, oversample)
    generator = np.random.default_rng([seed, 3])
    anchors = _draw_anchors(generator, len(points), n_groups)
    neighbours = nearest_neighbours(points, neighbor_count)[anchors]
    order = generator.random(neighbours.shape).argsort(axis=1)[:, : members - 1]
    indices = np.concatenate([anchors[:, None], np.take_along_axis(neighbours, order, axis=1)], axis=1)
    centres = points[indices].mean(axis=1)
    return Groups(indices, centres, points[indices] - centres[:, None])


def nearest_neighbours(positions: np.ndarray, count: int) -> np.ndarray:
    """Indices (n, k) of the k = min(count, n - 1) nearest others of each position (n, 2), nearest first."""
    k = min(count, len(positions) - 1)
    if k < 1:
        return np.zeros((len(positions), 0), int)
    found = extra("scipy.spatial").cKDTree(positions).query(positions, k + 1)[1]
    # Among positions that coincide, a position need not be its own first neighbour, nor be found at all.
    own = found == np.arange(len(positions))[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(len(positions), k)


def _draw_anchors(generator: np.random.Generator, n: int, n_groups: int) -> np.ndarray:
    rounds = [generator.permutation(n) for _ in range(-(-n_groups // n))]
    return np.concatenate(rounds)[:n_groups]


def _checked_points(positions: ArrayLike) -> np.ndarray:
    points = np.asarray(positions, float)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ScanError(f"Expected finite positions of shape (n, 2), got {points.shape}. Pass (y, x) of each pattern.")
    return points


def _check_sizes(n: int, gridsize: int, n_groups: int, neighbor_count: int, oversample: bool) -> None:
    members = gridsize**2
    if gridsize < 1 or n_groups < 1:
        raise ScanError(f"Expected gridsize and n_groups (--groups) of 1 or more, got {gridsize} and {n_groups}.")
    if n < members:
        raise ScanError(f"Dataset has only {n} points but {members} coordinates per group requested.")
    if neighbor_count < members - 1:
        raise ScanError(
            f"Expected neighbor_count (--neighbours) of {members - 1} or more for groups of {members}, got "
            f"{neighbor_count}. Raise it."
        )
    if n_groups > n and not oversample:
        raise ScanError(
            f"Expected at most {n} groups, one for each position, got {n_groups}. Lower n_groups (--groups), or pass "
            "oversample=True."
        )
