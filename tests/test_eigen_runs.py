"""A fit in eigenmode coefficients as a run directory: recorded in coefficients, told in parameters."""

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY, load

import dluxshera as ds
from dluxshera._report import write_report
from dluxshera.config import read_profile
from dluxshera.inference import run_artifacts as artifacts

FREE = ["binary.separation_as", "binary.log_flux_total", "optics.m1.zernike_coeffs_nm[:2]", "plate_scale_as"]
PROFILE = "shera_flight_two_plane"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dluxshera.SamplingWarning")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Run directory, solution and start of a tiny fit in four of five whitened modes."""
    start, profile = load(PROFILE, TINY), read_profile(PROFILE, TINY)
    truth = ds.set_values(start, {"binary.separation_as": 0.801, "optics.m1.zernike_coeffs_nm[0]": 1.0})
    observation = ds.Observation(np.random.default_rng(0).poisson(np.asarray(truth.model())).astype(float))
    objective = ds.Objective(start, ds.default_space(start, profile, FREE), observation)
    space = ds.EigenSpace.of(objective, objective.space.pack(start), truncate=4, whiten=True)
    solution = ds.fit(objective.with_space(space), jnp.zeros(4))
    folder = tmp_path_factory.mktemp("runs") / "modes"
    return ds.save_fit(folder, solution, profile, observation, free=FREE, start=start, truth=truth), solution, start


def test_space_objective_and_model_come_back(saved):
    path, solution, _ = saved
    run = ds.open_run(path)
    assert run.meta["theta"]["theta_space"] == "eigen" and run.meta["theta"]["labels"][0] == "mode 1"
    space = run.space()
    assert run.meta["theta"]["index_map"]["layout_hash"] == space.index_map.layout_hash
    np.testing.assert_array_equal(space.decode(solution.theta), solution.objective.space.decode(solution.theta))
    assert float(run.objective().loss(solution.theta)) == float(solution.objective.loss(solution.theta))
    np.testing.assert_array_equal(run.model().model(), solution.model.model())


def test_the_table_is_of_parameters(saved):
    path, solution, start = saved
    rows = {row["label"]: row for row in ds.open_run(path).summary["parameters"]}
    assert list(rows) == list(solution.objective.space.primitive.labels)
    row = rows["binary.separation_as"]
    assert row["estimate"] == pytest.approx(float(solution.model.binary.separation_as), rel=1e-15)
    assert row["sigma"] == pytest.approx(float(solution.sigma("binary.separation_as")), rel=1e-9)
    assert row["start"] == 0.8 and row["cramer_rao"] == pytest.approx(row["sigma"], rel=1e-6)


def test_the_report_is_of_parameters(saved):
    path, *_ = saved
    page = write_report(path).read_text()
    assert "separation" in page and "mode 1" not in page
    assert artifacts.load_trace(path)["theta"].shape[1] == 4
