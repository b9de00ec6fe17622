"""Trainings as run directories, in Python and on the command line."""

import argparse
import dataclasses
import json

import numpy as np
import pytest
from command_line import everything_in, run
from small_network import same_arrays, small_scan, small_settings, trained

from dluxshera import _cli_network
from dluxshera import ptychography as pt
from dluxshera.config.inferred_runs import save_inferred
from dluxshera.config.network_runs import open_network_run, resume_training, train_to_run
from dluxshera.config.scan_runs import open_scan_run
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.recorded_fit import DamagedRunWarning
from dluxshera.inference.run_listing import run_row
from dluxshera.plotting.network import plot_training
from dluxshera.ptychography import network as nn

OPTIONS = ("--gridsize", 2, "--width", 0.25, "--sweeps", 2, "--batch", 6, "--neighbours", 5, "--validation", 0.2,
           "--seed", 1)  # fmt: skip


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    pt.write_scan(path, small_scan())
    return path


def stored(path):
    """Everything that a training leaves, but the times."""
    progress = artifacts.load_arrays(path, "training")
    progress.pop("history.seconds")
    history = open_network_run(path).history()
    history.pop("seconds")
    return artifacts.load_arrays(path, "bundle"), progress, history


def check_same_runs(first, second):
    for one, other in zip(stored(first)[:2], stored(second)[:2], strict=True):
        assert same_arrays(one, other)
    assert stored(first)[2] == stored(second)[2]


def test_a_run_is_there_from_its_start_and_is_the_training_that_was_asked_for(tmp_path):
    path, seen = tmp_path / "run", []

    def look(state):
        seen.append((path.exists(), state.epochs))
        if state.epochs:
            assert run_row(path)["state"] == "running" and artifacts.verify(path) == []

    found = train_to_run(path, small_scan(), small_settings(), every=0, on_epoch=look)
    assert seen == [(False, 0), (True, 1), (True, 2), (True, 3)]
    assert same_arrays(found.bundle.arrays(), trained()[0].bundle.arrays())
    assert same_arrays(nn.load_bundle(path).arrays(), found.bundle.arrays())
    summary, meta = artifacts.load_summary(path), artifacts.load_meta(path)
    assert (summary["status"], summary["num_steps_completed"], summary["epochs"]) == ("ok", 3, 3)
    assert meta["objective"]["likelihood"] == "poisson" and meta["optimizer"]["num_steps"] == 3
    history = json.loads((path / "training_history.json").read_text())
    assert history["val_loss"] == found.history["val_loss"] and history["epoch"] == [1, 2, 3]
    assert {"train_loss", "learning_rate", "grad_norm", "scale", "dead_fraction"} < set(history)
    np.testing.assert_array_equal(artifacts.load_trace(path)["loss"][1:], found.history["val_loss"])
    run = open_network_run(path)
    assert run.settings == small_settings() and np.array_equal(run.data().counts, small_scan().counts)
    with pytest.raises(artifacts.SchemaError, match="expected the record of a reconstruction"):
        open_scan_run(path)
    with pytest.raises(artifacts.RunExists):
        train_to_run(path, small_scan(), small_settings())


@pytest.mark.parametrize("asked", [1, 7])
def test_interrupted_and_resumed_is_the_whole(tmp_path, asked):
    whole, path, calls = tmp_path / "whole", tmp_path / "run", []
    train_to_run(whole, small_scan(), small_settings())
    stop = lambda: calls.append(1) or len(calls) >= asked  # noqa: E731
    train_to_run(path, small_scan(), small_settings(), should_stop=stop)
    assert run_row(path)["state"] == "interrupted" and artifacts.verify(path) == []
    resume_training(path)
    check_same_runs(path, whole)
    with pytest.raises(ValueError, match="3 of 3 epochs"):
        resume_training(path)
    longer = resume_training(path, epochs=4)
    assert longer.state.epochs == 4 and longer.history["val_loss"][:3] == trained()[0].history["val_loss"]


def test_an_error_keeps_what_there_is_and_can_be_gone_on_from(tmp_path):
    path = tmp_path / "run"

    def fail(state):
        if state.epochs == 2:
            raise ValueError("the disk is on fire")

    with pytest.raises(ValueError, match="on fire"):
        train_to_run(path, small_scan(), small_settings(), every=0, on_epoch=fail)
    summary = artifacts.load_summary(path)
    assert summary["status"] == "failed" and "on fire" in summary["message"] and summary["epochs"] == 2
    resume_training(path)
    assert stored(path)[2]["val_loss"] == trained()[0].history["val_loss"]


def test_a_training_that_is_not_finite_is_kept_and_not_resumed(tmp_path):
    path = tmp_path / "run"
    train_to_run(path, small_scan(), small_settings(rate=1e30))
    summary = artifacts.load_summary(path)
    assert summary["status"] == "failed" and summary["nonfinite"]["batch"] == 1
    assert np.all(np.isfinite(artifacts.load_arrays(path, "bundle")["weights.amplitude.head.weight"]))
    assert "Infinity" not in json.dumps(open_network_run(path).history()["first_nonfinite"])
    with pytest.raises(ValueError, match="Train anew"):
        resume_training(path)


def test_an_epoch_spoilt_by_its_last_update_is_a_failure_whose_json_holds_numbers_or_null(capsys, scan_file, tmp_path):
    path = tmp_path / "run"
    words = ("ptycho", "train", scan_file, "-o", path, *OPTIONS, "--batch", 24, "--epochs", 1, "--rate", 1e30, "--json")
    made = run(capsys, *words)
    assert made.code == 1 and made.json["result"] == "nonfinite"
    where = made.json["nonfinite"]
    assert (where["epoch"], where["batch"]) == (1, 0) and where["layer"].startswith("encoder.0.")
    assert artifacts.load_summary(path)["status"] == "failed" and artifacts.verify(path) == []
    stored = json.loads((path / "training_history.json").read_text(), parse_constant=pytest.fail)
    assert stored["val_loss"] == stored["scale"] == [None] and stored["first_nonfinite"]["layer"]
    assert all(
        v is None or isinstance(v, int | float) for name, vs in stored.items() if isinstance(vs, list) for v in vs
    )
    history = open_network_run(path).history()
    assert np.isnan(history["val_loss"]).all() and history["train_loss"] == stored["train_loss"]
    assert run(capsys, "report", path).code == 0  # gaps are drawn
    assert plot_training(stored) is not None


def test_a_fine_tuned_run_says_what_it_started_from(capsys, scan_file, tmp_path):
    start, path = tmp_path / "start", tmp_path / "run"
    bundle = trained()[0].bundle
    nn.save_bundle(start, bundle)
    words = ("ptycho", "train", scan_file, "-o", path, "--start", start, "--epochs", 1, "--width", 0.25, "--support", 8)
    assert run(capsys, *words, "--quiet").code == 0
    record = artifacts.load_meta(path)["network"]["start"]
    assert record["source"] == str(start / "bundle.npz") and record["sha256"] == bundle.fingerprint
    assert record["facts"]["epochs"] == 3 and record["sha256"] != nn.load_bundle(path).fingerprint
    assert open_network_run(path).settings == small_settings(1)  # what was not given is the start's
    assert run(capsys, "resume", path, "--max-steps", 2, "--quiet").code == 0
    assert artifacts.load_meta(path)["network"]["start"] == record
    assert nn.load_bundle(path).fingerprint == nn.load_bundle(path / "bundle.npz").fingerprint


def parsed(*words):
    parser = argparse.ArgumentParser()
    _cli_network._add_network(parser)
    _cli_network._add_training(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_command_and_the_library_agree_on_defaults():
    data = small_scan()
    assert _cli_network._settings(parsed(), data, None) == nn.TrainingSettings(nn.Architecture(npix=data.npix))
    found = _cli_network._settings(parsed("--loss", "mae", "--tv", 0.1, "--rate", 1e-5, "--real"), data, None)
    assert found.loss == nn.LossWeights.named("mae", 0.1) and found.least_rate == 1e-5
    assert not found.architecture.with_phase


def test_what_is_not_given_is_that_of_the_start():
    data = small_scan()
    base = small_settings(7, groups=200, loss=nn.LossWeights(0.5, squared=0.5, tv=0.2), patience=4, clip=2.0)
    start = dataclasses.replace(trained()[0].bundle, settings=base)
    fitted = dataclasses.replace(base, groups=len(data))  # a scan of fewer patterns has fewer groups
    assert _cli_network._settings(parsed(), data, start) == fitted
    found = _cli_network._settings(parsed("--loss", "mae", "--epochs", 2, "--groups", 9, "--rate", 1e-5), data, start)
    assert found == dataclasses.replace(fitted, loss=nn.LossWeights.named("mae", 0.2), epochs=2, groups=9, rate=1e-5,
                                        least_rate=1e-5)  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [("--width", 1), ("--sweeps", 9), ("--real",), ("--gridsize", 1), ("--support", 16), ("--inputs", "amplitude"),
     ("--activation", "relu"), ("--normalisation", "group")],
    ids=str,
)  # fmt: skip
def test_options_that_contradict_the_start_are_refused(words):
    with pytest.raises(ValueError, match=f"^{words[0]}: expected .*, as in the network of there, got"):
        _cli_network._settings(parsed(*words, "--start", "there"), small_scan(), trained()[0].bundle)


def test_a_run_that_is_no_training_has_no_bundle(tmp_path):
    data, bundle = small_scan(), trained()[0].bundle
    path = save_inferred(tmp_path / "out", nn.infer(bundle, data, groups=5), data, bundle)
    with pytest.raises(
        artifacts.SchemaError, match="Expected the run directory of a training.* dluxshera ptycho train"
    ):
        nn.load_bundle(path)


def test_a_damaged_training_goes_on_from_the_generation_before(tmp_path):
    path = tmp_path / "run"
    calls = []
    train_to_run(path, small_scan(), small_settings(), every=0, should_stop=lambda: calls.append(1) or len(calls) > 8)
    damaged = path / "training.npz"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert any("training.npz" in problem for problem in artifacts.verify(path))
    with pytest.warns(DamagedRunWarning):
        resume_training(path)
    assert artifacts.load_summary(path)["epochs"] == 3


def test_train_infer_and_judge_on_the_command_line(capsys, scan_file, tmp_path):
    path, out = tmp_path / "run", tmp_path / "out"
    made = run(capsys, "ptycho", "train", scan_file, "-o", path, *OPTIONS, "--epochs", 2, "--json")
    assert made.code == 0, made.err
    assert made.json["epochs"] == 2 and made.json["val_loss"] == min(trained()[0].history["val_loss"][:2])
    assert "epoch 2/2" in made.err and (path / "report.html").read_text().count("<figure>") == 1
    again = run(capsys, "resume", path, "--max-steps", 3, "--json")
    assert again.code == 0 and again.json["epochs"] == 3
    assert run(capsys, "verify", path).code == 0
    assert run(capsys, "show", path, "--json").json["state"] == "ok"
    shown = run(capsys, "show", path)
    assert shown.code == 0 and "state" in shown.out
    assert run(capsys, "ls", tmp_path, "--json").json[0]["num_steps_completed"] == 3
    found = run(capsys, "ptycho", "infer", scan_file, "--bundle", path, "-o", out, "--json")
    assert found.code == 0 and found.json["patterns_per_second"] > 0
    assert {"object", "probe", "positions", "coverage"} <= set(artifacts.load_arrays(out, "reconstruction"))
    judged = run(capsys, "ptycho", "judge", out, "--json")
    assert judged.code == 0 and judged.json["amplitude"]["scale"] == pytest.approx(1, abs=0.05)
    assert run(capsys, "report", out).code == 0
    file = tmp_path / "object.npz"
    assert run(capsys, "ptycho", "infer", scan_file, "--bundle", path, "-o", file, "--quiet").code == 0
    np.testing.assert_array_equal(pt.Reconstruction.read(file).object, open_scan_run(out).reconstruction().object)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "{scan}", "-o", "{new}", "--support", 13), "support"),
        (("train", "{scan}", "-o", "{new}", "--rate", -1), "rate"),
        (("train", "{scan}", "-o", "{new}", "--start", "{missing}"), "got none there"),
        (("train", "{scan}", "-o", "{new}", "--tv", -1), "Expected tv to be zero or more, got -1.0"),
        (("train", "{scan}", "-o", "{new}", "--groups", 100), "groups of at most 24"),
        (("train", "{missing}", "-o", "{new}"), "missing"),
        (("infer", "{scan}", "--bundle", "{missing}", "-o", "{new}"), "got none there"),
        (("infer", "{scan}", "--bundle", "{scan}", "-o", "{new}"), "meta of a bundle"),
        (("study", "{scan}", "-o", "{new}"), "scan.npz"),
        (("study", "{scan}", "--small", "-o", "{new}"), "got both"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_is_refused_leaves_nothing_behind(capsys, scan_file, tmp_path, words, message):
    paths = {"scan": scan_file, "new": tmp_path / "new", "missing": tmp_path / "missing"}
    before = everything_in(tmp_path)
    found = run(capsys, "ptycho", *(str(word).format(**paths) for word in words))
    assert found.code == 2 and message in found.err and found.err.count("\n") == 1, found.err
    assert everything_in(tmp_path) == before
