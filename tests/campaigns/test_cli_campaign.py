"""Campaigns on the command line."""

import contextlib
import signal
from pathlib import Path

import pytest
import yaml
from tiny_campaign import values

from dluxshera.campaigns import Experiment, campaign_names, read_table


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.yaml"
    described = values(vary=[{"grid": {"binary.contrast": [2, 3, 5]}}], noiseless=True)
    path.write_text(yaml.safe_dump(described | {"small": {"vary": [{"grid": {"binary.contrast": [2, 3]}}]}}))
    return path


def run(capsys, *words):
    from command_line import run as run_command

    return run_command(capsys, "campaign", *words)


def test_a_campaign_from_preview_to_table(capsys, tmp_path, file):
    fast = run(capsys, "preview", file, "--fast", "--full", "--json")
    assert fast.code == 0 and fast.json["runs"] == 3 and fast.json["groups"][0]["runs"] == 3
    assert "2 runs, 1 compile groups" in run(capsys, "preview", file, "--fast").out
    done = run(capsys, "run", file, "-o", tmp_path / "out", "--json")
    assert done.code == 0 and done.json["done"] == 2 and done.json["left"] == 0
    again = run(capsys, "resume", tmp_path / "out")
    assert again.code == 0 and "2 there before" in again.out
    table = run(capsys, "table", tmp_path / "out", "-o", tmp_path / "own.csv", "--json")
    nowhere = run(capsys, "table", tmp_path / "out", "-o", tmp_path / "absent" / "own.csv")
    assert nowhere.code == 2 and "absent does not exist" in nowhere.err
    assert table.json["status"] == {"ok": 2} and read_table(tmp_path / "own.csv")["set.binary.contrast"] == [2, 3]
    full = run(capsys, "run", file, "-o", tmp_path / "out", "--full")
    assert full.code == 2 and "--update" in full.err
    assert run(capsys, "run", file, "-o", tmp_path / "out", "--full", "--update", "--json").json["there"] == 2


def test_values_and_seed_given_on_the_command_line_win(capsys, tmp_path, file):
    options = ("--set", "binary.separation_as=900 mas", "--seed", "7")
    done = run(capsys, "run", file, "-o", tmp_path / "out", "--json", *options)
    assert done.code == 0 and done.json["done"] == 2
    kept = Experiment.open(tmp_path / "out").campaign.values
    assert kept["overrides"]["binary.separation_as"] == "900 mas" and kept["seed"] == 7
    assert read_table(tmp_path / "out")["binary.separation_as.truth"] == pytest.approx([0.9, 0.9])


def test_a_signal_finishes_the_batch(capsys, tmp_path, file, monkeypatch):
    from dluxshera import _cli_campaign

    @contextlib.contextmanager
    def meter(console, experiment):
        yield lambda progress: signal.raise_signal(signal.SIGINT) if progress.done == 2 else None

    monkeypatch.setattr(_cli_campaign, "_meter", meter)
    stopped = run(capsys, "run", file, "-o", tmp_path / "out", "--full")
    assert stopped.code == 130 and "resume" in stopped.err
    assert read_table(tmp_path / "out")["status"] == ["ok", "ok", "missing"]
    monkeypatch.undo()
    assert run(capsys, "resume", tmp_path / "out").code == 0
    assert Experiment.open(tmp_path / "out").table()["status"] == ["ok"] * 3


def test_a_row_that_fails_is_exit_1(capsys, tmp_path, file):
    described = values(vary=[{"zip": {"binary.log_flux_total": [14.0]}}])
    file.write_text(yaml.safe_dump(described))
    found = run(capsys, "run", file, "-o", tmp_path / "out")
    assert found.code == 1 and "full_well" in found.err


BAD = [
    (["run", "nothing"], "unknown campaign"),
    (["preview", "absent.yaml"], "absent.yaml"),
    (["resume", "."], "manifest.json"),
    (["table", "."], "manifest.json"),
    (["run", "FILE", "-o", "absent/out"], "does not exist"),
    (["run", "FILE", "-o", "out", "--executor", "local", "--workers", "2"], "workers"),
    (["run", "FILE", "--small", "--full"], "not allowed"),
    (["run", "FILE", "-o", "out", "--set", "binary.contrast=3"], "--set binary.contrast: this campaign varies it"),
    (["preview", "FILE", "--fast", "--set", "binary.contrasts=3"], "binary.contrasts"),
    (["preview", "FILE", "--fast", "--set", "engine.max_steps=0"], "engine.max_steps"),
    (["run", "separation_against_contrast", "-o", "out", "--seed", "7"], "--seed 7: this campaign varies it"),
    (["preview", "separation_against_photons", "--fast", "--seed", "7"], "list the seeds in vary"),
    (["run", "FILE", "-o", "out", "--executor", "processes", "--timeout", "nan"], "--timeout"),
    (["run", "FILE", "-o", "out", "--executor", "processes", "--timeout", "-3"], "--timeout"),
    (["preview", "FILE", "--fast", "--set", "binary.separation_as"], "path=value"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=str)
def test_bad_input_is_exit_2_in_one_line(capsys, tmp_path, file, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    found = run(capsys, *[file if word == "FILE" else word for word in words])
    assert found.code == 2 and said in found.err and "Traceback" not in found.err
    assert sorted(path.name for path in Path().iterdir()) == ["tiny.yaml"]


def test_the_packaged_ones_are_listed(capsys):
    assert set(run(capsys, "list", "--json").json) == set(campaign_names())
