"""The clock of a reconstruction: how long its stages may last, and what it met on the way."""

import time
from typing import Any

import numpy as np

from ..inference import EngineState

FIRST_EPOCHS = 20  # of the first stage, where seconds are given
STAGE_ENDS = (0.25, 0.85, 1.0)  # of the seconds, at the latest
COLUMNS = ("seconds", "loss", "deviance", "stage", "finite")


class Clock:
    """Counts seconds of optimisation, leaving out the first call of each stage, which compiles.

    Parameters
    ----------
    seconds : float or None
        All that there are; None where only epochs count.
    lengths : (int, int, int)
        Epochs of the stages, where only they count.
    resume : Progress or None
        Whose history and lengths to go on with.

    Attributes
    ----------
    lengths : list of int
        Epochs of the stages; -1 where not decided yet.
    history : dict of lists
        `seconds`, `loss`, `deviance`, `stage` and `finite` of the start and after every epoch.
    stopped : bool
        Whether somebody asked to stop.
    failure : str or None
        Why the optimisation broke down.
    """

    def __init__(self, seconds: float | int | None, lengths: tuple[int, int, int], resume: Any = None):
        self.limit = np.inf if seconds is None else seconds
        self.lengths = list(lengths) if seconds is None else [min(lengths[0], FIRST_EPOCHS), -1, -1]
        self.history = {name: [] for name in COLUMNS}
        self.stopped, self.failure, self.compiling, self.spent = False, None, 0.0, 0.0
        self._stage, self._step, self._first, self._mark = 0, 0, True, 0.0
        self._cold = resume is not None  # then the first epoch compiles, for the start has been evaluated before
        if resume is not None:
            self.lengths = list(resume.lengths)
            every = {"finite": [True] * len(resume.history["loss"])}  # of records made before it was noted
            self.history = {name: list(values) for name, values in (every | resume.history).items()}
            self.spent = self.history["seconds"][-1]

    def begin_stage(self, stage: int) -> int:
        """How many epochs a stage may last: as decided, or as many as there is time for."""
        self._stage, self._step, self._first, self._mark = stage, 0, True, time.perf_counter()
        if self.lengths[stage] < 0:
            left, each = self._end() - self.spent, self._epoch_seconds()
            self.lengths[stage] = max(0, int(left / each)) if each > 0 else 1
        return self.lengths[stage]

    def note(self, state: EngineState) -> None:
        """Take down what a state tells; the first of a stage is that before its epochs."""
        self._step = int(state.step)
        self._count(time.perf_counter() - self._mark)
        if not self._first or not self.history["loss"]:
            row = (self.spent, float(state.loss), _deviance(state), self._stage, bool(state.finite))
            for name, value in zip(COLUMNS, row, strict=True):
                self.history[name].append(value)
        self._first = False
        self.go_on()

    def go_on(self) -> None:
        """Leave out the time since the last state was noted."""
        self._mark = time.perf_counter()

    def _count(self, elapsed: float) -> None:
        counted = 0.0 if self._first else min(elapsed, self._epoch_seconds()) if self._cold else elapsed
        self._cold = self._cold and self._first
        self.spent, self.compiling = self.spent + counted, self.compiling + elapsed - counted

    def has_just_begun(self) -> bool:
        """Whether nothing but the start has been noted."""
        return len(self.history["loss"]) == 1

    def is_over(self, asked: bool) -> bool:
        """Whether a stage has to end now."""
        self.stopped = self.stopped or asked
        late = self.spent + self._epoch_seconds() > self._end()
        return self.stopped or late or self._step >= self.lengths[self._stage]

    def record(self) -> tuple[list[int], dict[str, list]]:
        """Lengths and history as they are now."""
        return list(self.lengths), {name: list(values) for name, values in self.history.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """The history, (T,) each."""
        return {name: np.asarray(values) for name, values in self.history.items()}

    def facts(self) -> dict[str, Any]:
        """Plain values for a record."""
        stages = self.history["stage"]
        return {
            "epochs": len(stages) - 1,
            "stage_epochs": [stages[1:].count(stage) for stage in range(3)],
            "seconds": self.spent,
            "compile_seconds": self.compiling,
            "interrupted": self.stopped,
            "nonfinite_steps": self.history["finite"].count(False),
            "failure": self.failure,
        }

    def _end(self) -> float:
        """When the present stage has to end, seconds."""
        return self.limit * STAGE_ENDS[self._stage]

    def _epoch_seconds(self) -> float:
        """How long the last epochs took; 0 where none has been."""
        recent = np.diff(self.history["seconds"][-12:])
        return float(np.median(recent)) if recent.size else 0.0


def _deviance(state: EngineState) -> float:
    """As the engine gives it; full-batch steps lower half of it."""
    deviance = getattr(state.memory, "deviance", None)
    return 2 * float(state.loss) if deviance is None else float(deviance)
