"""Work for campaigns that takes no time and needs no telescope, well behaved and not. Spawned workers import it."""

import os
import threading
import time
from pathlib import Path

import numpy as np

from dluxshera.campaigns import Campaign, Outcome
from dluxshera.campaigns.folders import is_valid, make_room
from dluxshera.inference.run_artifacts import save_run

EXITS, HANGS, RAISES, PRINTS = 3, 5, 6, 8  # seeds whose rows do so


class NastyError(Exception):
    """Cannot be pickled, for it holds a lock."""

    def __init__(self):
        Exception.__init__(self, "nasty")
        self.lock = threading.Lock()


def toy_campaign(rows=10, **changes):
    """A plan of so many rows; nothing of it is ever built."""
    values = {"name": "toy", "profile": "shera_flight", "vary": [{"seeds": rows}], "batch": 1}
    return Campaign(values | changes)


def toy(task):
    """Save a run of made-up numbers for every row that has none."""
    return [_done(Path(task["folder"]), row) for row in task["rows"]]


def slow(task):
    """The same, a row every 50 ms, each noted in a log when it is saved."""
    time.sleep(0.05 * len(task["rows"]))
    return toy(task)


def misbehaving(task):
    """Exit, hang, raise or print without end at some seeds."""
    for row in task["rows"]:
        seed = row["settings"]["seed"]
        if seed == EXITS:
            os._exit(7)
        if seed == HANGS:
            time.sleep(1000)
        if seed == RAISES:
            raise NastyError
        while seed == PRINTS:
            print("x" * 10_000)
    return toy(task)


def _done(folder, row):
    run_dir = folder / "runs" / row["run_id"]
    if not is_valid(run_dir, row["content"]):
        make_room(run_dir)
        _save(run_dir, row)
        with open(folder / "saved.log", "a") as log:
            log.write(f"{row['run_id']}\n")
    return Outcome(row["run_id"], "ok", "converged")


def _save(run_dir, row):
    seed = row["settings"]["seed"]
    value = float(np.random.default_rng(seed).standard_normal())
    entry = {"name": "x", "start": 0, "stop": 1, "shape": [], "block": "x"}
    theta = {"dim": 1, "theta_space": "primitive", "index_map": {"layout_hash": "toy", "entries": [entry]}}
    parameter = {"label": "x", "name": "x", "unit": "", "estimate": value, "sigma": 1.0, "truth": 0.0, "start": 0.0}
    save_run(
        run_dir,
        {"loss": np.array([1.0, 0.5]), "theta": np.array([[0.0], [value]])},
        {"theta": theta, "objective": {"data": f"data {seed}"}, "optimizer": {"name": "toy"},
         "campaign": {"content": row["content"], "settings": row["settings"]}, "git": {"commit": None, "dirty": None}},
        {"status": "ok", "message": "converged", "converged": True, "parameters": [parameter]},
    )  # fmt: skip


def hanging(task):
    """Say who hangs, and hang."""
    (Path(task["folder"]) / "worker.pid").write_text(str(os.getpid()))
    time.sleep(1000)
