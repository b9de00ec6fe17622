"""Worker processes on this machine, which may die, hang, raise and print without harm to anything but their rows."""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from .executors import AbstractExecutor, Answer, Task, Work, check_limits, time_limit, too_long
from .work import Outcome, reason

_BEGUN = "begun"
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0
_START_SECONDS = 300.0  # for a fresh process to import what it needs
_GUARD = 'it ran this script again; put what the script does under if __name__ == "__main__":'


class Processes(AbstractExecutor):
    """Spawned processes, each of which carries out one task after another.

    A worker that ends, raises or takes too long fails its task alone; a fresh one takes its place. What workers print
    is dropped. They end when this process does, however it does.

    Parameters
    ----------
    workers : int
    timeout_s : float, seconds, optional
        Longest time of one task, compilation included, from when the worker has it. By default an hour and ten
        minutes for each of its rows; `math.inf` for none.
    """

    def __init__(self, workers: int = 2, timeout_s: float | int | None = None):
        check_limits(workers, timeout_s)
        self._workers, self._timeout = workers, timeout_s

    @property
    def workers(self) -> int:
        """Tasks carried out at a time."""
        return self._workers

    def answers(self, work: Work, tasks: deque[Task], should_stop: Callable[[], bool]) -> Iterator[Answer]:
        """As the interface says."""
        idle: list[_Worker] = []
        busy: list[_Worker] = []
        try:
            while True:
                while tasks and len(busy) < self._workers and not should_stop():
                    worker = idle.pop() if idle else _Worker(work)
                    worker.begin(tasks.popleft())
                    busy.append(worker)
                if not busy:
                    return
                wait([worker.connection for worker in busy], _POLL_SECONDS)
                for worker in list(busy):
                    answer = worker.answer(self._timeout)
                    if answer is not None:
                        busy.remove(worker)
                        idle += [worker] if worker.is_usable else []
                        yield answer
        finally:
            for worker in (*idle, *busy):
                worker.end()


class _Worker:
    """One process and the task it is at."""

    def __init__(self, work: Work):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task = {}
        self.begun = 0.0
        self.has_task = False
        self.is_usable = True

    def begin(self, task: Task) -> None:
        self.task, self.begun, self.has_task = task, time.monotonic(), False
        with contextlib.suppress(OSError):  # it died meanwhile: `answer` will find out
            self.connection.send_bytes(json.dumps(task).encode())

    def answer(self, timeout: float | int | None) -> Answer | None:
        """What became of the task; None while it is under way."""
        timeout = time_limit(timeout, self.task)
        if self.connection.poll():
            return self._received()
        if not self.process.is_alive() and not self.connection.poll():
            return self._lost(self._exit())
        limit = timeout if self.has_task else max(timeout, _START_SECONDS)
        if time.monotonic() - self.begun > limit:
            return self._lost(too_long(limit))
        return None

    def _received(self) -> Answer | None:
        try:
            found = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self.process.join(_GRACE_SECONDS)
            return self._lost(self._exit())
        if found == _BEGUN:
            self.begun, self.has_task = time.monotonic(), True
            return None
        if found["error"] is not None:
            return self._lost(found["error"])
        return Answer(self.task, tuple(Outcome(*outcome) for outcome in found["outcomes"]))

    def _exit(self) -> str:
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"the worker was killed by {signal.Signals(-code).name}"
        said = f"the worker ended without an answer, with exit code {code}"
        return said if self.has_task or not _is_unguarded_script() else f"{said}: {_GUARD}"

    def _lost(self, error: str) -> Answer:
        self.is_usable = False
        self.end()
        return Answer(self.task, error=error)

    def end(self, grace: float = 0.0) -> None:
        """End the process, at once unless it ends by itself in time."""
        self.connection.close()
        self.process.join(grace)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(connection: Connection, work: Work) -> None:
    """The life of a worker: tasks in, answers out, as JSON, so that nothing else can come through."""
    _be_quiet()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides; it gets the same signal
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = json.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(json.dumps(_BEGUN).encode())
        try:
            answer = {"outcomes": [list(outcome) for outcome in work(task)], "error": None}
            text = json.dumps(answer)
        except BaseException as error:
            connection.send_bytes(json.dumps({"outcomes": [], "error": reason(error)}).encode())
            raise
        connection.send_bytes(text.encode())


def _is_unguarded_script() -> bool:
    """Whether the main program is a file that workers run anew, for they spawn, and that does not ask who it is."""
    main = sys.modules["__main__"]
    path = Path(vars(main).get("__file__") or "")
    if vars(main).get("__spec__") is not None or not path.is_file():
        return False
    return b"__name__" not in path.read_bytes()


def _be_quiet() -> None:
    """Drop what is printed, by whatever."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def _end_with_parent() -> None:
    """A coordinator that was killed leaves no workers behind."""
    multiprocessing.parent_process().join()
    os._exit(1)
