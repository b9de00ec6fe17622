"""A fit that takes a second and commits at every step, and runs of numbers that name their own generation."""

import numpy as np
from decay import decay, objective

import dluxshera as ds
from dluxshera.inference import recorded_fit, resumed_fit
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.recorded_fit import Rebuilt
from dluxshera.inference.run_lock import RunLock
from dluxshera.inference.run_writer import RunWriter

START = {"level": 150.0, "rate": 0.6, "slope": -40.0}
ENGINES = {"lbfgs": ds.LBFGS(max_steps=15), "bfgs": ds.BFGS(max_steps=15)}
PROVENANCE = {"git": {"commit": None, "dirty": None}, "environment": {}}
DIM = 3


def fitted(folder, name, **options):
    """Fit into a run directory, with a commit at every step."""
    goal = objective()
    given = {"meta": PROVENANCE, "observation": {"image": goal.image}, "every": 0.0, "save": ["diag"], "save_every": 1}
    return recorded_fit(folder, goal, goal.space.pack(decay(**START)), ENGINES[name], **(given | options))


def resumed(folder, name, **options):
    """Go on with such a fit."""
    return resumed_fit(folder, lambda _: Rebuilt(objective(), ENGINES[name]), every=0.0, **options)


def consistent(run):
    """Its summary, after a look at whether the files of a run tell of one step."""
    summary, trace = artifacts.load_summary(run), artifacts.load_trace(run)
    artifacts.load_meta(run), artifacts.load_checkpoint(run, "best")
    final = artifacts.load_checkpoint(run, "final")
    assert len(trace["loss"]) - 1 == int(final["step"]) == summary["num_steps_completed"]
    return summary


def record(folder):
    """Everything that a run says of its fit, comparable bit by bit; not how long it took, nor its name."""
    found = artifacts.load_run(folder)
    summary = {k: v for k, v in found["summary"].items() if k not in ("runtime_total_s", "created_at", "run_id")}
    names = ("trace", "checkpoint_best", "checkpoint_final", "observation")
    arrays = {name: {k: (v.dtype.str, v.shape, v.tobytes()) for k, v in found[name].items()} for name in names}
    return arrays | {"summary": summary, "diag": found["diag_steps"]}


def numbers(n):
    """Trace, summary and parts of the n-th generation of a run: every file tells its n."""
    checkpoint = {"theta": np.full(DIM, float(n)), "step": n, "loss": float(n), "state.mu": np.full(7, float(n))}
    trace = {"loss": np.arange(n + 1.0), "theta": np.repeat(np.arange(n + 1.0)[:, None], DIM, axis=1)}
    parts = {
        "checkpoint_best": checkpoint,
        "checkpoint_final": checkpoint,
        "curvature": {"information": np.eye(DIM) * n},
        "signals": {"x_uas": np.full(n + 1, float(n))},
        "grads": {"gradient": np.full((2, DIM), float(n))},
        "precond": {"scale": np.full(DIM, float(n))},
    }
    return trace, {"status": "running", "n": n}, [{"step": n}], parts


def meta():
    """How to read the θ of those."""
    entries = [{"name": "t", "start": 0, "stop": DIM, "shape": [DIM], "block": "t"}]
    theta = {"dim": DIM, "theta_space": "primitive", "index_map": {"layout_hash": "0" * 64, "entries": entries}}
    return {"theta": theta, "objective": {}, "optimizer": {"name": "none"}, **PROVENANCE}


def writer(folder, overwrite=False):
    """A writer of such generations."""
    return RunWriter(folder, meta(), observation={"image": np.eye(8)}, every=0.0, overwrite=overwrite)


def written(folder, *ns, overwrite=False):
    """Commit generations to a run directory."""
    with RunLock(folder):
        own = writer(folder, overwrite)
        for n in ns:
            commit(own, n)
    return folder


def commit(own, n):
    """Commit the n-th generation."""
    trace, summary, diag_steps, parts = numbers(n)
    own.commit(trace, summary, diag_steps, **parts)


def generation_of(folder):
    """The n that every file of a run directory tells; AssertionError where two tell different ones."""
    found = artifacts.load_run(folder)
    told = {
        found["summary"]["n"],
        found["diag_steps"][0]["step"],
        len(found["trace"]["loss"]) - 1,
        *(int(found[f"checkpoint_{which}"]["step"]) for which in ("best", "final")),
        *(int(found[name][key].flat[0]) for name, key in (("curvature", "information"), ("signals", "x_uas"))),
        *(int(found[name][key].flat[0]) for name, key in (("grads", "gradient"), ("precond", "scale"))),
    }
    assert len(told) == 1, f"{folder} mixes generations {told}"
    return told.pop()
