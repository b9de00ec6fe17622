"""What a loss is worth: paired differences between losses over seeds, with intervals."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ptychography.extras import extra
from .dose_study import BOTH, PARTS

MEASURES = ("mae", "ssim", "psnr", "frc_half")
SAME = ("object", "scan", "gridsize", "photons", "inferred")
LEVEL = 0.95  # of the intervals


def loss_effects(rows: Sequence[Mapping[str, Any]], measures: Sequence[str] = MEASURES) -> list[dict[str, Any]]:
    """Compare every two losses on the same scans: the mean difference over seeds and its interval, Student's t.

    Parameters
    ----------
    rows : sequence of mappings
        Of the metrics table.
    measures : sequence of str
        Of what there is to see of an object: amplitude, phase or both.

    Returns
    -------
    effects : list of dict
        `object, scan, gridsize, photons, inferred, part, measure, first, second` (losses), `seeds`, `difference`
        (first minus second), `low`, `high` (95 %); only of what two seeds or more have.
    """
    found = []
    groups: dict[tuple, dict[tuple[str, int], Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in SAME), {})[row["loss"], row["seed"]] = row
    for kind, members in groups.items():
        losses, seeds = (list(dict.fromkeys(key[i] for key in members)) for i in (0, 1))
        parts = PARTS.get(kind[0], BOTH)
        for (first, second), part, measure in itertools.product(itertools.combinations(losses, 2), parts, measures):
            name = f"{part}_{measure}"
            pairs = [(members[first, s][name], members[second, s][name]) for s in seeds
                     if (first, s) in members and (second, s) in members]  # fmt: skip
            pairs = [pair for pair in pairs if None not in pair]
            if len(pairs) > 1:
                known = dict(zip(SAME, kind, strict=True))
                found.append(
                    {**known, "part": part, "measure": measure, "first": first, "second": second, **_interval(pairs)}
                )
    return found


def _interval(pairs: Sequence[tuple[float, float]]) -> dict[str, float | int]:
    differences = -np.diff(np.asarray(pairs, float), axis=1)[:, 0]
    number, mean = len(differences), float(differences.mean())
    reach = extra("scipy.stats").t.ppf((1 + LEVEL) / 2, number - 1) * differences.std(ddof=1) / np.sqrt(number)
    return {"seeds": number, "difference": mean, "low": mean - float(reach), "high": mean + float(reach)}
