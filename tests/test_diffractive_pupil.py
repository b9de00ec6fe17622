"""Reduction of the fine diffractive-pupil map to area fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.optics import diffractive_pupil_fraction
from dluxshera.optics.diffractive_pupil import area_fractions, read_map, toliman_map_path


def random_map(size, seed=0):
    return (np.random.default_rng(seed).random((size, size)) < 0.5).astype(float)


@pytest.mark.parametrize("npix", [1, 3, 8, 24])
def test_where_the_grid_divides_it_is_the_block_mean(npix):
    fine = random_map(24)
    blocks = fine.reshape(npix, 24 // npix, npix, 24 // npix).mean((1, 3))
    np.testing.assert_allclose(area_fractions(fine, npix), blocks, atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 40), npix=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_mean_is_kept_and_fractions_stay_fractions(size, npix, seed):
    fine = random_map(size, seed)
    coarse = area_fractions(fine, npix)
    assert coarse.shape == (npix, npix)
    assert coarse.mean() == pytest.approx(fine.mean(), abs=1e-12)
    assert coarse.min() >= -1e-12 and coarse.max() <= 1 + 1e-12


@settings(max_examples=20, deadline=None)
@given(size=st.integers(2, 30), npix=st.integers(1, 30), seed=st.integers(0, 99))
def test_rows_and_columns_are_treated_alike(size, npix, seed):
    fine = random_map(size, seed)
    np.testing.assert_allclose(area_fractions(fine.T, npix), area_fractions(fine, npix).T, atol=1e-13)
    np.testing.assert_allclose(area_fractions(fine[::-1], npix), area_fractions(fine, npix)[::-1], atol=1e-12)


def test_the_toliman_map_is_reduced_once_and_stays_as_it_is():
    fractions = diffractive_pupil_fraction("toliman", 64)
    fine = read_map(toliman_map_path())
    assert fine.shape == (2048, 2048) and fine.min() == 0 and fine.max() == 1
    np.testing.assert_allclose(fractions, fine.reshape(64, 32, 64, 32).mean((1, 3)), atol=1e-13)
    assert diffractive_pupil_fraction("toliman", 64) is fractions
    with pytest.raises(ValueError, match="read-only"):
        fractions[0, 0] = 0.5


def test_none_is_a_clear_pupil():
    np.testing.assert_array_equal(diffractive_pupil_fraction(None, 5), np.zeros((5, 5)))


@pytest.mark.parametrize("dtype", [float, np.float32, np.uint8, bool])
def test_a_map_of_ones_own_is_used_and_read_again_when_it_changes(tmp_path, dtype):
    path = tmp_path / "map.npy"
    np.save(path, random_map(8).astype(dtype))
    np.testing.assert_allclose(diffractive_pupil_fraction(path, 4), area_fractions(random_map(8), 4))
    np.save(path, random_map(8, seed=5).astype(dtype))
    path.touch()
    np.testing.assert_allclose(diffractive_pupil_fraction(str(path), 4), area_fractions(random_map(8, seed=5), 4))


BAD = {
    "not square": np.zeros((4, 5)),
    "a vector": np.zeros(4),
    "a cube": np.zeros((2, 2, 2)),
    "above one": np.full((3, 3), 1.5),
    "below zero": np.full((3, 3), -1.0),
    "not finite": np.full((3, 3), np.nan),
    "complex": np.zeros((3, 3), complex),
    "text": np.full((3, 3), "a"),
    "in metres": np.full((3, 3), 275.0),
    "empty": np.zeros((0, 0)),
}


@pytest.mark.parametrize("name", BAD)
def test_maps_that_cannot_be_are_refused_by_name(tmp_path, name):
    path = tmp_path / "bad.npy"
    np.save(path, BAD[name])
    with pytest.raises(ValueError, match="bad.npy"):
        diffractive_pupil_fraction(path, 4)


def test_files_that_are_not_maps_are_refused_by_name(tmp_path):
    objects, archive, text = (tmp_path / name for name in ("objects.npy", "archive.npz", "text.npy"))
    np.save(objects, np.array([{}], object), allow_pickle=True)
    np.savez(archive, map=np.zeros((2, 2)))
    text.write_text("no array")
    for path in (objects, archive, text, tmp_path / "missing.npy", tmp_path):
        with pytest.raises(ValueError, match=path.name):
            diffractive_pupil_fraction(path, 4)
