"""The command line when all is well: what each command writes, shows and leaves, and how it is interrupted."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from astropy.io import fits
from command_line import EXPOSURES, TINY, everything_in, run, settings, write_fits

import dluxshera as ds
from dluxshera._console import Console
from dluxshera.inference.run_artifacts import load_meta, load_summary, load_trace, verify
from dluxshera.instrument.guess import guess, with_guess
from dluxshera.params import parameter_paths

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("demo", "describe", "simulate", "fit", "report")
PROFILE = ("--profile", "shera_flight")
BINARY = ("x_position_as", "y_position_as", "separation_as", "position_angle_deg", "log_flux_total", "contrast")
FREE = ("--free", "binary.*")
ONE = ("--free", "binary.separation_as")


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder; `.code`, `.out`, `.err`, `.json` of it."""
    monkeypatch.chdir(tmp_path)
    return lambda *argv: run(capsys, *argv)


def estimates(result):
    return {row["label"]: row["estimate"] for row in result.json["parameters"]}


# ---- help, describe


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli, command):
    overall, own = cli("--help"), cli(command, "--help")
    assert overall.code == own.code == 0 and overall.err == own.err == ""
    assert re.search(rf"^\s+{command}\s+\w+", overall.out, re.M)
    assert f"dluxshera {command}" in own.out and "--json" in own.out and "--quiet" in own.out


def test_describe_lists_every_parameter(cli):
    table, listed = cli("describe", "shera_flight", *settings()), cli("describe", "shera_flight", *settings(), "--json")
    assert table.code == listed.code == 0
    model = ds.load_profile("shera_flight", TINY)
    paths = {row["path"] for row in listed.json}
    assert set(parameter_paths(model)) | {"plate_scale_as", "optics.focal_length"} <= paths
    assert all(path.rpartition(".")[2][:12] in table.out for path in parameter_paths(model))


def test_describe_json_holds_numbers(cli):
    rows = {row["path"]: row for row in cli("describe", "shera_flight", *settings(), "--json").json}
    assert rows["binary.separation_as"]["value"] == 0.8
    assert rows["binary.separation_as"]["bounds"] == [0.0, None]
    assert rows["optics.m1.zernike_coeffs_nm"]["value"] == [0.0] * 8


@pytest.mark.parametrize("name", ds.profile_names())
def test_describe_knows_the_packaged_profiles(cli, name):
    result = cli("describe", name, *settings(binary__separation_as=None), "--json", "--quiet")
    assert result.code == 0 and "binary.separation_as" in {row["path"] for row in result.json}


def test_settings_from_a_file_and_the_command_line(cli):
    Path("mine.yaml").write_text("profile: shera_flight\noverrides: {binary.separation_as: 0.7, binary.contrast: 2}\n")
    overrides = [*settings(binary__separation_as=None), "--set", "binary.contrast=1.5"]
    rows = {r["path"]: r for r in cli("describe", "--config", "mine.yaml", *overrides, "--json").json}
    assert float(rows["binary.separation_as"]["value"]) == 0.7  # the file against the profile
    assert float(rows["binary.contrast"]["value"]) == 1.5  # the command line against the file


@pytest.mark.parametrize(
    "section, assignment, read",
    [
        ("overrides: {optics: {pupil_npix: 48}}", "optics.pupil_npix=40", ("optics.pupil_npix", 40)),
        ("overrides: {optics.pupil_npix: 48}", "optics.pupil_npix=40", ("optics.pupil_npix", 40)),
        ("overrides: {optics: {pupil_npix: 48}}", "optics={pupil_npix: 40}", ("optics.pupil_npix", 40)),
        ("theta: {free: [binary.*]}", "theta.free=[binary.contrast]", ("theta.free", ["binary.contrast"])),
        ("engine: {max_steps: 3}", "engine.max_steps=7", ("engine.max_steps", 7)),
    ],
)
def test_later_overrides_win(tmp_path, section, assignment, read):
    from dluxshera.config.settings import read_settings

    config = tmp_path / "c.yaml"
    config.write_text(f"profile: shera_flight\n{section}\n")
    profile = read_settings(None, config, [assignment], {"optics.psf_npix": 16})
    assert profile.get(read[0]) == read[1] and profile.get("optics.psf_npix") == 16


def test_a_nested_size_in_a_config_file_gives_way_to_nothing(tmp_path):
    from dluxshera.config.settings import read_settings

    config = tmp_path / "c.yaml"
    config.write_text("profile: shera_flight\noverrides: {optics: {psf_npix: 24}}\n")
    assert read_settings(None, config, [], {"optics.psf_npix": 16}).get("optics.psf_npix") == 24


# ---- simulate


def test_simulate_writes_an_observation(cli):
    result = cli("simulate", "shera_flight", *settings(), "-o", "o.fits", "--exposures", 10, "--json", "--quiet")
    observed = ds.Observation.read("o.fits")
    assert result.code == 0 and result.err == ""
    assert observed.image.shape == (16, 16) and observed.exposures == 10
    assert result.json["electrons"] == pytest.approx(float(observed.image.sum()))
    assert result.json["file"] == "o.fits" and result.json["masked_pixels"] == 0


def test_simulate_is_reproducible_by_its_seed(cli):
    for name, seed in (("a.npz", 3), ("b.fits", 3), ("c.fits.gz", 4)):
        assert cli("simulate", "shera_flight", *settings(), "-o", name, "--seed", seed, "--quiet").code == 0
    a, b, c = (np.asarray(ds.Observation.read(name).image) for name in ("a.npz", "b.fits", "c.fits.gz"))
    np.testing.assert_array_equal(a, b)
    assert (a != c).mean() > 0.9


def test_simulate_without_noise_is_the_model(cli):
    assert cli("simulate", "shera_flight", *settings(), "-o", "o.npz", "--noiseless", "--exposures", 7).code == 0
    expected = 7 * ds.load_profile("shera_flight", TINY).model()
    np.testing.assert_allclose(ds.Observation.read("o.npz").image, expected, rtol=1e-12)


# ---- fit


def test_fit_writes_a_run(fitted):
    assert verify(fitted) == []
    run_, summary = ds.open_run(fitted), load_summary(fitted)
    assert summary["status"] == "ok" and summary["converged"]
    model = run_.model()
    for row in summary["parameters"]:
        assert abs(row["estimate"] - row["start"]) < 5 * row["sigma"]  # the start is the truth
        assert row["estimate"] == pytest.approx(float(ds.get_value(model, row["name"])), rel=1e-12)
        assert row["sigma"] == pytest.approx(row["cramer_rao"])
    trace = load_trace(fitted)
    assert len(trace["loss"]) == summary["num_steps_completed"] + 1
    assert trace["loss"][-1] <= trace["loss"][0]
    assert sorted(p.name for p in fitted.parent.iterdir()) == ["run"]  # no temporary files


def test_fit_shows_a_table_and_json_the_same(cli, image, fitted):
    table = cli("fit", image, *PROFILE, *settings(), *FREE, "-o", "a")
    listed = cli("fit", image, *PROFILE, *settings(), *FREE, "-o", "b", "--json", "--quiet")
    assert table.code == listed.code == 0 and listed.err == ""
    assert "converged" in table.err and table.out.count("binary.") == 6
    recorded = {row["label"]: row["estimate"] for row in load_summary(fitted)["parameters"]}
    assert estimates(listed) == pytest.approx(recorded) and set(recorded) == {f"binary.{name}" for name in BINARY}
    assert listed.json["converged"] is True and listed.json["run"] == "b"


def test_the_progress_of_a_fit_leaves_no_empty_lines(cli, image, fitted):
    result = cli("fit", image, *PROFILE, *settings(), *FREE, "-o", "a")
    assert all(line.strip() for line in result.err.splitlines())


def test_fit_replaces_a_run_on_request_only(cli, image, fitted):
    options = (image, *PROFILE, *settings(), *FREE, "--quiet", "-o", "run")
    assert cli("fit", *options).code == 0
    before = everything_in("run")
    refused = cli("fit", *options)
    assert refused.code == 2 and "run" in refused.err and "--overwrite" in refused.err
    assert everything_in("run") == before
    assert cli("fit", *options, "--overwrite").code == cli("fit", *options, "--overwrite").code == 0
    assert verify("run") == [] and ds.open_run("run").model() is not None


@pytest.mark.parametrize("name", ["a b/Läuf é", "a b/da-sh 'x'"])
def test_names_with_spaces_and_accents(cli, image, fitted, name):
    Path("a b").mkdir()
    assert cli("simulate", "shera_flight", *settings(), "-o", "a b/Bild é.fits", "--quiet").code == 0
    assert cli("fit", "a b/Bild é.fits", *PROFILE, *settings(), *FREE, "-o", name, "--json").json["run"] == name
    assert re.fullmatch(r"[A-Za-z0-9._][A-Za-z0-9._-]*", load_meta(name)["run_id"])
    assert ds.open_run(name).observation().image.shape == (16, 16)


def converted(counts):
    """The same photons as an image in adu, as a rate, and in both, with what the file says and what options say."""
    per_second = counts / (EXPOSURES * 0.05)
    return {
        "electron": (counts, {"BUNIT": "electron", "NEXP": EXPOSURES}, []),
        "no BUNIT": (counts, {}, ["--unit", "electron", "--exposures", EXPOSURES]),
        "adu": (counts / 2, {"BUNIT": "adu", "GAIN": 2.0, "NEXP": EXPOSURES}, []),
        "adu, no GAIN": (counts / 2, {"BUNIT": "ADU", "NEXP": EXPOSURES}, ["--gain", 2.0]),
        "rate": (per_second, {"BUNIT": "electron/s", "NEXP": EXPOSURES, "EXPTIME": 0.05}, []),
        "rate, no EXPTIME": (per_second, {"BUNIT": "electron/s", "NEXP": EXPOSURES}, ["--exposure-time", 0.05]),
        "adu/s": (per_second / 2, {"BUNIT": "adu/s", "NEXP": EXPOSURES, "EXPTIME": 0.05, "GAIN": 2.0}, []),
    }


@pytest.mark.parametrize("kind", converted(np.ones((1, 1))))
def test_units_are_converted_by_header_or_option(cli, counts, fitted, kind):
    image, header, options = converted(counts)[kind]
    write_fits("mine.fits", image, **header)
    result = cli("fit", "mine.fits", *PROFILE, *settings(), *FREE, "-o", "run", *options, "--json", "--quiet")
    assert result.code == 0
    expected = {row["label"]: row["estimate"] for row in load_summary(fitted)["parameters"]}
    assert estimates(result) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_pixels_that_are_not_finite_are_left_out(cli, counts, fitted):
    counts[:2] = np.nan
    counts[5, 5] = np.inf
    write_fits("holes.fits", counts, BUNIT="electron", NEXP=EXPOSURES)
    result = cli("fit", "holes.fits", *PROFILE, *settings(), *FREE, "-o", "run", "--json")
    assert result.json["degrees_of_freedom"] == 256 - 33 - 6
    assert int((~ds.open_run("run").observation().mask).sum()) == 33
    assert abs(estimates(result)["binary.separation_as"] - 0.8) < 1e-3


@pytest.mark.parametrize("option, name", [("SCI", "SCI"), ("sci", "SCI"), ("1", "SCI"), ("1", "")])
def test_an_extension_by_name_or_number(cli, counts, fitted, option, name):
    header = fits.Header({"BUNIT": "electron", "NEXP": EXPOSURES})
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(counts, header, name=name or None)]).writeto("e.fits")
    result = cli("fit", "e.fits", *PROFILE, *settings(), *FREE, "-o", "run", "--extension", option)
    assert result.code == 0, result.err


@pytest.mark.slow
def test_gradient_descent_of_one_parameter_on_an_image_of_another_size(cli, counts):
    write_fits("small.fits", counts[2:-2, 2:-2], BUNIT="electron", NEXP=EXPOSURES)
    options = (*PROFILE, *settings(optics__psf_npix=None), *ONE, "--engine", "gd", "--json", "--quiet")
    result = cli("fit", "small.fits", *options, "-o", "run")
    assert result.code == 0 and result.json["converged"] and len(result.json["parameters"]) == 1
    row = result.json["parameters"][0]
    assert abs(row["estimate"] - 0.8) < 5 * row["sigma"]
    assert load_meta("run")["optimizer"]["name"] == "SimpleGD"
    assert ds.open_run("run").model().model().shape == (12, 12)


@pytest.mark.slow
def test_the_step_limit_is_no_failure(cli, image):
    start = settings(binary__separation_as=0.7)
    options = ("--max-steps", 1, "--likelihood", "gaussian", "--json", "-o", "run")
    result = cli("fit", image, *PROFILE, *start, *ONE, *options)
    assert result.code == 0 and result.json["converged"] is False and result.json["steps"] == 1
    assert "step limit" in result.err and load_summary("run")["converged"] is False
    assert load_meta("run")["objective"]["likelihood"] == "gaussian"
    assert ds.open_run("run").objective().variance is not None  # that of the file


@pytest.mark.slow
def test_json_is_standard(cli, image):
    gain = ("--free", "detector.read_noise_e")  # the image does not respond to it
    result = cli("fit", image, *PROFILE, *settings(), *gain, "-o", "run", "--json")
    assert result.code == 0 and "detector.read_noise_e" in result.err
    assert result.json["parameters"][0]["sigma"] in (None, "Infinity")


@pytest.mark.slow
def test_a_reopened_run_has_the_mirror_that_was_fitted(cli):
    for recipe, seed in (("{rms_nm: 20, alpha: 2.5}", ("--seed", 5)), ("{rms_nm: 20, alpha: 2.5, seed: 7}", ())):
        mirror = [*settings(), "--set", f"optics.m1.wavefront_error={recipe}", "--quiet", *seed]
        assert cli("simulate", "shera_flight", *mirror, "-o", "o.fits", "--exposures", EXPOSURES).code == 0
        result = cli("fit", "o.fits", *PROFILE, *mirror, *FREE, "-o", "run", "--overwrite", "--json")
        opened = ds.open_run("run")
        residuals = opened.objective().residuals(opened.space().pack(opened.model()))
        assert float((residuals**2).sum()) == pytest.approx(result.json["chi_square"], rel=1e-6)


def test_a_profile_keeps_its_own_mirror(cli):
    recipe = {"optics.m1.wavefront_error": {"rms_nm": 20.0, "alpha": 2.5, "seed": 7}}
    assignment = "optics.m1.wavefront_error={rms_nm: 20.0, alpha: 2.5, seed: 7}"
    assert cli("simulate", "shera_flight", *settings(), "--set", assignment, "-o", "o.npz", "--noiseless").code == 0
    expected = ds.load_profile("shera_flight", TINY | recipe).model()
    np.testing.assert_allclose(ds.Observation.read("o.npz").image, expected, rtol=1e-9)


def test_a_run_opens_from_another_folder(cli, image, fitted, monkeypatch):
    np.save("response.npy", np.full((16, 16), 0.99))
    response = ("--set", "detector.pixel_response=response.npy")
    assert cli("fit", image, *PROFILE, *settings(), *response, *FREE, "-o", "run").code == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert float(ds.open_run("../run").model().detector.pixel_response[0, 0]) == 0.99


# ---- report, demo


def test_report_of_a_run(cli, fitted):
    result = cli("report", fitted, "--json")
    page = Path(result.json["report"])
    assert result.code == 0 and page == fitted / "report.html" and "binary.separation_as" in page.read_text()
    assert verify(fitted) == [] and [p.name for p in fitted.glob(".*")] == [".generations"]


@pytest.mark.slow
def test_demo_from_end_to_end(cli):
    scene = settings(optics__psf_npix=32, binary__separation_as=1.5, binary__log_flux_total=4.0)
    result = cli("demo", "-o", "out", *scene, "--json", "--quiet", "--seed", 2)
    assert result.code == 0 and {path.name for path in Path("out").iterdir()} == {"observation.fits", "run"}
    rows = result.json["parameters"]
    pulls = [(row["estimate"] - row["truth"]) / row["sigma"] for row in rows]
    assert result.json["converged"] and len(rows) == 23 and np.abs(pulls).max() < 4.5
    assert (Path("out") / "run" / "report.html").is_file()
    assert ds.Observation.read("out/observation.fits").exposures == 36_000


# ---- interrupted


def signals_on_step(monkeypatch, number, *, times=1):
    """Have the process signalled as soon as the fit has begun."""

    @contextlib.contextmanager
    def progress(self, max_steps):
        yield lambda state: [signal.raise_signal(number) for _ in range(times)]

    monkeypatch.setattr(Console, "progress", progress)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fit_is_kept(cli, image, fitted, monkeypatch, number):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    signals_on_step(monkeypatch, number)
    start = settings(binary__separation_as=0.75)
    result = cli("fit", image, *PROFILE, *start, *FREE, "-o", "run", "--json")
    assert result.code == 130 and result.json["result"] == "interrupted" and result.json["converged"] is False
    assert "Traceback" not in result.err
    assert verify("run") == [] and load_summary("run")["status"] == "interrupted"
    opened = ds.open_run("run")
    assert float(opened.model().binary.separation_as) == pytest.approx(result.json["parameters"][2]["estimate"])
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.slow
def test_report_on_an_interrupted_run(cli, image, fitted, monkeypatch):
    signals_on_step(monkeypatch, signal.SIGINT)
    assert cli("fit", image, *PROFILE, *settings(), *FREE, "-o", "run").code == 130
    assert cli("report", "run").code == 0 and "interrupted" in Path("run/report.html").read_text()


def test_a_second_signal_acts_at_once(cli, image, fitted, monkeypatch):
    signals_on_step(monkeypatch, signal.SIGINT, times=2)
    result = cli("fit", image, *PROFILE, *settings(), *FREE, "-o", "run")
    assert result.code == 130 and result.out == "" and "Traceback" not in result.err
    assert list(Path().iterdir()) == []


def in_a_shell(*argv, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, argv)], env=environment, **streams, **options)


WAITS_AT_EACH_STEP = """
import contextlib, sys
from dluxshera._console import Console
from dluxshera.cli import main

@contextlib.contextmanager
def progress(self, max_steps):
    def on_step(state):
        print("fitting", file=sys.stderr, flush=True)
        sys.stdin.readline()

    yield on_step

Console.progress = progress
sys.exit(main())
"""


@pytest.mark.slow
def test_a_real_signal_to_a_real_process(image, tmp_path):
    start = settings(binary__separation_as=0.75)
    options = ("fit", image, *PROFILE, *start, *ONE, "--json", "--quiet", "-o", tmp_path / "run")
    process = in_a_shell("-c", WAITS_AT_EACH_STEP, *options, stdin=subprocess.PIPE)
    assert process.stderr.readline() == "fitting\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate("go on\n", timeout=120)
    assert process.returncode == 130 and err.splitlines()[:1] == ["stopping after this step"] and "Trace" not in err
    assert json.loads(out)["result"] == load_summary(tmp_path / "run")["status"] == "interrupted"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_crash():
    process = in_a_shell("-m", "dluxshera", "describe", "shera_flight", *settings(), "--json")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 1 and "Traceback" not in err and "Exception" not in err


def test_quiet_is_silent(cli):
    coarse = settings(optics__psf_npix=128)  # more than the pupil's samples hold: a SamplingWarning
    loud, quiet = (cli("describe", "shera_flight", *coarse, *option, "--json") for option in ((), ("--quiet",)))
    assert "warning" in loud.err and loud.out == quiet.out
    assert quiet.err == ""


# ---- the start that an image gives


def binary_scene():
    """An instrument whose frame holds the whole of both stars."""
    grids = {"optics.pupil_npix": 64, "optics.psf_npix": 96, "optics.oversample": 1, "binary.n_wavelengths": 8}
    detector = {"detector.gain_e_per_adu": 0.0, "detector.full_well_e": 1e9}
    return ds.load_profile("shera_testbed", grids | detector)


SCENES = [  # separation (pixels), position angle, contrast, centre (pixels), masked rows
    (28.0, 90.0, 3.4, (0.0, 0.0), 0),
    (12.0, -150.0, 1.5, (3.3, -2.6), 0),
    (35.0, 17.0, 6.0, (-4.2, 5.7), 0),
    (20.5, 200.0, 2.2, (6.1, 1.4), 3),
    (9.0, -45.0, 4.0, (-1.5, -7.3), 0),
]


@pytest.mark.slow
@pytest.mark.parametrize("separation, angle, contrast, centre, masked", SCENES)
def test_the_stars_are_found_and_fitted(separation, angle, contrast, centre, masked):
    model = binary_scene()
    scale = float(model.plate_scale_as)
    values = (centre[0] * scale, centre[1] * scale, separation * scale, angle, 6.5, contrast)
    true = ds.set_values(model, {f"binary.{name}": value for name, value in zip(BINARY, values, strict=True)})
    observed = ds.simulate(true, jax.random.key(int(separation)), exposures=EXPOSURES)
    mask = np.array(observed.mask)
    mask[:masked] = False
    observed = ds.Observation(observed.image, observed.variance, mask, EXPOSURES)

    start = with_guess(model, observed)
    offsets = np.asarray(start.binary.positions_as) - np.asarray(true.binary.positions_as)
    assert np.hypot(*offsets.T).max() < 0.2 * scale
    found = guess(model, observed)
    assert abs(found.position_angle_deg - float(model.binary.position_angle_deg)) <= 180
    assert 0.5 < found.contrast / contrast < 2 and abs(found.log_flux_total - 6.5) < 0.1

    space = ds.ThetaSpace(start, ["binary.*"])
    solution = ds.fit(ds.Objective(start, space, observed), space.pack(start))
    assert solution.converged
    for name in BINARY:
        error = float(ds.get_value(solution.model, f"binary.{name}") - ds.get_value(true, f"binary.{name}"))
        turns = 360.0 if name == "position_angle_deg" else np.inf
        error = error - turns * np.round(error / turns) if np.isfinite(turns) else error
        assert abs(error) < 4 * float(solution.sigma(f"binary.{name}")), name


@pytest.mark.slow
def test_fit_from_a_guess(cli):
    """Stars far from where the profile has them."""
    place = {
        "binary__separation_as": 6.0,
        "binary__position_angle_deg": -100.0,
        "binary__x_position_as": 1.1,
        "binary__y_position_as": -1.7,
        "binary__contrast": 2.0,
    }
    size = {"optics__pupil_npix": 64, "optics__psf_npix": 96, "binary__n_wavelengths": 8}
    assert cli("simulate", "shera_testbed", *settings(**size, **place), "-o", "o.fits", "--exposures", 100).code == 0
    options = ["--profile", "shera_testbed", *settings(**size, binary__separation_as=None), *FREE, "--json", "--quiet"]
    result = cli("fit", "o.fits", *options, "--guess", "-o", "run")
    assert result.code == 0 and result.json["converged"] and abs(result.json["reduced_chi_square"] - 1) < 0.1
    found = {row["label"]: row for row in result.json["parameters"]}
    for path, value in place.items():
        row = found[path.replace("__", ".")]
        error = row["estimate"] - value
        error -= 360 * round(error / 360) if "angle" in path else 0
        assert abs(error) < 4 * row["sigma"]
