"""Commits of one run while it is under way: its beginning, how far it has come, its end."""

import contextlib
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dluxshera.inference._artifact_encoding import encode_run, npz_files
from dluxshera.inference._artifact_loading import RunPath
from dluxshera.inference._artifact_schema import complete_meta
from dluxshera.inference.run_artifacts import check_target, commit_run

COMMIT_SECONDS = 10.0  # between two commits of a run under way, at least
MOST_SHARE = 0.02  # of the time, for commits


class CommitWarning(UserWarning):
    """How far a fit has come could not be written; what was committed before is kept."""


class RunWriter:
    """Writes the generations of one run, each whole or not at all. Whoever uses it holds the `RunLock` of the run.

    Parameters
    ----------
    run_dir : path
        Made by the first commit, by one rename.
    meta : mapping
        As for `save_run`; the same for all commits.
    observation : mapping of arrays, optional
    extra : mapping of mappings of arrays, optional
        Further NPZ files that stay as they are.
    every : float, seconds
        Least time between two commits under way, which take two hundredths of the time at most, however slow the disk.
        Zero: commit at every occasion, whatever it costs.
    overwrite : bool
        Whether the directory may hold a run.

    Raises
    ------
    RunExists, SchemaError, ValueError
        As `save_run`; nothing is written then.
    """

    def __init__(
        self,
        run_dir: RunPath,
        meta: Mapping,
        *,
        observation: Mapping | None = None,
        extra: Mapping[str, Mapping] | None = None,
        every: float | int = COMMIT_SECONDS,
        overwrite: bool = False,
    ):
        self.path = check_target(Path(run_dir).absolute(), overwrite)
        self.meta = complete_meta(meta, self.path.name, meta["theta"]["dim"])
        self.has_begun = False
        fixed = {} if observation is None else {"observation": observation}
        self._fixed = npz_files({**fixed, **(extra or {})})  # encoded once
        self._every, self._overwrite, self._due = every, overwrite, 0.0

    def is_due(self) -> bool:
        """Whether it is time for another commit."""
        return not self.has_begun or time.monotonic() >= self._due

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Around a commit on the way: a disk that is full for a while ends no run that has begun."""
        try:
            yield
        except OSError as error:
            if not self.has_begun:
                raise
            warnings.warn(f"{error} The fit goes on.", CommitWarning, stacklevel=4)

    def commit(
        self,
        trace: Any,
        summary: Mapping,
        diag_steps: Iterable[Mapping] | None = None,
        files: Mapping[str, bytes] | None = None,
        **parts: Any,
    ) -> None:
        """Commit a generation: what the run is now; arguments as of `save_run`, `files` are others, encoded."""
        begun = time.monotonic()
        optimizer = {**self.meta["optimizer"], "num_steps": int(len(_loss_of(trace)) - 1)}
        meta = {**self.meta, "optimizer": optimizer}
        ready = {**self._fixed, **(files or {})}
        files = encode_run(self.path.name, trace, meta, summary, parts, diag_steps, None, ready)
        commit_run(self.path, files, overwrite=self._overwrite or self.has_begun)
        self.has_begun = True
        now = time.monotonic()
        self._due = now + (max(float(self._every), (now - begun) / MOST_SHARE) if self._every > 0 else 0.0)


def _loss_of(trace: Any) -> Any:
    return trace["loss"] if isinstance(trace, Mapping) else trace.loss
