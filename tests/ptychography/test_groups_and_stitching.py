"""Groups of overlapping patterns, and patches on a canvas that holds them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from dluxshera.ptychography import (
    ScanError,
    canvas_of,
    coverage_mask,
    disc_probe,
    energy_inside,
    group_patterns,
    grouping_summary,
    illumination,
    raster_positions,
    smallest_side,
    stitch,
)
from dluxshera.ptychography.grouping import nearest_neighbours
from dluxshera.ptychography.propagation import cut_windows


def points(seed, n, span=50.0):
    return np.random.default_rng(seed).uniform(-span, span, (n, 2))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 3), st.integers(0, 5), st.data())
def test_groups_are_what_they_say(seed, extra, gridsize, spare, data):
    members = gridsize**2
    n, count = members + extra, members - 1 + spare
    n_groups = data.draw(st.integers(1, n))
    positions = points(seed, n)
    groups = group_patterns(positions, gridsize, n_groups, seed, count)
    indices = groups.nn_indices
    assert indices.shape == (n_groups, members) and groups.coords_relative.shape == (n_groups, members, 2)
    assert np.unique(indices[:, 0]).size == n_groups  # anchors without replacement
    assert all(np.unique(group).size == members for group in indices)
    ranks = cdist(positions, positions).argsort(axis=1)
    for group in indices:
        assert set(group[1:]) <= set(ranks[group[0], 1 : count + 1])
    np.testing.assert_allclose(groups.coords_relative.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(groups.coords_offsets[:, None] + groups.coords_relative, positions[indices])
    again = group_patterns(positions, gridsize, n_groups, seed, count)
    np.testing.assert_array_equal(again.nn_indices, indices)


def test_members_are_drawn_from_all_neighbours():
    groups = group_patterns(points(0, 200), 2, 200, 0, neighbor_count=7)
    ranks = cdist(points(0, 200), points(0, 200)).argsort(axis=1).argsort(axis=1)
    drawn = np.concatenate([ranks[group[0], group[1:]] for group in groups.nn_indices])
    assert np.bincount(drawn, minlength=8)[1:].min() > 50  # 600 draws over seven neighbours


def test_oversampling_uses_every_position_equally():
    groups = group_patterns(points(1, 10), 2, 25, 0, oversample=True)
    assert set(np.bincount(groups.nn_indices[:, 0])) == {2, 3}


def test_positions_that_coincide_are_still_different_patterns():
    groups = group_patterns(np.zeros((12, 2)), 2, 12, 0)
    assert all(np.unique(group).size == 4 for group in groups.nn_indices)
    assert (nearest_neighbours(np.zeros((12, 2)), 4) != np.arange(12)[:, None]).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((points(0, 2), 2, 1, 0), "Dataset has only 2 points but 4 coordinates per group requested."),
        ((points(0, 9), 2, 1, 0, 2), r"neighbor_count \(--neighbours\) of 3 or more for groups of 4, got 2"),
        ((points(0, 9), 1, 10, 0), "Expected at most 9 groups.*pass oversample=True"),
        ((points(0, 9), 0, 1, 0), r"gridsize and n_groups \(--groups\) of 1 or more"),
        ((points(0, 9), 1, 0, 0), r"gridsize and n_groups \(--groups\) of 1 or more"),
        ((points(0, 9)[:, :1], 1, 1, 0), "positions of shape"),
        ((points(0, 9) * np.nan, 1, 1, 0), "Expected finite positions"),
    ],
)
def test_groups_that_cannot_be_made(arguments, message):
    with pytest.raises(ScanError, match=message):
        group_patterns(*arguments)


def test_grouping_summary():
    positions = points(3, 30)
    groups = group_patterns(positions, 2, 10, 1)
    record = grouping_summary(positions, groups, 12)
    assert record["requested"] == {"groups": 12, "patterns": 30}
    achieved = record["achieved"]
    assert achieved["groups"] == achieved["distinct_anchors"] == 10 and achieved["members"] == 4
    assert achieved["patterns_in_no_group"] == 30 - np.unique(groups.nn_indices).size
    assert record["offsets"]["x"]["largest"] == groups.coords_offsets[:, 1].max()
    assert record["largest_relative"] == pytest.approx(np.linalg.norm(groups.coords_relative, axis=-1).max())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.sampled_from([5, 8]), st.floats(0.0, 60.0))
def test_all_energy_is_inside_the_canvas(seed, n, npix, span):
    positions, rng = points(seed, n, span), np.random.default_rng(seed)
    canvas = canvas_of(positions, npix)
    probe = rng.standard_normal((2, npix, npix)) + 1j
    assert energy_inside(probe, canvas.corners, canvas.shape) == pytest.approx(1, abs=1e-12)
    assert (canvas.corners >= 0).all() and (np.floor(canvas.corners) <= np.asarray(canvas.shape) - npix - 1).all()
    np.testing.assert_array_equal(canvas.origin, np.round(canvas.origin))
    np.testing.assert_allclose(canvas.corners + canvas.origin + npix // 2, positions, atol=1e-9)
    stitched = stitch(rng.standard_normal((n, npix, npix)), canvas.corners, canvas.shape)
    assert stitched.inside == pytest.approx(1, abs=1e-12)


def test_a_nominal_canvas_loses_energy():
    positions = raster_positions(20, (400, 400))
    canvas = canvas_of(positions, 32)
    corners = canvas.corners - (np.asarray(canvas.shape) - 76) / 2
    assert energy_inside(disc_probe(32, 5), corners, (76, 76)) < 0.06
    side = smallest_side(positions, 32)
    assert side == int(np.ceil(32 + 2 * np.abs(positions - positions.mean(0)).max()))
    inside = positions - positions.mean(0) + side / 2 - 16
    assert (inside >= 0).all() and (inside + 32 <= side).all()


@pytest.mark.parametrize("whole", [True, False])
def test_windows_of_an_object_are_stitched_to_that_object(whole):
    rng = np.random.default_rng(0)
    positions = rng.uniform(8, 24, (60, 2))
    positions = np.round(positions) if whole else positions
    canvas = canvas_of(positions, 12)
    y, x = np.indices(canvas.shape)
    # Bilinear cutting and placing are exact for whole positions and, for any, on an object that does not vary.
    object = np.exp(0.1j * y) + 0.3 * x if whole else np.full(canvas.shape, 2 - 1j)
    patches = np.asarray(cut_windows(object, canvas.corners, 12))
    weight = np.abs(disc_probe(12, 4)) ** 2
    for w in (None, weight):
        stitched = stitch(patches, canvas.corners, canvas.shape, w)
        np.testing.assert_allclose(stitched.object[stitched.coverage], object[stitched.coverage], atol=1e-12)
        assert not stitched.object[~stitched.coverage].any()
    assert stitched.coverage.mean() > 0.5


@pytest.mark.parametrize("scan", ["grid", "nongrid"])
def test_groups_of_one_and_of_four_make_the_same_object(scan):
    """Placed by its group's centre and its own offset, every member of any group lies where its position says."""
    grid = np.stack(np.meshgrid(np.arange(8, 26, 3.0), np.arange(8, 26, 3.0), indexing="ij"), -1).reshape(-1, 2)
    positions = grid if scan == "grid" else np.round(np.random.default_rng(0).uniform(8, 24, (36, 2)))
    canvas = canvas_of(positions, 12)
    y, x = np.indices(canvas.shape)
    object = np.exp(0.1j * y) + 0.3 * x
    patches, made = np.asarray(cut_windows(object, canvas.corners, 12)), []
    for gridsize in (1, 2):
        groups = group_patterns(positions, gridsize, 36, seed=0, neighbor_count=6)
        placed = groups.coords_offsets[:, None] + groups.coords_relative - 6 - canvas.origin
        members = groups.nn_indices.ravel()
        made.append(stitch(patches[members], placed.reshape(-1, 2), canvas.shape, np.abs(disc_probe(12, 4)) ** 2))
    one, four = made
    both = one.coverage & four.coverage
    assert both.mean() > 0.5
    for stitched in made:
        np.testing.assert_allclose(stitched.object[both], object[both], atol=1e-10)


def test_illumination_is_the_mean_of_shifted_probes():
    probe = disc_probe(16, 4)
    canvas = canvas_of([[8.0, 8.0], [8.5, 12.0]], 16)
    lit = illumination(probe, canvas.corners, canvas.shape)
    expected = np.zeros(canvas.shape)
    expected[:16, :16] += np.abs(probe) ** 2 / 2
    for row in (0, 1):
        expected[row : row + 16, 4:20] += np.abs(probe) ** 2 / 4
    np.testing.assert_allclose(lit, expected, atol=1e-15)
    covered = coverage_mask(lit, 0.5)
    assert covered[8, 8] and not covered[0, 0]


def test_patches_that_cannot_be_stitched():
    with pytest.raises(ScanError, match="Expected patches"):
        stitch(np.ones((3, 4, 4)), np.zeros((2, 2)), (10, 10))
    with pytest.raises(ScanError, match="Expected finite positions"):
        canvas_of([[np.nan, 1.0]], 8)
