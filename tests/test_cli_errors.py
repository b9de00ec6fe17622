"""The command line when something is wrong: exit code 2, one line that names it, and nothing left behind."""

import gzip
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from command_line import EXPOSURES, everything_in, run, settings, write_fits

from dluxshera.inference import run_artifacts as artifacts

PROFILE = ("--profile", "shera_flight")
FREE = ("--free", "binary.*")
ELECTRONS = {"BUNIT": "electron", "NEXP": EXPOSURES}


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Run a command that must be refused in one line with these words in it, and must leave the folder as it was."""
    monkeypatch.chdir(tmp_path)

    def check(*argv, naming):
        before = everything_in(".")
        result = run(capsys, *argv)
        assert result.code == 2, result
        assert result.out == "" and "Traceback" not in result.err
        assert everything_in(".") == before
        lines = [line for line in result.err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1 and lines[0].startswith("dluxshera"), result.err
        for word in naming:
            assert word in lines[0]
        return lines[0]

    return check


def refuse_image(refused, name, *options, naming=()):
    return refused("fit", name, *PROFILE, *settings(), *FREE, "-o", "run", *options, naming=(str(name), *naming))


def no_fit(monkeypatch):
    """Make the fit itself an error: what is wrong must be found before it."""

    def fit(*_, **__):
        raise AssertionError("the fit was begun")

    monkeypatch.setattr("dluxshera.inference.fit", fit)


# ---- usage


@pytest.mark.parametrize(
    "argv, naming",
    [
        ([], ["COMMAND"]),
        (["nonsense"], ["nonsense", "simulate"]),
        (["simulate", "shera_flight"], ["-o"]),
        (["fit", "o.fits", "--profile", "shera_flight"], ["-o"]),
        (["fit", "-o", "run"], ["OBS"]),
        (["fit", "o.fits", "-o", "run", "--engine", "magic"], ["--engine", "magic", "lm"]),
        (["fit", "o.fits", "-o", "run", "--likelihood", "cauchy"], ["--likelihood", "cauchy", "poisson"]),
        (["fit", "o.fits", "-o", "run", "--unit", "parsec"], ["--unit", "parsec"]),
        (["fit", "o.fits", "-o", "run", "--max-steps", "many"], ["--max-steps", "many"]),
        (["fit", "o.fits", "-o", "run", "--gain", "high"], ["--gain", "high"]),
        (["fit", "o.fits", "-o", "run", "--exposures", "-1"], ["--exposures", "-1"]),
        (["fit", "o.fits", "-o", "run", "--exposures", "0"], ["--exposures", "0"]),
        (["simulate", "shera_flight", "-o", "o.fits", "--seed", "1.5"], ["--seed", "1.5"]),
        (["simulate", "shera_flight", "-o", "o.fits", "--exposures", "x"], ["--exposures", "x"]),
        (["describe", "shera_flight", "--nonsense"], ["--nonsense"]),
        (["report"], ["RUN_DIR"]),
    ],
)
def test_bad_usage_is_one_line(refused, argv, naming):
    refused(*argv, naming=naming)


# ---- profiles, --set, --config


@pytest.mark.parametrize("command", [["describe"], ["simulate", "-o", "o.fits"], ["demo", "-o", "out"]])
@pytest.mark.parametrize("assignment", ["optics.nonsense=1", "binary.separation_as=wide"])
def test_every_command_checks_its_settings(refused, command, assignment):
    profile = [] if command[0] == "demo" else ["shera_flight"]
    refused(*command, *profile, "--set", assignment, naming=[assignment.split("=")[0]])


@pytest.mark.parametrize(
    "name, naming",
    [
        ("shera_fligth", ["shera_fligth", "shera_flight"]),
        ("hubble", ["hubble", "shera_flight", "toliman"]),
        ("missing.yaml", ["missing.yaml"]),
        (".", ["."]),
    ],
)
def test_unknown_profiles(refused, image, name, naming):
    refused("describe", name, naming=naming)
    refused("fit", image, "--profile", name, "-o", "run", naming=naming)


def test_no_profile_at_all(refused, image):
    refused("describe", naming=["profile"])
    refused("fit", image, "-o", "run", naming=["profile"])


@pytest.mark.parametrize(
    "assignment, naming",
    [
        ("optics.nonsense=1", ["optics.nonsense", "did you mean"]),
        ("optics.psf_npixx=16", ["optics.psf_npixx", "psf_npix"]),
        ("psf_npix=16", ["psf_npix", "optics.psf_npix"]),
        ("optics.psf_npix=big", ["optics.psf_npix", "big"]),
        ("optics.psf_npix=0", ["optics.psf_npix", "0"]),
        ("optics.psf_npix=1.5", ["optics.psf_npix", "1.5"]),
        ("optics.psf_npix=1000000", ["optics.psf_npix"]),
        ("optics.throughput=2", ["optics.throughput", "[0, 1]"]),
        ("optics.throughput=.nan", ["optics.throughput"]),
        ("binary.separation_as=-1", ["binary.separation_as"]),
        ("binary.separation_as=[1, 2]", ["binary.separation_as", "a number"]),
        ("binary.separation_as={a: 1}", ["binary.separation_as"]),
        ("binary.separation_as=10 s", ["binary.separation_as", "10 s"]),
        ("binary.x_position_as=1e400", ["binary.x_position_as"]),
        ("binary.log_flux_total=true", ["binary.log_flux_total"]),
        ("binary=3", ["binary"]),
        ("optics.focal_length=3", ["optics.focal_length", "effective_focal_length"]),
        ("optics.m1.zernike_coeffs_nm=[1, 2]", ["optics.m1.zernike_coeffs_nm", "8"]),
        ("optics.m1.zernike_coeffs_nm[Z99]=1", ["optics.m1.zernike_coeffs_nm", "Z99"]),
        ("system=two_plane", ["system"]),
        ("theta.free=[nonsense]", ["theta.free", "nonsense"]),
        ("theta.bounds={binary.contrast: [3, 1]}", ["theta.bounds", "binary.contrast"]),
        ("detector.pixel_response=missing.npy", ["detector.pixel_response", "missing.npy"]),
        ("binary.separation_as", ["binary.separation_as", "path=value"]),
        ("=3", ["=3", "path=value"]),
        ("optics.psf_npix=", ["optics.psf_npix", "path=value"]),
        ("optics.psf_npix=[", ["optics.psf_npix", "YAML"]),
        ("optics.psf_npix=!!python/object:os.system ls", ["optics.psf_npix", "tags"]),
    ],
)
def test_bad_assignments(refused, assignment, naming):
    refused("describe", "shera_flight", "--set", assignment, naming=naming)


@pytest.mark.parametrize(
    "text, naming",
    [
        ("profile: shera_flight\ntelescope: 1\n", ["c.yaml", "telescope", "overrides"]),
        ("profile: shera_flight\noverrides: {optics.nonsense: 1}\n", ["c.yaml", "optics.nonsense"]),
        ("profile: shera_flight\noverrides: {binary.contrast: high}\n", ["c.yaml", "binary.contrast", "high"]),
        ("profile: shera_flight\noverrides: 3\n", ["c.yaml", "overrides"]),
        ("profile: shera_flight\ntheta: {freee: [binary.*]}\n", ["c.yaml", "freee"]),
        ("profile: shera_flight\ntheta: {free: [binary.nonsense]}\n", ["c.yaml", "binary.nonsense"]),
        ("profile: shera_flight\noverrides:\n  a: 1\n  a: 2\n", ["c.yaml:4", "duplicate", "'a'"]),
        ("profile: 3\n", ["c.yaml", "profile"]),
        ("profile: hubble\n", ["hubble"]),
        ("profile: [\n", ["c.yaml:2", "YAML"]),
        ("- shera_flight\n", ["c.yaml"]),
        ("profile: !!python/name:os.system x\n", ["c.yaml:1", "tags"]),
        ("profile: &a [*a]\n", ["c.yaml"]),
        ("\x00", ["c.yaml"]),
        ("", ["profile"]),
    ],
)
def test_bad_config_files(refused, text, naming):
    Path("c.yaml").write_text(text)
    refused("describe", "--config", "c.yaml", naming=naming)


def test_a_config_file_that_cannot_be_read(refused):
    Path("latin.yaml").write_bytes(b"profile: sh\xe9ra\n")
    for name, word in (("missing.yaml", "missing.yaml"), (".", "folder"), ("latin.yaml", "UTF-8")):
        refused("describe", "--config", name, naming=[word])


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds(refused, seed):
    refused("simulate", "shera_flight", *settings(), "-o", "o.fits", "--seed", seed, naming=["seed", str(seed)])
    recipe = ("--set", "optics.m1.wavefront_error={rms_nm: 1, alpha: 2}")
    refused("simulate", "shera_flight", *settings(), *recipe, "-o", "o.fits", "--seed", -1, naming=["seed", "-1"])


@pytest.mark.parametrize(
    "options, naming",
    [
        (["--max-steps", "0"], ["--max-steps", "0"]),
        (["--max-steps", "-5"], ["--max-steps", "-5"]),
        (["--set", "engine.nonsense=3"], ["engine", "nonsense"]),
        (["--set", "engine.name=magic"], ["engine.name", "magic", "lm"]),
        (["--set", "engine.tolerance=-1"], ["tolerance", "-1"]),
        (["--set", "engine.tolerance=abc"], ["tolerance", "abc"]),
        (["--set", "engine.max_steps=1.5"], ["max_steps", "1.5"]),
        (["--set", "engine.max_steps=true"], ["max_steps"]),
        (["--engine", "gd", "--set", "engine.name=gd", "--set", "engine.tolerance=abc"], ["tolerance", "abc"]),
        (["--engine", "gd", "--set", "engine.name=gd", "--set", "engine.learning_rate=-1"], ["learning_rate", "-1"]),
    ],
)
def test_engine_options(refused, image, monkeypatch, options, naming):
    no_fit(monkeypatch)
    line = refused("fit", image, *PROFILE, *settings(), *FREE, "-o", "run", *options, naming=naming)
    assert "__init__" not in line and "instances of" not in line


# ---- what moves


@pytest.mark.parametrize(
    "free, naming",
    [
        (["binary.nonsense"], ["binary.nonsense", "separation_as"]),
        (["nonsense"], ["nonsense"]),
        ([""], []),
        (["plate_scale_as", "optics.plane_separation"], ["plate_scale_as", "optics.plane_separation"]),
        (["plate_scale_as", "effective_focal_length"], ["plate_scale_as", "effective_focal_length"]),
        (["optics.throughput"], ["optics.throughput", "bound"]),  # it stands at its bound of one
        (["detector.jitter_sigma_as"], ["detector.jitter_sigma_as", "bound"]),
        (["optics.focal_length"], ["optics.focal_length", "derived"]),
        (["optics.psf_npix"], ["optics.psf_npix"]),
        (["detector.pixel_response"], ["detector.pixel_response", "buffer"]),
        (["binary.contrast", "binary.*"], ["binary.contrast", "overlap"]),
        (["optics.m1.zernike_coeffs_nm[Z99]"], ["optics.m1.zernike_coeffs_nm", "Z99"]),
    ],
)
def test_what_cannot_be_free(refused, image, monkeypatch, free, naming):
    no_fit(monkeypatch)
    refused("fit", image, *PROFILE, *settings(), "-o", "run", "--free", *free, naming=naming)


def test_the_gaussian_likelihood_needs_a_variance(refused, counts, monkeypatch):
    no_fit(monkeypatch)
    write_fits("plain.fits", counts, **ELECTRONS)
    options = ("-o", "run", "--likelihood", "gaussian")
    refused("fit", "plain.fits", *PROFILE, *settings(), *FREE, *options, naming=["variance", "gaussian_model"])


# ---- images at the door


DAMAGE = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "header only": lambda data: data[:2880],
    "half": lambda data: data[: len(data) // 2],
    "a block short": lambda data: data[:-2880],
    "a bit of the header": lambda data: flipped(data, 400),
    "a bit of the first card": lambda data: flipped(data, 5),
    "a bit of the pixels": lambda data: flipped(data, 2880 + 101),
    "a bit of the checksum": lambda data: flipped(data, data.index(b"DATASUM =") + 12),
    "text": lambda data: b"x,y\n1,2\n" * 1000,
    "another format": lambda data: b"\x89PNG\r\n\x1a\n" + data,
}


def flipped(data, position, bit=4):
    return data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_fits_files(refused, image, kind):
    Path("bad.fits").write_bytes(DAMAGE[kind](image.read_bytes()))
    refuse_image(refused, "bad.fits")


@pytest.mark.parametrize("kind", ["header only", "half", "text"])
def test_damaged_compressed_files(refused, image, kind):
    Path("inside.fits.gz").write_bytes(gzip.compress(DAMAGE[kind](image.read_bytes())))
    Path("around.fits.gz").write_bytes(DAMAGE["half"](gzip.compress(image.read_bytes())))
    refuse_image(refused, "inside.fits.gz")
    refuse_image(refused, "around.fits.gz")


def test_npz_files_that_cannot_be_used(refused, counts):
    unit = {"unit": "electron"}
    objects, loud = np.array([{"a": 1}], object), np.array({"a": 1}, object)
    Path("junk.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez("whole.npz", image=counts, **unit)
    Path("half.npz").write_bytes(Path("whole.npz").read_bytes()[:900])
    Path("bit.npz").write_bytes(flipped(Path("whole.npz").read_bytes(), 500))
    np.savez("objects.npz", image=objects, **unit)
    np.savez("unit.npz", image=counts, unit=loud)
    np.savez("nameless.npz", counts)
    np.savez("text.npz", image=np.array([["a", "b"], ["c", "d"]]), **unit)
    np.savez("complex.npz", image=counts + 1j, **unit)
    for path in sorted(Path().glob("*.npz")):
        if path.name != "whole.npz":
            refuse_image(refused, path.name)


@pytest.mark.parametrize("name", ["missing.fits", "missing.npz", "star.txt", "star", "folder.fits", ""])
def test_files_that_are_no_images(refused, name):
    Path("folder.fits").mkdir()
    Path("star.txt").write_text("1 2 3")
    refused("fit", name, *PROFILE, "-o", "run", naming=[name])


def strange_images(counts):
    empty, half = np.full_like(counts, np.nan), counts.copy()
    half[:9] = np.nan
    return {
        "not square": (counts[:, :12], ELECTRONS, ["(16, 12)"]),
        "a cube": (np.stack([counts, counts]), ELECTRONS, ["(2, 16, 16)"]),
        "a line": (counts[0], ELECTRONS, ["(16,)"]),
        "no image": (None, ELECTRONS, []),
        "all NaN": (empty, ELECTRONS, ["0 of 256"]),
        "mostly NaN": (half, ELECTRONS, ["112 of 256"]),
        "negative": (-counts, ELECTRONS, ["below zero"]),
        "black": (0 * counts, ELECTRONS, ["counts"]),
        "no unit": (counts, {}, ["BUNIT", "unit"]),
        "another unit": (counts, {"BUNIT": "Jy"}, ["Jy", "electron"]),
        "adu without gain": (counts, {"BUNIT": "adu"}, ["GAIN", "gain"]),
        "no gain": (counts, {"BUNIT": "adu", "GAIN": 0.0}, ["GAIN"]),
        "negative gain": (counts, {"BUNIT": "adu", "GAIN": -2.0}, ["GAIN", "-2"]),
        "text for gain": (counts, {"BUNIT": "adu", "GAIN": "high"}, ["GAIN", "high"]),
        "rate without time": (counts, {"BUNIT": "electron/s"}, ["EXPTIME"]),
        "negative count": (counts, {"BUNIT": "electron", "NEXP": -3}, ["NEXP", "-3"]),
        "broken count": (counts, {"BUNIT": "electron", "NEXP": 2.5}, ["exposures", "2.5"]),
    }


@pytest.mark.parametrize("kind", strange_images(np.ones((16, 16))))
def test_images_at_the_door(refused, counts, monkeypatch, kind):
    no_fit(monkeypatch)
    image, header, naming = strange_images(counts)[kind]
    write_fits("mine.fits", image, **header)
    refuse_image(refused, "mine.fits", naming=naming)


@pytest.mark.parametrize(
    "options, naming",
    [
        (["--gain", "-2", "--unit", "adu"], ["gain", "-2"]),
        (["--gain", "nan", "--unit", "adu"], ["gain", "nan"]),
        (["--gain", "2"], ["gain", "electrons"]),
        (["--unit", "electron/s", "--exposure-time", "-1"], ["EXPTIME", "-1"]),
        (["--unit", "adu"], ["gain"]),
        (["--extension", "SCI"], ["SCI", "PRIMARY"]),
    ],
)
def test_options_for_an_image(refused, counts, monkeypatch, options, naming):
    no_fit(monkeypatch)
    write_fits("mine.fits", counts, **ELECTRONS)
    refuse_image(refused, "mine.fits", *options, naming=naming)


def test_messages_about_an_image_name_options_of_the_command_line(refused, counts):
    write_fits("mine.fits", counts)
    assert "--unit" in refuse_image(refused, "mine.fits")
    assert "--gain" in refuse_image(refused, "mine.fits", "--unit", "adu")
    assert "--extension" in refuse_image(refused, "mine.fits", "--extension", "SCI")


def test_a_size_that_contradicts_the_image(refused, image, monkeypatch):
    no_fit(monkeypatch)
    sizes = settings(optics__psf_npix=20)
    refused("fit", image, *PROFILE, *sizes, *FREE, "-o", "run", naming=["(20, 20)", "(16, 16)", "optics.psf_npix"])


@pytest.mark.parametrize("exposures", [-1, 0])
def test_simulate_counts_exposures_from_one(refused, exposures):
    options = ("-o", "o.fits", "--exposures", exposures)
    refused("simulate", "shera_flight", *settings(), *options, naming=["exposure", str(exposures)])


def test_simulate_refuses_what_saturates(refused):
    bright = settings(binary__log_flux_total=14)
    refused("simulate", "shera_flight", *bright, "-o", "o.fits", naming=["binary.log_flux_total"])


# ---- where results go


def outputs(image):
    fit = ("fit", image, *PROFILE, *settings(), *FREE)
    return {"simulate": ("simulate", "shera_flight", *settings()), "fit": fit, "demo": ("demo", *settings())}


@pytest.mark.parametrize("command", ["simulate", "fit", "demo"])
def test_outputs_need_their_folder(refused, image, monkeypatch, command):
    no_fit(monkeypatch)
    Path("file").write_text("mine")
    for parent in ("no/such", "file"):
        refused(*outputs(image)[command], "-o", f"{parent}/out.fits", naming=[f"{parent}/out.fits"])


@pytest.mark.parametrize("name", ["o.txt", "o", "", ".", "folder.fits"])
def test_simulate_writes_images_only(refused, image, name):
    Path("folder.fits").mkdir()
    refused(*outputs(image)["simulate"], "-o", name, naming=[name])


@pytest.mark.parametrize("command", ["fit", "demo"])
def test_a_file_is_no_folder_for_a_run(refused, image, monkeypatch, command):
    no_fit(monkeypatch)
    Path("mine").write_text("mine")
    refused(*outputs(image)[command], "-o", "mine", naming=["mine"])


def test_refused_before_the_fit(refused, image, monkeypatch):
    no_fit(monkeypatch)
    Path("mine").write_text("mine")
    refused(*outputs(image)["fit"], "-o", "mine", "--overwrite", naming=["mine"])


@pytest.mark.parametrize("target", ["thesis", "."])
def test_overwrite_replaces_runs_only(refused, image, monkeypatch, target):
    no_fit(monkeypatch)
    Path("thesis").mkdir()
    (Path(target) / "meta.json").write_text("my own notes")
    (Path(target) / "thesis.tex").write_text("chapter one")
    refused(*outputs(image)["fit"], "-o", target, "--overwrite", naming=[target])


def test_demo_replaces_no_run_of_another_hand(refused, image, fitted, monkeypatch):
    no_fit(monkeypatch)
    shutil.copytree(fitted, "mine/run")
    refused("demo", *settings(), "-o", "mine", naming=["mine", "--overwrite"])


@pytest.fixture
def locked():
    """A folder that nobody may write into, and no privileges."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written(capsys, locked):
    result = run(capsys, "simulate", "shera_flight", *settings(), "-o", locked / "o.fits", "--quiet")
    assert result.code == 2 and str(locked) in result.err and len(result.err.splitlines()) == 1
    assert list(locked.iterdir()) == []


def test_a_disk_that_fails_leaves_nothing(refused, image, fitted, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device", "run")

    monkeypatch.setattr(os, "fsync", full)
    refused(*outputs(image)["simulate"], "-o", "o.fits", naming=["No space"])
    monkeypatch.undo()
    assert not Path("o.fits").exists()


# ---- report


@pytest.mark.parametrize("name", ["missing", "file", "empty", "."])
def test_report_on_what_is_no_run(refused, name):
    Path("empty").mkdir()
    Path("file").write_text("mine")
    refused("report", name, naming=[name, "run"])


@pytest.mark.parametrize("name", ["./-dash", ".hidden", "a\nb"])
def test_names_that_no_run_can_have_are_refused_before_the_fit(refused, monkeypatch, name):
    monkeypatch.setattr("dluxshera.instrument.Observation.read", None)
    refused("fit", "nowhere.fits", "--profile", "shera_flight", "-o", name, naming=["name of a run directory"])


@pytest.mark.parametrize(
    "name", ["MANIFEST.json", "meta.json", "summary.json", "trace.npz", "observation.npz", "checkpoint_best.npz"]
)
@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_report_on_a_damaged_run(refused, fitted, name, damage):
    shutil.copytree(fitted, "run")
    shutil.rmtree("run/.generations")  # an earlier one would be read in its place
    path = Path("run") / name
    data = path.read_bytes()
    path.unlink()
    if damage == "flipped":
        path.write_bytes(flipped(data, len(data) // 2))
    refused("report", "run", naming=[f"run/{name}" if damage == "flipped" else name])


@pytest.mark.parametrize("key", ["start", "truth", "free", "priors", "profile"])
def test_report_on_a_record_that_lacks_something(refused, fitted, key):
    meta = artifacts.load_meta(fitted)
    del meta[key]
    arrays = artifacts.load_trace(fitted), meta, artifacts.load_summary(fitted)
    artifacts.save_run("foreign", *arrays, observation=artifacts.load_observation_arrays(fitted))
    refused("report", "foreign", naming=["foreign", key])
