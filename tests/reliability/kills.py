"""SIGKILL of a process at random moments: of a fit, or of what another problem does instead."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path

from dluxshera.inference.run_artifacts import verify

from . import problem

AHEAD = 3  # processes that get ready while one is examined
HERE = Path(__file__).resolve().parents[1]


class Worker:
    """A `worker` process."""

    def __init__(self, *engines):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reliability.worker", *engines],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self):
        """Until it has imported and compiled everything."""
        assert self.hear() == "ready"

    def tell(self, *words):
        """Give it a line."""
        self.process.stdin.write("\t".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def hear(self):
        """A line of its answer."""
        return self.process.stdout.readline().rstrip("\n")

    def kill(self):
        """SIGKILL, and wait for its end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def kills(count, folder, seed=0, say=lambda text: None, engines=None, what=problem):
    """Kill a fit at `count` random moments; every directory must load, verify and end as one that was never killed.

    Parameters
    ----------
    count : int
    folder : Path
    seed : int
    say : callable
        Told of every twentieth kill.
    engines : tuple of str, optional
        In turn; all of `what.ENGINES` by default.
    what : module
        Gives `fitted`, `resumed`, `record` and `consistent`, as `problem` does.

    Returns
    -------
    dict
        How many trials, states at the kill, and how many verified, resumed and ended bit for bit the same.
    """
    draw, wanted, engines = random.Random(seed), {}, tuple(engines or what.ENGINES)
    for name in engines:
        what.fitted(folder / f"whole-{name}", name)
        wanted[name] = what.record(folder / f"whole-{name}")
    names = [engines[trial % len(engines)] for trial in range(count)]
    todo = iter([*engines, *names])
    ready = deque(Worker(name) for name in itertools.islice(todo, AHEAD))
    lengths, tally = {}, Counter()
    for trial, name in enumerate([*engines, *names], -len(engines)):
        worker, run = ready.popleft(), folder / f"trial-{trial}"
        ready += [Worker(name) for name in itertools.islice(todo, 1)]
        worker.wait_until_ready()
        if trial < 0:
            lengths[name] = _length(worker, run, name)
            worker.kill()
            continue
        worker.tell(name, run)
        time.sleep(draw.uniform(0, 1.05 * lengths[name]))
        worker.kill()
        tally[_examine(what, run, name, wanted[name])] += 1
        if (trial + 1) % 20 == 0:
            say(f"{trial + 1} kills: {dict(tally)}")
    return {"trials": count, **tally}


def _length(worker, run, name):
    begun = time.perf_counter()
    worker.tell(name, run)
    assert worker.hear().startswith("done")
    return time.perf_counter() - begun


def _examine(what, run, name, wanted):
    """What a killed fit left, after all checks."""
    if not run.exists():
        what.fitted(run, name)
        state = "absent"
    else:
        assert verify(run) == [], verify(run)
        summary = what.consistent(run)
        state = summary["status"] if summary["status"] == "ok" else "under way"
        if state == "under way":
            what.resumed(run, name)
    assert what.record(run) == wanted and verify(run) == []
    rest = [path.name for path in run.parent.iterdir() if path.name.startswith(f".{run.name}.")]
    assert state == "ok" or rest == [], rest
    return state
