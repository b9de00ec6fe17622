"""Where a fit is while it is under way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from .engines import EngineState
from .loop import Rows
from .trace import Trace


@dataclasses.dataclass(frozen=True, eq=False)
class FitProgress:
    """Where a fit is: enough for a record of it, and to go on from.

    Attributes
    ----------
    state, best_state : EngineState
        The last, and the best so far.
    rows : list of Rows
        The trace so far, in pieces.
    """

    state: EngineState
    best_state: EngineState
    rows: list[Rows]

    @property
    def trace(self) -> Trace:
        """The trace so far."""
        return trace_of(self.rows)


def trace_of(rows: list[Rows]) -> Trace:
    """Pieces of a trace as one."""
    columns = jax.tree.map(lambda *parts: jnp.asarray(np.concatenate(parts)), *rows)
    return Trace(**columns._asdict())
