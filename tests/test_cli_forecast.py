"""`dluxshera forecast`: tables, JSON, figure and refusals."""

import pytest
from command_line import run, settings

import dluxshera as ds


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *argv: run(capsys, *argv)


OPTIONS = ("shera_flight_two_plane", *settings(), "--free", "binary.*", "plate_scale_as")


def test_the_table_and_the_json_agree_with_the_library(cli, tmp_path):
    told = cli("forecast", *OPTIONS, "--sensitivities", "--json")
    assert told.code == 0, told.err
    overrides = {word.split("=")[0]: float(word.split("=")[1]) for word in settings()[1::2]}
    overrides = {k: int(v) if k.split(".")[-1] in ("pupil_npix", "psf_npix", "oversample", "n_wavelengths") else v
                 for k, v in overrides.items()}  # fmt: skip
    model = ds.load_profile("shera_flight_two_plane", overrides=overrides)
    found = ds.forecast(model, ds.ThetaSpace(model, ["binary.*", "plate_scale_as"]), 36000)
    separation = next(row for row in told.json["rows"] if row["label"] == "binary.separation_as")
    assert separation["+ plate_scale_as"] == pytest.approx(found.sigma("binary.separation_as"), rel=1e-9)
    durations = told.json["durations"]
    assert durations["30 min"] == pytest.approx(durations["1 exposure"] / 36000**0.5)
    assert durations["1 s"] == pytest.approx(durations["1 exposure"] / 20**0.5)
    assert told.json["sensitivities"]["detector.pixel_pitch"].keys() == {"following", "held"}
    table = cli("forecast", *OPTIONS, "--plot", "budget.png")
    assert table.code == 0 and f"{1e6 * found.sigma('binary.separation_as'):.4g}" in table.out
    assert (tmp_path / "budget.png").stat().st_size > 5000


def test_bad_usage_leaves_nothing(cli, tmp_path):
    wrong = cli("forecast", *OPTIONS, "--label", "binary.nothing")
    assert wrong.code == 2 and "--label: expected one of binary.x_position_as" in wrong.err
    wrong = cli("forecast", *OPTIONS, "--plot", "nowhere/budget.png")
    assert wrong.code == 2 and "does not exist" in wrong.err
    assert cli("forecast", "no_such_profile").code == 2
    assert not list(tmp_path.iterdir())
