"""What carries tasks out: one interface, and the executor that does it in this process."""

import abc
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .work import ROW_ERRORS, Outcome, reason

_AN_HOUR, _FOR_EACH_ROW = 3600.0, 600.0  # seconds: far above any fit known, and not for ever

Task = Mapping[str, Any]
Work = Callable[[Task], list[Outcome]]


class Answer(NamedTuple):
    """What became of a task: its outcomes, or why it has none."""

    task: Task
    outcomes: tuple[Outcome, ...] = ()
    error: str | None = None


def time_limit(given: float | int | None, task: Task) -> float | int:
    """Seconds that a task may take: as given, else an hour and ten minutes for each of its rows."""
    return _AN_HOUR + _FOR_EACH_ROW * len(task["rows"]) if given is None else given


def too_long(limit: float | int) -> str:
    """What is said of a task that took longer."""
    return f"took longer than {limit:g} s; a longer time is given by timeout_s (--timeout)"


def check_limits(workers: int, *limits: float | int | None) -> None:
    """Refuse no workers, and a time limit that is not above zero.

    Raises
    ------
    ValueError
        Saying which.
    """
    if workers < 1:
        raise ValueError(f"Expected one worker or more, got {workers}.")
    for limit in limits:
        if limit is not None and not limit > 0:
            raise ValueError(f"Expected a time limit above zero, in seconds, got {limit}.")


class AbstractExecutor(abc.ABC):
    """Carries tasks out, in any order, somewhere.

    Whatever a task does, the executor answers for it once and goes on with the others.
    """

    @abc.abstractmethod
    def answers(self, work: Work, tasks: deque[Task], should_stop: Callable[[], bool]) -> Iterator[Answer]:
        """Give the answers as they come, until no task is left.

        Parameters
        ----------
        work : callable
            A function of a module, for it is called in other processes.
        tasks : deque of mapping
            Taken from the left; more may be added while answers are given.
        should_stop : callable
            When true, no further task is begun; those under way are finished.
        """

    @property
    @abc.abstractmethod
    def workers(self) -> int:
        """Tasks carried out at a time."""


class InProcess(AbstractExecutor):
    """One task after another in this process."""

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def answers(self, work: Work, tasks: deque[Task], should_stop: Callable[[], bool]) -> Iterator[Answer]:
        """As the interface says."""
        while tasks and not should_stop():
            task = tasks.popleft()
            try:
                answer = Answer(task, tuple(work(task)))
            except ROW_ERRORS as error:
                answer = Answer(task, error=reason(error))
            yield answer
