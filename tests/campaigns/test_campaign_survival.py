"""What campaigns must survive: workers of every bad habit, and the sudden death of whoever takes part."""

import time
from pathlib import Path

import pytest
from reliability.campaign_work import EXITS, toy
from reliability.campaigns import COORDINATOR, bad_workers, killed_coordinators, killed_workers, started
from reliability.campaigns import started_coordinator as coordinator

from dluxshera.campaigns import InProcess, resume_campaign
from dluxshera.inference.run_artifacts import RunLocked


@pytest.mark.slow
def test_bad_workers_fail_their_own_rows_only(tmp_path):
    found = bad_workers(tmp_path)
    assert "exit code 7" in found["exits"] and "NastyError: nasty" in found["raises"]
    assert "longer than 1.5 s" in found["hangs"] and "longer than 1.5 s" in found["prints"]


@pytest.mark.slow
def test_a_coordinator_killed_at_random_ends_in_the_same_table(tmp_path):
    assert 0 < killed_coordinators(tmp_path / "local", 30, 2, "local")["done before the last"] < 30


@pytest.mark.slow
def test_two_of_four_workers_of_dask_killed_and_nothing_lost_or_done_twice(tmp_path):
    pytest.importorskip("distributed")
    killed_workers(tmp_path / "dask", 60, 2)


def test_a_batch_that_fails_is_tried_row_by_row(tmp_path):
    experiment = started(tmp_path / "batches", batch=5)
    found = resume_campaign(experiment, InProcess(), work=one_is_bad)
    assert (found.done, found.failed) == (9, 1)
    assert experiment.failure(experiment.rows[EXITS].run_id) == "RuntimeError: bad row"


def one_is_bad(task):
    if any(row["settings"]["seed"] == EXITS for row in task["rows"]):
        raise RuntimeError("bad row")
    return toy(task)


def test_a_damaged_note_of_a_failure_is_none(tmp_path):
    experiment = started(tmp_path / "one", rows=1)
    experiment.note_failure(experiment.rows[0].run_id, "why")
    assert experiment.table()["message"] == ["why"] and experiment.table()["status"] == ["failed"]
    (experiment.folder / "failures" / f"{experiment.rows[0].run_id}.json").write_text("{")
    assert experiment.table()["status"] == ["missing"]


def test_two_coordinators_are_not_let_in(tmp_path):
    experiment = started(tmp_path / "one", rows=2)

    def intrude(task):
        with pytest.raises(RunLocked):
            resume_campaign(experiment, work=toy)
        return toy(task)

    assert resume_campaign(experiment, work=intrude).done == 2


@pytest.mark.slow
def test_workers_end_with_their_coordinator(tmp_path):
    script = tmp_path / "coordinator.py"
    script.write_text(COORDINATOR.replace("import slow", "import hanging as slow"))
    experiment = started(tmp_path / "one", rows=1)
    process = coordinator(experiment.folder, script, "processes")
    try:
        worker = int(awaited(experiment.folder / "worker.pid"))
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    deadline = time.monotonic() + 20
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(worker)


def awaited(path, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def is_alive(pid):
    """Whether a process runs: not one that ended and waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
