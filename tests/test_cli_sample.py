"""`dluxshera sample` on a toy: what it says of its fit, and what it refuses before one."""

import pytest
from command_line import run
from decay import counts, decay

import dluxshera as ds
from dluxshera import _cli_inference

pytest.importorskip("blackjax")
QUICK = ("--method", "laplace", "--draws", "50", "--chains", "2")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run `sample` on an image and a start in place of an instrument's."""
    monkeypatch.chdir(tmp_path)

    def sample(*argv, image=None, start=None, free=("level", "rate")):
        start, image = start or decay(), counts(decay()) if image is None else image
        objective = ds.Objective(decay(), ds.ThetaSpace(decay(), list(free)), ds.Observation(image))
        monkeypatch.setattr(_cli_inference, "read_image", lambda arguments, console: (None, None, start))
        monkeypatch.setattr(_cli_inference, "objective_of", lambda *known: objective)
        return run(capsys, "sample", "image.npz", *argv)

    return sample


def test_a_good_fit_is_sampled_without_a_warning(cli):
    told = cli(*QUICK, "--json")
    assert told.code == 0 and "converged after" in told.err and "warning" not in told.err
    assert told.json["fit"]["result"] == "converged" and told.json["fit"]["converged"] is True
    assert [row["label"] for row in told.json["parameters"]] == ["level", "rate"]


def test_a_fit_that_does_not_explain_the_data_is_said(cli):
    """The image has a spot that no decay has."""
    image = counts(decay())
    image[2, 3] += 5000.0
    told = cli(*QUICK, image=image)
    assert told.code == 0 and "warning: Reduced χ²" in told.err and "beyond 3" in told.err


def test_a_fit_that_ended_early_is_said(cli, monkeypatch):
    short = lambda: ds.GaussNewton(max_steps=1)  # noqa: E731
    monkeypatch.setattr(ds.inference, "LevenbergMarquardt", short)
    told = cli(*QUICK, start=decay(rate=1.0))
    assert told.code == 0 and "warning: Not converged after 1 step: step limit reached" in told.err
    assert "optimum found" not in told.err and "step limit reached after 1 steps" in told.err


def test_a_fit_that_failed_is_not_sampled(cli, tmp_path):
    told = cli(*QUICK, "-o", "draws.npz", start=decay(rate=-1.0))
    assert told.code == 1 and told.out == "" and len(told.err.splitlines()) == 1
    assert "the fit failed after 0 steps: loss or gradient not finite, first by rate" in told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "naming"),
    [
        (("--method", "laplace", "--draws", "2", "--chains", "1"), "draws of 8 or more of a single chain"),
        (("--method", "laplace", "--draws", "3"), "draws of 4 or more of each chain"),
        (("--draws", "5"), "draws of 8 or more"),
        (("--warmup", "3"), "warmup of 20 or more"),
    ],
)
def test_settings_are_looked_at_before_the_fit(cli, monkeypatch, options, naming):
    monkeypatch.setattr(ds.inference, "fit", lambda *a, **k: pytest.fail("fitted"))
    told = cli(*options)
    assert told.code == 2 and naming in told.err and len(told.err.splitlines()) == 1
