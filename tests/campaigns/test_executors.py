"""Executors by their settings."""

import math
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from reliability.campaigns import environment, started

from dluxshera.campaigns import DaskExecutor, Processes, executor_of
from dluxshera.campaigns import dask_executor as dask
from dluxshera.campaigns.executors import Answer, time_limit
from dluxshera.campaigns.processes import _Worker
from dluxshera.config import ConfigError


def test_executors_by_their_settings():
    assert executor_of({}).workers == 1
    assert isinstance(executor_of({"name": "processes", "workers": 3, "timeout_s": 5}), Processes)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"name": "cloud"}, "cloud"),
        ({"name": "local", "workers": 2}, "workers"),
        ({"name": "processes", "address": "x"}, "address"),
    ],
)
def test_what_an_executor_does_not_have_is_named(settings, named):
    with pytest.raises(ConfigError, match=named):
        executor_of(settings)


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="one worker or more"):
        Processes(0)


def test_dask_is_asked_for_by_its_settings():
    pytest.importorskip("distributed")
    assert executor_of({"name": "dask", "workers": 4, "slurm": {"queue": "q"}}).workers == 4
    with pytest.raises(ValueError, match="address or slurm"):
        DaskExecutor("tcp://x:1", slurm={})


@pytest.mark.parametrize(
    ("package", "load"), [("distributed", dask.import_distributed), ("dask_jobqueue", dask.import_jobqueue)]
)
def test_without_its_package_it_says_how_to_get_it(monkeypatch, package, load):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'dluxshera\[dask\]'"):
        load()


def test_slurm_starts_as_many_jobs_as_it_is_told(monkeypatch):
    """With a stand-in for the package: what it is called with."""
    pytest.importorskip("distributed")
    asked = {}

    class SLURMCluster:
        def __init__(self, **options):
            asked.update(options)

        def scale(self, jobs):
            asked["jobs"] = jobs

    stand_in = type(sys)("dask_jobqueue")
    stand_in.SLURMCluster = SLURMCluster
    monkeypatch.setitem(sys.modules, "dask_jobqueue", stand_in)
    DaskExecutor(workers=5, slurm={"queue": "q", "cores": 4})._cluster(None)
    assert asked == {"queue": "q", "cores": 4, "jobs": 5}


@pytest.mark.parametrize("executor", [Processes, DaskExecutor])
@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_time_limit_is_above_zero(executor, limit):
    if executor is DaskExecutor:
        pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="time limit above zero"):
        executor(workers=2, timeout_s=limit)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "processes", "workers": "two"},
        {"name": "processes", "timeout_s": -1},
        {"name": "dask", "wait_s": "x"},
        {"name": ["dask"]},
    ],
)
def test_values_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError, match="executor: expected"):
        executor_of(settings)


def test_a_time_limit_is_there_unless_it_is_taken_away():
    task = {"rows": [{}, {}]}
    assert time_limit(None, task) == 4800 and time_limit(5, task) == 5 and time_limit(math.inf, task) == math.inf


SCRIPT = """
import sys
import time
from types import SimpleNamespace
from reliability.campaign_work import toy
from dluxshera.campaigns import Experiment, Processes, resume_campaign
found = resume_campaign(Experiment.open(sys.argv[1]), Processes(1), work=toy)
print(found.message)
"""


@pytest.mark.slow
def test_a_script_that_workers_run_again_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    experiment = started(tmp_path / "one", rows=1)
    command = [sys.executable, str(script), str(experiment.folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'put what the script does under if __name__ == "__main__":' in done.stdout


def test_a_worker_that_hangs_is_lost_after_the_usual_limit():
    """With stand-ins for a process and its connection: it has its task, lives, and says nothing."""
    silent = SimpleNamespace(poll=lambda: False)
    worker = SimpleNamespace(
        connection=silent,
        process=SimpleNamespace(is_alive=lambda: True),
        task={"rows": [{}]},
        has_task=True,
        _lost=lambda error: Answer({}, error=error),
    )
    after = lambda seconds: _Worker.answer(SimpleNamespace(**vars(worker), begun=time.monotonic() - seconds), None)  # noqa: E731
    assert after(4000) is None and after(4300).error.startswith("took longer than 4200 s")
