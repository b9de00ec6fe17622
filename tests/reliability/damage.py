"""Truncations and flipped bits of every kind of file: named, never a wrong number, the rest usable."""

import random
import re
import shutil
import warnings
from collections import Counter

import numpy as np

from dluxshera.campaigns import Experiment, resume_campaign
from dluxshera.campaigns.manifest import MANIFEST
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.recorded_fit import DamagedRunWarning
from dluxshera.inference.run_fall_back import readable_generation
from dluxshera.inference.run_listing import run_row

from .campaign_work import toy
from .campaigns import started
from .problem import fitted, record, resumed, written

KINDS = ("trace.npz", "observation.npz", "checkpoint_best.npz", "checkpoint_final.npz", "curvature.npz", "signals.npz",
         "grads.npz", "precond.npz", "diag_steps.jsonl", "meta.json", "summary.json", "MANIFEST.json")  # fmt: skip
CUTS = [share / 100 for share in range(0, 100, 5)]


def damage(folder, flips, cuts=CUTS, kinds=KINDS, seed=0):
    """Damage each kind of file by `flips` single bits and by cutting it at each of `cuts`.

    Returns
    -------
    dict
        Kinds of file, damages tried, named ones, and those that changed nothing (blanks in JSON).
    """
    run = written(folder / "run", 3, 4)
    shutil.rmtree(run / ".generations")
    sound = {name: _loaded(run, name) for name in KINDS if name != "MANIFEST.json"}
    draw, tally = random.Random(seed), Counter()
    for name in kinds:
        path = run / name
        data = path.read_bytes()
        damaged = [data[: int(share * len(data))] for share in cuts]
        damaged += [_flipped(data, draw.randrange(8 * len(data))) for _ in range(flips)]
        for content in damaged:
            path.write_bytes(content)
            tally[_examine(run, name, sound, content)] += 1
        path.write_bytes(data)
    assert artifacts.verify(run) == []
    return {"kinds": len(kinds), "damaged": sum(tally.values()), **tally}


def fall_back(folder, kinds=("trace.npz", "observation.npz", "checkpoint_final.npz", "meta.json", "MANIFEST.json")):
    """Damage a file of a fit that was broken off: it goes on from the generation before, to the same end."""
    fitted(folder / "whole", "lbfgs")
    wanted, asked = record(folder / "whole"), []
    fitted(folder / "template", "lbfgs", should_stop=lambda: asked.append(1) or len(asked) > 9)
    for name in kinds:
        run = folder / name.partition(".")[0]
        shutil.copytree(folder / "template", run)
        (run / name).write_bytes(_flipped((run / name).read_bytes(), 4 * (run / name).stat().st_size))
        assert any(name in problem for problem in artifacts.verify(run))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", DamagedRunWarning)
            resumed(run, "lbfgs")
        assert any(name in str(warning.message) for warning in told)
        assert record(run) == wanted and artifacts.verify(run) == []
    return {"kinds": len(kinds), "resumed to the same end": len(kinds)}


def damage_of_an_experiment(folder, flips, cuts=CUTS, seed=0):
    """Damage an experiment's manifest: it is named, or means what it did; and it is made anew from the plan.

    Returns
    -------
    dict
        Damages tried, named ones, those made anew, and those that changed nothing.
    """
    experiment, draw, tally = started(folder / "experiment", rows=4), random.Random(seed), Counter()
    resume_campaign(experiment, work=toy)
    path, table, campaign = experiment.folder / MANIFEST, experiment.table(), experiment.campaign
    data = path.read_bytes()
    damaged = [data[: int(share * len(data))] for share in cuts]
    damaged += [_flipped(data, draw.randrange(8 * len(data))) for _ in range(flips)]
    for content in damaged:
        path.write_bytes(content)
        try:
            found = Experiment.open(experiment.folder)
        except artifacts.CorruptArtifact as error:
            assert str(path) in str(error) and "--update" in str(error), error
            found = Experiment.create(campaign, experiment.folder, update=True)
            tally["named"] += 1
            tally["made anew"] += found.table() == table and all(map(found.is_done, found.rows))
        except artifacts.SchemaError as error:
            assert str(path) in str(error) and "Upgrade" in str(error), error
            tally["named as newer"] += 1
        else:
            assert found.table() == table and found.manifest == experiment.manifest
            tally["harmless"] += 1
    assert tally["made anew"] == tally["named"], tally
    return {"damaged": len(damaged), **tally}


def _flipped(data, bit):
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def _loaded(run, name):
    return _comparable(artifacts.load_run(run)[name.partition(".")[0]])


def _comparable(value):
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def _one(run, name):
    stem, _, ending = name.partition(".")
    loaders = {"meta": artifacts.load_meta, "summary": artifacts.load_summary, "diag_steps": artifacts.load_diag_steps}
    return _comparable(loaders.get(stem, lambda folder: artifacts.load_arrays(folder, stem))(run))


def _look_at_the_rest(run, name):
    """A file that one can do without is named and the rest taken; without another the run is refused, naming it."""
    try:
        folder, notice = readable_generation(run)
    except artifacts.CorruptArtifact as error:
        assert name not in artifacts.OPTIONAL_FILES and name in str(error)
    else:
        assert name in artifacts.OPTIONAL_FILES and folder == run and name in notice and len(notice.splitlines()) == 1


def _examine(run, name, sound, content):
    problems, row = artifacts.verify(run), run_row(run)
    read = {}
    for other in sound:
        try:
            read[other] = _one(run, other)
        except (artifacts.CorruptArtifact, artifacts.SchemaError) as error:
            read[other] = None
            assert name in str(error), (other, str(error))
    wrong = [other for other, value in read.items() if value is not None and value != sound[other]]
    assert not wrong, f"damaged {name} gave wrong {wrong}"
    if problems == []:
        assert name == "MANIFEST.json" and row["state"] != "damaged" and read == sound
        return "harmless"
    assert any(name in problem for problem in problems) and row["state"] == "damaged" and name in row["problem"]
    if name != "MANIFEST.json":
        assert read[name] is None and all(value is not None for other, value in read.items() if other != name)
    _look_at_the_rest(run, name)
    newer = re.search(rb'artifact_schema": "dluxshera-run-v[1-9]"', content)
    return "named as newer" if newer else "named"
