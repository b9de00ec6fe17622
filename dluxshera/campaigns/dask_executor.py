"""Workers of a Dask cluster: one that is there, one on this machine, or one that SLURM starts."""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .dask_tasks import DaskTasks, import_distributed
from .executors import AbstractExecutor, Answer, Task, Work, check_limits

_WAIT_SECONDS = 300.0  # for a first worker, where nobody has to queue


class DaskExecutor(AbstractExecutor):
    """Tasks on `dask.distributed`; the experiment's folder must be the same on every worker.

    A task whose worker dies is carried out by another one; after three such deaths it fails. One that takes too long
    fails, and its worker is started anew.

    Parameters
    ----------
    address : str, optional
        Of a scheduler, `tcp://host:8786`. Without it a cluster is started for the time of the campaign.
    workers : int
        Of the cluster that is started; with `slurm` its jobs.
    slurm : mapping, optional
        Arguments of `dask_jobqueue.SLURMCluster`: `queue`, `cores`, `memory`, `walltime`, ...
    timeout_s : float, seconds, optional
        Longest time of one task, from when a worker begins it. By default an hour and ten minutes for each of its
        rows; `math.inf` for none.
    wait_s : float, seconds, optional
        Longest time in which no worker is there: then what is left fails. By default 300, and without end with
        `slurm`, where jobs queue.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int = 2,
        slurm: Mapping[str, Any] | None = None,
        timeout_s: float | int | None = None,
        wait_s: float | int | None = None,
    ):
        check_limits(workers, timeout_s, wait_s)
        if address is not None and slurm is not None:
            raise ValueError("Expected address or slurm, got both. Give one.")
        self._address, self._count, self._slurm, self._timeout = address, workers, slurm, timeout_s
        self._wait = wait_s if wait_s is not None else _WAIT_SECONDS if slurm is None else math.inf
        import_distributed()

    @property
    def workers(self) -> int:
        """Tasks carried out at a time, as far as that is known before the cluster is asked."""
        return self._count

    def answers(self, work: Work, tasks: deque[Task], should_stop: Callable[[], bool]) -> Iterator[Answer]:
        """As the interface says; tasks that no worker has begun are taken back at a stop."""
        with self._client(import_distributed()) as client:
            handed = DaskTasks(client, work, self._count, self._timeout, self._wait)
            while True:
                if handed.is_alone:  # no worker will come
                    yield from (Answer(task, error=handed.why_alone) for task in handed.taken_back(begun_too=True))
                    while tasks:
                        yield Answer(tasks.popleft(), error=handed.why_alone)
                stopping = should_stop()
                if stopping:
                    handed.taken_back()
                while tasks and handed.has_room and not stopping:
                    handed.hand_in(tasks.popleft())
                if not handed.pending:
                    return
                yield from handed.answers()

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


def import_jobqueue() -> Any:
    """`dask_jobqueue`, or an ImportError that says how to get it."""
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ImportError("dask-jobqueue is not installed. Install it with pip install 'dluxshera[dask]'.") from error
    return dask_jobqueue
