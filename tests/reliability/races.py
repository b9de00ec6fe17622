"""Two writers at once, and a reader beside a writer."""

import contextlib
import itertools
import json
import time
from collections import Counter
from unittest import mock

from dluxshera.inference import _artifact_schema, run_lock
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.run_listing import run_row
from dluxshera.inference.run_lock import lock_path

from .kills import Worker
from .problem import fitted, generation_of, record, resumed


def races(count, folder, pause=0.01):
    """Have two processes begin the same run at the same moment: one wins, the other says who is writing.

    Returns
    -------
    dict
        Races, and how the losers were refused.
    """
    pair, tally = (Worker("bfgs"), Worker("bfgs")), Counter()
    for worker in pair:
        worker.wait_until_ready()
    for trial in range(count):
        run = folder / f"race-{trial}"
        for worker in pair:
            worker.tell("bfgs", run, pause)
        answers = [worker.hear().split("\t") for worker in pair]
        won = [i for i, answer in enumerate(answers) if answer[0] == "done"]
        assert len(won) == 1, answers
        kind, text = answers[1 - won[0]]
        assert kind == "RunExists" or f"process {answers[won[0]][1]} on" in text, text
        assert artifacts.verify(run) == [] and artifacts.load_summary(run)["status"] == "ok"
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
        tally[kind] += 1
    for worker in pair:
        worker.kill()
    return {"races": count, **tally}


def reader_beside_writer(seconds, folder):
    """Read a run again and again while a process commits to it: always one consistent state, never an error.

    Returns
    -------
    dict
        Reads, and how many different states they met.
    """
    run, worker, seen = folder / "busy", Worker(), Counter()
    worker.wait_until_ready()
    worker.tell("write", run)
    while not run.exists():
        time.sleep(0.001)
    until, reads = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        seen[generation_of(run)] += 1
        trace, summary = artifacts.load_trace(run), artifacts.load_summary(run)
        assert trace["theta"][-1, 0] == len(trace["loss"]) - 1 and summary["n"] in range(50)
        assert run_row(run)["state"] == "running"
        reads += 1
    worker.kill()
    assert artifacts.verify(run) == [] and run_row(run)["state"] == "killed"
    return {"reads": reads, "states met": len(seen), "n": generation_of(run)}


def clock_backwards(folder):
    """Commit, lock and resume while every clock that can be set goes back a year between any two looks at it."""
    fitted(folder / "whole", "bfgs")
    looks = itertools.count()
    now = lambda: f"{2030 - next(looks):04d}-01-01T00:00:00.000+00:00"  # noqa: E731
    with contextlib.ExitStack() as stack:
        for module in (_artifact_schema, run_lock):
            stack.enter_context(mock.patch.object(module, "utc_now", now))
        stack.enter_context(mock.patch.object(time, "time", lambda: -3e7 * next(looks)))
        asked = []
        fitted(folder / "run", "bfgs", should_stop=lambda: asked.append(1) or len(asked) > 4)
        lock_path(folder / "run").write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "2999-01-01"}))
        resumed(folder / "run", "bfgs")
    assert record(folder / "run") == record(folder / "whole") and artifacts.verify(folder / "run") == []
    return {"looks at the clock": next(looks)}
