"""Ptychography from the command line: what is done with options and files, and what is refused before any work."""

import json
import sys

import numpy as np
import pytest
from command_line import everything_in, run
from PIL import Image
from small_scan import small_data

from dluxshera.config.scan_runs import save_reconstruction
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.ptychography import Reconstruction, canvas_of, illumination, read_scan, write_scan


@pytest.fixture(scope="module")
def data():
    return small_data(number=12)


@pytest.fixture
def raw(data, tmp_path):
    """As a detector may write it: zero frequency at the corner, a hot pixel, a pattern without a count."""
    counts = np.array(data.counts)
    counts[4] = 0
    counts[:, 1, 3] = 4000
    counts[4, 1, 3] = 0
    y, x = data.positions.T
    arrays = {"counts": np.fft.ifftshift(counts, axes=(1, 2)), "xcoords": x, "ycoords": y, "probeGuess": data.probe[0]}
    np.savez(tmp_path / "raw.npz", **arrays)
    return tmp_path / "raw.npz"


@pytest.fixture
def made(data, tmp_path):
    """The run directory of a perfect reconstruction, which nobody had to compute."""
    place = canvas_of(data.positions, data.npix)
    y, x = place.origin.astype(int)
    object = data.object[y : y + place.shape[0], x : x + place.shape[1]]
    facts = {"likelihood": "poisson", "modes": 1, "fitted_deviance": 1.0, "interrupted": False, "failure": None}
    history = {"seconds": [0.0, 1.0], "loss": [2.0, 1.0], "deviance": [4.0, 2.0], "stage": [0, 1]}
    found = Reconstruction(
        object,
        data.probe,
        place.corners,
        illumination(data.probe, place.corners, place.shape),
        np.zeros(()),
        place.origin.astype(int),
        "bilinear",
        1.0,
        None,
        {name: np.asarray(values) for name, values in history.items()},
        facts,
    )
    save_reconstruction(tmp_path / "made", found, data)
    return tmp_path / "made"


def test_diagnose_reads_a_file_as_info_does(raw, tmp_path, capsys):
    refused = run(capsys, "ptycho", "diagnose", raw)
    assert refused.code == 2 and "raw.npz" in refused.err and "--drop-empty" in refused.err
    door = ("--dc", "corner", "--find-bad", "--drop-empty")
    known = run(capsys, "ptycho", "info", raw, *door, "--json").json["counts"]
    assert known["patterns"] == 11 and known["masked_pixels"] == 1
    told = run(capsys, "ptycho", "diagnose", raw, *door, "--groups", 5, "-o", tmp_path / "pictures", "--json")
    assert told.code == 0 and told.json["grouping"]["requested"] == {"groups": 5, "patterns": 11}
    assert told.json["intensities"]["stages"]["counts"]["largest"] == known["largest_count"]
    names = ("canvas", "grouping", "intensities", "probe")
    for name in names:
        assert json.loads((tmp_path / "pictures" / f"{name}.json").read_text()) == told.json[name]
    assert len(list((tmp_path / "pictures").iterdir())) == 2 * len(names)
    empty = run(capsys, "ptycho", "diagnose", raw, "--dc", "corner", "--find-bad")
    assert empty.code == 2 and "drop_empty=True (--drop-empty)" in empty.err


def test_diagnosis_of_a_run_with_a_known_truth(made, tmp_path, capsys):
    told = run(capsys, "ptycho", "diagnose", made, "-o", tmp_path / "pictures", "--json").json
    assert told["bias"]["scale"] == pytest.approx(1.0) and (tmp_path / "pictures" / "bias.png").is_file()
    assert told["intensities"]["model_over_data"] == pytest.approx(1.0, abs=0.01)
    assert told["canvas"]["energy_inside"] == pytest.approx(1.0, abs=1e-6)


def test_a_perfect_reconstruction_is_judged_so(made, capsys):
    judged = run(capsys, "ptycho", "judge", made, "--plot", made.parent / "judged.pdf", "--json").json
    assert judged["amplitude"]["scale"] == pytest.approx(1.0, abs=1e-6) and float(judged["amplitude"]["psnr"]) > 100
    assert (made.parent / "judged.pdf").read_bytes()[:4] == b"%PDF"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("info", "{raw}", "--plot", "{there}/x.bmp"), r"x.bmp: expected a name that ends in .png, .pdf, .svg"),
        (("info", "{raw}", "--plot", "{there}/absent/x.png"), "absent does not exist. Make it first"),
        (("judge", "{made}", "--plot", "{there}/x"), "x: expected a name that ends in"),
        (("judge", "{made}", "--rescale", "half"), "--rescale: expected best or a number, got 'half'"),
        (("diagnose", "{there}/absent"), "absent: expected a scan file or the run directory of a reconstruction"),
        (("diagnose", "{there}/absent.npz"), "absent.npz: expected a scan file or the run"),
        (("diagnose", "{made}", "--find-bad", "--dc", "corner"), "made: expected --dc and --find-bad only with a scan"),
        (("diagnose", "{raw}", "-o", "{raw}"), "raw.npz: expected a folder, got a file"),
        (("diagnose", "{raw}", "-o", "{there}/a/b"), "does not exist. Make it first"),
        (("info", "{there}/absent"), "absent: Expected a file of a scan, got none"),
        (("info", "{there}"), "Expected a file of a scan, got a folder"),
        (("reconstruct", "{good}", "-o", "{there}/run", "--time", "0"), "(--time)"),
        (("reconstruct", "{good}", "-o", "{there}/run", "--hold-out", "1"), "(--hold-out)"),
        (("reconstruct", "{good}", "-o", "{there}/run", "--refine", "halo"), "(--refine)"),
        (("reconstruct", "{blind}", "-o", "{there}/run", "--from-object"), "(--from-object)"),
        (("reconstruct", "{good}", "-o", "{there}/run", "--photons", "5"), "Expected photons only for a file of"),
        (("diagnose", "{good}", "--neighbours", "2"), "(--neighbours)"),
        (("diagnose", "{good}", "--groups", "99"), "(--groups)"),
        (("diagnose", "{good}", "--canvas", "100000000"), "(--canvas)"),
        (("reconstruct", "{good}", "-o", "{there}/run", "--seed", "9" * 30), "(--seed)"),
        (("judge", "{made}", "--halves", "--rescale", "best"), "--rescale: expected only where"),
    ],
)
def test_what_is_refused(raw, made, data, tmp_path, capsys, words, message):
    """Each in one line that names file and option, before any work, leaving nothing behind."""
    write_scan(tmp_path / "good.npz", data)
    blind = type(data)(data.counts, data.positions, data.probe)
    write_scan(tmp_path / "blind.npz", blind)
    places = {
        "raw": raw,
        "made": made,
        "there": tmp_path,
        "good": tmp_path / "good.npz",
        "blind": tmp_path / "blind.npz",
    }
    before = everything_in(tmp_path)
    refused = run(capsys, "ptycho", *(word.format(**places) for word in words))
    assert refused.code == 2 and message in refused.err and refused.out == ""
    assert refused.err.count("\n") == 1 and "Traceback" not in refused.err
    assert everything_in(tmp_path) == before


def test_a_figure_that_cannot_be_written_is_refused_before_the_file_is_read(tmp_path, capsys):
    for words in (("info", "absent.npz"), ("judge", "absent")):
        refused = run(capsys, "ptycho", *words, "--plot", tmp_path / "x.tiff")
        assert refused.code == 2 and "x.tiff" in refused.err and "absent" not in refused.err


@pytest.mark.slow
def test_a_reconstruction_that_breaks_down_has_failed_and_says_by_what(data, tmp_path, capsys, monkeypatch):
    stages = sys.modules["dluxshera.ptychography.reconstruct"]
    monkeypatch.setattr(stages, "KNOWN_PROBE", stages.Pace(0.1, 0.03, np.inf))
    write_scan(tmp_path / "scan.npz", data)
    options = ("--refine", "none", "--modes", 1, "--epochs", 30, "--batch", 6)
    done = run(capsys, "ptycho", "reconstruct", tmp_path / "scan.npz", "-o", tmp_path / "run", *options, "--json")
    assert done.code == 1 and "not finite in 12 epochs in a row" in done.json["failure"]
    summary = artifacts.load_summary(tmp_path / "run")
    assert (summary["status"], summary["converged"], summary["nonfinite_steps"]) == ("failed", False, 12)
    assert summary["message"] == done.json["failure"] and "sample.object_real" in summary["message"]
    assert summary["num_steps_completed"] == 3 + 12
    assert run(capsys, "verify", tmp_path / "run").code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "not finite in 12 epochs in a row" in page
    again = run(capsys, "resume", tmp_path / "run")
    assert again.code == 2 and "has failed after 15 epochs" in again.err and again.err.count("\n") == 1


SIMULATE = ("--npix", 16, "--number", 6, "--margin", 4, "--photons", 1e5)


@pytest.mark.parametrize("kind", ["grey.png", "colour.png", "array.npy", "complex.npy"])
def test_a_picture_is_the_object_of_a_simulation(tmp_path, capsys, kind):
    grey = np.random.default_rng(0).integers(0, 256, (24, 30), np.uint8)
    grey[0, 0] = 255
    wanted = 0.5 + grey / 255
    if kind == "complex.npy":
        wanted = wanted * np.exp(0.3j * grey / 255)
        np.save(tmp_path / kind, wanted)
    elif kind == "array.npy":
        np.save(tmp_path / kind, grey.astype(float))
    else:
        Image.fromarray(grey if kind == "grey.png" else np.stack([grey] * 3, axis=-1)).save(tmp_path / kind)
    done = run(capsys, "ptycho", "simulate", "-o", tmp_path / "scan.npz", "--object", tmp_path / kind, *SIMULATE)
    assert done.code == 0, done.err
    made = read_scan(tmp_path / "scan.npz").object
    assert made.shape[0] >= 24 and made.shape[1] >= 30  # continued until it holds every window
    windows = np.lib.stride_tricks.sliding_window_view(made, (24, 30))
    assert np.isclose(np.abs(windows - wanted).max((2, 3)), 0, atol=1e-6).sum() == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan.npy", "nan.npy: Expected an image of finite values of zero or more"),
        ("line.npy", "line.npy: Expected an image of real numbers, (h, w) or (h, w, 3), got float64 of shape (7,)"),
        ("words.npy", "words.npy: expected a picture, or an NPY file"),
        ("objects.npy", "objects.npy: expected a picture, or an NPY file"),
        ("cut.png", "cut.png: expected a picture"),
        ("words.png", "words.png: expected a picture"),
        ("planes.npy", "Expected an object (h, w), got shape (2, 24, 24)"),
        ("absent.png", "absent.png: expected lines, phase, mixed, or the file of a picture"),
    ],
)
def test_pictures_that_are_none(tmp_path, capsys, name, message):
    np.save(tmp_path / "nan.npy", np.full((24, 24), np.nan))
    np.save(tmp_path / "line.npy", np.ones(7))
    np.save(tmp_path / "objects.npy", np.array([{}, None]), allow_pickle=True)
    np.save(tmp_path / "planes.npy", np.ones((2, 24, 24), complex))
    (tmp_path / "words.npy").write_text("not numbers")
    (tmp_path / "words.png").write_text("not a picture")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    before = everything_in(tmp_path)
    refused = run(capsys, "ptycho", "simulate", "-o", tmp_path / "scan.npz", "--object", tmp_path / name, *SIMULATE)
    assert refused.code == 2 and message in refused.err and refused.err.count("\n") == 1
    assert everything_in(tmp_path) == before


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_simulated(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dluxshera.ptychography.make_scan", None)
    for words, message in (
        (("scan.txt",), "scan.txt: Expected a name that ends in .npz"),
        (("scan.cxi", "--amplitudes"), "got amplitudes=True (--amplitudes)"),
        (("no/scan.npz",), "does not exist"),
    ):
        refused = run(capsys, "ptycho", "simulate", "-o", tmp_path / words[0], *words[1:])
        assert refused.code == 2 and message in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", 3_000_000), "(size, --size)"),
        (("--number", 10_000_000, "--npix", 1024), "(--number)"),
        (("--photons", "nan"), "Expected photons above zero per pattern, got nan"),
        (("--photons", -1), "Expected photons above zero"),
        (("--scan", "raster", "--step", 1e-4), "Expected 1 to 10000000 positions"),
        (("--scan", "raster", "--step", 0), "Expected a step above zero"),
        (("--margin", 1000), "Expected a margin from 0"),
        (("--background", -2), "background: Expected zero or more"),
        (("--npix", 3), "Expected at least one pattern of 4 x 4"),
    ],
)
def test_simulations_that_cannot_be(tmp_path, capsys, words, message):
    refused = run(capsys, "ptycho", "simulate", "-o", tmp_path / "scan.npz", "--number", 5, "--size", 32, *words)
    assert refused.code == 2 and message in refused.err and refused.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
