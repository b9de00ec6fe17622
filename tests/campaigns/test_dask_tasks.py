"""Dask clusters whose workers hang, are not there, or are told to stop; in threads of this process."""

import threading
import time

import pytest
from reliability.campaign_work import toy
from reliability.campaigns import started

from dluxshera.campaigns import DaskExecutor, resume_campaign

distributed = pytest.importorskip("distributed")
HANGS = 1  # the seed whose row does
released = threading.Event()


def hanging(task):
    """Hang at one row until the test is over."""
    if any(row["settings"]["seed"] == HANGS for row in task["rows"]):
        released.wait(60)
    return toy(task)


@pytest.fixture
def cluster():
    """Makes clusters in this process, with so many workers."""
    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    made = []

    def make(workers):
        made.append(distributed.LocalCluster(n_workers=workers, host="127.0.0.1", protocol="tcp", **options))
        return made[-1].scheduler_address

    released.clear()
    yield make
    released.set()
    for one in made:
        one.close()


def test_a_row_that_hangs_fails_and_the_others_are_done(tmp_path, cluster):
    experiment = started(tmp_path / "one", rows=4)
    found = resume_campaign(experiment, DaskExecutor(cluster(2), timeout_s=4.0), work=hanging)
    assert (found.done, found.failed) == (3, 1)
    assert "took longer than 4 s" in experiment.failure(experiment.rows[HANGS].run_id)


def test_without_workers_the_rows_fail_with_the_reason(tmp_path, cluster):
    experiment, address = started(tmp_path / "one", rows=20, batch=3), cluster(0)
    found = resume_campaign(experiment, DaskExecutor(address, wait_s=0.2), work=toy)
    assert (found.failed, found.left) == (20, 0)
    assert f"no Dask worker took a task for 0.2 s; there are 0 at {address}" in found.message


def test_workers_that_all_hang_are_as_good_as_none(tmp_path, cluster):
    experiment = started(tmp_path / "one", rows=4)
    found = resume_campaign(experiment, DaskExecutor(cluster(1), timeout_s=0.5, wait_s=1.0), work=hanging)
    assert found.done + found.failed == 4 and found.failed >= 3
    assert "there are 1 at" in found.message


def test_a_stop_is_heard_while_nothing_happens(tmp_path, cluster):
    experiment, begun = started(tmp_path / "one", rows=4), time.monotonic()
    stop = lambda: time.monotonic() - begun > 1.0  # noqa: E731
    found = resume_campaign(experiment, DaskExecutor(cluster(0)), work=toy, should_stop=stop)
    assert (found.done, found.failed, found.left) == (0, 0, 4) and time.monotonic() - begun < 30
