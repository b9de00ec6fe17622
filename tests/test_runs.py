"""Fits saved as run directories and opened again."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY, load

import dluxshera as ds
from dluxshera.config import read_profile
from dluxshera.config.runs import fingerprint, parameter_table
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.params import parameter_paths

FREE = ["binary.separation_as", "binary.log_flux_total", "optics.m1.zernike_coeffs_nm[:2]", "plate_scale_as"]
PROFILE = "shera_flight_two_plane"
pytestmark = pytest.mark.filterwarnings("ignore::dluxshera.SamplingWarning")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Run directory, solution, start, truth and data of a tiny fit."""
    start = load(PROFILE, TINY)
    truth = ds.set_values(start, {"binary.separation_as": 0.801, "optics.m1.zernike_coeffs_nm[0]": 1.0})
    observation = ds.Observation(np.random.default_rng(0).poisson(np.asarray(truth.model())).astype(float))
    profile = read_profile(PROFILE, TINY)
    space = ds.default_space(start, profile, FREE)
    solution = ds.fit(ds.Objective(start, space, observation), space.pack(start))
    path = ds.save_fit(
        tmp_path_factory.mktemp("runs") / "first", solution, profile, observation, free=FREE, start=start, truth=truth
    )
    return path, solution, start, truth, observation, profile


@pytest.fixture
def copy(saved, tmp_path):
    """A run of one's own to damage."""
    return shutil.copytree(saved[0], tmp_path / "copy")


def same_parameters(model, other, rtol=0.0):
    for path in parameter_paths(model):
        np.testing.assert_allclose(ds.get_value(model, path), ds.get_value(other, path), rtol=rtol, err_msg=path)


def test_the_best_model_comes_back(saved):
    path, solution, *_ = saved
    run = ds.open_run(path)
    same_parameters(run.model("best"), solution.model)
    np.testing.assert_array_equal(run.model("best").model(), solution.model.model())
    same_parameters(run.model("final"), solution.model, rtol=1e-6)


def test_start_truth_and_data_come_back(saved):
    path, _, start, truth, observation, _ = saved
    run = ds.open_run(path)
    same_parameters(run.start_model(), start)
    same_parameters(run.truth_model(), truth)
    np.testing.assert_array_equal(run.observation().image, observation.image)
    np.testing.assert_array_equal(run.observation().mask, observation.mask)
    assert run.meta["objective"]["data"] == fingerprint(run.observation()) == fingerprint(observation)


def test_the_objective_and_the_space_come_back(saved):
    path, solution, *_ = saved
    run = ds.open_run(path)
    objective = run.objective()
    theta = jnp.asarray(artifacts.load_checkpoint(path)["theta"])
    assert float(objective.loss(theta)) == float(solution.objective.loss(solution.theta))
    assert run.space().labels == solution.objective.space.labels
    assert run.meta["theta"]["index_map"]["layout_hash"] == run.space().index_map.layout_hash
    information = ds.fisher_information(objective, theta)
    np.testing.assert_allclose(information, artifacts.load_arrays(path, "curvature")["information"], rtol=1e-9)


def test_the_record_says_what_happened(saved):
    path, solution, start, truth, *_ = saved
    run = ds.open_run(path)
    assert run.summary["status"] == "ok" and run.summary["converged"] is True
    assert run.summary["num_steps_completed"] == solution.stats["steps"]
    assert run.summary["loss_best"] == float(solution.trace.loss.min())
    rows = {row["label"]: row for row in run.summary["parameters"]}
    assert list(rows) == list(solution.objective.space.labels)
    separation = rows["binary.separation_as"]
    assert separation["estimate"] == float(solution.model.binary.separation_as)
    assert separation["sigma"] == pytest.approx(float(solution.sigma("binary.separation_as")))
    assert (separation["start"], separation["truth"], separation["unit"]) == (0.8, 0.801, "arcsec")
    assert rows["plate_scale_as"]["start"] == float(start.plate_scale_as)
    assert rows["optics.m1.zernike_coeffs_nm[Z4]"]["truth"] == 1.0
    np.testing.assert_array_equal(run.trace()["loss"], solution.trace.loss)
    assert artifacts.verify(path) == []


def test_the_table_without_a_truth(saved):
    _, solution, start, *_ = saved
    assert {row["truth"] for row in parameter_table(solution, start)} == {None}


def test_priors_come_back(saved, tmp_path):
    _, _, start, truth, observation, profile = saved
    space = ds.default_space(start, profile, FREE, priors=True)
    solution = ds.fit(ds.Objective(start, space, observation), space.pack(start))
    path = ds.save_fit(tmp_path / "run", solution, profile, observation, free=FREE, priors=True, start=start)
    objective = ds.open_run(path).objective()
    assert float(objective.loss(solution.theta)) == float(solution.objective.loss(solution.theta))
    assert ds.open_run(path).truth_model() is None
    row = next(r for r in ds.open_run(path).summary["parameters"] if r["name"] == "binary.separation_as")
    assert row["sigma"] < row["cramer_rao"]


@pytest.mark.slow
def test_the_likelihood_and_its_variance_come_back(saved, tmp_path, likelihood="gaussian"):
    _, _, start, truth, plain, profile = saved
    observation = ds.Observation(plain.image, truth.model())
    space = ds.default_space(start, profile, FREE)
    solution = ds.fit(ds.Objective(start, space, observation, likelihood), space.pack(start))
    path = ds.save_fit(tmp_path / "run", solution, profile, observation, free=FREE, start=start, likelihood=likelihood)
    objective = ds.open_run(path).objective()
    assert float(objective.loss(solution.theta)) == float(solution.objective.loss(solution.theta))


@pytest.mark.slow
def test_arrays_of_a_profile_come_back(saved, tmp_path):
    observation = saved[4]
    response = np.random.default_rng(1).uniform(0.95, 1.05, (16, 16))
    overrides = TINY | {"detector.pixel_response": response, "binary.wavelengths_m": [540e-9, 560e-9]}
    model, profile = load(PROFILE, overrides), read_profile(PROFILE, overrides)
    space = ds.default_space(model, profile, FREE)
    solution = ds.fit(ds.Objective(model, space, observation), space.pack(model))
    path = ds.save_fit(tmp_path / "run", solution, profile, observation, free=FREE, start=model)
    found = ds.open_run(path).model()
    np.testing.assert_array_equal(found.detector.pixel_response, response)
    np.testing.assert_array_equal(found.model(), solution.model.model())


@pytest.mark.slow
def test_a_buffer_that_the_profile_does_not_have_is_not_lost_in_silence(saved, tmp_path):
    """A mask handed in by `tree_at` is in no profile: the run must hold it, or be refused."""
    _, _, start, _, observation, profile = saved
    stopped = np.asarray(start.optics.m1.transmission) * (np.arange(32) < 24)
    own = ds.set_values(start, {"optics.m1.transmission": stopped})
    space = ds.default_space(own, profile, FREE)
    solution = ds.fit(ds.Objective(own, space, observation), space.pack(own), engine=ds.LevenbergMarquardt(max_steps=2))
    try:
        path = ds.save_fit(tmp_path / "run", solution, profile, observation, free=FREE, start=own)
    except ValueError as error:
        assert "optics.m1.transmission" in str(error)
    else:
        np.testing.assert_array_equal(ds.open_run(path).model().optics.m1.transmission, stopped)


def test_an_existing_run_is_kept(saved):
    path, solution, start, _, observation, profile = saved
    with pytest.raises(artifacts.RunExists, match="first"):
        ds.save_fit(path, solution, profile, observation, free=FREE, start=start)
    ds.save_fit(path.parent / "second", solution, profile, observation, free=FREE, start=start)
    ds.save_fit(path.parent / "second", solution, profile, observation, free=FREE, start=start, overwrite=True)


@pytest.mark.parametrize("name", ["meta.json", "summary.json"])
@pytest.mark.parametrize("damage", ["truncate", "change", "remove"])
def test_a_damaged_record_is_named_on_opening(copy, name, damage):
    spoil(copy / name, damage)
    with pytest.raises(artifacts.CorruptArtifact, match=name):
        ds.open_run(copy)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("trace.npz", lambda run: run.trace()),
        ("checkpoint_best.npz", lambda run: run.model()),
        ("checkpoint_final.npz", lambda run: run.model("final")),
        ("observation.npz", lambda run: run.objective()),
    ],
)
@pytest.mark.parametrize("damage", ["truncate", "change", "remove"])
def test_a_damaged_file_is_named_and_the_rest_can_be_read(copy, name, read, damage):
    spoil(copy / name, damage)
    run = ds.open_run(copy)
    with pytest.raises(artifacts.CorruptArtifact, match=name):
        read(run)
    assert run.summary["converged"] is True
    assert any(name in problem for problem in artifacts.verify(copy))


def spoil(path, damage):
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def test_what_is_no_run_of_a_fit_is_refused(tmp_path, saved):
    with pytest.raises(ValueError, match="nowhere"):
        ds.open_run(tmp_path / "nowhere")
    meta = {"theta": {"dim": 1, "theta_space": "primitive", "index_map": {"layout_hash": "0" * 64, "entries": []}}}
    source = json.loads((saved[0] / "meta.json").read_text())
    entry = {"name": "t", "start": 0, "stop": 1, "shape": [], "block": "t"}
    meta["theta"]["index_map"] = {"layout_hash": source["theta"]["index_map"]["layout_hash"], "entries": [entry]}
    trace = {"loss": np.zeros(2), "theta": np.zeros((2, 1))}
    other = artifacts.save_run(tmp_path / "other", trace, meta | {"objective": {}, "optimizer": {"name": "x"}}, {})
    with pytest.raises(artifacts.SchemaError, match="profile"):
        ds.open_run(other)
