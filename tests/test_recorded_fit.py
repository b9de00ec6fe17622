"""Fits that are run directories while they run: what is committed, what is resumed, what is refused."""

import json
import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from decay import counts, decay, engines, objective

import dluxshera as ds
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.recorded_fit import DamagedRunWarning, Rebuilt, recorded_fit, resumed_fit
from dluxshera.inference.run_fall_back import readable_generation
from dluxshera.inference.run_lock import RunLock, lock_path, writer_of
from dluxshera.inference.run_writer import RunWriter

STEPS = 12
RULES = ds.StoppingRules(relative_loss=1e-14, patience=3)
ENGINES = {name: engines(STEPS)[name] for name in ("lm", "bfgs", "gd", "adam")}
START = {"level": 150.0, "rate": 0.6, "slope": -40.0}
QUICK = {"git": {"commit": None, "dirty": None}, "environment": {}}


@pytest.fixture(scope="module")
def problem():
    return objective()


@pytest.fixture(scope="module")
def start(problem):
    return problem.space.pack(decay(**START))


def stops_after(calls):
    """A `should_stop` that says yes at its n-th question."""
    asked = []
    return lambda: asked.append(1) or len(asked) >= calls


def begin(folder, problem, start, engine, **options):
    given = {"meta": QUICK, "observation": {"image": problem.image}, "every": 0.0, "save": ["diag"], "save_every": 3}
    return recorded_fit(folder, problem, start, engine, **(given | options))


def go_on(folder, problem, engine, **options):
    return resumed_fit(folder, lambda _: Rebuilt(problem, engine), every=0.0, **options)


def record(folder):
    """Everything that a run says of its fit, but the time it took."""
    arrays = {name: artifacts.load_arrays(folder, name) for name in ("trace", "checkpoint_best", "checkpoint_final")}
    summary = {k: v for k, v in artifacts.load_summary(folder).items() if k not in ("runtime_total_s", "created_at")}
    listed = {name: {k: (v.dtype.str, v.tobytes()) for k, v in found.items()} for name, found in arrays.items()}
    return listed | {"summary": summary | {"run_id": "", "git": ""}, "diag": artifacts.load_diag_steps(folder)}


@pytest.mark.parametrize("name", ENGINES)
def test_a_run_that_is_interrupted_and_resumed_is_the_whole_one(name, problem, start, tmp_path):
    engine = ENGINES[name]
    whole = begin(tmp_path / "whole", problem, start, engine, stopping=RULES)
    first = begin(tmp_path / "run", problem, start, engine, stopping=RULES, should_stop=stops_after(2))
    assert first.result == "interrupted" and int(first.state.step) == 3
    summary = artifacts.load_summary(tmp_path / "run")
    assert summary["status"] == "interrupted" and summary["num_steps_completed"] == 3
    rest = go_on(tmp_path / "run", problem, engine)
    assert artifacts.verify(tmp_path / "run") == []
    assert record(tmp_path / "run") == record(tmp_path / "whole")
    np.testing.assert_array_equal(rest.trace.theta, whole.trace.theta)
    assert rest.stats["steps"] == whole.stats["steps"] == int(rest.state.step)
    steps = [line["step"] for line in artifacts.load_diag_steps(tmp_path / "run")]
    assert steps == [*range(0, whole.stats["steps"], 3), whole.stats["steps"]]


def test_it_is_the_fit_that_was_asked_for(problem, start, tmp_path):
    plain, recorded = ds.fit(problem, start), begin(tmp_path / "run", problem, start, None, save=())
    np.testing.assert_array_equal(plain.trace.theta, recorded.trace.theta)
    meta, summary = artifacts.load_meta(tmp_path / "run"), artifacts.load_summary(tmp_path / "run")
    assert meta["theta"]["labels"] == ["level", "rate", "slope"]
    assert meta["optimizer"]["name"] == "LevenbergMarquardt"
    assert meta["optimizer"]["num_steps"] == summary["num_steps_completed"] == plain.stats["steps"]
    assert summary["status"] == "ok" and summary["converged"] and summary["result"] == "converged"
    assert not (tmp_path / "run" / "diag_steps.jsonl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_directory_appears_with_its_start_committed(problem, start, tmp_path):
    seen = []

    def look(state):
        if (tmp_path / "run").exists():
            summary = artifacts.load_summary(tmp_path / "run")
            seen.append(
                (summary["status"], summary["num_steps_completed"], len(artifacts.load_trace(tmp_path / "run")["loss"]))
            )
            assert artifacts.verify(tmp_path / "run") == [] and writer_of(tmp_path / "run")["pid"]

    begin(tmp_path / "run", problem, start, ENGINES["bfgs"], on_step=look)
    assert seen[0] == ("running", 0, 1) and [(s, n + 1) for _, n, s in seen] == [(s, s) for _, _, s in seen]
    assert writer_of(tmp_path / "run") is None


def test_commits_are_few_by_default(problem, start, tmp_path, monkeypatch):
    commits = []
    commit = RunWriter.commit
    monkeypatch.setattr(RunWriter, "commit", lambda *a, **k: commits.append(1) or commit(*a, **k))
    recorded_fit(tmp_path / "run", problem, start, ENGINES["gd"], meta=QUICK, save=["diag"], save_every=1)
    assert len(commits) == 2


def test_an_error_leaves_a_failed_run_that_can_be_resumed(problem, start, tmp_path):
    def breaks(state):
        if int(state.step) >= 6:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        begin(tmp_path / "run", problem, start, ENGINES["bfgs"], on_step=breaks)
    summary = artifacts.load_summary(tmp_path / "run")
    assert summary["status"] == "failed" and "out of memory" in summary["message"]
    assert artifacts.verify(tmp_path / "run") == [] and summary["num_steps_completed"] == 3
    go_on(tmp_path / "run", problem, ENGINES["bfgs"])
    whole = ds.fit(problem, start, ENGINES["bfgs"], chunk=3)
    np.testing.assert_array_equal(artifacts.load_trace(tmp_path / "run")["theta"], whole.trace.theta)


def test_a_loss_that_is_not_finite_ends_failed_and_is_not_resumed(tmp_path):
    theta = jnp.asarray([0.5, 0.5])
    walk = lambda t: jnp.where(t[1] < 0.4, jnp.nan, jnp.sum(t**2))  # noqa: E731
    found = recorded_fit(tmp_path / "run", walk, theta, ds.SimpleGD(max_steps=40, learning_rate=0.3), meta=QUICK)
    assert found.result.is_failure
    summary = artifacts.load_summary(tmp_path / "run")
    assert summary["status"] == "failed" and summary["nonfinite_steps"] > 0
    assert artifacts.load_checkpoint(tmp_path / "run", "best")["loss"] <= summary["loss_init"]
    with pytest.raises(ValueError, match="failed"):
        resumed_fit(tmp_path / "run", lambda _: Rebuilt(walk, ds.SimpleGD(max_steps=40, learning_rate=0.3)))


def test_a_run_that_has_ended_is_refused_and_a_longer_one_goes_on(problem, start, tmp_path):
    short, longer = ds.BFGS(max_steps=4), ds.BFGS(max_steps=STEPS)
    begin(tmp_path / "run", problem, start, short)
    before = artifacts.load_summary(tmp_path / "run")
    with pytest.raises(ValueError, match="4 of 4 steps.*max_steps"):
        go_on(tmp_path / "run", problem, short)
    assert artifacts.load_summary(tmp_path / "run") == before
    go_on(tmp_path / "run", problem, longer)
    whole = ds.fit(problem, start, longer)
    np.testing.assert_array_equal(artifacts.load_trace(tmp_path / "run")["theta"], whole.trace.theta)
    begin(tmp_path / "done", problem, start, None)
    with pytest.raises(ValueError, match=r"done is complete.*nothing to resume"):
        go_on(tmp_path / "done", problem, None)


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_damaged_generation_gives_way_to_the_one_before(problem, start, tmp_path):
    engine = ENGINES["bfgs"]
    begin(tmp_path / "whole", problem, start, engine)
    begin(tmp_path / "run", problem, start, engine, should_stop=stops_after(4))
    for name in ("trace.npz", "observation.npz", "meta.json", "MANIFEST.json"):
        folder = shutil.copytree(tmp_path / "run", tmp_path / f"damaged-{name}")
        spoil(folder / name)
        with pytest.warns(DamagedRunWarning, match=f"{name}.*generation"):
            go_on(folder, problem, engine)
        assert artifacts.verify(folder) == [] and record(folder) == record(tmp_path / "whole")


@pytest.mark.parametrize("name", ["grads.npz", "diag_steps.jsonl"])
def test_a_fit_of_one_generation_goes_on_without_a_damaged_record(problem, start, tmp_path, name):
    engine, saved = ENGINES["bfgs"], {"save": ["diag", "grads"], "save_every": 1}
    begin(tmp_path / "whole", problem, start, engine, **saved)
    begin(tmp_path / "run", problem, start, engine, should_stop=stops_after(4), **saved)
    shutil.rmtree(tmp_path / "run" / ".generations")
    steps = artifacts.load_summary(tmp_path / "run")["num_steps_completed"]
    (tmp_path / "run" / name).write_bytes(b"no such thing")
    with pytest.warns(DamagedRunWarning, match=f"{name} is damaged.*Going on without") as told:
        go_on(tmp_path / "run", problem, engine)
    assert len(told) == 1 and artifacts.verify(tmp_path / "run") == []
    found, whole = artifacts.load_run(tmp_path / "run"), artifacts.load_run(tmp_path / "whole")
    for part in ("trace", "checkpoint_final"):
        for key, array in whole[part].items():
            np.testing.assert_array_equal(found[part][key], array)
    for record in (found["grads"]["step"], [line["step"] for line in found["diag_steps"]]):
        assert record[0] in (0, steps, steps + 1) and record[-1] == whole["grads"]["step"][-1]


def test_a_generation_without_what_is_needed_gives_way_or_is_refused(problem, start, tmp_path):
    run = tmp_path / "run"
    begin(run, problem, start, ENGINES["bfgs"], should_stop=stops_after(4), save=["grads"], save_every=1)
    assert readable_generation(run) == (run, "")
    spoil(run / "grads.npz")
    folder, notice = readable_generation(run)
    assert folder == run and "grads.npz is damaged" in notice and notice.endswith("The rest is sound.")
    assert artifacts.newest_valid(run).parent == run / ".generations"
    spoil(run / "trace.npz")
    folder, notice = readable_generation(run)
    assert folder.parent == run / ".generations" and "trace.npz is damaged" in notice and folder.name in notice
    assert "grads.npz" not in notice
    shutil.rmtree(run / ".generations")
    with pytest.raises(artifacts.CorruptArtifact, match=r"no sound generation: .*trace\.npz"):
        readable_generation(run)


def test_an_objective_of_another_layout_is_refused(problem, start, tmp_path):
    begin(tmp_path / "run", problem, start, ENGINES["bfgs"], should_stop=stops_after(2))
    other = objective(free=("level", "rate", "factor"))
    with pytest.raises(artifacts.SchemaError, match="layout"):
        go_on(tmp_path / "run", other, ENGINES["bfgs"])


def test_every_record_can_be_asked_for(problem, start, tmp_path):
    names = ["diag", "precond", "grads"]
    begin(tmp_path / "run", problem, start, ENGINES["bfgs"], save=names, save_every=4)
    trace, grads = artifacts.load_trace(tmp_path / "run"), artifacts.load_arrays(tmp_path / "run", "grads")
    precond = artifacts.load_arrays(tmp_path / "run", "precond")
    np.testing.assert_array_equal(grads["step"], precond["step"])
    assert list(grads["step"][:2]) == [0, 4] and grads["gradient"].shape == (len(grads["step"]), 3)
    numeric = [(problem.loss(start + h) - problem.loss(start - h)) / 2e-5 for h in 1e-5 * np.eye(3)]
    np.testing.assert_allclose(grads["gradient"][0], numeric, rtol=1e-5)
    lines = artifacts.load_diag_steps(tmp_path / "run")
    assert [line["loss"] for line in lines] == [trace["loss"][line["step"]] for line in lines]
    with pytest.raises(ValueError, match="'hessian'"):
        begin(tmp_path / "other", problem, start, None, save=["hessian"])
    assert not (tmp_path / "other").exists()


def test_two_writers_are_never_there_at_once(problem, start, tmp_path):
    seen = []

    def second(state):
        for write in (begin, lambda *a: go_on(a[0], problem, a[3])):
            with pytest.raises(artifacts.RunLocked) as refused:
                write(tmp_path / "run", problem, start, ENGINES["bfgs"])
            seen.append(str(refused.value))

    begin(tmp_path / "run", problem, start, ENGINES["bfgs"], on_step=second)
    assert seen and all(f"process {os.getpid()} on" in text for text in seen)


def test_a_lock_of_a_dead_process_is_no_lock(tmp_path):
    run = tmp_path / "run"
    lock_path(run).write_text(json.dumps({"pid": 2**22 + 5, "host": "elsewhere", "since": "2999-01-01"}))
    with RunLock(run):
        assert writer_of(run)["started"] is None or writer_of(run)["started"] > 0
        with pytest.raises(artifacts.RunLocked, match=r"run.*process \d+"), RunLock(run):
            pass
    assert not lock_path(run).exists()
    lock_path(run).write_text("no json")
    with RunLock(run):
        pass


def test_a_stack_of_frames_is_recorded_with_its_own_labels(tmp_path):
    models = [decay(level=400.0 + 20 * i) for i in range(3)]
    observations = [ds.Observation(counts(model, i), model.model()) for i, model in enumerate(models)]
    stack = ds.FrameStack(decay(), ds.ThetaSpace(decay(), ["level", "rate"]), observations, ["level"])
    shared, own = stack.reference[jnp.array(stack.shared)], stack.reference[jnp.array(stack.own)]
    theta, engine = stack.join(0.6 * shared, jnp.tile(own, (3, 1))), ds.FrameScoring.of(stack)
    seen = []
    first = {"on_step": seen.append, "should_stop": lambda: len(seen) == 2}
    assert recorded_fit(tmp_path / "run", stack, theta, engine, **first).result == "interrupted"
    known = artifacts.load_meta(tmp_path / "run")["theta"]
    assert known["dim"] == 4 and known["labels"] == ["rate", "frame[0].level", "frame[1].level", "frame[2].level"]
    assert [entry["block"] for entry in known["index_map"]["entries"]] == ["shared", *(f"frame[{i}]" for i in range(3))]
    assert artifacts.load_trace(tmp_path / "run")["theta"].shape[1] == 4
    fewer = ds.FrameStack(decay(), stack.space, observations[:2], ["level"])
    with pytest.raises(artifacts.SchemaError, match="layout of theta"):
        resumed_fit(tmp_path / "run", lambda folder: Rebuilt(fewer, engine))
    assert resumed_fit(tmp_path / "run", lambda folder: Rebuilt(stack, engine)).converged
