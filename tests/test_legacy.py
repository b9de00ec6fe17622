"""Old scripts over the new tree."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import load, relative, tiny

import dluxshera as ds
from dluxshera.legacy import (
    LegacyKeyMap,
    ParamsProxy,
    SheraThreePlane_Model,
    SheraThreePlaneParams,
    SheraTwoPlane_Model,
    SheraTwoPlaneParams,
    UnknownNameError,
)

SMALL = {"pupil_npix": 32, "psf_npix": 16, "separation": 0.8, "m1_zernike_amp": [3.0, -2, 1, 0, 0, 4, 0, 1]}
CLASSES = {
    "three": (SheraThreePlane_Model, SheraThreePlaneParams, "{}"),
    "two": (SheraTwoPlane_Model, SheraTwoPlaneParams, "{}_two_plane"),
}
OLD = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::dluxshera.SamplingWarning")
pytestmark = OLD


def build(kind, design="shera_testbed", **values):
    model, params, _ = CLASSES[kind]
    return model(params(SMALL | values, point_design=design))


@pytest.fixture(scope="module")
def three():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build("three")


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize(("design", "centre", "width"), [("shera_testbed", 550, 110), ("shera_flight", 550, 41)])
def test_the_image_is_that_of_the_new_model_with_the_same_settings(kind, design, centre, width):
    edges = [(centre - width / 2) * 1e-9, centre * 1e-9, (centre + width / 2) * 1e-9]
    new = load(
        CLASSES[kind][2].format(design),
        {
            "optics.pupil_npix": 32,
            "optics.psf_npix": 16,
            "optics.oversample": 1,
            "optics.m1.zernike_coeffs_nm": SMALL["m1_zernike_amp"],
            "binary.wavelengths_m": edges,
            "binary.separation_as": 0.8,
            "binary.contrast": 0.3,
            "binary.x_position_as": 0.1,
            "detector.pixel_pitch": 5e-6,
        },
    )
    if kind == "two":  # of the mirrors, with another pitch
        new = ds.set_values(new, {"optics.focal_length": load(design, {}).optics.focal_length})
    old = build(kind, design, x_position=0.1, pixel_size=5e-6)
    np.testing.assert_allclose(old.model(), new.model(), rtol=0, atol=1e-12 * float(new.model().max()))
    assert relative(old.model(), build(kind, design, pixel_size=5e-6).model()) > 1e-3


@pytest.mark.parametrize("kind", CLASSES)
def test_the_old_defaults(kind):
    for design, log_flux, bandwidth, scale in (
        ("shera_testbed", 6.78, 110, 0.355030),
        ("shera_flight", 7.13, 41, 0.123207),
    ):
        params = CLASSES[kind][1](point_design=design)
        expected = {"position_angle": 90, "contrast": 0.3, "log_flux": log_flux, "bandwidth": bandwidth}
        expected |= {"wavelength": 550, "n_wavelengths": 3, "separation": 10, "rng_seed": 0, "pupil_npix": 256}
        expected |= {"m1_calibrated_power_law": 2.5, "m1_uncalibrated_amplitude": 0.0, "p2_diameter": 0.025}
        assert {key: params.get(key) for key in expected} == expected
        assert params.get("m1_zernike_noll") == list(range(4, 12)) and params.get("m1_zernike_amp") == [0.0] * 8
        assert params.get("psf_pixel_scale") == pytest.approx(scale, rel=2e-6)
        assert params.compute_psf_pixel_scale() == params.get("psf_pixel_scale")
    assert CLASSES[kind][1]().point_design == "shera_testbed"
    assert {"m2_zernike_amp", "m2_calibrated_amplitude"} & set(params.keys) == (
        {"m2_zernike_amp", "m2_calibrated_amplitude"} if kind == "three" else set()
    )


def test_the_focal_length_is_that_of_the_new_tree(three):
    params = three.extract_params()
    assert params.compute_EFL() == pytest.approx(float(three.instrument.optics.focal_length), rel=1e-13)
    assert params.get("psf_pixel_scale") == pytest.approx(float(three.instrument.plate_scale_as), rel=1e-13)
    moved = params.set("plane_separation", 0.321)
    assert moved.get("psf_pixel_scale") != params.get("psf_pixel_scale")
    assert moved.compute_EFL() == pytest.approx(float(SheraThreePlane_Model(moved).instrument.optics.focal_length))


def test_sampling_is_the_old_one(three):
    np.testing.assert_allclose(three.instrument.binary.wavelengths_m, [495e-9, 550e-9, 605e-9], rtol=1e-14)
    weights = np.asarray(three.instrument.binary.spectral_weights)
    assert np.all(weights == weights[0]) and three.instrument.optics.oversample == 1
    one = build("three", n_wavelengths=1).instrument.binary.wavelengths_m
    np.testing.assert_allclose(one, [550e-9], rtol=1e-14)


@pytest.mark.parametrize("kind", CLASSES)
def test_models_say_that_they_are_old_and_that_the_image_has_turned(kind):
    model, params, profile = CLASSES[kind]
    with pytest.warns(DeprecationWarning, match=f"load_profile.*{profile.format('shera_testbed')}.*point-inverted"):
        model(params(SMALL))


@pytest.mark.slow
def test_a_script_is_told_at_its_own_lines_and_once(tmp_path):
    """With Python's own filters, which hide such warnings from inside libraries."""
    script = tmp_path / "script.py"
    script.write_text("""
from dluxshera.legacy import LegacyKeyMap, ParamsProxy, SheraTwoPlane_Model, SheraTwoPlaneParams
model = SheraTwoPlane_Model(SheraTwoPlaneParams({"pupil_npix": 32, "psf_npix": 16}))
print(model.get("separation"))
proxy = ParamsProxy(model)
print(proxy["contrast"], proxy["contrast"], LegacyKeyMap()["log_flux"])
""")
    environment = os.environ | {"PYTHONPATH": str(Path(ds.__file__).parents[1]), "JAX_ENABLE_X64": "1"}
    environment.pop("PYTHONWARNINGS", None)
    found = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert found.returncode == 0 and found.stdout == "10.0\n0.3 0.3 binary.log_flux_total\n", found.stderr
    told = [line for line in found.stderr.splitlines() if "DeprecationWarning" in line]
    assert [line.partition("script.py:")[2].partition(":")[0] for line in told] == ["3", "4", "6", "6"], found.stderr
    assert "point-inverted" in told[0] and "'separation'" in told[1] and "'contrast'" in told[2]


@pytest.mark.slow
def test_an_old_script_runs():
    params = SheraThreePlaneParams(point_design="shera_testbed").replace(SMALL)
    params = params.set("m2_zernike_amp", np.full(8, 0.5))
    model = SheraThreePlane_Model(params)
    psf = model.model()
    assert psf.shape == (16, 16) and np.isfinite(psf).all()
    model = model.set("separation", 0.9).set("m1_aperture.coefficients", jnp.ones(8))
    assert model.get("separation") == 0.9 and relative(model.model(), psf) > 1e-3
    gradient = eqx.filter_grad(lambda m: jnp.sum(m.model() ** 2))(model)
    assert gradient.instrument.binary.separation_as != 0
    extracted = model.extract_params()
    assert extracted.get("m1_zernike_amp") == [1.0] * 8 and extracted.get("m2_zernike_amp") == [0.5] * 8
    np.testing.assert_allclose(SheraThreePlane_Model(extracted).model(), model.model(), rtol=1e-10)


@pytest.mark.parametrize("kind", CLASSES)
def test_parameters_are_extracted_as_they_went_in(kind):
    given = {"contrast": 2.0, "rng_seed": 3, "m1_calibrated_amplitude": 2e-9, "p2_diameter": 0.02, "wavelength": 600.0}
    model = build(kind, **given)
    params, extracted = CLASSES[kind][1](SMALL | given), model.extract_params()
    assert set(extracted.keys) == set(params.keys)
    for key in params.keys:
        np.testing.assert_allclose(extracted.get(key), params.get(key), rtol=1e-12, err_msg=key)


def test_two_planes_take_a_pixel_scale_and_short_names():
    params = SheraTwoPlaneParams({"psf_pixel_scale": 0.355, "zernike_amp": np.arange(8.0)} | SMALL)
    params = params.set("zernike_amp", np.arange(8.0))
    assert params.get("m1_zernike_amp") == params.get("zernike_amp") == list(np.arange(8.0))
    model = SheraTwoPlane_Model(params)
    assert float(model.instrument.plate_scale_as) == pytest.approx(0.355, rel=1e-13)
    assert model.extract_params().get("psf_pixel_scale") == 0.355
    moved = eqx.tree_at(lambda m: m.instrument.optics.focal_length, model, jnp.asarray(4.0)).extract_params()
    assert moved.get("psf_pixel_scale") == pytest.approx(float(np.rad2deg(6.5e-6 / 4) * 3600), rel=1e-12)


@pytest.mark.parametrize("kind", CLASSES)
def test_maps_have_the_rms_asked_for_and_add_up(kind):
    """Amplitudes in metres, over the aperture."""

    def wavefront(**values):
        return np.asarray(build(kind, **values).instrument.optics.m1.wavefront_error_m)

    one = wavefront(m1_calibrated_amplitude=5e-9)
    other = wavefront(m1_uncalibrated_amplitude=3e-9, m1_uncalibrated_power_law=1.0)
    both = wavefront(m1_calibrated_amplitude=5e-9, m1_uncalibrated_amplitude=3e-9, m1_uncalibrated_power_law=1.0)
    np.testing.assert_allclose(both, one + other, atol=1e-20)
    weights = np.asarray(build(kind).instrument.optics.m1.transmission)
    rms = [np.sqrt((weights * m**2).sum() / weights.sum()) for m in (one, other)]
    np.testing.assert_allclose(rms, [5e-9, 3e-9], rtol=1e-9)
    assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.3
    assert not np.array_equal(one, wavefront(m1_calibrated_amplitude=5e-9, rng_seed=1))
    assert not wavefront().any()


def test_maps_of_the_second_mirror():
    assert build("three").instrument.optics.m2.wavefront_error_m is None
    model = build("three", m2_uncalibrated_amplitude=4e-9, m2_calibrated_amplitude=1e-9)
    assert model.instrument.optics.m2.wavefront_error_m.shape == (32, 32)
    assert relative(model.model(), build("three").model()) > 1e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"separatoin": 1.0}, "Did you mean 'separation'"),
        ({"separation": "far"}, "separation: Expected finite number, got 'far'"),
        ({"separation": np.nan}, "separation"),
        ({"separation": [1.0, 2.0]}, "separation: Expected finite number"),
        ({"pupil_npix": 32.5}, "pupil_npix: Expected whole number from 1"),
        ({"psf_npix": 0}, "psf_npix: Expected whole number from 1"),
        ({"m1_zernike_amp": [1.0]}, "m1_zernike_amp: Expected 8 numbers.*m1_zernike_noll"),
        ({"m1_calibrated_amplitude": 5.0}, "m1_calibrated_amplitude: Expected metres.*5e-9 for 5 nm"),
        ({"psf_pixel_scale": 0.3}, "is derived.*plane_separation"),
    ],
)
def test_what_cannot_be_is_refused_by_key(values, message):
    with pytest.raises(ds.ConfigError, match=message):
        SheraThreePlaneParams(values)
    with pytest.raises(ds.ConfigError, match=message):
        SheraThreePlaneParams().replace(values)


def test_unknown_designs_and_keys():
    with pytest.raises(ds.ConfigError, match="shera_testbed, shera_flight"):
        SheraThreePlaneParams(point_design="shera_moon")
    for wrong in (lambda p: p.get("plate"), lambda p: p.set("plate", 1.0)):
        with pytest.raises(KeyError, match="Expected a key of the parameters"):
            wrong(SheraThreePlaneParams())
    with pytest.raises(ds.ConfigError, match="m2_zernike_amp"):
        SheraTwoPlaneParams({"m2_zernike_amp": np.zeros(8)})


def test_nothing_changes_in_place():
    params = SheraThreePlaneParams()
    changed = params.replace({"separation": 9.9, "contrast": 3.37})
    assert (params.get("separation"), changed.get("separation"), changed.get("contrast")) == (10, 9.9, 3.37)
    assert changed.get("log_flux") == params.get("log_flux") and changed.point_design == params.point_design
    params.params["separation"] = 0.0
    assert params.get("separation") == 10 and len(params.values) == len(params.keys)


@pytest.mark.parametrize("kind", CLASSES)
def test_json(kind, tmp_path):
    params, path = CLASSES[kind][1](SMALL, point_design="shera_flight"), tmp_path / "params.json"
    params.to_json(path)
    again = CLASSES[kind][1].from_json(path)
    assert again.params == params.params and again.point_design == "shera_flight"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["params.json"]
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "point_design"}
    path.write_text(json.dumps(old))  # as the earlier toolkit wrote it
    assert CLASSES[kind][1].from_json(path).params == params.params


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"separation": NaN}', '{"separation": null}', '{"sep": 1}', "[" * 100_000, "\x80\x04K."]
)
def test_bad_files_are_one_clear_error(text, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ds.ConfigError, match=r"bad\.json: not a file of parameters"):
        SheraThreePlaneParams.from_json(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ds.ConfigError, match=r"absent\.json: not a file of parameters"):
        SheraThreePlaneParams.from_json(tmp_path / "absent.json")
    with pytest.raises(ds.ConfigError, match=r"no.here.*cannot be written"):
        SheraThreePlaneParams().to_json(tmp_path / "no" / "here.json")
    assert not list(tmp_path.iterdir())


# Names

EXPECTED = {
    "m1_aperture.coefficients": "optics.m1.zernike_coeffs_nm",
    "m1_zernike_amp": "optics.m1.zernike_coeffs_nm",
    "log_flux": "binary.log_flux_total",
    "separation": "binary.separation_as",
    "psf_pixel_scale": "plate_scale_as",
    "imaging.psf_pixel_scale": "plate_scale_as",
    "m1.focal_length": "optics.m1.focal_length",
    "system.plane_separation": "optics.plane_separation",
    "primary.zernike_coeffs_nm": "optics.m1.zernike_coeffs_nm",
    "secondary.zernike_coeffs_nm": "optics.m2.zernike_coeffs_nm",
    "optics.secondary.zernike_coeffs_nm": "optics.m2.zernike_coeffs_nm",
    "m2.zernike.j4": "optics.m2.zernike_coeffs_nm[Z4]",
    "relay.eff_focal": "optics.relay.focal_length",
    "source.contrast": "binary.contrast",
}


@pytest.mark.filterwarnings("error::DeprecationWarning")
@pytest.mark.parametrize("name", EXPECTED)
def test_each_name_is_translated_and_warns_once(name):
    names = LegacyKeyMap()
    with pytest.warns(DeprecationWarning) as caught:
        assert names[name] == EXPECTED[name]
    assert len(caught) == 1 and repr(EXPECTED[name]) in str(caught[0].message)
    assert names[name] == EXPECTED[name] and name in names


def test_every_name_leads_somewhere_in_the_new_trees():
    models = [tiny(name) for name in ("shera_flight_two_plane", "shera_flight", "shera_flight_four_plane")]
    for path in [*LegacyKeyMap().values(), *EXPECTED.values()]:
        assert any(_has(model, path) for model in models), path


def _has(model, path):
    try:
        ds.get_value(model, path)
    except ds.params.UnknownPathError:
        return False
    return True


@pytest.mark.parametrize("name", ["binary.separation_as", "optics.m1.focal_length", "seperation", "m1", ""])
def test_new_and_unknown_names_are_no_old_names(name):
    names = LegacyKeyMap()
    assert name not in names
    with pytest.raises(UnknownNameError, match="Expected an old parameter name"):
        names[name]
    assert len(names) == len(list(names))


def test_a_proxy_reads_and_writes_a_live_model(three):
    proxy = ParamsProxy(three)
    assert proxy["separation"] == 0.8 and proxy["binary.separation_as"] == 0.8
    assert (proxy["wavelength"], proxy["bandwidth"], proxy["n_wavelengths"]) == pytest.approx((550, 110, 3))
    before = float(proxy["psf_pixel_scale"])
    proxy["plane_separation"] = 0.3205
    assert float(proxy["psf_pixel_scale"]) == pytest.approx(float(proxy.model.plate_scale_as)) != before
    proxy.update({"m2.zernike.j4": 7.0, "contrast": 2})
    assert proxy.model.optics.m2.zernike_coeffs_nm[0] == 7 and proxy.model.binary.contrast == 2
    assert three.instrument.binary.contrast == 0.3
    assert proxy.model.model().shape == (16, 16)
    everything = dict(proxy)
    assert everything["pupil_npix"] == 32 and len(proxy) == len(everything) and "psf_pixel_scale" in everything


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("psf_pixel_scale", "optics.plane_separation.*alias 'plate_scale_as'"),
        ("raw_fluxes", "binary.log_flux_total, binary.contrast.*alias 'binary.raw_fluxes'"),
        ("optics.focal_length", "optics.plane_separation.*alias 'effective_focal_length'"),
        ("optics.magnification", "optics.m1.focal_length, optics.plane_separation"),
        ("wavelength", "binary.wavelengths_m"),
    ],
)
def test_writing_a_derived_value_is_refused_with_what_to_do(three, name, message):
    proxy = ParamsProxy(three)
    with pytest.raises(ds.ConfigError, match=message):
        proxy[name] = 0.3
    assert proxy.model is three.instrument


def test_a_proxy_refuses_like_a_dictionary(three):
    proxy = ParamsProxy(three.instrument)
    assert proxy.get("nothing") is None and proxy.get("relay.eff_focal", 1.0) == 1.0
    for use in (lambda: proxy["nothing"], lambda: proxy.update({"nothing": 1.0})):
        with pytest.raises(KeyError, match="nothing"):
            use()
    with pytest.raises(TypeError, match="deletion"):
        del proxy["separation"]
    with pytest.raises(ds.ParameterError, match="separation_as"):
        proxy["separation"] = -1.0
    with pytest.raises(ds.ParameterError, match="static"):
        proxy["pupil_npix"] = 64


@pytest.mark.slow
def test_old_models_go_through_transformations(three):
    other = eqx.tree_at(lambda m: m.instrument.binary.separation_as, three, jnp.asarray(0.9))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), three, other)
    images = eqx.filter_vmap(lambda m: m.model())(stacked)
    np.testing.assert_allclose(images[1], other.model(), rtol=1e-9)


@pytest.mark.parametrize("scale", [0.0, -0.3])
def test_a_pixel_scale_that_is_none_is_refused(scale):
    with pytest.raises(ds.ConfigError, match="psf_pixel_scale: Expected a positive number"):
        SheraTwoPlaneParams({"psf_pixel_scale": scale})


@OLD
@pytest.mark.parametrize("wrong", [SheraTwoPlaneParams(), {"psf_npix": 16}])
def test_parameters_of_another_kind_are_refused(wrong):
    with pytest.raises(TypeError, match="SheraThreePlaneParams"):
        SheraThreePlane_Model(wrong)


def test_a_model_that_is_asked_again_does_not_warn_again(three, monkeypatch):
    monkeypatch.setattr("dluxshera.legacy.models._NAMES", LegacyKeyMap())
    with pytest.warns(DeprecationWarning, match="'x_position' is deprecated") as caught:
        for model in (three, three.set("x_position", 0.1)):
            model.get("x_position")
    assert len(caught) == 1
