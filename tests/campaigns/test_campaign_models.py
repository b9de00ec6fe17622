"""What a row simulates and where its fit begins."""

import jax
import numpy as np
import pytest
from tiny_campaign import FREE, tiny_campaign, values

import dluxshera as ds
from dluxshera.campaigns import Campaign
from dluxshera.campaigns.cases import case_of
from dluxshera.campaigns.models import prepare, truth_for
from dluxshera.config import ConfigError


def prepared(settings=None, **changes):
    return prepare(case_of(Campaign(values(**changes)).values, settings or {}))


@pytest.fixture(scope="module")
def usual():
    return prepared()


def test_the_same_row_has_the_same_data(usual):
    np.testing.assert_array_equal(usual.observation.image, prepared().observation.image)
    assert np.any(usual.observation.image != prepared({"seed": 1}).observation.image)
    assert np.any(prepared({"frame": 1}).observation.image != prepared({"frame": 2}).observation.image)


def test_without_noise_the_data_are_the_model(usual):
    np.testing.assert_allclose(prepared(noiseless=True).observation.image, 1000 * usual.truth.model(), rtol=1e-12)


def test_truth_and_fit_may_differ(usual):
    both = prepared({"binary.contrast": 5.0})
    assert float(both.truth.binary.contrast) == float(both.start.binary.contrast) == 5.0
    data = prepared({"truth.binary.contrast": 5.0})
    assert float(data.truth.binary.contrast) == 5.0 and float(data.start.binary.contrast) == 3.37
    fit = prepared({"fit.binary.contrast": 5.0})
    assert float(fit.truth.binary.contrast) == 3.37 and float(fit.start.binary.contrast) == 5.0
    np.testing.assert_array_equal(fit.observation.image, usual.observation.image)


@pytest.mark.parametrize("path", ["binary", "binary.nothing"])
@pytest.mark.parametrize("key", ["error", "drift"])
def test_what_has_no_numbers_cannot_be_off(usual, key, path):
    with pytest.raises(ConfigError, match=f"^{key}.*{path}"):
        prepared({f"{key}.{path}": 0.1})


def test_errors_are_of_the_data_and_differ_between_seeds(usual):
    one, other = (prepared({"error.detector.pixel_offsets": 0.01, "seed": seed}) for seed in (0, 1))
    offsets = np.asarray(one.truth.detector.pixel_offsets)
    assert abs(offsets.std() - 0.01) < 0.002 and np.all(np.asarray(one.start.detector.pixel_offsets) == 0)
    assert np.any(offsets != np.asarray(other.truth.detector.pixel_offsets))
    larger = prepared({"error.detector.pixel_offsets": 0.02})
    np.testing.assert_allclose(larger.truth.detector.pixel_offsets, 2 * offsets)


def test_drift_moves_the_data_alone(usual):
    moved = prepared({"drift.optics.focus_shift": 1e-5, "drift.optics.m1.zernike_coeffs_nm[Z4]": 3.0, "frame": 1})
    assert float(moved.truth.optics.focus_shift) == 1e-5 and float(moved.start.optics.focus_shift) == 0.0
    np.testing.assert_allclose(moved.truth.optics.m1.zernike_coeffs_nm[:2], [3.0, 0.0])


def test_truth_drawn_from_the_priors(usual):
    drawn = prepared({"seed": 4}, truth={"draw": "priors"})
    gap = float(drawn.truth.binary.separation_as) - 0.8
    assert 0 < abs(gap) < 6e-3 and float(drawn.start.binary.separation_as) == 0.8


def test_starts(usual):
    drawn = prepared({"start.seed": 3}, start={"at": "priors"})
    assert 0 < abs(float(drawn.start.binary.separation_as) - 0.8) < 6e-3
    true = prepared({"truth.binary.separation_as": 0.81}, start={"at": "truth"})
    assert float(true.start.binary.separation_as) == 0.81


def test_a_start_so_many_sigmas_away(usual):
    off = prepared({"start.seed": 3}, start={"sigmas": 3.0})
    spread = ds.covariance(ds.fisher_information(usual.objective, usual.theta))
    moved = np.asarray((off.theta - usual.theta) / np.sqrt(np.diagonal(spread)))
    np.testing.assert_allclose(np.abs(moved), 3.0, rtol=1e-6)
    np.testing.assert_allclose(off.objective.space.pack(off.start), off.theta, rtol=1e-12)


def test_true_values_by_label(usual):
    assert usual.true_values() == pytest.approx({"binary.separation_as": 0.8, "binary.log_flux_total": 7.13})
    assert truth_for(usual) is usual.truth


def test_another_system_as_the_truth():
    other = prepared(
        profile="shera_flight",
        truth={"profile": "shera_flight_two_plane"},
        free=[*FREE, "optics.m2.zernike_coeffs_nm[Z4]", "plate_scale_as"],
    )
    known = other.true_values()
    assert "optics.m2.zernike_coeffs_nm[Z4]" not in known and known["plate_scale_as"] > 0
    assert truth_for(other) is None and type(other.truth.optics) is not type(other.start.optics)


def test_rows_of_a_group_have_one_structure():
    rows = tiny_campaign(vary=[{"grid": {"binary.contrast": [2, 3]}}]).rows
    trees = [
        jax.tree.structure(prepare(case_of(values() | tiny_campaign().values, r.settings)).objective) for r in rows
    ]
    assert trees[0] == trees[1]
