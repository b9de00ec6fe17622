"""The learning rate that falls where the validation loss no longer does, and the end of training."""

import math
from typing import NamedTuple

from .settings import TrainingSettings


class Plateau(NamedTuple):
    """Where the schedule stands.

    Attributes
    ----------
    rate : float
    best : float
        Least validation loss so far.
    waited : int
        Epochs since the least loss, or since the rate fell.
    idle : int
        Epochs since the least loss.
    """

    rate: float
    best: float = math.inf
    waited: int = 0
    idle: int = 0

    def after(self, loss: float, settings: TrainingSettings) -> "Plateau":
        """The schedule after an epoch of that validation loss; one that is not finite is no better."""
        if loss < self.best:
            return Plateau(self.rate, loss)
        waited, idle = self.waited + 1, self.idle + 1
        if waited <= settings.patience:
            return self._replace(waited=waited, idle=idle)
        return Plateau(max(self.rate * settings.factor, settings.least_rate), self.best, 0, idle)

    def is_over(self, settings: TrainingSettings) -> bool:
        """Whether the loss has not fallen for longer than training may wait."""
        return bool(settings.stop_after) and self.idle >= settings.stop_after
