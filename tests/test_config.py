"""Profiles: reading, merging, checking, and what is built from them."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.config import (
    ConfigError,
    build_instrument,
    default_space,
    load_profile,
    profile_names,
    read_profile,
)
from dluxshera.optics import SamplingWarning, pupil_transmission
from dluxshera.optics.diffractive_pupil import _reduced
from dluxshera.params import ParameterError, parameter_paths

TINY = {"optics.pupil_npix": 32, "optics.psf_npix": 16}
REFERENCE = Path(__file__).parents[1].parent / "shared" / "data" / "psf_reference"
THREE_PLANE = {"shera_flight": (7.70101, 12.0334, 0.123207), "shera_testbed": (3.77637, 9.42993, 0.355030)}


def tiny(name="shera_flight", overrides=None, **arguments):
    return load_profile(name, TINY | (overrides or {}), **arguments)


def write(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(overrides, name="shera_flight"):
    with pytest.raises(ConfigError) as caught:
        tiny(name, overrides)
    return str(caught.value)


# ---- packaged profiles


def test_packaged_names():
    assert {"shera_flight", "shera_testbed", "toliman"} <= set(profile_names())
    assert {"shera_flight_two_plane", "shera_testbed_two_plane"} <= set(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_packaged_profiles_build_and_have_a_theta_space(name):
    model = tiny(name)
    image = model.model()
    assert image.shape == (16, 16) and np.all(np.isfinite(image)) and np.all(np.asarray(image) > 0)
    profile = read_profile(name)
    space = default_space(model, profile)
    two_plane = profile.system == "two_plane"
    assert space.dim == (15 if two_plane else 23)
    assert "plate_scale_as" in space.labels and space.log_prior(space.pack(model)) == 0
    with_priors = default_space(model, profile, priors=True)
    assert sum(prior is not None for prior in with_priors.priors) == (7 if two_plane else 8)


@pytest.mark.parametrize(("name", "count"), [("shera_flight", 7), ("shera_testbed", 15)])
def test_full_size_matches_the_table_without_a_warning(name, count):
    focal_length, magnification, plate_scale = THREE_PLANE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_profile(name)
    assert float(model.optics.focal_length) == pytest.approx(focal_length, rel=2e-6)
    assert float(model.optics.magnification) == pytest.approx(magnification, rel=1e-5)
    assert float(model.plate_scale_as) == pytest.approx(plate_scale, rel=5e-6)
    assert model.binary.wavelengths_m.shape == (count,)
    assert (model.optics.pupil_npix, model.optics.psf_npix, model.optics.oversample) == (256, 256, 3)


def test_toliman_numbers():
    model = load_profile("toliman")
    assert float(model.plate_scale_as) == pytest.approx(0.375, rel=1e-12)
    assert model.optics.psf_npix == 128
    assert model.binary.wavelengths_m.mean() == pytest.approx(585e-9)
    assert float(model.optics.diffractive_pupil_step_m) == pytest.approx(585e-9 / 2)


@pytest.mark.parametrize("name", THREE_PLANE)
def test_two_plane_forms_have_the_focal_length_of_the_mirrors(name):
    three, two = tiny(name), tiny(f"{name}_two_plane")
    assert float(two.optics.focal_length) == pytest.approx(float(three.optics.focal_length), rel=1e-13)
    assert not any(path.startswith("optics.m2") for path in parameter_paths(two))


def test_wavelength_nodes_and_weights_are_gauss_legendre():
    binary = tiny(overrides={"binary.n_wavelengths": 5}).binary
    nodes, weights = np.polynomial.legendre.leggauss(5)
    np.testing.assert_allclose(binary.wavelengths_m, 550e-9 + 20.5e-9 * nodes, rtol=1e-14)
    np.testing.assert_allclose(binary.spectral_weights, weights / 2, rtol=1e-14)


def test_wavelength_count_follows_the_field():
    models = [tiny("shera_testbed", {"optics.psf_npix": npix, "optics.pupil_npix": 64}) for npix in (16, 64)]
    counts = [len(model.binary.wavelengths_m) for model in models]
    assert counts[0] < counts[1] < 15


def test_building_again_reduces_no_map_and_draws_no_mask():
    load_profile("shera_flight")
    before = [cached.cache_info().misses for cached in (pupil_transmission, _reduced)]
    load_profile("shera_flight", {"binary.separation_as": 9.0})
    assert [cached.cache_info().misses for cached in (pupil_transmission, _reduced)] == before


@pytest.mark.parametrize("name", THREE_PLANE)
def test_pupil_against_the_reference(name):
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference images at {REFERENCE}")
    with np.load(REFERENCE / f"{name.removeprefix('shera_')}_default_pup256_psf128.npz") as data:
        mask, step = data["m1_transmission"], data["diffractive_pupil_opd_m"]
        geometry = json.loads(str(data["meta"]))["geometry"]
    model = load_profile(name)
    optics, lit = model.optics, mask > 0
    assert float(optics.m1.transmission.mean()) == pytest.approx(mask.mean(), rel=3e-3)
    assert np.mean(np.abs(optics.m1.transmission - mask)) < 3e-3
    fraction = np.asarray(optics.diffractive_pupil_fraction)
    assert np.mean((fraction > 0.5)[lit] == (step > 0)[lit]) > 0.98
    assert float(optics.diffractive_pupil_step_m) == pytest.approx(step.max(), rel=1e-6)
    assert float(model.detector.pixel_pitch) == geometry["pixel_size"]
    assert float(optics.plane_separation) == geometry["plane_separation"]


# ---- overrides


def test_overrides_act_before_the_build():
    model = tiny(
        overrides={
            "binary.separation_as": 9.8,
            "optics.m1.noll_indices": (4, 6),
            "optics.oversample": 1,
            "binary": {"contrast": 2.0},
            "binary.x_position_as": -0.0,
        }
    )
    assert float(model.binary.separation_as) == 9.8 and float(model.binary.contrast) == 2.0
    assert model.optics.m1.noll_indices == (4, 6)
    np.testing.assert_array_equal(model.optics.m1.zernike_coeffs_nm, [0, 0])
    assert model.optics.oversample == 1


def test_new_noll_indices_set_inherited_coefficients_aside(tmp_path):
    text = "extends: shera_flight\noptics: {m1: {noll_indices: [4, 5], zernike_coeffs_nm: [1, 2]}}\n"
    path = write(tmp_path, text)
    np.testing.assert_array_equal(tiny(path).optics.m1.zernike_coeffs_nm, [1, 2])
    np.testing.assert_array_equal(tiny(path, {"optics.m1.noll_indices": [4, 5]}).optics.m1.zernike_coeffs_nm, [1, 2])
    np.testing.assert_array_equal(
        tiny(path, {"optics.m1.noll_indices": [4, 5, 6]}).optics.m1.zernike_coeffs_nm, [0, 0, 0]
    )


def test_arrays_are_used_as_they_are():
    rng = np.random.default_rng(0)
    arrays = {
        "optics.m1.transmission": rng.uniform(size=(32, 32)),
        "optics.m1.wavefront_error_m": 1e-9 * rng.normal(size=(32, 32)),
        "optics.m2.wavefront_error_m": 1e-9 * rng.normal(size=(10, 10)),
        "optics.diffractive_pupil_fraction": rng.uniform(size=(32, 32)),
        "binary.wavelengths_m": np.linspace(500e-9, 600e-9, 6),
        "binary.spectral_weights": rng.uniform(size=(2, 6)),
        "detector.pixel_response": rng.uniform(size=(16, 16)),
        "detector.pixel_offsets": 0.01 * rng.normal(size=(16, 16, 2)),
    }
    model = tiny(overrides=arrays)
    for path, array in arrays.items():
        node = model
        for name in path.split("."):
            node = getattr(node, name)
        np.testing.assert_array_equal(node, array)


def test_given_wavelengths_and_a_later_band():
    wavelengths = {"binary.wavelengths_m": [5e-7, 6e-7]}
    np.testing.assert_array_equal(tiny(overrides=wavelengths).binary.spectral_weights, [0.5, 0.5])


def test_arrays_from_files(tmp_path):
    np.save(tmp_path / "mask.npy", np.full((32, 32), 0.5))
    path = write(tmp_path, "extends: shera_flight\noptics: {m1: {transmission: mask.npy}}\n")
    assert float(tiny(path).optics.m1.transmission.mean()) == 0.5
    np.save(tmp_path / "map.npy", np.eye(64))
    path = write(tmp_path, "extends: shera_flight\noptics: {diffractive_pupil: map.npy}\n")
    assert float(tiny(path).optics.diffractive_pupil_fraction.sum()) == pytest.approx(16)


def test_filter_and_temperatures(tmp_path):
    write(tmp_path, "wavelength_nm,transmission\n400,0\n550,0\n551,1\n700,1\n", "filter.csv")
    text = "extends: shera_flight\nbinary: {filter: filter.csv, temperatures_k: [9000, 3000]}\n"
    path = write(tmp_path, text)
    binary = tiny(path).binary
    assert binary.spectral_weights.shape == (2, len(binary.wavelengths_m))
    below = np.asarray(binary.wavelengths_m) < 550e-9
    assert np.all(np.asarray(binary.spectral_weights)[:, below] == 0)
    hot, cool = np.asarray(binary.spectral_weights) @ np.asarray(binary.wavelengths_m)
    assert hot < cool


def test_plate_scale_moves_the_geometry_that_the_grids_are_planned_for():
    model = tiny(overrides={"plate_scale_as": 0.13, "binary.separation_as": 1.0})
    assert float(model.plate_scale_as) == pytest.approx(0.13, rel=1e-12)
    assert model.sampling_problems() == []


def test_elements_are_set_after_the_build():
    model = tiny(overrides={"optics.m1.zernike_coeffs_nm[Z5]": 3.0})
    np.testing.assert_array_equal(model.optics.m1.zernike_coeffs_nm, [0, 3, 0, 0, 0, 0, 0, 0])


def test_quantities_are_converted():
    units = pytest.importorskip("astropy.units")
    model = tiny(overrides={"binary.separation_as": 0.15 * units.arcmin, "binary.bandwidth": 41 * units.nm})
    assert float(model.binary.separation_as) == pytest.approx(9.0)
    assert "converts to 'arcsec'" in refused({"binary.separation_as": 1 * units.m})


def test_aperture_choices():
    open_pupil = tiny(overrides={"optics.aperture": "none"}).optics.m1.transmission
    by_diameter = tiny(overrides={"optics.aperture": {"secondary_diameter": 0.11, "strut_count": 0}})
    by_ratio = tiny(overrides={"optics.aperture": {"secondary_ratio": 0.5, "strut_count": 0}})
    assert float(tiny(overrides={"optics.aperture.secondary_ratio": 0.9}).optics.m1.transmission.mean()) < 0.2
    np.testing.assert_array_equal(by_diameter.optics.m1.transmission, by_ratio.optics.m1.transmission)
    assert float(by_ratio.optics.m1.transmission.sum() / open_pupil.sum()) == pytest.approx(0.75, abs=0.02)


def test_random_maps():
    error = {"optics.m1.wavefront_error": {"rms_nm": 10, "alpha": 2.5}}
    error |= {"optics.m2.wavefront_error": {"rms_nm": 5, "alpha": 2.5}}
    one, same, other = (tiny("shera_testbed", error, seed=seed).optics for seed in (1, 1, 2))
    m1, mask = np.asarray(one.m1.wavefront_error_m), np.asarray(one.m1.transmission)
    assert np.sqrt((mask * m1**2).sum() / mask.sum()) == pytest.approx(10e-9)
    u = (np.arange(32) - 15.5) / 32
    beam = np.hypot(u[:, None], u) <= 0.5 * 0.09 / 0.025 / float(one.magnification)
    m2 = np.asarray(one.m2.wavefront_error_m)
    assert np.sqrt((m2[beam] ** 2).mean()) == pytest.approx(5e-9)
    assert abs(np.corrcoef(m1.ravel(), m2.ravel())[0, 1]) < 0.5
    np.testing.assert_array_equal(m1, same.m1.wavefront_error_m)
    assert not np.array_equal(m1, other.m1.wavefront_error_m)
    plain = tiny().optics
    assert np.all(np.asarray(plain.m1.wavefront_error_m) == 0) and plain.m2.wavefront_error_m is None


def test_the_seed_of_a_profile_holds_unless_one_is_given():
    error = {"optics.m1.wavefront_error": {"rms_nm": 10, "alpha": 2.5, "seed": 7}}
    maps = [tiny(overrides=error, seed=seed).optics.m1.wavefront_error_m for seed in (None, None, 7)]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_a_coarse_model_warns():
    with pytest.warns(SamplingWarning, match="Gauss-Legendre"):
        tiny("shera_testbed", {"binary.n_wavelengths": 2})
    profile = read_profile("shera_testbed", TINY | {"binary.n_wavelengths": 2})
    with pytest.warns(SamplingWarning, match="Gauss-Legendre"):
        build_instrument(profile)


REFUSED = {
    "binary.seperation_as": (1, "unknown path 'binary.seperation_as'; did you mean 'binary.separation_as'?"),
    "separation_as": (1, "did you mean 'binary.separation_as'?"),
    "optics.focal_length": (3.0, "is derived"),
    "system": ("two_plane", "is fixed"),
    "binary": (3, "binary: expected a mapping"),
    "binary.contrast": (True, "expected a number, got True"),
    "binary.x_position_as": (float("nan"), "expected a number, got nan"),
    "binary.separation_as": (np.ones(2), "expected a number, got an array of shape (2,)"),
    "binary.n_wavelengths": (0, "expected 'auto' or a whole number from 1"),
    "binary.wavelengths_m": ([5e-7, -5e-7], "expected wavelengths above 0"),
    "binary.spectral_weights": (np.ones((2, 9)), "expected shape (2, 4), got (2, 9)"),
    "binary.bandwidth": (2e-6, "binary.bandwidth"),
    "binary.filter": ("none.csv", "none.csv"),
    "optics.throughput": (2, "optics.throughput: expected a value in [0, 1], got 2."),
    "optics.pupil_npix": (2.5, "expected a whole number"),
    "optics.psf_npix": (10**9, "expected a whole number from 1 to"),
    "optics.pad_npix": (16, "expected optics.pupil_npix 32 or more, got 16"),
    "optics.focal_samples": (2, "expected 1 or 3, got 2"),
    "optics.m1.noll_indices": ([4, 4], "distinct whole numbers"),
    "optics.m1.zernike_coeffs_nm": ([1, 2], "expected 8 numbers, one for each of noll_indices (4, 5, 6, 7"),
    "optics.m1.zernike_coeffs_nm[Z99]": (1.0, "Z99"),
    "optics.m1.transmission": (np.ones((8, 8)), "expected shape (32, 32), got (8, 8)"),
    "optics.m2.wavefront_error_m": (np.zeros((8, 9)), "expected shape (q, q), got (8, 9)"),
    "optics.m1.wavefront_error": ({"rms_nm": 3}, "optics.m1.wavefront_error.alpha (needed by"),
    "optics.diffractive_pupil": ("none.npy", "none.npy"),
    "optics.aperture.secondary_ratio": (1.5, "secondary_ratio"),
    "optics.plane_separation": (0.604353, "a focus, and none on a mirror"),
    "plate_scale_as": ("abc", "plate_scale_as: Expected a real number"),
    "theta.free": (["binary.sep"], "'binary.sep' matches no parameter"),
    "theta.bounds": ({"binary.separation_as": [2, 1]}, "a lower bound below the upper one"),
    "theta.priors": ({"binary.separation_as": {"normal": [1]}}, "2 numbers for 'normal', got [1]"),
    "engine.name": ([1], "engine.name"),
}


@pytest.mark.parametrize("path", REFUSED)
def test_refused_overrides(path):
    value, message = REFUSED[path]
    assert message in refused({path: value})


def test_contradictions_are_refused():
    both = {"optics.aperture.secondary_ratio": 0.1, "optics.aperture.secondary_diameter": 0.02}
    assert "got both" in refused(both)
    assert "not both" in refused({"plate_scale_as": 0.12, "optics.plane_separation": 0.55})
    assert "given twice" in refused({"binary.contrast": 2.0, "binary": {"contrast": 3.0}})
    absent = refused({"optics.m2.diameter": 1.0}, "shera_flight_two_plane")
    assert "unknown path 'optics.m2.diameter'" in absent


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="abinry.opts_m1[]Z4", max_size=20), st.sampled_from([1.0, "x", None, [1], {"a": 1}]))
def test_any_override_reads_or_is_refused(path, value):
    try:
        read_profile("shera_flight", {path: value})
    except ConfigError as error:
        assert str(error).startswith("overrides")


# ---- user files


def test_a_file_extends_a_packaged_profile(tmp_path):
    path = write(tmp_path, "extends: shera_testbed\nbinary:\n  separation_as: 6.71\n")
    model, profile = tiny(path), read_profile(path)
    assert float(model.binary.separation_as) == 6.71 and float(model.optics.m1.diameter) == 0.09
    assert profile.name == "mine"
    assert profile.origin("binary.separation_as") == f"{path}:3"
    assert profile.origin("optics.m1.diameter").startswith("shera_testbed.yaml:")
    assert profile.origin("binary.contrast").startswith("shera_flight.yaml:")
    again = write(tmp_path, "extends: mine.yaml\nname: again\nbinary: {contrast: 1e-1}\n", "again.yaml")
    assert read_profile(again).get("binary.separation_as") == 6.71
    assert read_profile(again).get("binary.contrast") == 0.1 and read_profile(again).name == "again"


def test_a_file_can_change_the_system(tmp_path):
    path = write(tmp_path, "extends: shera_flight\nsystem: two_plane\noptics: {focal_length: 7.0}\n")
    model = tiny(path)
    assert float(model.optics.focal_length) == 7.0
    assert default_space(model, read_profile(path)).dim == 15


FILES = {
    "binary:\n  seperation_as: 1\n": "yaml:3: unknown key 'seperation_as'; did you mean 'separation_as'?",
    "separation_as: 1\n": "yaml:2: unknown key 'separation_as'; did you mean 'binary.separation_as'?",
    "optics:\n  throughput: abc\n": "mine.yaml:3: optics.throughput: expected a number, got 'abc'.",
    "optics:\n  throughput: '1.0'\n": "expected a number, got '1.0'",
    "optics:\n  throughput: 1.5\n": "mine.yaml:3: optics.throughput: expected a value in [0, 1], got 1.5",
    "optics:\n  throughput:\n": "expected a number, got None",
    "optics: 3\n": "mine.yaml:2: optics: expected a mapping",
    "binary:\n  contrast: 1\n  contrast: 2\n": "mine.yaml:4: duplicate key 'contrast', first given on line 3",
    "plate_scale_as: 0.1\n": "mine.yaml:2: unknown key 'plate_scale_as': an alias is not in a profile.",
    "binary:\n  raw_fluxes: [1, 1]\n": "mine.yaml:3: unknown key 'raw_fluxes': an alias is not in a profile.",
    "system: five_plane\n": "mine.yaml:2: system: expected one of ",
    "theta: {bounds: {binary.seperation_as: [1, 2]}}\n": "did you mean 'binary.separation_as'?",
    "optics: {m1: {transmission: none.npy}}\n": "none.npy",
}


@pytest.mark.parametrize("text", FILES)
def test_refused_files(tmp_path, text):
    path = write(tmp_path, "extends: shera_flight\n" + text)
    with pytest.raises(ConfigError) as caught:
        tiny(path)
    assert FILES[text] in str(caught.value)


def test_all_problems_of_a_file_are_reported_together(tmp_path):
    path = write(tmp_path, "extends: shera_flight\nbinari: 1\noptics:\n  throughput: x\n")
    with pytest.raises(ConfigError) as caught:
        read_profile(path)
    assert "mine.yaml:2" in str(caught.value) and "mine.yaml:4" in str(caught.value)


def test_missing_values_are_reported_together_with_who_needs_them(tmp_path):
    path = write(tmp_path, "system: three_plane\nbinary: {separation_as: 10}\n")
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    message = str(caught.value)
    for line in (
        "binary.contrast (needed by BinarySource)",
        "binary.band_centre (needed by the spectrum)",
        "optics.m2.diameter (needed by SecondaryMirror)",
        "optics.psf_npix (needed by ThreePlaneTelescope)",
        "detector.pixel_pitch (needed by Detector)",
    ):
        assert line in message
    assert "separation_as" not in message and "optics.pad_npix" not in message


def test_unknown_profiles(tmp_path):
    with pytest.raises(ConfigError, match="unknown profile 'shera_fligth'; did you mean 'shera_flight'?"):
        load_profile("shera_fligth")
    with pytest.raises(ConfigError, match="expected a file, found none"):
        load_profile(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="mine.yaml:1: unknown profile 'shera_fligth'"):
        load_profile(write(tmp_path, "extends: shera_fligth\n"))
    with pytest.raises(ConfigError, match="missing value: system"):
        load_profile(write(tmp_path, "name: bare\n"))
    with pytest.raises(ConfigError, match="mine.yaml:1: .*got a circle: mine.yaml -> mine.yaml"):
        load_profile(write(tmp_path, "extends: mine.yaml\n"))


# ---- the θ-space


def test_bounds_and_priors_of_a_profile(tmp_path):
    text = (
        "extends: shera_flight\ntheta:\n"
        "  free: [binary.separation_as, binary.contrast]\n"
        "  bounds: {binary.separation_as: [9, 11]}\n"
        "  priors:\n    binary.separation_as: {uniform: [9, 11]}\n    binary.contrast: none\n"
    )
    profile = read_profile(write(tmp_path, text), {"binary.contrast": 3.0})
    model = tiny()
    space = default_space(model, profile, priors=True)
    assert space.labels == ("binary.separation_as", "binary.contrast")
    np.testing.assert_array_equal(space.lower[0], 9)
    assert type(space.priors[0]).__name__ == "Uniform" and space.priors[1] is None
    assert default_space(model, profile).priors == (None, None)
    assert default_space(model, profile, free=["binary.x_position_as"]).dim == 1
    with pytest.raises(ParameterError):
        default_space(model, profile, free=["binary.nothing"])
    with pytest.raises(ConfigError, match="theta.free"):
        default_space(model, profile, free=[])


def test_a_prior_at_value_is_centred_on_the_overridden_value():
    profile = read_profile("shera_flight", {"binary.separation_as": 9.8})
    space = default_space(tiny(), profile, free=["binary.separation_as"], priors=True)
    assert float(space.priors[0].mean) == 9.8


def test_reading_does_not_change_what_is_packaged():
    profile = read_profile("shera_flight")
    profile.values["binary"]["contrast"] = -1
    profile.values["optics"]["m1"]["noll_indices"].append(99)
    assert read_profile("shera_flight").get("binary.contrast") == 3.37
    assert read_profile("shera_flight").get("optics.m1.noll_indices") == [4, 5, 6, 7, 8, 9, 10, 11]


def test_same_structure_from_other_values():
    one, other = tiny(), tiny(overrides={"binary.separation_as": 9.9, "optics.m1.zernike_coeffs_nm": [1] * 8})
    assert jax.tree.structure(one) == jax.tree.structure(other)


SCRIPT = """
import sys, warnings
from dluxshera.config import build_instrument, load_profile, read_profile
print(*sys.modules)
warnings.simplefilter("always")
few = {"binary.n_wavelengths": 2, "optics.pupil_npix": 32, "optics.psf_npix": 16}
load_profile("shera_testbed", few)
build_instrument(read_profile("shera_testbed", few))
"""


def test_the_import_is_light_and_warnings_point_at_the_caller():
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert not {"astropy", "matplotlib", "rich"} & set(found.stdout.split())
    lines = [line for line in found.stderr.splitlines() if "SamplingWarning" in line]
    assert {line.split(" ")[0] for line in lines} == {"<string>:7:", "<string>:8:"}
