"""Ticks of an axis that is linear near to zero and logarithmic beyond."""

import math

import numpy as np
from matplotlib.ticker import Locator

_MOST = 3  # ticks to either side of zero


class SymlogTicks(Locator):
    """Ticks at zero, where the linear part ends, and at powers of ten of that.

    Parameters
    ----------
    linear_within : float
        A round number reads best.
    """

    def __init__(self, linear_within: float | int):
        self.linear_within = float(linear_within)

    def __call__(self) -> np.ndarray:
        """Ticks of the axis as it is."""
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float | np.floating, vmax: float | np.floating) -> np.ndarray:
        """Ticks between two numbers."""
        decades = max(0, math.floor(math.log10(max(abs(vmin), abs(vmax), self.linear_within) / self.linear_within)))
        positive = self.linear_within * 10.0 ** np.arange(0, decades + 1, math.ceil((decades + 1) / _MOST))
        ticks = np.concatenate([-positive[::-1], [0.0], positive])
        return ticks[(ticks >= vmin) & (ticks <= vmax)]
