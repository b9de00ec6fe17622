"""Targets by name: what they say, the photons that an instrument collects from them, and what wins over them."""

import math
import warnings

import numpy as np
import pytest

import dluxshera as ds
from dluxshera.config.settings import read_settings
from dluxshera.config.targets import Target, read_profile_of, target
from dluxshera.instrument.photon_budget import photon_budget
from dluxshera.instrument.spectrum import blackbody_photons

SEPARATIONS = {"61 Cyg": 32.2, "70 Oph": 6.71, "36 Oph": 5.24, "xi Boo": 4.69, "p Eri": 11.44, "alpha Cen": 10.0}
TINY = {"optics.pupil_npix": 32, "optics.psf_npix": 24, "binary.n_wavelengths": 3}
PROFILES = ("shera_flight", "shera_testbed", "toliman", "shera_flight_two_plane")


def aimed(name, profile="shera_flight", **overrides):
    """The values of a profile that looks at a target."""
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return read_profile_of(profile, given, name)


def test_the_targets_are_those_of_the_mission():
    assert set(ds.target_names()) == set(SEPARATIONS)
    assert {name: target(name).separation_as for name in ds.target_names()} == SEPARATIONS
    assert (target("alpha Cen").photons_s_m2_um, target("alpha Cen").contrast) == (1.7227e11, 3.37)


@pytest.mark.parametrize("name", sorted(SEPARATIONS))
def test_what_a_target_says_is_sensible(name):
    found = target(name)
    assert 0 <= found.north_east_position_angle_deg < 360 and 2015 < found.epoch < 2035
    for kelvin, kind, magnitude in zip(found.temperatures_k, found.spectral_types, found.v_magnitudes, strict=True):
        low, high = {"G": (5300, 6000), "K": (3900, 5300)}[kind[0]]
        assert low <= kelvin <= high and 0 <= magnitude < 7


@pytest.mark.parametrize("spelling", ["61 Cyg", "61cyg", "61 CYG", " 61_cyg ", "61 Cygni"])
def test_case_and_spaces_do_not_count(spelling):
    assert target(spelling).name == "61 Cyg"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("61 Cyh", "unknown target '61 Cyh'; did you mean '61 Cyg'"),
        ("Sirius", "unknown target 'Sirius'; expected one of 36 Oph, 61 Cyg, 70 Oph, alpha Cen, p Eri, xi Boo"),
        ("", "unknown target ''"),
    ],
)
def test_unknown_targets_are_refused(name, message):
    with pytest.raises(ds.ConfigError, match=message):
        ds.load_profile("toliman", target=name)


@pytest.mark.parametrize("name", sorted(SEPARATIONS))
def test_the_model_shows_the_target(name):
    model = ds.load_profile("toliman", overrides=TINY | {"optics.psf_npix": 96}, target=name)
    found = target(name)
    assert model.binary.separation_as == SEPARATIONS[name]
    assert model.binary.position_angle_deg == (found.north_east_position_angle_deg + 180) % 360
    assert model.binary.spectral_weights.shape == (2, 3)
    expected = [blackbody_photons(model.binary.wavelengths_m, kelvin) for kelvin in found.temperatures_k]
    quadrature = np.array([5, 8, 5]) / 18
    for row, spectrum in zip(model.binary.spectral_weights, expected, strict=True):
        np.testing.assert_allclose(row / row.sum(), quadrature * spectrum / (quadrature * spectrum).sum(), rtol=1e-9)
    assert np.isfinite(model.model()).all()


@pytest.mark.parametrize(
    ("profile", "log_flux"), [("shera_flight", 7.113), ("shera_testbed", 6.726), ("toliman", 6.979)]
)
def test_alpha_cen_has_the_photons_of_the_instrument_teams(profile, log_flux):
    """Those of the clear area; TOLIMAN's contain glass, filter and quantum efficiency."""
    found = aimed("alpha Cen", profile)
    assert found.get("binary.log_flux_total") == pytest.approx(log_flux, abs=1e-3)
    assert found.get("binary.contrast") == pytest.approx(3.37)
    assert found.get("binary.separation_as") == 10.0


def test_photons_are_those_of_the_budget_of_magnitudes_and_colours():
    """61 Cyg by hand: zero magnitude at 545 nm, colours of the black bodies, area, band and time."""
    found, centre, width = target("61 Cyg"), 550e-9, 41e-9
    wavelengths = np.linspace(centre - width / 2, centre + width / 2, 2001)
    photons = [
        9.96e10
        * 10 ** (-0.4 * v)
        * np.mean(blackbody_photons(wavelengths, t))
        / blackbody_photons(np.array([545e-9]), t)[0]
        for v, t in zip(found.v_magnitudes, found.temperatures_k, strict=True)
    ]
    np.testing.assert_allclose(found.fluxes(centre, width), photons, rtol=1e-3)
    area = math.pi / 4 * (0.22**2 - 0.025**2) - 4 * 0.002 * (0.11 - 0.0125)
    budget = photon_budget(sum(photons), area, width, 0.05)
    profile = aimed("61 Cyg")
    assert profile.get("binary.log_flux_total") == pytest.approx(budget.log_flux_total, abs=2e-3)
    assert profile.get("binary.contrast") == pytest.approx(photons[0] / photons[1], rel=1e-3)


def test_alpha_cens_magnitudes_tell_nearly_the_teams_flux():
    """A check of the zero point: A and B by their magnitudes give what the teams have, to a third."""
    plain = target("alpha Cen")
    by_magnitude = Target(
        **{f: getattr(plain, f) for f in plain.__dataclass_fields__ if f not in ("photons_s_m2_um", "contrast")}
    )
    fluxes = by_magnitude.fluxes(585e-9, 110e-9)
    assert 0.7 < fluxes.sum() / 1.7227e11 < 1.1
    assert fluxes[0] / fluxes[1] == pytest.approx(3.37, rel=0.05)


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"detector__exposure_time_s": 0.2}, 4.0),
        ({"optics__m1__diameter": 0.44, "optics__aperture": {"secondary_diameter": 0.05, "strut_width": 4e-3}}, 4.0),
        ({"binary__flux_efficiency": 0.5}, 0.5),
    ],
)
def test_photons_follow_the_profiles_own_settings(change, factor):
    before, after = aimed("xi Boo"), aimed("xi Boo", **change)
    difference = after.get("binary.log_flux_total") - before.get("binary.log_flux_total")
    assert difference == pytest.approx(math.log10(factor), abs=4e-3)


def test_a_given_mask_collects_what_it_lets_through():
    half = np.ones((32, 32))
    half[:16] = 0.0
    whole = aimed("p Eri", optics__pupil_npix=32, optics__m1__transmission=np.ones((32, 32)))
    part = aimed("p Eri", optics__pupil_npix=32, optics__m1__transmission=half)
    difference = whole.get("binary.log_flux_total") - part.get("binary.log_flux_total")
    assert difference == pytest.approx(math.log10(2), abs=1e-9)


def test_overrides_win_and_the_layer_has_a_name():
    profile = aimed("70 Oph", binary__contrast=2.0, binary__position_angle_deg=11.0)
    assert profile.get("binary.contrast") == 2.0 and profile.get("binary.position_angle_deg") == 11.0
    assert profile.get("binary.separation_as") == 6.71
    assert profile.origin("binary.separation_as") == "target 70 Oph"
    assert profile.origin("binary.contrast") == "overrides"
    layers = [("first", {"binary.contrast": 3.0}), ("--set", {"binary.contrast": 4.0})]
    assert read_profile_of("toliman", layers, "70 Oph").get("binary.contrast") == 4.0
    assert read_profile_of("toliman", None, None).get("binary.separation_as") == 10.0


def test_the_command_lines_settings_take_a_target(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("profile: toliman\noverrides: {binary.contrast: 2.0}\n")
    extra = {"detector.sky_roll_deg": 20.0}
    profile = read_settings(None, config, ["binary.separation_as=9.0"], extra, target="70 oph")
    values = [profile.get(f"binary.{name}") for name in ("contrast", "separation_as", "position_angle_deg")]
    assert values == [2.0, 9.0, (117 - 20 - 180) % 360]


@pytest.mark.parametrize(("roll", "parity"), [(0.0, 1), (25.0, 1), (25.0, -1)])
def test_with_a_roll_the_sky_shows_the_catalogue_angle(roll, parity):
    overrides = TINY | {"detector.sky_roll_deg": roll, "detector.parity": parity, "optics.psf_npix": 96}
    model = ds.load_profile("toliman", overrides=overrides, target="36 Oph")
    assert model.north_east_position_angle_deg == pytest.approx(target("36 Oph").north_east_position_angle_deg)


def test_a_field_that_is_too_small_is_said():
    message = r"target 61 Cyg: a star lies 14.47 arcsec .* reaches 12. .*`optics.psf_npix` of 86 or more"
    with pytest.warns(ds.SamplingWarning, match=message):
        ds.load_profile("toliman", overrides=TINY | {"optics.psf_npix": 64}, target="61 Cyg")
    for npix, target_name in ((86, "61 Cyg"), (64, None)):
        overrides = TINY | {"optics.psf_npix": npix, "binary.n_wavelengths": "auto", "optics.pupil_npix": 128}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ds.load_profile("toliman", overrides=overrides, target=target_name)


def test_a_profile_without_a_band_is_told_what_is_missing(tmp_path):
    path = tmp_path / "bare.yaml"
    path.write_text("extends: toliman\nbinary: {bandwidth: 0.0}\n")
    with pytest.raises(ds.ConfigError, match=r"target 61 Cyg: bandwidth_m: Expected a positive number"):
        ds.load_profile(path, target="61 Cyg")
    path.write_text("system: two_plane\n")
    with pytest.raises(ds.ConfigError, match=r"optics\.m1\.diameter"):
        ds.load_profile(path, target="61 Cyg")
    path.write_text("extends: toliman\nbinary: {flux_efficiency: 2.0}\n")
    with pytest.raises(ds.ConfigError, match=r"bare.yaml.*flux_efficiency"):
        ds.load_profile(path, target="61 Cyg")


def test_given_wavelengths_are_a_band_of_their_range():
    wavelengths = np.linspace(540e-9, 560e-9, 5)
    given, band = aimed("xi Boo", binary__wavelengths_m=wavelengths), aimed("xi Boo", binary__bandwidth=20e-9)
    assert given.get("binary.log_flux_total") == pytest.approx(band.get("binary.log_flux_total"), abs=1e-12)


@pytest.mark.parametrize(("profile", "name"), list(zip(PROFILES, sorted(SEPARATIONS), strict=False)))
def test_profiles_take_targets(profile, name):
    assert 4 < aimed(name, profile).get("binary.log_flux_total") < 8
