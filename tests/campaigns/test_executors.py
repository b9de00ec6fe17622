"""Executors by their settings."""

import sys

import pytest

from dluxshera.campaigns import DaskExecutor, Processes, executor_of
from dluxshera.campaigns import dask_executor as dask
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
