"""Layers of a profile: defaults, profile files, run config file, command line; where each value comes from."""

import inspect

import numpy as np
import pytest
from tiny import TINY, tiny

import dluxshera as ds
from dluxshera.config import ConfigError, build_instrument, load_profile, read_profile, value_origins
from dluxshera.config.overrides import as_layers
from dluxshera.config.settings import read_settings
from dluxshera.params import describe

pytestmark = pytest.mark.filterwarnings("ignore::dluxshera.optics.SamplingWarning")


def write(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(call, *arguments):
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.fixture
def layered(tmp_path):
    """Settings of all layers: a packaged profile, one that extends it, a run config file, and the command line."""
    write(tmp_path, "extends: shera_flight\nbinary:\n  contrast: 2.0\n  separation_as: 0.7\n  x_position_as: 0.01\n")
    config = write(
        tmp_path,
        f"profile: {tmp_path / 'mine.yaml'}\n"
        "overrides:\n  binary.separation_as: 0.8\n  binary: {x_position_as: 0.02}\n"
        "  optics.m1.zernike_coeffs_nm[Z5]: 3\n"
        "theta:\n  free: [binary.contrast]\n",
        "run.yaml",
    )
    small = [f"{path}={value}" for path, value in TINY.items() if path.startswith("optics.")]
    return read_settings(None, config, [*small, "binary.separation_as=0.9", "plate_scale_as=0.13"])


def test_later_layers_win(layered):
    assert layered.get("binary.log_flux_total") == 7.13  # the packaged profile
    assert layered.get("binary.contrast") == 2.0  # the user's profile
    assert layered.get("binary.x_position_as") == 0.02  # the run config file
    assert layered.get("binary.separation_as") == 0.9  # the command line
    assert layered.get("theta.free") == ["binary.contrast"]


def test_every_value_says_where_it_comes_from(layered, tmp_path):
    model = build_instrument(layered)
    origins = value_origins(layered, model)
    assert origins["binary.log_flux_total"].startswith("shera_flight.yaml:")
    assert origins["binary.contrast"] == f"{tmp_path / 'mine.yaml'}:3"
    assert origins["binary.x_position_as"] == f"{tmp_path / 'run.yaml'}:4"
    assert origins["binary.separation_as"] == "--set binary.separation_as=0.9"
    assert origins["optics.plane_separation"] == "--set plate_scale_as=0.13, by plate_scale_as"
    assert origins["plate_scale_as"] == "--set plate_scale_as=0.13" and origins["optics.magnification"] == "derived"
    assert origins["optics.m1.zernike_coeffs_nm"].endswith(f"; [Z5] from {tmp_path / 'run.yaml'}:5")
    assert set(origins) >= {row["path"] for row in describe(model).rows}


def test_a_value_that_nobody_gives_is_the_default():
    profile = read_profile("shera_flight", TINY)
    del profile.values["optics"]["m1"]["zernike_coeffs_nm"], profile.origins["optics.m1.zernike_coeffs_nm"]
    model = build_instrument(profile)
    assert value_origins(profile, model)["optics.m1.zernike_coeffs_nm"] == "default"
    np.testing.assert_array_equal(model.optics.m1.zernike_coeffs_nm, np.zeros(8))


def test_describe_shows_origins_in_a_column_of_their_own(layered):
    model = build_instrument(layered)
    table = describe(model, value_origins(layered, model))
    head, _, *lines = str(table).splitlines()
    assert head.split() == ["path", "value", "unit", "origin", "bounds", "prior", "doc"]
    assert "--set binary.separation_as=0.9" in next(line for line in lines if line.startswith("binary.separation_as"))
    assert "<th>origin</th>" in table._repr_html_() and len(table.to_rich().columns) == 7
    assert "origin" not in str(describe(model)).splitlines()[0].split()
    assert all("origin" not in row for row in describe(model).rows)


def test_an_error_of_a_layer_names_its_file_and_line(tmp_path):
    config = write(tmp_path, "profile: shera_flight\noverrides:\n  optics.throughput: 2\n", "run.yaml")
    assert refused(read_settings, None, config, []).startswith(f"{config}:3: optics.throughput: expected a value in [0")
    config = write(tmp_path, "profile: shera_flight\noverrides:\n  binary:\n    contrast: 1 nm\n", "run.yaml")
    assert refused(read_settings, None, config, []).startswith(f"{config}:4: binary.contrast: expected a quantity")
    config = write(tmp_path, "profile: shera_flight\noverrides:\n  plate_scale_as: abc\n", "run.yaml")
    small = [f"{path}={value}" for path, value in TINY.items()]
    assert refused(lambda: build_instrument(read_settings(None, config, small))).startswith(f"{config}:3: plate_scale")
    message = refused(read_settings, "shera_flight", None, ["binary.contrast=-1"])
    assert message == "--set binary.contrast=-1: binary.contrast: expected a value in [0, inf), got -1."


def test_a_later_layer_wins_over_an_element_and_over_an_alias():
    below = ("file", {"optics.m1.zernike_coeffs_nm[Z4]": 3.0, "plate_scale_as": 0.13, **TINY})
    above = ("--set", {"optics.m1.zernike_coeffs_nm": [1.0] * 8, "optics.plane_separation": 0.5541})
    profile = read_profile("shera_flight", [below, above])
    model = build_instrument(profile)
    np.testing.assert_array_equal(model.optics.m1.zernike_coeffs_nm, np.ones(8))
    assert float(model.optics.plane_separation) == 0.5541
    assert value_origins(profile, model)["optics.plane_separation"] == "--set"
    model = build_instrument(read_profile("shera_flight", [above, below]))
    np.testing.assert_array_equal(model.optics.m1.zernike_coeffs_nm, [3.0] + [1.0] * 7)
    assert float(model.plate_scale_as) == pytest.approx(0.13)


def test_an_alias_and_its_primitive_in_one_layer_are_refused():
    both = TINY | {"plate_scale_as": 0.12, "optics.plane_separation": 0.55}
    message = refused(load_profile, "shera_flight", both)
    assert "'plate_scale_as' solves for 'optics.plane_separation'; give one of them, not both" in message


def test_aliases_of_parts_can_be_given():
    model = tiny("shera_flight_four_plane", **{"optics__relay__focal_length": 4.0})
    assert float(model.optics.relay.power) == 0.25
    fluxes = tiny(**{"binary__raw_fluxes": [3e5, 1e5]}).binary
    assert float(fluxes.contrast) == pytest.approx(3.0)


# ---- files that extend others


def test_chains_of_files(tmp_path):
    write(tmp_path, "extends: shera_testbed\nbinary: {contrast: 2.0, separation_as: 0.5}\n", "a.yaml")
    write(tmp_path, "extends: a.yaml\nbinary: {contrast: 3.0}\n", "b.yaml")
    profile = read_profile(write(tmp_path, "extends: b.yaml\nname: top\n", "c.yaml"))
    assert (profile.get("binary.contrast"), profile.get("binary.separation_as")) == (3.0, 0.5)
    assert profile.get("optics.m1.diameter") == 0.09 and profile.name == "top"


def test_circles_and_unknown_parents_are_refused(tmp_path):
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    message = refused(read_profile, write(tmp_path, "extends: a.yaml\n", "b.yaml"))
    assert message.startswith(f"{tmp_path / 'a.yaml'}:1: extends: ")
    assert "got a circle: b.yaml -> a.yaml -> b.yaml" in message
    message = refused(read_profile, write(tmp_path, "extends: shera_fligth\n"))
    assert "mine.yaml:1: unknown profile 'shera_fligth'; did you mean 'shera_flight'?" in message
    assert "expected text, got [1]" in refused(read_profile, write(tmp_path, "extends: [1]\n"))
    assert "missing.yaml: expected a file, found none" in refused(
        read_profile, write(tmp_path, "extends: missing.yaml\n")
    )
    for i in range(12):
        write(tmp_path, f"extends: {'shera_flight' if i == 0 else f'p{i - 1}.yaml'}\n", f"p{i}.yaml")
    assert "at most 10 files" in refused(read_profile, tmp_path / "p11.yaml")


def test_a_file_may_have_the_name_of_the_profile_it_extends(tmp_path):
    path = write(tmp_path, "extends: shera_flight\nbinary: {contrast: 2.0}\n", "shera_flight.yaml")
    assert read_profile(path).get("binary.contrast") == 2.0


def test_numbers_and_words_are_those_of_yaml_1_2(tmp_path):
    path = write(tmp_path, "extends: shera_flight\noptics: {diffractive_pupil_step_m: 1e-7}\n")
    assert read_profile(path).get("optics.diffractive_pupil_step_m") == 1e-7
    path = write(tmp_path, "extends: shera_flight\nname: no\n")
    assert read_profile(path).name == "no"
    assert "expected a number, got 'no'" in refused(
        read_profile, write(tmp_path, "extends: shera_flight\nbinary: {contrast: no}\n")
    )


# ---- what is missing, and what the classes refuse


def test_all_that_is_missing_is_said_at_once_with_who_needs_it(tmp_path):
    path = write(tmp_path, "name: mine\nsystem: four_plane\noptics: {m1: {diameter: 0.2}}\n")
    lines = refused(load_profile, path).splitlines()
    assert lines[0] == "mine: missing values:"
    for line in (
        "binary.separation_as (needed by BinarySource)",
        "binary.bandwidth (needed by the spectrum)",
        "optics.diffractive_pupil (needed by the pupil)",
        "optics.m1.focal_length (needed by PrimaryMirror)",
        "optics.m2.diameter (needed by SecondaryMirror)",
        "optics.relay.power (needed by Relay)",
        "optics.plane_separation (needed by FourPlaneTelescope)",
        "detector.bit_depth (needed by Detector)",
    ):
        assert f"  {line}" in lines
    assert not any("optics.m1.diameter" in line or "pad_npix" in line or "sky_roll" in line for line in lines)


def test_what_a_class_refuses_names_the_profile_and_the_line(tmp_path):
    text = "extends: shera_flight_four_plane\noptics:\n  relay:\n    separation: 0.31387\n    power: 1.0\n"
    path = write(tmp_path, text)
    overrides = {key: value for key, value in TINY.items()}
    m1, m2, distance = 0.604353, -0.0545, 0.55413
    focus = (1 - distance / m1) / (1 / m1 + 1 / m2 - distance / (m1 * m2))
    message = refused(load_profile, path, overrides | {"optics.relay.separation": focus})
    assert message.startswith("mine: Expected the relay away from the focus")
    assert "optics.relay.separation is from overrides" in message
    assert "optics.plane_separation is from shera_flight.yaml:" in message
    assert isinstance(ds.ConfigError("x"), ValueError)


@pytest.mark.parametrize("wrong", [["binary.contrast"], "binary.contrast=2", 3, [("mine", 5)], ["ab"]])
def test_overrides_that_are_no_values_by_path_are_refused(wrong):
    """Without the run-time check of annotations that tests turn on."""
    with pytest.raises(ConfigError, match="overrides: expected values by dotted path"):
        inspect.unwrap(as_layers)(wrong)
