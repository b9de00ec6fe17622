"""Run directories of reconstructions: there from the start, killed, damaged, interrupted, and gone on with."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from small_scan import small_data

from dluxshera.config import scan_run_writer
from dluxshera.config.scan_run_writer import (
    progress_arrays,
    progress_from_arrays,
    reconstruct_to_run,
    resume_reconstruction,
)
from dluxshera.config.scan_runs import open_scan_run, save_reconstruction
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.recorded_fit import CommitWarning, DamagedRunWarning
from dluxshera.inference.run_listing import run_row
from dluxshera.ptychography import Reconstruction, Regularisers, ScanError, clock, reconstruct, write_scan

SETTINGS = {"refine": ("probe",), "batch": 10, "seed": 2, "hold_out": 0.1, "total_variation": 0.02}
EPOCHS = 10  # 5 by amplitudes, 3 by the likelihood, 2 full-batch steps


@pytest.fixture(scope="module")
def data():
    """A scan of 16 pixels and 20 patterns, without its truth."""
    found = small_data(number=20)
    return type(found)(found.counts, found.positions, found.probe, energy_ev=8000.0)


@pytest.fixture(scope="module")
def whole(data):
    """The reconstruction that nothing interrupts, and its progress after every epoch."""
    seen = []
    penalty = Regularisers(total_variation=SETTINGS["total_variation"])
    given = {name: value for name, value in SETTINGS.items() if name != "total_variation"}
    return reconstruct(data, **given, regularisers=penalty, epochs=EPOCHS, on_epoch=seen.append), seen


def stopping(epochs):
    """Arguments that end a reconstruction when so many epochs are done."""
    done = []
    return {"on_epoch": done.append, "should_stop": lambda: len(done) > epochs}


def check_same(found, wanted):
    for field in dataclasses.fields(Reconstruction):
        first, second = (getattr(each, field.name) for each in (found, wanted))
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype
            np.testing.assert_array_equal(first, second)
    for name in ("loss", "deviance", "stage"):
        np.testing.assert_array_equal(found.history[name], wanted.history[name])
    assert (found.deviance, found.held_out_deviance) == (wanted.deviance, wanted.held_out_deviance)


def test_progress_comes_back_from_its_arrays(whole):
    for progress in whole[1]:
        arrays = progress_arrays(progress)
        again = progress_from_arrays(arrays)
        assert (again.stage, again.lengths, again.history) == (progress.stage, progress.lengths, progress.history)
        repeated = progress_arrays(again)
        assert repeated.keys() == arrays.keys()
        assert all(repeated[k].dtype == arrays[k].dtype and np.array_equal(repeated[k], arrays[k]) for k in arrays)
    assert {progress.stage for progress in whole[1]} == {0, 1, 2}


def test_the_run_is_there_from_the_start(data, whole, tmp_path):
    path, states = tmp_path / "run", []

    def look(progress):
        if progress.history["loss"][1:]:
            row = run_row(path)
            states.append((row["state"], row["num_steps_completed"]))
            assert artifacts.verify(path) == []
        else:
            assert not path.exists()

    found = reconstruct_to_run(path, data, **SETTINGS, epochs=EPOCHS, every=0, on_epoch=look)
    assert states == [("running", k) for k in range(EPOCHS)]
    check_same(found, whole[0])
    summary = artifacts.load_summary(path)
    assert (summary["status"], summary["num_steps_completed"]) == ("ok", EPOCHS)
    assert summary["deviance"] == found.deviance and summary["runtime_total_s"] > 0
    run = open_scan_run(path)
    check_same(run.reconstruction(), whole[0])
    np.testing.assert_array_equal(run.data().counts, data.counts)
    assert run.meta["optimizer"]["epochs"] == run.meta["optimizer"]["num_steps"] == EPOCHS


@pytest.mark.parametrize("epochs", [0, 3, 5, 7, 9, 10])
def test_interrupted_and_resumed_is_the_same(data, whole, tmp_path, epochs):
    path = tmp_path / "run"
    reconstruct_to_run(path, data, **SETTINGS, epochs=EPOCHS, **stopping(epochs))
    summary = artifacts.load_summary(path)
    assert (summary["status"], summary["num_steps_completed"]) == ("interrupted", epochs)
    assert artifacts.verify(path) == []
    check_same(resume_reconstruction(path), whole[0])
    check_same(open_scan_run(path).reconstruction(), whole[0])
    assert artifacts.load_summary(path)["status"] == "ok"


def test_another_number_of_epochs(data, whole, tmp_path):
    path = tmp_path / "run"
    reconstruct_to_run(path, data, **SETTINGS, epochs=EPOCHS)
    with pytest.raises(ValueError, match="complete: it has done 10 epochs, 10 epochs"):
        resume_reconstruction(path)
    with pytest.raises(ValueError, match="larger number"):
        resume_reconstruction(path, epochs=EPOCHS)
    more = resume_reconstruction(path, epochs=EPOCHS + 3)
    assert more.facts["stage_epochs"] == [5, 3, 5]
    np.testing.assert_array_equal(more.history["loss"][: EPOCHS + 1], whole[0].history["loss"])
    assert more.history["loss"][-1] < whole[0].history["loss"][-1]
    assert open_scan_run(path).meta["optimizer"]["epochs"] == EPOCHS + 3
    early = tmp_path / "early"
    reconstruct_to_run(early, data, **SETTINGS, epochs=EPOCHS, **stopping(6))
    with pytest.raises(ValueError, match="has done 6 epochs"):
        resume_reconstruction(early, epochs=5)
    assert resume_reconstruction(early, epochs=6).facts["stage_epochs"] == [5, 1, 0]


def test_what_is_left_of_the_seconds(data, tmp_path, monkeypatch):
    """By a clock that every look moves on by a second, so that an epoch lasts one."""
    ticks = itertools.count()
    monkeypatch.setattr(clock, "time", types.SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    path = tmp_path / "run"
    unbroken = reconstruct_to_run(tmp_path / "unbroken", data, **SETTINGS, seconds=12)
    first = reconstruct_to_run(path, data, **SETTINGS, seconds=12, **stopping(5))
    assert (first.facts["epochs"], first.facts["seconds"]) == (5, 5.0)
    check_same(resume_reconstruction(path), unbroken)
    assert (unbroken.facts["epochs"], unbroken.facts["seconds"]) == (12, 12.0)
    with pytest.raises(ValueError, match="12 s were asked for"):
        resume_reconstruction(path)
    further = resume_reconstruction(path, epochs=14)
    assert further.facts["stage_epochs"] == [3, 7, 4]


def test_a_damaged_generation_falls_back(data, whole, tmp_path):
    path = tmp_path / "run"
    reconstruct_to_run(path, data, **SETTINGS, epochs=EPOCHS, every=0, **stopping(7))
    file = path / "progress.npz"
    file.write_bytes(file.read_bytes()[:-100])
    assert "progress.npz" in artifacts.verify(path)[0]
    with pytest.warns(DamagedRunWarning, match=r"progress\.npz"):
        found = resume_reconstruction(path)
    check_same(found, whole[0])
    assert run_row(path)["state"] == "ok"


def test_an_error_leaves_what_there_was(data, whole, tmp_path):
    path = tmp_path / "run"

    def fall(progress):
        if len(progress.history["loss"]) == 4:
            raise RuntimeError("the lamp went out")

    with pytest.raises(RuntimeError):
        reconstruct_to_run(path, data, **SETTINGS, epochs=EPOCHS, on_epoch=fall)
    summary = artifacts.load_summary(path)
    assert summary["status"] == "failed" and "the lamp" in summary["message"]
    check_same(resume_reconstruction(path), whole[0])


def test_a_full_disk_on_the_way_is_a_warning(data, whole, tmp_path, monkeypatch):
    path = tmp_path / "run"
    write, calls = os.fsync, itertools.count()

    def fsync(descriptor):
        if 40 < next(calls) < 43:
            raise OSError(28, "No space left on device")
        write(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.warns(CommitWarning, match="No space left"):
        found = reconstruct_to_run(path, data, **SETTINGS, epochs=EPOCHS, every=0)
    check_same(found, whole[0])
    assert artifacts.verify(path) == []


@pytest.mark.parametrize(("change", "message"), [({"refine": ("halo",)}, "halo"), ({"modes": 0}, "modes")])
def test_arguments_that_make_no_sense_leave_nothing(data, tmp_path, change, message):
    with pytest.raises(ScanError, match=message):
        reconstruct_to_run(tmp_path / "run", data, **{**SETTINGS, **change})
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_saved_when_over_cannot_go_on(data, whole, tmp_path):
    save_reconstruction(tmp_path / "run", whole[0], data)
    check_same(open_scan_run(tmp_path / "run").reconstruction(), whole[0])
    with pytest.raises(artifacts.SchemaError, match=r"progress\.npz"):
        resume_reconstruction(tmp_path / "run")


CHILD = """
import os, signal, sys
import jax
jax.config.update("jax_enable_x64", True)
from dluxshera.config.scan_run_writer import reconstruct_to_run
from dluxshera.ptychography import read_scan

def die(progress):
    if len(progress.history["loss"]) == 8:
        os.kill(os.getpid(), signal.SIGKILL)

reconstruct_to_run(sys.argv[2], read_scan(sys.argv[1]), refine=("probe",), batch=10, seed=2, hold_out=0.1,
                   total_variation=0.02, epochs=10, every=0, on_epoch=die)
"""


@pytest.mark.slow
def test_a_killed_process_is_listed_shown_and_resumed(data, whole, tmp_path, capsys):
    scan, path = tmp_path / "scan.npz", tmp_path / "run"
    write_scan(scan, data)
    environment = os.environ | {"PYTHONPATH": str(Path(artifacts.__file__).parents[2])}
    child = subprocess.run([sys.executable, "-c", CHILD, str(scan), str(path)], env=environment, capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert run(capsys, "verify", path).code == 0
    rows = run(capsys, "ls", tmp_path, "--json").json
    assert [(row["state"], row["num_steps_completed"]) for row in rows] == [("killed", 6)]
    shown = run(capsys, "show", path).out
    assert "0 numbers" not in shown  # it is free in object, probe and positions, not in a theta
    assert "killed" in shown and "reconstruct" in shown and "poisson" in shown
    judged = run(capsys, "ptycho", "judge", path)
    assert judged.code == 2 and "dluxshera resume" in judged.err
    resumed = run(capsys, "resume", path, "--json")
    assert resumed.code == 0 and resumed.json["epochs"] == EPOCHS
    check_same(open_scan_run(path).reconstruction(), whole[0])
    assert (path / "report.html").is_file()
    again = run(capsys, "resume", path)
    assert again.code == 2 and "--max-steps" in again.err


@pytest.mark.slow
def test_a_signal_finishes_the_epoch(data, whole, tmp_path, capsys, monkeypatch):
    scan, path = tmp_path / "scan.npz", tmp_path / "run"
    write_scan(scan, data)
    note = scan_run_writer._Recording.note

    def interrupted(recording, progress):
        note(recording, progress)
        if len(progress.history["loss"]) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    options = ["--refine", "probe", "--batch", 10, "--seed", 2, "--modes", 1, "--epochs", EPOCHS]
    options += ["--hold-out", 0.1, "--tv", 0.02]
    with monkeypatch.context() as patch:
        patch.setattr(scan_run_writer._Recording, "note", interrupted)
        stopped = run(capsys, "ptycho", "reconstruct", scan, "-o", path, *options, "--json")
    assert stopped.code == 130 and stopped.json["interrupted"] and stopped.json["epochs"] == 2
    assert run_row(path)["state"] == "interrupted"
    assert run(capsys, "resume", path, "--max-steps", EPOCHS).code == 0
    check_same(open_scan_run(path).reconstruction(), whole[0])
