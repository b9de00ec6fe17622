"""Runs on the command line: verify, resume, ls, show, diff."""

import contextlib
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import everything_in, run, settings

import dluxshera as ds
from dluxshera._console import Console
from dluxshera.inference.run_artifacts import load_arrays, load_run, load_summary, load_trace, verify
from dluxshera.inference.run_lock import RunLock

FIT = ("--profile", "shera_flight", "--free", "binary.*")


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *argv: run(capsys, *argv)


@pytest.fixture
def copy(fitted, tmp_path):
    """A run of one's own."""
    return shutil.copytree(fitted, tmp_path / "run")


@pytest.fixture
def broken_off(cli, image, monkeypatch):
    """A run of the same fit, interrupted after its start."""

    @contextlib.contextmanager
    def progress(self, max_steps):
        yield lambda state: signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Console, "progress", progress)
        assert cli("fit", image, *FIT, *settings(), "-o", "broken", "--quiet").code == 130
    return Path("broken")


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def refused(result, *words):
    """Bad input, in one line."""
    assert result.code == 2 and result.out == "" and len(result.err.splitlines()) == 1
    assert all(word in result.err for word in words), result.err


def test_an_interrupted_fit_is_resumed_to_the_same_end(cli, fitted, broken_off):
    assert load_summary(broken_off)["status"] == "interrupted" and load_summary(broken_off)["num_steps_completed"] == 0
    opened = ds.open_run(broken_off)
    assert float(opened.model("final").binary.separation_as) == float(opened.start_model().binary.separation_as)
    result = cli("resume", broken_off, "--json")
    assert result.code == 0 and result.json["converged"] and "Traceback" not in result.err
    whole, found = load_run(fitted), load_run(broken_off)
    for name in ("trace", "checkpoint_best", "checkpoint_final", "curvature"):
        for key, array in whole[name].items():
            np.testing.assert_array_equal(found[name][key], array, err_msg=f"{name} {key}")
    same = ("parameters", "status", "num_steps_completed", "loss_best", "chi_square", "result")
    assert [found["summary"][key] for key in same] == [whole["summary"][key] for key in same]
    assert result.json["steps"] == len(load_trace(broken_off)["loss"]) - 1 == whole["summary"]["num_steps_completed"]
    assert verify(broken_off) == []


def test_a_complete_run_is_not_resumed(cli, copy):
    before = everything_in(copy)
    refused(cli("resume", "run"), "run is complete", "nothing to resume")
    assert everything_in(copy) == before
    with RunLock("run"):
        refused(cli("resume", "run"), "process", "is writing")


@pytest.mark.slow
def test_a_fit_that_met_its_limit_goes_on_with_another(cli, image, fitted):
    assert cli("fit", image, *FIT, *settings(), "-o", "run", "--max-steps", 1, "--quiet").code == 0
    refused(cli("resume", "run"), "1 of 1 steps", "--max-steps")
    refused(cli("resume", "run", "--max-steps", 1), "1 of 1 steps")
    assert cli("resume", "run", "--max-steps", 50, "--quiet").code == 0
    np.testing.assert_array_equal(load_trace("run")["theta"], load_trace(fitted)["theta"])


@pytest.mark.slow
def test_records_of_steps(cli, image):
    options = ("--save", "diag,grads,precond", "--save-every", 2, "--engine", "bfgs", "--max-steps", 5, "--json")
    result = cli("fit", image, *FIT, *settings(), "-o", "run", *options)
    steps = load_arrays("run", "grads")["step"]
    assert list(steps) == [line["step"] for line in load_run("run")["diag_steps"]] == [0, 2, 4, 5]
    assert result.json["steps"] == 5 and load_summary("run")["has_grads"] and load_summary("run")["has_precond"]
    refused(cli("fit", image, *FIT, *settings(), "-o", "other", "--save", "hessian"), "'hessian'", "diag")
    assert not Path("other").exists()


def test_verify_names_the_file_and_the_fault(cli, copy):
    result = cli("verify", "run")
    assert result.code == 0 and result.out == "run is sound.\n" and result.err == ""
    spoil(copy / "trace.npz")
    result = cli("verify", "run", "--json")
    assert result.code == 1 and result.json["sound"] is False
    assert any("trace.npz is damaged" in problem for problem in result.json["problems"])
    (copy / "MANIFEST.json").unlink()
    result = cli("verify", "run", "--quiet")
    assert result.code == 1 and "MANIFEST.json" in result.out
    refused(cli("verify", "nowhere"), "nowhere")
    refused(cli("verify", "."), "expected a run directory")


def test_ls_lists_every_run(cli, fitted):
    for name in ("b", "a", "c"):
        shutil.copytree(fitted, f"runs/{name}")
    spoil(Path("runs/c/summary.json"))
    Path("runs/notes").mkdir()
    assert [row["path"] for row in cli("ls", "runs", "--json").json] == ["runs/a", "runs/b", "runs/c"]
    result = cli("ls")
    assert result.code == 0 and [line.split()[:2] for line in result.out.splitlines()[1:]] == [
        ["runs/a", "ok"],
        ["runs/b", "ok"],
        ["runs/c", "damaged"],
    ]
    assert "summary.json is damaged" in result.out and "1 of 3 runs is damaged" in result.err
    assert len(cli("ls", "runs/a", "runs/b", "--json").json) == 2
    refused(cli("ls", "nowhere"), "nowhere")
    Path("empty").mkdir()
    assert cli("ls", "empty", "--json").json == []


def test_a_run_without_its_writer_is_told_from_one_under_way(cli, broken_off):
    summary = json.loads((broken_off / "summary.json").read_text())
    older = broken_off / ".generations" / "1"
    assert json.loads((older / "summary.json").read_text())["status"] == "running" and summary["status"] != "running"
    killed = shutil.copytree(older, "killed")
    assert cli("ls", killed, "--json").json[0]["state"] == cli("show", killed, "--json").json["state"] == "killed"
    with RunLock("killed"):
        assert cli("ls", killed, "--json").json[0]["state"] == "running"
    assert cli("verify", killed).code == 0 and cli("show", killed).code == 0


def test_show(cli, copy):
    result = cli("show", "run")
    assert result.code == 0 and result.err == ""
    assert all(
        word in result.out for word in ("LevenbergMarquardt", "shera_flight", "binary.separation_as", "converged")
    )
    assert cli("show", "run", "--json").json["summary"]["status"] == "ok"
    spoil(copy / "summary.json")
    result = cli("show", "run")
    assert result.code == 0 and "summary.json is damaged" in result.err and "generation 1" in result.err
    refused(cli("show", "nowhere"), "nowhere")


def test_the_rest_of_a_run_of_one_generation_can_be_read(cli, copy):
    shutil.rmtree(copy / ".generations")
    spoil(copy / "curvature.npz")
    for words in (("show", "run"), ("diff", "run", "run")):
        result = cli(*words)
        assert result.code == 0 and "ok" in result.out and "converged" in result.out
        assert set(result.err.splitlines()) == {result.err.splitlines()[0]} and "curvature.npz is damaged" in result.err
    refused_late = cli("resume", "run")
    assert refused_late.code == 2 and "curvature.npz is damaged" in refused_late.err
    assert "run is complete" in refused_late.err
    (copy / "checkpoint_final.npz").unlink()
    spoil(copy / "trace.npz")
    for words in (("show", "run"), ("diff", "run", "run")):  # which do not read them
        result = cli(*words)
        assert result.code == 0 and "trace.npz is damaged" in result.err and "converged" in result.out
    refused(cli("diff", "run", "run", "--plot", "d.png"), "trace.npz")
    spoil(copy / "summary.json")
    refused(cli("show", "run"), "no sound generation", "summary.json")


def test_a_report_falls_back_as_show_does(cli, copy, monkeypatch):
    monkeypatch.setattr("dluxshera._report._fit_page", lambda folder, notice: f"{folder}: {notice}")
    assert cli("report", "run").code == 0 and Path("run/report.html").read_text() == "run: "
    spoil(copy / "meta.json")
    result = cli("report", "run")
    assert result.code == 0 and "meta.json is damaged" in result.err and len(result.err.splitlines()) == 1
    text = Path("run/report.html").read_text()
    assert text.startswith("run/.generations/1: ") and "meta.json is damaged" in text and "generation 1" in text
    shutil.rmtree(copy / ".generations")
    refused(cli("report", "run"), "no sound generation", "meta.json")
    refused(cli("report", "nowhere"), "nowhere")


@pytest.mark.slow
def test_a_report_of_a_damaged_run_with_a_bad_signal_is_there(cli, copy, monkeypatch):
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})
    ds.register_signal("my.bad_nm")(lambda model: {}["oops"])
    shutil.rmtree(copy / ".generations")
    spoil(copy / "curvature.npz")
    result = cli("report", "run")
    assert result.code == 0 and "Traceback" not in result.err
    assert result.err.count("curvature.npz is damaged") == result.err.count("my.bad_nm") == 1 and "'oops'" in result.err
    text = Path("run/report.html").read_text(encoding="utf-8")
    assert "curvature.npz is damaged" in text and "Fisher information" in text


def test_diff(cli, copy, broken_off):
    found = cli("diff", "run", broken_off, "--json").json
    assert found["settings"] == []
    rows = {row["label"]: row for row in found["parameters"]}
    assert rows["binary.separation_as"]["difference"] == pytest.approx(
        rows["binary.separation_as"]["second"] - rows["binary.separation_as"]["first"]
    )
    assert rows["binary.separation_as"]["sigma"] is not None
    assert {row["name"]: (row["first"], row["second"]) for row in found["outcome"]}["status"] == ("ok", "interrupted")
    result = cli("diff", "run", broken_off)
    assert result.code == 0 and "none differs" in result.out and "in sigmas" in result.out
    assert cli("diff", "run", broken_off, "--plot", "two.png").code == 0
    assert Path("two.png").read_bytes()[:4] == b"\x89PNG"
    refused(cli("diff", "run", broken_off, "--plot", "two.txt"), "two.txt")
    refused(cli("diff", "run", "nowhere"), "nowhere")
    assert cli("diff", "run").code == 2
