"""What the record of a fit says of θ, of the engine and of the outcome."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..params import AbstractSpace, IndexMap
from ..params.index_map import build_index_map
from .engines import AbstractEngine, EngineState, FitResult, engine_settings
from .frame_stack import FrameStack
from .solution import Solution
from .state_arrays import state_arrays, state_from_arrays
from .stopping import StoppingRules

_RULES = ("loss", "relative_loss", "step", "gradient", "seconds", "patience")


def fit_meta(
    objective: Any, theta: Any, engine: AbstractEngine, stopping: StoppingRules | None, num_steps: int = 0
) -> dict[str, Any]:
    """What `meta.json` says of θ and of the engine."""
    optimizer = {**engine_settings(engine), "num_steps": num_steps, "stopping": _rules_record(stopping)}
    index_map = index_map_of(objective)
    if index_map is None:
        index_map = build_index_map([("theta", tuple(theta.shape), int(theta.size), "theta")])
        return {
            "theta": {"dim": int(theta.size), "theta_space": "primitive", "index_map": index_map.to_dict()},
            "optimizer": optimizer,
        }
    record = _theta_record(objective.space)
    if isinstance(objective, FrameStack):
        record |= _stack_record(objective, record["theta_map_hash"])
    return {"theta": record, "optimizer": optimizer}


def index_map_of(objective: Any) -> IndexMap | None:
    """Which elements of θ are what: of a stack of frames, of all its frames; None where the objective does not know."""
    if isinstance(objective, FrameStack):
        return objective.index_map
    space = getattr(objective, "space", None)
    return None if space is None else space.index_map


def _stack_record(stack: FrameStack, frame_hash: str) -> dict[str, Any]:
    """What is different where a θ holds that of many frames."""
    map_hash = _sha256({"frame": frame_hash, "labels": stack.labels})
    return {
        "dim": stack.dim,
        "theta_map_hash": map_hash,
        "theta_map_id": f"frames-{map_hash[:12]}",
        "index_map": stack.index_map.to_dict(),
        "labels": list(stack.labels),
        "units": list(stack.units),
    }


def _theta_record(space: AbstractSpace) -> dict[str, Any]:
    """How to read θ: what its elements are, and fingerprints of the coordinates and of the parameters behind them."""
    behind = space.primitive
    bounds = [np.asarray(bound).tolist() for bound in behind.bounds]
    specs = {"labels": behind.labels, "units": behind.units, "bounds": bounds}
    coordinates = {name: np.asarray(array).tolist() for name, array in space.arrays().items()}
    map_hash = _sha256({"kind": space.kind, "specs": specs, "coordinates": coordinates})
    return {
        "dim": space.dim,
        "theta_space": space.kind,
        "theta_map_hash": map_hash,
        "theta_map_id": f"{space.kind}-{map_hash[:12]}",
        "spec_hash": _sha256(specs),
        "index_map": space.index_map.to_dict(),
        "labels": list(space.labels),
        "units": list(space.units),
    }


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def checkpoints(state: EngineState, best: EngineState) -> dict[str, dict[str, np.ndarray]]:
    """The files `checkpoint_final` and `checkpoint_best`; of a best that is the last, only θ, step and loss."""
    final, lowest = state_arrays(state), state_arrays(best)
    if lowest["step"] == final["step"]:
        lowest = {name: lowest[name] for name in ("theta", "step", "loss")}
    return {"checkpoint_final": final, "checkpoint_best": lowest}


def states_from(
    final: Mapping[str, np.ndarray], best: Mapping[str, np.ndarray], engine: AbstractEngine
) -> tuple[EngineState, EngineState]:
    """The last state and the best one back from `checkpoints`; raises as `state_from_arrays`."""
    dim = np.size(final.get("theta"))
    state = state_from_arrays(engine, final, dim)
    return state, state if best["step"] == final["step"] else state_from_arrays(engine, best, dim)


def outcome_summary(solution: Solution) -> dict[str, Any]:
    """What `summary.json` says of any fit that has ended."""
    stats, result = solution.stats, solution.result
    bad, count = stats["first_bad"], stats["nonfinite_steps"]
    where = "" if result.is_failure else f"; {count} {'try was' if count == 1 else 'tries were'} not finite"
    return {
        "num_steps_completed": int(solution.state.step),
        "status": status_of(result),
        "result": str(result),
        "message": str(result) if bad is None else f"{result}{where}, first by {bad}",
        "nonfinite_steps": count,
        "converged": solution.converged,
        "runtime_total_s": stats["seconds"],
    }


def status_of(result: FitResult) -> str:
    """Status of a run that ended so."""
    if result.is_failure:
        return "failed"
    return "interrupted" if result == FitResult.INTERRUPTED else "ok"


def rules_from(record: Mapping[str, Any] | None) -> StoppingRules | None:
    """Stopping rules from their record in `meta.json`."""
    return None if record is None else StoppingRules(**record)


def _rules_record(rules: StoppingRules | None) -> dict[str, Any] | None:
    if rules is None:
        return None
    return {name: None if (value := getattr(rules, name)) is None else value.tolist() for name in _RULES}
