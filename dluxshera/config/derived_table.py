"""Rows of a fit's table for what follows from its parameters: the position angle on the sky."""

from typing import Any

import equinox as eqx

from ..inference.fisher import covariance
from ..inference.fit import Solution
from ..instrument import Instrument
from ..params import get_value
from ..params.paths import spec_of

_ANGLES = ("north_east_position_angle_deg",)


def derived_table(solution: Solution, start: Instrument, truth: Instrument | None = None) -> list[dict[str, Any]]:
    """One row for each derived quantity that is known and that the fit moved, as in `parameter_table`.

    The position angle from north through east is known where the detector's roll is. The roll is taken as exact.

    Parameters
    ----------
    solution : Solution
    start, truth : Instrument
        Where the fit began, and what the data were made with, if that is known.
    """
    data_alone = eqx.tree_at(lambda s: s.covariance, solution, covariance(solution.information))
    known = [name for name in _ANGLES if get_value(solution.model, name) is not None]
    rows = [_row(solution, data_alone, name, start, truth) for name in known]
    return [row for row in rows if row["sigma"] > 0]


def _row(solution: Solution, data_alone: Solution, name: str, start: Instrument, truth: Instrument | None):
    estimate = float(get_value(solution.model, name))
    return {
        "label": name,
        "name": name,
        "unit": spec_of(solution.model, name).unit,
        "estimate": estimate,
        "sigma": float(solution.sigma(name)),
        "cramer_rao": float(data_alone.sigma(name)),
        "start": _nearest_turn(start, name, estimate),
        "truth": None if truth is None else _nearest_turn(truth, name, estimate),
    }


def _nearest_turn(model: Instrument, name: str, estimate: float) -> float | None:
    """The angle in the turn that is nearest to the estimate; None where the model does not know it."""
    value = get_value(model, name)
    return None if value is None else float(value) + 360 * round((estimate - float(value)) / 360)
