"""The JSON schema of profiles: the packaged ones pass, mistakes do not, and it agrees with the reader."""

import copy
from pathlib import Path

import pytest

import dluxshera as ds
from dluxshera.config import ConfigError, profile_json_schema, profile_names, read_profile
from dluxshera.config.strict_yaml import parse_yaml, read_yaml

jsonschema = pytest.importorskip("jsonschema")
PROFILES = Path(ds.__file__).parent / "config" / "profiles"


@pytest.fixture(scope="module")
def validator():
    schema = profile_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def values_of(name):
    return copy.deepcopy(read_yaml(PROFILES / f"{name}.yaml").values)


@pytest.mark.parametrize("name", profile_names())
def test_packaged_profiles_pass(validator, name):
    assert [error.message for error in validator.iter_errors(values_of(name))] == []


@pytest.mark.parametrize("name", profile_names())
def test_merged_profiles_pass_without_what_they_extend(validator, name):
    values = {key: value for key, value in read_profile(name).values.items() if key != "extends"}
    assert [error.message for error in validator.iter_errors(values)] == []


ACCEPTED = [
    "binary: {separation_as: 9.8 arcsec, band_centre: 0.55 um}",
    "optics: {m1: {zernike_coeffs_nm: '[1, 2] nm', wavefront_error: {rms_nm: 5, alpha: 2}}}",
    "optics: {m1: {zernike_coeffs_nm: [1 nm, 2 nm], wavefront_error: none}, pad_npix: auto}",
    "optics: {aperture: none, diffractive_pupil: mine.npy, m1: {transmission: mask.npy}}",
    "system: four_plane\noptics: {relay: {power: 0.5 1/m}}",
    "optics: {focal_length: 7.0}",
    "theta: {free: [binary.*], bounds: {'binary.*': [0, null]}, priors: {binary.contrast: none}}",
    "theta: {bounds: {binary.separation_as: [9 arcsec, 11]}, priors: {binary.contrast: {uniform: [1, 4]}}}",
    "engine: {name: gd, max_steps: 10}",
]
REFUSED = [
    "binari: {}",
    "binary: {seperation_as: 9.8}",
    "binary: 3",
    "binary: {contrast: true}",
    "binary: {contrast: '2'}",
    "binary: {contrast: -1}",
    "binary: {n_wavelengths: 0}",
    "binary: {n_wavelengths: many}",
    "optics: {throughput: 1.5}",
    "optics: {psf_npix: 2.5}",
    "optics: {m1: {noll_indices: [4, 4]}}",
    "optics: {m1: {noll_indices: [0]}}",
    "optics: {m1: {transmission: mask.txt}}",
    "optics: {aperture: {secondary: 1}}",
    "optics: {m3: {}}",
    "detector: {pixel_pitch: 4.6}",
    "detector: {parity: 2}",
    "system: five_plane",
    "system: two_plane\noptics: {m2: {diameter: 0.1}}",
    "extends: 3",
    "theta: {bounds: {binary.separation_as: [1, 2, 3]}}",
    "theta: {priors: {binary.separation_as: {cauchy: [1, 2]}}}",
    "engine: {name: [lm]}",
]


def reads(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    try:
        read_profile(path)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_the_reader_takes_the_schema_takes(validator, tmp_path, text):
    parent = "shera_flight_two_plane" if "focal_length" in text else "shera_flight"
    text = f"extends: {parent}\n{text}\n"
    assert reads(tmp_path, text)
    assert [error.message for error in validator.iter_errors(parse_yaml(text, "x").values)] == []


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_schema_refuses_the_reader_refuses(validator, tmp_path, text):
    text = text if text.startswith("extends") else f"extends: shera_flight\n{text}\n"
    assert not validator.is_valid(parse_yaml(text, "x").values)
    assert not reads(tmp_path, text)


def test_a_profile_by_itself_needs_all_its_parts(validator):
    values = values_of("shera_flight")
    assert not validator.is_valid({"name": "bare"})
    for section, key in (("binary", "contrast"), ("optics", "plane_separation"), ("detector", "bit_depth")):
        without = copy.deepcopy(values)
        del without[section][key]
        (error,) = validator.iter_errors(without)
        assert key in error.message
        assert validator.is_valid({"extends": "shera_flight", section: without[section]})
    either = copy.deepcopy(values)
    del either["binary"]["band_centre"], either["binary"]["bandwidth"]
    assert not validator.is_valid(either)
    either["binary"]["wavelengths_m"] = [540e-9, 560e-9]
    assert validator.is_valid(either)


def leaves(schema, path=()):
    """Every property below a schema, with its path."""
    for key, inner in schema.get("properties", {}).items():
        if inner.get("additionalProperties") is False:
            yield from leaves(inner, (*path, key))
        else:
            yield ".".join((*path, key)), inner


def test_every_key_is_described_with_its_unit():
    schema = profile_json_schema()
    assert schema["additionalProperties"] is False and schema["$schema"].endswith("2020-12/schema")
    found = dict(leaves(schema))
    assert len(found) > 60
    assert found["detector.pixel_pitch"]["maximum"] == 1e-3 and "In m" in found["detector.pixel_pitch"]["description"]
    bare = [path for path, leaf in found.items() if "description" not in leaf and "anyOf" not in leaf]
    assert bare == []
