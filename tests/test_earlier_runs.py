"""Runs written under each schema so far open for ever: one of each is kept in `earlier_runs`.

Such a run is never made anew. It ended at a step limit of one, so that it can be gone on with.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

import dluxshera as ds
from dluxshera.inference.run_artifacts import load_checkpoint, load_meta, load_summary, load_trace, verify

EARLIER = sorted((Path(__file__).parent / "earlier_runs").iterdir())
SEPARATION, SIGMA = 2.99746, 0.0016  # arcsec, what the fit of its image comes to


@pytest.fixture(params=EARLIER, ids=lambda path: path.name)
def run_dir(request, tmp_path):
    return shutil.copytree(request.param, tmp_path / request.param.name)


def test_every_schema_has_one():
    from dluxshera.inference._artifact_schema import SCHEMA

    assert SCHEMA in {path.name for path in EARLIER}


def test_its_files_are_sound_and_load(run_dir):
    assert verify(run_dir) == []
    meta, summary, trace = load_meta(run_dir), load_summary(run_dir), load_trace(run_dir)
    assert meta["artifact_schema"] == run_dir.name and summary["num_steps_completed"] == 1
    assert trace["theta"].shape == (2, 2) and np.all(np.diff(trace["loss"]) < 0)
    np.testing.assert_array_equal(load_checkpoint(run_dir, "best")["theta"], trace["theta"][-1])


@pytest.mark.slow
def test_its_model_is_built_again_and_its_fit_goes_on(run_dir):
    run = ds.open_run(run_dir)
    assert abs(float(run.model("best").binary.separation_as) - SEPARATION) < 3 * SIGMA
    solution = ds.resume_run(run_dir, max_steps=20)
    assert solution.converged
    assert float(solution.model.binary.separation_as) == pytest.approx(SEPARATION, abs=0.01 * SIGMA)


@pytest.mark.slow
def test_a_new_step_limit_outlives_another_interruption(run_dir):
    broken = ds.resume_run(run_dir, max_steps=20, should_stop=lambda: True)
    assert broken.result == "interrupted"
    assert ds.resume_run(run_dir).converged
