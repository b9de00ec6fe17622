"""Workers of a Dask cluster: one that is there, one on this machine, or one that SLURM starts."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .executors import AbstractExecutor, Answer, Task, Work
from .work import Outcome, reason

_WAITING = 4  # tasks handed in for each worker, so that none is idle and a stop is soon


class DaskExecutor(AbstractExecutor):
    """Tasks on `dask.distributed`; the experiment's folder must be the same on every worker.

    A task whose worker dies is carried out by another one; after three such deaths it fails.

    Parameters
    ----------
    address : str, optional
        Of a scheduler, `tcp://host:8786`. Without it a cluster is started for the time of the campaign.
    workers : int
        Of the cluster that is started; with `slurm` its jobs.
    slurm : mapping, optional
        Arguments of `dask_jobqueue.SLURMCluster`: `queue`, `cores`, `memory`, `walltime`, ...
    """

    def __init__(self, address: str | None = None, workers: int = 2, slurm: Mapping[str, Any] | None = None):
        if workers < 1:
            raise ValueError(f"Expected one worker or more, got {workers}.")
        if address is not None and slurm is not None:
            raise ValueError("Expected address or slurm, got both. Give one.")
        self._address, self._count, self._slurm = address, workers, slurm
        import_distributed()

    @property
    def workers(self) -> int:
        """Tasks carried out at a time, as far as that is known before the cluster is asked."""
        return self._count

    def answers(self, work: Work, tasks: deque[Task], should_stop: Callable[[], bool]) -> Iterator[Answer]:
        """As the interface says."""
        distributed = import_distributed()
        with self._client(distributed) as client:
            pending: dict[Any, Task] = {}
            while True:
                room = _WAITING * max(self._count, len(client.nthreads()))
                while tasks and len(pending) < room and not should_stop():
                    task = tasks.popleft()
                    future = client.submit(_outcomes, work, dict(task), pure=False)
                    pending[future] = task
                if not pending:
                    return
                with client.as_current():
                    done, _ = distributed.wait(list(pending), return_when="FIRST_COMPLETED")
                for future in done:
                    yield _answer(pending.pop(future), future)

    @contextlib.contextmanager
    def _client(self, distributed: Any) -> Iterator[Any]:
        if self._address is not None:
            with distributed.Client(self._address, set_as_default=False) as client:
                yield client
            return
        with self._cluster(distributed) as cluster, distributed.Client(cluster, set_as_default=False) as client:
            yield client

    def _cluster(self, distributed: Any) -> Any:
        if self._slurm is None:
            quiet = {"dashboard_address": None, "threads_per_worker": 1}
            return distributed.LocalCluster(n_workers=self._count, processes=True, **quiet)
        cluster = import_jobqueue().SLURMCluster(**self._slurm)
        cluster.scale(jobs=self._count)
        return cluster


def _outcomes(work: Work, task: Task) -> list[list[str]]:
    """Outcomes as plain lists: they travel whatever the work returns."""
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


def import_jobqueue() -> Any:
    """`dask_jobqueue`, or an ImportError that says how to get it."""
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ImportError("dask-jobqueue is not installed. Install it with pip install 'dluxshera[dask]'.") from error
    return dask_jobqueue
