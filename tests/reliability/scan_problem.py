"""A reconstruction that takes a second and commits after every epoch; the counterpart of `problem` for `kills`."""

import functools
import json

import numpy as np

from dluxshera.config.scan_run_writer import reconstruct_to_run, resume_reconstruction
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.ptychography import ScanData, disc_probe, simulate_scan

ENGINES = ("scan",)
EPOCHS = 12  # 6 by amplitudes, 4 by the likelihood, 2 full-batch steps
OWN = ("seconds", "compile_seconds", "optimisation_s", "runtime_total_s", "created_at", "run_id", "git")  # of each run


@functools.cache
def scan():
    """A scan of 16 pixels and 20 patterns, without its truth."""
    rng = np.random.default_rng(0)
    object = 1 + 0.2 * rng.standard_normal((32, 32)) + 0.2j * rng.standard_normal((32, 32))
    made = simulate_scan(object, disc_probe(16, 4.0), rng.uniform(8, 23, (20, 2)), 1e5, seed=1)
    return ScanData(made.counts, made.positions, made.probe)


def fitted(folder, name, **options):
    """Reconstruct into a run directory, with a commit after every epoch."""
    given = {"refine": ("probe", "positions"), "epochs": EPOCHS, "batch": 10, "hold_out": 0.1, "every": 0.0}
    return reconstruct_to_run(folder, scan(), **(given | options))


def resumed(folder, name, **options):
    """Go on with such a reconstruction."""
    return resume_reconstruction(folder, every=0.0, **options)


def consistent(run):
    """Its summary, after a look at whether the files of a run tell of one epoch."""
    summary, trace = artifacts.load_summary(run), artifacts.load_trace(run)
    artifacts.load_meta(run)
    stages = artifacts.load_arrays(run, "progress")["history.stage"]
    assert len(trace["loss"]) - 1 == len(stages) - 1 == summary["num_steps_completed"]
    return summary


def record(folder):
    """Everything that a run says of its reconstruction, comparable bit by bit; not how long it took, nor its name."""
    names = ("progress", "reconstruction")
    found = {name: artifacts.load_arrays(folder, name) for name in names} | {"trace": artifacts.load_trace(folder)}
    meta = json.loads(str(found["reconstruction"].pop("meta")))
    meta["facts"] = timeless(meta["facts"])
    found["observation"] = artifacts.load_observation_arrays(folder)
    arrays = {name: {k: _exact(v) for k, v in group.items() if "seconds" not in k} for name, group in found.items()}
    return arrays | {"meta": meta, "summary": timeless(artifacts.load_summary(folder))}


def timeless(values):
    """Values by name without those that no two runs need have in common."""
    return {name: value for name, value in values.items() if name not in OWN}


def _exact(array):
    array = np.asarray(array)
    return array.dtype.str, array.shape, array.tobytes()
