"""The work of one task: rows of one structure are built, fitted side by side, and saved one by one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax

from ..config.runs import save_fit
from ..config.settings import engine_of
from ..inference import Solution, fit_batch
from ..inference.run_artifacts import RunExists, RunLocked, load_summary
from .cases import case_of
from .folders import is_valid, make_room
from .models import Prepared, prepare, truth_for
from .precision import in_precision
from .provenance import git_of_process

# What a row may do wrong by itself; anything else ends the worker, and the coordinator says so.
ROW_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, OSError, RuntimeError, MemoryError)


class Outcome(NamedTuple):
    """How one row ended: `status` is that of its run, or failed without one."""

    run_id: str
    status: str
    message: str


def fit_rows(task: Mapping[str, Any]) -> list[Outcome]:
    """Carry out a task: every row of it that is not there yet, in the same batch whatever is there.

    Parameters
    ----------
    task : mapping
        `values` of the description, `folder` of the experiment, `rows`, the `batch` size, and `double`.
    """
    runs = Path(task["folder"]) / "runs"
    with in_precision(task["double"]):
        wanted = [row for row in task["rows"] if not is_valid(runs / row["run_id"], row["content"])]
        if not wanted:
            return [_there(runs, row) for row in task["rows"]]
        ready, outcomes = _prepared(task)
        for group in _groups(ready):
            outcomes += _fitted(task, runs, group)
    return outcomes


def _there(runs: Path, row: Mapping[str, Any]) -> Outcome:
    summary = load_summary(runs / row["run_id"])
    return Outcome(row["run_id"], summary["status"], summary.get("message", ""))


def _prepared(task: Mapping[str, Any]) -> tuple[list[tuple[Mapping, Prepared]], list[Outcome]]:
    ready, failed = [], []
    for row in task["rows"]:
        try:
            ready.append((row, prepare(case_of(task["values"], row["settings"]))))
        except ROW_ERRORS as error:
            failed.append(Outcome(row["run_id"], "failed", reason(error)))
    return ready, failed


def _groups(ready: list[tuple[Mapping, Prepared]]) -> list[list[tuple[Mapping, Prepared]]]:
    """Rows whose objectives have the same tree and shapes."""
    groups: list[list[tuple[Mapping, Prepared]]] = []
    for row, one in ready:
        own = next((g for g in groups if _alike(g[0][1].objective, one.objective)), None)
        groups.append([(row, one)]) if own is None else own.append((row, one))
    return groups


def _alike(first: Any, second: Any) -> bool:
    parts = [eqx.partition(objective, eqx.is_array) for objective in (first, second)]
    shapes = [[leaf.shape for leaf in jax.tree.leaves(arrays)] for arrays, _ in parts]
    return shapes[0] == shapes[1] and bool(eqx.tree_equal(parts[0][1], parts[1][1]))


def _fitted(task: Mapping[str, Any], runs: Path, group: list[tuple[Mapping, Prepared]]) -> list[Outcome]:
    first = group[0][1]
    try:
        engine = engine_of(first.case.fit, None, None, first.objective, first.theta)
        thetas = jax.numpy.stack([one.theta for _, one in group])
        solutions = fit_batch([one.objective for _, one in group], thetas, engine, size=task["batch"])
    except ROW_ERRORS as error:
        return [Outcome(row["run_id"], "failed", reason(error)) for row, _ in group]
    found = zip(group, solutions, strict=True)
    return [_saved(task, runs / row["run_id"], row, one, solution) for (row, one), solution in found]


def _saved(task: Mapping, run_dir: Path, row: Mapping, one: Prepared, solution: Solution) -> Outcome:
    """Save a run, unless a sound one of the same content is there by now."""
    record = {"name": task["values"]["name"], "content": row["content"], "group": row["group"],
              "settings": row["settings"], "truth": one.true_values()}  # fmt: skip
    try:
        if not is_valid(run_dir, row["content"]):
            make_room(run_dir)
            save_fit(run_dir, solution, one.case.fit, one.observation, priors=one.case.priors, start=one.start,
                     truth=truth_for(one), likelihood=one.case.likelihood,
                     record={"campaign": record, "git": git_of_process()})  # fmt: skip
    except (RunExists, RunLocked) as error:
        if not is_valid(run_dir, row["content"]):
            return Outcome(row["run_id"], "failed", reason(error))
    except ROW_ERRORS as error:
        return Outcome(row["run_id"], "failed", reason(error))
    return _there(run_dir.parent, row)


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
