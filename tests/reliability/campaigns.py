"""What a campaign survives: coordinators killed at random moments, and workers of a Dask cluster."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from dluxshera.campaigns import Experiment, Processes, read_table, resume_campaign

from .campaign_work import EXITS, HANGS, PRINTS, RAISES, misbehaving, slow, toy, toy_campaign

TESTS = Path(__file__).resolve().parents[1]
ROW_SECONDS = 0.05  # of `slow`
COORDINATOR = """
import sys
from reliability.campaign_work import slow
from dluxshera.campaigns import Experiment, Processes, resume_campaign
if __name__ == "__main__":
    executor = Processes(2) if sys.argv[2] == "processes" else None
    experiment = Experiment.open(sys.argv[1])
    resume_campaign(experiment, executor, work=slow, on_progress=lambda p: print(p.done, flush=True))
"""
CLUSTER = """
import os, signal, sys
from reliability.campaign_work import slow
from distributed import Client, LocalCluster
from dluxshera.campaigns import DaskExecutor, Experiment, resume_campaign

if __name__ == "__main__":
    rows, victims = int(sys.argv[2]), int(sys.argv[3])
    experiment = Experiment.open(sys.argv[1])
    options = {"threads_per_worker": 1, "dashboard_address": None, "processes": True, "silence_logs": 50}
    with LocalCluster(n_workers=4, **options) as cluster, Client(cluster, set_as_default=False) as client:
        left = list(range(victims))

        def kill(progress):
            while left and progress.done >= rows // (victims + 2) * (victims + 1 - len(left)):
                workers = client.run(os.getpid)
                os.kill(next(iter(workers.values())), signal.SIGKILL)
                left.pop()

        found = resume_campaign(experiment, DaskExecutor(cluster.scheduler_address), work=slow, on_progress=kill)
    assert not left and found.left == 0, (left, found)
"""


def started(folder, rows=10, **changes):
    """A new experiment of made-up rows."""
    return Experiment.create(toy_campaign(rows, **changes), folder)


def clean_table(folder, rows, **changes):
    """The table of a campaign that nothing happened to."""
    experiment = started(folder, rows, **changes)
    resume_campaign(experiment, work=toy)
    return read_table(experiment.folder)


def environment():
    """Of a process that finds the package and these tests."""
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}


def started_coordinator(folder, script, executor):
    """A process that runs a campaign; it prints how many rows are done."""
    arguments = [sys.executable, str(script), str(folder), executor]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment())


def killed_coordinators(folder, rows, kills, executor, seed=0):
    """Kill coordinators at random moments, finish the campaign, and compare with one that nothing happened to.

    Returns
    -------
    dict
        Kills that met a campaign under way, and rows that a killed coordinator had done.
    """
    folder.mkdir()
    script = folder / "coordinator.py"
    script.write_text(COORDINATOR)
    experiment, generator, met = started(folder / "killed", rows), random.Random(seed), 0
    for _ in range(kills):
        process = started_coordinator(experiment.folder, script, executor)
        for _ in range(1 + (executor == "processes")):  # it has begun; workers take a while to
            process.stdout.readline()
        time.sleep(generator.uniform(0, 1.5 * ROW_SECONDS * rows / kills))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        code = process.wait()
        assert code in (0, -signal.SIGKILL), code
        met += code == -signal.SIGKILL
    done = sum(experiment.is_done(row) for row in experiment.rows)
    resume_campaign(experiment, work=slow)
    assert read_table(experiment.folder) == clean_table(folder / "clean", rows)
    assert met > 0
    return {"kills": met, "rows": rows, "done before the last": done}


def killed_workers(folder, rows, victims=2):
    """Kill workers of a Dask cluster of four while it runs: nothing is lost, and nothing is saved twice.

    Returns
    -------
    dict
        Rows, and workers killed.
    """
    folder.mkdir()
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    experiment = started(folder / "killed", rows)
    arguments = [sys.executable, str(script), str(experiment.folder), str(rows), str(victims)]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert read_table(experiment.folder) == clean_table(folder / "clean", rows)
    saved = (experiment.folder / "saved.log").read_text().split()
    unsaid = {row.run_id for row in experiment.rows} - set(saved)
    assert len(saved) == len(set(saved)) and len(saved) + len(unsaid) == rows
    assert len(unsaid) <= victims  # who is killed between a save and its line in the log leaves none
    return {"rows": rows, "workers killed": victims}


def bad_workers(folder, timeout_s=1.5):
    """Workers that exit, hang, raise what cannot be pickled, and print without end: their rows fail, no others.

    Returns
    -------
    dict
        Rows done, and why the others failed, by what they did.
    """
    experiment = started(folder / "bad")
    found = resume_campaign(experiment, Processes(2, timeout_s=timeout_s), work=misbehaving)
    assert (found.done, found.failed, found.left) == (6, 4, 0), found
    table = read_table(experiment.folder)
    rows = zip(table["set.seed"], table["status"], table["message"], strict=True)
    why = {seed: message for seed, status, message in rows if status == "failed"}
    again = resume_campaign(experiment, work=toy)
    assert (again.there, again.done) == (6, 4)
    assert read_table(experiment.folder) == clean_table(folder / "clean", 10)
    names = {"exits": EXITS, "hangs": HANGS, "raises": RAISES, "prints": PRINTS}
    return {"done": found.done, **{name: why[seed] for name, seed in names.items()}}
