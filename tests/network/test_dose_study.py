"""The dose study: its arms, what it writes, and that it goes on where it was."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from command_line import run

from dluxshera import _network_study
from dluxshera.campaigns import read_table
from dluxshera.config.dose_study import FULL, SMALL, Arm, DoseStudy
from dluxshera.config.dose_study_arms import ArmFolders, run_arm
from dluxshera.config.dose_study_effects import loss_effects
from dluxshera.config.network_runs import open_network_run
from dluxshera.config.strict_yaml import ConfigError
from dluxshera.inference.run_artifacts import verify
from dluxshera.plotting.network import DoseRow, plot_dose_study, plot_dose_sweep, plot_training

TINY = """
doses: [1e6, 1e4]
losses: [poisson]
train: 24
test: 8
npix: 16
size: 40
neighbours: 5
epochs: 1
batch: 8
width: 0.25
sweeps: 2
"""
FIRST = Arm("lines", "nongrid", 2, 1e6, "poisson", 0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(TINY)
    return path, DoseStudy.read(path)


def test_every_combination_is_an_arm_with_a_name_of_its_own():
    study = dataclasses.replace(SMALL, scans=("raster", "nongrid"), gridsizes=(1, 2))
    arms = list(study.arms())
    assert len(arms) == len({arm.name for arm in arms}) == 16
    assert len(list(SMALL.arms())) == 4 and len(list(FULL.arms())) == 6 and FULL.groups * 4 == FULL.train
    assert Arm("lines", "nongrid", 2, 1e9, "mae", 3).name == "lines-nongrid-g2-1e9-mae-s3"
    near = {FIRST._replace(photons=photons).name for photons in (1.2e4, 1.4e4, 1.4e4 + 1, 0.5, 1e10)}
    assert len(near) == 5 and "lines-nongrid-g2-1.2e4-poisson-s0" in near


def test_arms_differ_in_dose_and_loss_only(tiny):
    study = dataclasses.replace(tiny[1], losses=("poisson", "mae"))
    scans = [study.scans_of(arm) for arm in study.arms()]
    for other in scans[1:]:
        for first, second in zip(scans[0], other, strict=True):
            np.testing.assert_array_equal(first.positions, second.positions)
            np.testing.assert_array_equal(first.object, second.object)
    assert np.array_equal(scans[0].train.counts, scans[1].train.counts)
    ratio = scans[0].train.photons.mean() / scans[2].train.photons.mean()
    assert ratio == pytest.approx(100, rel=0.02)


def test_held_back_patterns_are_a_corner_and_the_new_object_is_another(tiny):
    train, test, new = tiny[1].scans_of(FIRST)
    assert (len(train), len(test), len(new)) == (24, 8, 8)
    low = test.positions.min(axis=0)
    assert np.hypot(*(test.positions - low).T).max() <= np.hypot(*(train.positions - low).T).min() + 1.0
    assert new.object.shape < test.object.shape and not np.isin(new.positions, train.positions).any()


@pytest.fixture(scope="module")
def done(tiny, tmp_path_factory):
    """A study that was stopped in its course, and then finished."""
    folder, calls, said = tmp_path_factory.mktemp("done") / "study", [], []
    first = _network_study.carry_out(
        tiny[1], folder, say=said.append, should_stop=lambda: calls.append(1) or len(calls) > 5
    )
    return folder, first, _network_study.carry_out(tiny[1], folder, say=said.append)


@pytest.mark.slow
def test_a_study_goes_on_and_is_whole(done, tiny, tmp_path):
    folder, first, second = done
    assert first["left"] > 0 and first["done"] < 2
    assert (second["left"], second["done"], second["failed"]) == (0, 2, {})
    for arm in tiny[1].arms():
        folders = ArmFolders(folder, arm.name)
        assert not any(verify(path) for path in (folders.training, folders.inferred("test"), folders.inferred("new")))
        assert (folders.training / "training_history.json").is_file()
    table = read_table(folder / "metrics.csv")
    assert len(table["amplitude_ssim"]) == 4 and all(np.isfinite(table["amplitude_scale"]))
    assert (folder / "dose_study.lines-nongrid-2-amplitude.png").stat().st_size > 20_000
    assert "<img" in (folder / "report.html").read_text()
    alone = tmp_path / "alone"
    alone.mkdir()
    record = run_arm(tiny[1], FIRST, alone)  # arms do not depend on each other, nor on their order
    there = open_network_run(ArmFolders(folder, FIRST.name).training).history()
    assert record["training"]["val_loss"] == min(there["val_loss"][0], there["start_val_loss"])


@pytest.mark.slow
def test_a_study_that_is_done_does_nothing(done, tiny, capsys, monkeypatch):
    monkeypatch.setattr("dluxshera.config.dose_study_arms.train_to_run", None)
    found = run(capsys, "ptycho", "study", tiny[0], "-o", done[0], "--json")
    assert found.code == 0 and found.json["done"] == 2
    other = run(capsys, "ptycho", "study", "--small", "-o", done[0])
    assert other.code == 2 and "expected the study to go on with" in other.err


@pytest.mark.parametrize(
    ("text", "words"),
    [("dozes: [1e4]", "'dozes'"), ("doses: 1e4", "a list in doses"), ("doses: []", "entry"),
     ("doses: [-1.0]", "above zero"), ("losses: [huber]", "huber"), ("npix: 60", "npix"),
     ("epochs: none", "study.yaml"), ("doses: [1e6, 1.0e6]", "doses: expected every entry once"),
     ("seeds: [0, 1, 0]", "seeds: expected every entry once")],
)  # fmt: skip
def test_studies_that_make_no_sense_are_refused(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigError, match=words):
        DoseStudy.read(path)


def test_effects_are_paired_differences_with_students_interval():
    common = {"object": "lines", "scan": "nongrid", "gridsize": 2, "photons": 1e4, "inferred": "test"}
    values = {("poisson", 0): 0.8, ("poisson", 1): 0.7, ("poisson", 2): 0.9, ("mae", 0): 0.5, ("mae", 1): 0.5,
              ("mae", 2): 0.5, ("squared", 1): 0.6}  # fmt: skip
    rows = [common | {"loss": loss, "seed": seed, "amplitude_ssim": v} for (loss, seed), v in values.items()]
    (effect,) = loss_effects(rows, ["ssim"])  # of the third loss there is one seed
    assert (effect["part"], effect["first"], effect["second"], effect["seeds"]) == ("amplitude", "poisson", "mae", 3)
    assert effect["difference"] == pytest.approx(0.3)
    assert effect["high"] - 0.3 == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-5)


def test_the_figure_shows_every_panel_on_stated_scales():
    generator = np.random.default_rng(0)
    truth = generator.uniform(0.5, 1.5, (20, 20))
    objects = {"mae": np.where(truth > 0.6, truth, np.nan), "poisson": truth + 0.1}
    metrics = {name: {"SSIM": 0.9, "FRC": None} for name in objects}
    rows = [
        DoseRow(photons, generator.poisson(photons / 256, (16, 16)), objects, truth, metrics) for photons in (1e9, 1e4)
    ]
    figure = plot_dose_study(rows, ("mae", "poisson"))
    images = [ax for ax in figure.axes if ax.images]
    assert len(images) == 6 and "SSIM 0.9" in images[1].get_title("left") and "FRC" not in images[1].get_title("left")
    assert images[0].images[0].norm.vmax == images[3].images[0].norm.vmax  # patterns share a scale
    assert [ax.images[0].get_clim() for ax in images[1:3]] == [(truth.min(), truth.max())] * 2
    assert {"photons per pixel (none: darkest)"} < {ax.get_xlabel() for ax in figure.axes}


def test_titles_stay_on_the_figure_where_objects_differ_in_shape():
    generator = np.random.default_rng(0)
    objects = {"wide": generator.random((20, 40)), "square": generator.random((98, 98))}
    metrics = dict.fromkeys(objects, {"SSIM": 0.9, "MAE": 0.1, "PSNR": 30.0, "scale": 1.0})
    figure = plot_dose_study(
        [DoseRow(1e9, np.ones((64, 64)), objects, objects["square"], metrics)], tuple(objects), "phase"
    )
    figure.draw_without_rendering()
    tops = [ax._left_title.get_window_extent().y1 for ax in figure.axes if ax.images]
    assert max(tops) <= figure.bbox.y1
    assert any("phase, on the truth's range" in ax.get_xlabel() for ax in figure.axes)


@pytest.mark.slow
def test_of_a_complex_object_amplitude_and_phase_are_shown(tiny, tmp_path):
    study = dataclasses.replace(tiny[1], objects=("mixed",), doses=(1e9,), losses=("poisson",))
    facts = _network_study.carry_out(study, tmp_path / "complex")
    assert [Path(path).name.split("-")[-1] for path in facts["figures"]] == ["amplitude.png", "phase.png"]
    assert "phase ssim" in Path(facts["report"]).read_text()


def test_figures_of_courses():
    columns = ("train_loss", "val_loss", "learning_rate", "grad_norm", "scale", "dead_fraction")
    history = {name: [1.0, 0.5] for name in columns}
    figure = plot_training(history | {"first_nonfinite": {"epoch": 2, "batch": 0, "layer": "encoder.0.first"}})
    assert "encoder.0.first" in figure.get_suptitle() and len(figure.axes) == 4
    ax = plot_dose_sweep([1e4, 1e6], {"network": [[0.1, 0.01], [0.2, 0.02]]}, [0.05, 0.005]).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.15, 0.015])
    assert ax.get_legend().get_texts()[1].get_text() == "Cramér-Rao bound, unbiased"
