"""Tasks that a Dask scheduler has: which a worker has begun, what came of them, and which take too long."""

import contextlib
import queue
import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from .executors import Answer, Task, Work, time_limit, too_long
from .work import Outcome, reason

_WAITING = 4  # tasks handed in for each worker, so that none is idle and a stop is soon
_POLL_SECONDS = 0.5
_RESTART_SECONDS = 30.0


class _Begun(NamedTuple):
    """A task under way: since when, by the clock of this process, and on which worker."""

    since: float
    worker: str


class DaskTasks:
    """Tasks handed in by a client.

    Parameters
    ----------
    client : distributed.Client
    work : callable
        What carries out a task.
    workers : int
        As many as are expected.
    timeout, wait : float, seconds
        Longest time of a task (None for the usual one), and without any task under way.
    """

    def __init__(self, client: Any, work: Work, workers: int, timeout: float | int | None, wait: float | int):
        self._client, self._work, self._count, self._timeout, self._wait = client, work, workers, timeout, wait
        self.pending: dict[int, tuple[Task, Any]] = {}
        self._begun: dict[int, _Begun] = {}
        self._news: queue.SimpleQueue = queue.SimpleQueue()  # numbers of tasks, with a worker where it begins one
        self._topic = f"dluxshera-{uuid.uuid4().hex}"
        self._alive, self._handed_in = time.monotonic(), 0
        client.subscribe_topic(self._topic, lambda event: self._news.put(event[1]))

    @property
    def has_room(self) -> bool:
        """Whether another task may be handed in."""
        return len(self.pending) < _WAITING * max(self._count, len(self._client.nthreads()))

    @property
    def is_alone(self) -> bool:
        """Whether tasks wait, and no worker has had one for too long."""
        return bool(self.pending) and time.monotonic() - self._alive > self._wait

    @property
    def why_alone(self) -> str:
        """What is said of the tasks then."""
        return (
            f"no Dask worker took a task for {self._wait:g} s; there are {len(self._client.nthreads())} at "
            f"{self._client.scheduler.address}. Start some that are free, or give wait_s for a longer time"
        )

    def hand_in(self, task: Task) -> None:
        """Give a task to the scheduler."""
        if not self.pending:
            self._alive = time.monotonic()
        number, self._handed_in = self._handed_in, self._handed_in + 1
        future = self._client.submit(_outcomes, self._work, dict(task), self._topic, number, pure=False)
        self.pending[number] = task, future
        future.add_done_callback(lambda _: self._news.put([number, None]))

    def taken_back(self, begun_too: bool = False) -> list[Task]:
        """Take the tasks back that no worker has begun, or all."""
        numbers = [number for number in self.pending if begun_too or number not in self._begun]
        return [self._cancelled(number) for number in numbers]

    def answers(self) -> Iterator[Answer]:
        """Wait a moment for news; what has ended, and what takes too long."""
        there = self._client.nthreads()
        self._begun = {number: begun for number, begun in self._begun.items() if begun.worker in there}
        with contextlib.suppress(queue.Empty):
            yield from self._heard(*self._news.get(timeout=_POLL_SECONDS))
        if self._begun:
            self._alive = time.monotonic()
        for number, begun in list(self._begun.items()):
            limit = time_limit(self._timeout, self.pending[number][0])
            if time.monotonic() - begun.since > limit:
                task = self._cancelled(number)
                self._restart(begun.worker)
                yield Answer(task, error=too_long(limit))

    def _heard(self, number: int, worker: str | None) -> Iterator[Answer]:
        if number not in self.pending:  # taken back meanwhile
            return
        self._alive = time.monotonic()
        if worker is not None:
            self._begun[number] = _Begun(self._alive, worker)
            return
        task, future = self.pending.pop(number)
        self._begun.pop(number, None)
        yield _answer(task, future)

    def _cancelled(self, number: int) -> Task:
        task, future = self.pending.pop(number)
        self._begun.pop(number, None)
        future.cancel()
        return task

    def _restart(self, worker: str) -> None:
        """Start a worker anew, where it has a nanny to do it; its other tasks go to whoever is free."""
        with contextlib.suppress(ValueError, LookupError, OSError, RuntimeError):
            self._client.restart_workers([worker], timeout=_RESTART_SECONDS, raise_for_error=False)


def _outcomes(work: Work, task: Task, topic: str, number: int) -> list[list[str]]:
    """Outcomes as plain lists: they travel whatever the work returns. The client is told of the beginning."""
    worker = import_distributed().get_worker()
    worker.log_event(topic, [number, worker.address])
    return [list(outcome) for outcome in work(task)]


def _answer(task: Task, future: Any) -> Answer:
    if future.status == "finished":
        return Answer(task, tuple(Outcome(*outcome) for outcome in future.result()))
    error = future.exception() if future.status == "error" else None
    return Answer(task, error=f"cancelled ({future.status})" if error is None else reason(error))


def import_distributed() -> Any:
    """`dask.distributed`, or an ImportError that says how to get it."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError("Dask is not installed. Install it with pip install 'dluxshera[dask]'.") from error
    return distributed
