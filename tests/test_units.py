"""Values with units: converted once at the door, wrong dimensions refused, slips hinted."""

import subprocess
import sys

import numpy as np
import pytest
from astropy import units
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny

import dluxshera as ds
from dluxshera.config import ConfigError, read_profile
from dluxshera.config.settings import read_settings
from dluxshera.params import ParamSpec
from dluxshera.params.units import in_unit, is_text_with_unit, without_unit

PITCH, WIDTH, COEFFICIENTS = "detector.pixel_pitch", "binary.bandwidth", "optics.m1.zernike_coeffs_nm"

TEXTS = [
    ("550 nm", "m", 550e-9),
    ("4.6 um", "m", 4.6e-6),
    ("4.6um", "m", 4.6e-6),
    ("4.6 µm", "m", 4.6e-6),
    ("10 arcsec", "arcsec", 10.0),
    ("10 arcsec", "deg", 10 / 3600),
    ("0.5 deg", "arcsec", 1800.0),
    ("1e-3 rad", "arcsec", 1e-3 * 648000 / np.pi),
    ("-3.5 mas", "arcsec", -0.0035),
    (".5 1/m", "1/m", 0.5),
    ("2 /km", "1/m", 0.002),
    ("85 %", "", 0.85),
    ("0.07 electron/s", "electron/s", 0.07),
    ("50 ms", "s", 0.05),
    ("[1, -2.5] nm", "nm", [1.0, -2.5]),
    ("[540, 550,560] nm", "m", [540e-9, 550e-9, 560e-9]),
    (["1 nm", "2e-3 um"], "nm", [1.0, 2.0]),
    ([1 * units.nm, 2 * units.um], "nm", [1.0, 2000.0]),
]


@pytest.mark.parametrize(("text", "unit", "value"), TEXTS)
def test_texts_and_quantities_become_numbers_of_the_unit(text, unit, value):
    np.testing.assert_allclose(without_unit(text, unit), value, rtol=1e-15)


@given(st.floats(1e-6, 1e6), st.sampled_from(["nm", "um", "mm", "m"]))
@settings(max_examples=30, deadline=None)
def test_a_text_is_the_quantity_of_astropy(number, unit):
    expected = (number * units.Unit(unit)).to_value("m")
    assert without_unit(f"{number!r} {unit}", "m") == pytest.approx(expected, rel=1e-15)


def test_decimal_factors_are_exact():
    assert all(without_unit(f"{n} nm", "m") == float(f"{n}e-9") for n in range(1, 2000))


@pytest.mark.parametrize("value", ["mask.npy", "abc", "1e-4", " 12 ", "", "[1, 2]", 3, None, [1, 2], ["a.npy"], True])
def test_what_says_no_unit_is_left_alone(value):
    assert without_unit(value, "m") is value and not is_text_with_unit(value)


REFUSED = [
    ("550 s", "m", "converts to 'm', got '550 s'"),
    ("550 nmm", "m", "a unit that astropy knows, such as nm, um, mas or deg, got 'nmm'"),
    ("1 nm", "", "converts to a pure number"),
    ("1 rad", "", "converts to a pure number"),
    (1 * units.kg, "arcsec", "converts to 'arcsec', got one in kg"),
    (["1 nm", 2], "nm", "a unit with every number or with none"),
    (["1 nm", "2 s"], "nm", "got '2 s'"),
    ("[1, a] nm", "nm", "numbers in the brackets"),
]


@pytest.mark.parametrize(("value", "unit", "message"), REFUSED)
def test_refused(value, unit, message):
    with pytest.raises(ValueError) as caught:
        without_unit(value, unit)
    assert message in str(caught.value)


@given(st.text(alphabet="0123456789.eE+-nmu[],/%^* ()", max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_text_is_converted_or_left_or_refused(text):
    try:
        found = without_unit(text, "m")
    except ValueError:
        return
    assert found is text or np.all(np.isfinite(found))


# ---- slips

LENGTH = ParamSpec("m", "A length.", bounds=(1e-8, 1e-4))


@pytest.mark.parametrize(
    ("spec", "number", "hint"),
    [
        (LENGTH, 550, "550 looks like nm, the path is in m"),
        (ParamSpec("m", bounds=(1e-8, 1e-3)), 4.6, "4.6 looks like um, the path is in m"),
        (ParamSpec("nm", bounds=(100.0, 2000.0)), 550e-9, "5.5e-07 looks like m, the path is in nm"),
        (ParamSpec("", bounds=(0.0, 1.0)), 85, "85 looks like %, the path is a pure number"),
        (ParamSpec("electron", bounds=(0.0, 10.0)), 85, "got 85."),
    ],
)
def test_a_number_outside_the_bounds_looks_like_another_unit(spec, number, hint):
    from dluxshera.params.checks import value_problem

    problem = value_problem(np.asarray(number, float), spec)
    assert hint in problem and not problem.endswith("..")


def test_a_number_too_large_for_its_unit_is_a_slip_unless_it_says_the_unit():
    spec = ParamSpec("m", "A length without bounds.", slip_above=100.0)
    for value in (220, -220.0, np.float64(220), [1.0, 220.0]):
        with pytest.raises(ValueError, match="220 looks like .*mm, the path is in m"):
            in_unit(value, spec)
    assert in_unit("220 m", spec) == 220 and in_unit(220 * units.m, spec) == 220
    assert in_unit(99, spec) == 99 and in_unit("220 mm", spec) == 0.22


# ---- the doors


@pytest.fixture(scope="module")
def model():
    return tiny()


def test_set_values_takes_units(model):
    values = {
        PITCH: "5 um",
        "binary.separation_as": 800 * units.mas,
        "binary.wavelengths_m": "[540, 550, 560] nm",
        COEFFICIENTS: ["1 nm"] * 7 + ["2e-9 m"],
        "optics.m2.zernike_coeffs_nm[Z4]": "3e-3 um",
        "plate_scale_as": "0.13 arcsec/pixel",
        "optics.throughput": "90 %",
    }
    new = ds.set_values(model, values)
    assert float(new.detector.pixel_pitch) == 5e-6 and float(new.binary.separation_as) == pytest.approx(0.8)
    np.testing.assert_array_equal(new.binary.wavelengths_m, [540e-9, 550e-9, 560e-9])
    np.testing.assert_array_equal(new.optics.m1.zernike_coeffs_nm, [1] * 7 + [2])
    assert float(new.optics.m2.zernike_coeffs_nm[0]) == pytest.approx(3)
    assert float(new.plate_scale_as) == pytest.approx(0.13) and float(new.optics.throughput) == 0.9


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (PITCH, "5 s", "detector.pixel_pitch: Expected a quantity that converts to 'm', got '5 s'"),
        (PITCH, 4.6, "4.6 looks like um, the path is in m"),
        ("optics.diffractive_pupil_step_m", 275, "275 looks like nm, the path is in m"),
        ("optics.m1.diameter", 220.0, "looks like um or mm, the path is in m"),
        ("binary.wavelengths_m", [540.0, 550.0, 560.0], "540 looks like nm, the path is in m"),
        ("binary.separation_as", 10_000, "10000 looks like uas or mas, the path is in arcsec"),
        ("optics.throughput", 85, "85 looks like %, the path is a pure number"),
    ],
)
def test_set_values_refuses_other_dimensions_and_slips(model, path, value, message):
    with pytest.raises(ds.ParameterError) as caught:
        ds.set_values(model, {path: value})
    assert path in str(caught.value) and message in str(caught.value)


def test_a_value_far_beyond_the_usual_is_kept_when_it_is_restored(model, tmp_path):
    large = ds.set_values(model, {"optics.diffractive_pupil_step_m": "1 mm"})
    ds.save_values(large, tmp_path / "large.npz")
    assert float(ds.load_values(model, tmp_path / "large.npz").optics.diffractive_pupil_step_m) == 1e-3


def test_overrides_files_and_assignments_take_units(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: shera_flight\nbinary: {band_centre: 0.55 um, bandwidth: 41 nm}\n"
        "optics: {aperture: {strut_width: 2 mm}, m1: {wavefront_error: {rms_nm: 5e-3 um, alpha: 2.5}}}\n"
        "theta:\n  bounds: {binary.separation_as: [9 arcsec, 11000 mas], binary.*_position_as: [null, 1 arcsec]}\n"
        "  priors: {binary.separation_as: {normal: [value, 1 mas]}}\n"
    )
    profile = read_profile(path, {PITCH: 4.6 * units.um, "binary.separation_as": 9.8 * units.arcsec})
    assert profile.get("binary.band_centre") == 550e-9 and profile.get(WIDTH) == 41e-9
    assert profile.get("optics.aperture.strut_width") == 2e-3
    assert profile.get("optics.m1.wavefront_error.rms_nm") == pytest.approx(5.0)
    assert profile.get(PITCH) == pytest.approx(4.6e-6)
    assert profile.get("theta.bounds.binary.separation_as") == [9.0, 11.0]
    assert profile.get("theta.bounds.binary.*_position_as") == [None, 1.0]
    assert profile.get("theta.priors.binary.separation_as") == {"normal": ["value", 1e-3]}
    profile = read_settings("shera_flight", None, [f"{PITCH}=4.6 um", f"{COEFFICIENTS}=[1, 2, 3, 4, 5, 6, 7, 8] nm"])
    assert profile.get(PITCH) == 4.6e-6 and profile.get(COEFFICIENTS) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("binary.band_centre", 550, "550 looks like nm, the path is in m"),
        ("binary.band_centre", "550 s", "converts to 'm', got '550 s'"),
        (PITCH, "4.6 uum", "a unit that astropy knows"),
        (WIDTH, 41 * units.Hz, "converts to 'm', got one in Hz"),
        ("optics.m1.wavefront_error_m", 10 * np.ones((32, 32)), "10 looks like nm or um, the path is in m"),
        ("optics.aperture.strut_width", 200, "200 looks like nm or um or mm"),
        ("theta.bounds", {"binary.*": ["9 arcsec", 11]}, "or [lower, upper], got"),
        ("binary.n_wavelengths", "5 nm", "a whole number"),
    ],
)
def test_profiles_refuse_other_dimensions_and_slips(path, value, message):
    with pytest.raises(ConfigError) as caught:
        read_profile("shera_flight", {path: value})
    text = str(caught.value)
    assert message in text and text.startswith(f"overrides: {path}") and not text.endswith("..")


def test_a_map_in_nanometres_is_a_slip(tmp_path):
    np.save(tmp_path / "map.npy", np.full((32, 32), 10.0))
    with pytest.raises(ConfigError, match="optics.m1.wavefront_error_m: .*10 looks like nm or um"):
        tiny(optics__m1__wavefront_error_m=str(tmp_path / "map.npy"))


def test_astropy_is_imported_only_for_units():
    code = (
        "import sys\nfrom dluxshera.config import read_profile\nread_profile('toliman', {'binary.contrast': 2.0})\n"
        "assert 'astropy' not in sys.modules\n"
        "read_profile('shera_flight', {'detector.pixel_pitch': '4.6 um'})\nassert 'astropy.units' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
