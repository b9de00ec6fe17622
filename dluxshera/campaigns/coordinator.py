"""Running a campaign: what is missing is worked on, what fails is written down, the table is made."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..config import ConfigError
from ..inference.run_lock import RunLock
from .campaign import Campaign
from .executors import AbstractExecutor, Answer, InProcess, Task, Work
from .experiment import Experiment
from .precision import double_precision
from .table import default_table, write_table
from .work import Outcome, fit_rows


class CampaignProgress(NamedTuple):
    """How far a campaign is: numbers of runs, `there` of which were done before; `seconds` since it began."""

    total: int
    there: int
    done: int
    failed: int
    seconds: float
    message: str = ""

    @property
    def left(self) -> int:
        """Runs that nothing is known of yet."""
        return self.total - self.there - self.done - self.failed


Meter = Callable[[CampaignProgress], None]


def silent(progress: CampaignProgress) -> None:
    """The meter that shows nothing."""


def run_campaign(
    campaign: Campaign,
    folder: str | Path,
    executor: AbstractExecutor | None = None,
    *,
    update: bool = False,
    on_progress: Meter = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> CampaignProgress:
    """Run a campaign into a folder, or what is missing of it there, and write its table.

    Parameters
    ----------
    campaign : Campaign
    folder : path
        New, empty, or that of the same campaign, which is then gone on with.
    executor : AbstractExecutor
        By default in this process.
    update : bool
        Whether the folder of another campaign may be taken over; runs that both have are kept.
    on_progress : callable
        Called with a `CampaignProgress` at the start and after every batch.
    should_stop : callable
        When true, what is under way is finished and nothing else begun.

    Raises
    ------
    ConfigError
        If the campaign makes no sense, or the folder holds something else.
    RunLocked
        If another process is at it.
    """
    experiment = Experiment.create(campaign, Path(folder), update)
    return resume_campaign(experiment, executor, on_progress=on_progress, should_stop=should_stop)


def resume_campaign(
    experiment: Experiment,
    executor: AbstractExecutor | None = None,
    *,
    work: Work = fit_rows,
    on_progress: Meter = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> CampaignProgress:
    """Do what is missing of an experiment, and write its table.

    A run counts if every file of it is sound and its content hash is the planned one. Rows that failed without a run
    are tried again.

    Parameters
    ----------
    experiment : Experiment
    executor, on_progress, should_stop
        As for `run_campaign`.
    work : callable
        What carries out a task; `fit_rows`.

    Raises
    ------
    ConfigError
        If what is missing would come out as something else than was planned.
    RunLocked
        If another process is at it.
    """
    with RunLock(experiment.folder):
        experiment.make_folders()
        meter = _Count(experiment, on_progress)
        tasks = deque(_tasks(experiment, meter.done_before))
        for answer in (InProcess() if executor is None else executor).answers(work, tasks, should_stop):
            again = _apart(answer)
            tasks.extend(again)
            if not again:
                meter.note(answer)
        write_table(experiment.table(), default_table(experiment.folder))
    return meter.progress


def _tasks(experiment: Experiment, done: set[str]) -> Iterator[Task]:
    """The batches in which a run is missing, whole: the same rows side by side give the same numbers again."""
    if len(done) == len(experiment.rows):
        return
    campaign = experiment.campaign
    if [row.content for row in campaign.rows] != [row.content for row in experiment.rows]:
        raise ConfigError(
            f"{experiment.folder}: its plan comes to other runs by now: a profile, a file that it names, or dluxshera "
            f"itself has changed. Plan it anew: dluxshera campaign run FILE -o {experiment.folder} --update."
        )
    common = {
        "values": dict(campaign.values),
        "folder": str(experiment.folder.absolute()),
        "double": double_precision(),
    }
    for size, rows in campaign.batches():
        if any(row.run_id not in done for row in rows):
            yield common | {"batch": size, "rows": [row._asdict() for row in rows]}


def _apart(answer: Answer) -> list[Task]:
    """The rows of a batch that failed as a whole, one by one: it may be one row's fault."""
    rows = answer.task["rows"]
    if answer.error is None or len(rows) == 1:
        return []
    return [{**answer.task, "rows": [row]} for row in rows]


class _Count:
    """Counts what is done, and writes down what failed."""

    def __init__(self, experiment: Experiment, meter: Meter):
        self._experiment, self._meter, self._started = experiment, meter, time.perf_counter()
        self.done_before = {row.run_id for row in experiment.rows if experiment.is_done(row)}
        self.progress = CampaignProgress(len(experiment.rows), len(self.done_before), 0, 0, 0.0)
        meter(self.progress)

    def note(self, answer: Answer) -> None:
        """Take an answer into account."""
        outcomes = answer.outcomes
        if answer.error is not None:
            outcomes = tuple(Outcome(row["run_id"], "failed", answer.error) for row in answer.task["rows"])
        outcomes = tuple(outcome for outcome in outcomes if outcome.run_id not in self.done_before)
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        for outcome in outcomes:
            self._write_down(outcome)
        now = self.progress
        self.progress = now._replace(
            done=now.done + len(outcomes) - len(failed),
            failed=now.failed + len(failed),
            seconds=time.perf_counter() - self._started,
            message=failed[-1].message if failed else now.message,
        )
        self._meter(self.progress)

    def _write_down(self, outcome: Outcome) -> None:
        has_run = (self._experiment.runs / outcome.run_id).is_dir()
        if outcome.status == "failed" and not has_run:
            self._experiment.note_failure(outcome.run_id, outcome.message)
        else:
            self._experiment.forget_failure(outcome.run_id)
