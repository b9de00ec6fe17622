"""What carries tasks out: one interface, and the executor that does it in this process."""

import abc
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .work import ROW_ERRORS, Outcome, reason

Task = Mapping[str, Any]
Work = Callable[[Task], list[Outcome]]


class Answer(NamedTuple):
    """What became of a task: its outcomes, or why it has none."""

    task: Task
    outcomes: tuple[Outcome, ...] = ()
    error: str | None = None


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
