"""A process that fits what it is told to, line by line, until it is killed: `ENGINE FOLDER [seconds of each step]`.

"scan" in place of an engine is a reconstruction.

Its arguments are the engines that it compiles at once.
"""

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

from dluxshera.inference.run_artifacts import RunExists, RunLocked  # noqa: E402

from . import problem, scan_problem  # noqa: E402
from .problem import commit, writer  # noqa: E402


def main():
    """Warm up, say so, and obey."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:]:
            problem_of(name).fitted(Path(folder) / name, name, every=1e9)
    say("ready")
    for line in sys.stdin:
        say(obey(*line.rstrip("\n").split("\t")))


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def obey(task, folder, pause="0"):
    """Carry out one line, and say how it ended."""
    try:
        if task == "write":
            return write(folder)
        slow = {"on_step": lambda state: time.sleep(float(pause))} if float(pause) else {}
        problem_of(task).fitted(folder, task, **slow)
    except (RunLocked, RunExists) as error:
        return f"{type(error).__name__}\t{error}"
    return f"done\t{os.getpid()}"


def problem_of(name):
    """The module that knows an engine."""
    return scan_problem if name in scan_problem.ENGINES else problem


def write(folder):
    """Commit generation after generation, until killed."""
    from dluxshera.inference.run_lock import RunLock

    with RunLock(folder):
        own, n = writer(folder), 0
        while True:
            commit(own, n % 50)
            n += 1


if __name__ == "__main__":
    main()
