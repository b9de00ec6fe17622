"""What a campaign will cost, before it is run."""

import time
from typing import Any, NamedTuple

import jax

from .campaign import Campaign, Row
from .models import Prepared
from .plot import check_plot

STEPS = 8  # evaluations of a typical Levenberg-Marquardt fit
SAVE_SECONDS = 0.15  # to build, save and list one run
_JSON_BYTES = 26_000


class GroupCost(NamedTuple):
    """A compile group: its number of runs, θ, pixels, and what one of its fits costs.

    Attributes
    ----------
    runs, dim, npix, batch : int
    compile_seconds, fit_seconds : float, seconds
        Once for each worker, and for each run; None where nothing was measured.
    run_bytes : int
        On disk, for each run.
    """

    runs: int
    dim: int
    npix: int
    batch: int
    compile_seconds: float | None
    fit_seconds: float | None
    run_bytes: int


class Preview(NamedTuple):
    """What a campaign will cost.

    Attributes
    ----------
    name, size : str
    runs : int
    settings : dict
        Name of each setting that varies, and how many values it takes.
    groups : tuple of GroupCost
    seconds : float, seconds
        For one worker on this machine; None where nothing was measured.
    bytes : int
    """

    name: str
    size: str
    runs: int
    settings: dict[str, int]
    groups: tuple[GroupCost, ...]
    seconds: float | None
    bytes: int

    def seconds_with(self, workers: int) -> float | None:
        """Seconds with so many workers that do not slow each other down; each compiles for itself."""
        if self.seconds is None:
            return None
        compiling = sum(group.compile_seconds or 0.0 for group in self.groups)
        return compiling + (self.seconds - compiling) / max(1, min(workers, self.runs))


def preview(campaign: Campaign, measure: bool = True) -> Preview:
    """Plan a campaign and predict its cost from one evaluation of the first run of each compile group.

    Parameters
    ----------
    campaign : Campaign
    measure : bool
        Whether to compile and time that evaluation; without it seconds are None.
    """
    check_plot(campaign)
    groups = tuple(_cost(campaign, i, rows, measure) for i, rows in enumerate(campaign.groups))
    seconds = None
    if measure:
        seconds = sum((g.compile_seconds or 0.0) + g.runs * ((g.fit_seconds or 0.0) + SAVE_SECONDS) for g in groups)
    return Preview(
        campaign.name,
        campaign.size,
        len(campaign.rows),
        {name: len(campaign.varied(name)) for name in campaign.settings},
        groups,
        seconds,
        sum(group.runs * group.run_bytes for group in groups),
    )


def _cost(campaign: Campaign, index: int, rows: tuple[Row, ...], measure: bool) -> GroupCost:
    one = campaign.first_of(index)
    compiling, fitting = _timed(one) if measure else (None, None)
    dim, npix = one.objective.space.dim, one.objective.image.shape[0]
    return GroupCost(len(rows), dim, npix, campaign.batch_size(index), compiling, fitting, _bytes(one))


def _timed(one: Prepared) -> tuple[float, float]:
    """Seconds to compile, taken twice for the loop around it, and seconds of a whole fit."""
    evaluate = jax.jit(lambda objective, theta: objective.expansion(theta))
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        jax.block_until_ready(evaluate(one.objective, one.theta))
        seconds.append(time.perf_counter() - started)
    return 2 * (seconds[0] - seconds[1]), STEPS * seconds[1]


def _bytes(one: Prepared) -> int:
    """Bytes of a run directory: image and variance in double precision, covariances, states, trace and JSON."""
    dim, pixels = one.objective.space.dim, one.objective.image.size
    arrays: dict[str, Any] = one.observation.arrays()
    stored = sum(array.nbytes for array in arrays.values())
    return int(
        0.9 * stored * (pixels > 0) + 8 * (2 * dim**2 + 4 * dim**2 + STEPS * (dim + 4)) + _JSON_BYTES + 300 * dim
    )
