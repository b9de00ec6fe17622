"""Two runs side by side: in which settings they differ, what they found in sigmas, how their losses went."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_VOLATILE = ("run_id", "created_at", "start", "truth", "theta.index_map", "theta.labels", "theta.units",
             "optimizer.num_steps")  # fmt: skip
_OUTCOME = ("status", "message", "num_steps_completed", "converged", "loss_init", "loss_best", "loss_final",
            "chi_square", "reduced_chi_square", "degrees_of_freedom", "nonfinite_steps", "runtime_total_s")  # fmt: skip


def compare_runs(
    metas: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Compare two runs.

    Parameters
    ----------
    metas, summaries : pair of mapping
        As `load_meta` and `load_summary` give them.

    Returns
    -------
    dict
        `settings`: rows `name, first, second` of what differs; `parameters`: rows `label, unit, first, second,
        difference, sigma, sigmas` of what either has, the difference being second minus first and sigma the root of the
        sum of the squares of both errors; `outcome`: rows `name, first, second`.
    """
    flat = [dict(_flattened(meta)) for meta in metas]
    names = [name for name in {**flat[0], **flat[1]} if not _is_volatile(name)]
    pairs = [(name, *(side.get(name) for side in flat)) for name in names]
    return {
        "settings": [_row(name, a, b) for name, a, b in pairs if not _same(a, b)],
        "parameters": _parameters(*summaries),
        "outcome": [_row(name, *(summary.get(name) for summary in summaries)) for name in _OUTCOME],
    }


def _row(name: str, first: Any, second: Any) -> dict[str, Any]:
    return {"name": name, "first": first, "second": second}


def _is_volatile(name: str) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in _VOLATILE)


def _flattened(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings by dotted name; lists are leaves."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flattened(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _same(first: Any, second: Any) -> bool:
    both_nan = all(isinstance(value, float) and math.isnan(value) for value in (first, second))
    return both_nan or first == second


def _parameters(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = [{row["label"]: row for row in summary.get("parameters") or ()} for summary in (first, second)]
    labels = {**tables[0], **tables[1]}
    return [_parameter(label, *(table.get(label) for table in tables)) for label in labels]


def _parameter(label: str, first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> dict[str, Any]:
    values = [None if row is None else row["estimate"] for row in (first, second)]
    row = {"label": label, "unit": (first or second)["unit"], "first": values[0], "second": values[1]}
    unknown = {"difference": None, "sigma": None, "sigmas": None}
    if first is None or second is None:
        return row | unknown
    difference, errors = values[1] - values[0], [first["sigma"], second["sigma"]]
    if any(error is None or not math.isfinite(error) for error in errors):
        return row | unknown | {"difference": difference}
    sigma = math.hypot(*errors)
    return row | {"difference": difference, "sigma": sigma, "sigmas": difference / sigma if sigma > 0 else None}
