"""The detector on the sky: position angles against astropy's WCS, what headers say, and the row in a fit's table."""

import dataclasses

import astropy.units as u
import equinox as eqx
import jax
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from small_instrument import small_instrument
from tiny import TINY, load

import dluxshera as ds
from dluxshera._report import write_report
from dluxshera.config import build_instrument
from dluxshera.config.derived_table import derived_table
from dluxshera.inference.format_values import format_table
from dluxshera.instrument import detector_angle, north_east_angle
from dluxshera.instrument.sky import Sky, sky_of_header, sky_of_matrix

NAME = "north_east_position_angle_deg"
angles, parities = st.floats(-400, 400), st.sampled_from((1, -1))


def header(roll, parity, form="CD", scale=0.3, dec=40.0):
    """A tangential projection whose +row points at `roll`, from north through east."""
    turn = np.deg2rad(roll)
    row = np.array([np.sin(turn), np.cos(turn)])  # east, north
    column = parity * np.array([np.cos(turn), -np.sin(turn)])
    matrix = scale / 3600 * np.stack([column, row], axis=1)
    cards = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 120.0, "CRVAL2": dec})
    cards.update({"CRPIX1": 50.0, "CRPIX2": 60.0, "CUNIT1": "deg", "CUNIT2": "deg"})
    if form == "CD":
        return with_matrix(cards, "CD", matrix)
    if form == "PC":
        cards.update({"CDELT1": scale / 3600, "CDELT2": scale / 3600})
        return with_matrix(cards, "PC", matrix * 3600 / scale)
    cards.update({"CDELT1": parity * scale / 3600, "CDELT2": scale / 3600, "CROTA2": -roll})
    return cards


def with_matrix(cards, name, matrix):
    cards.update({f"{name}{i + 1}_{j + 1}": matrix[i, j] for i in (0, 1) for j in (0, 1)})
    return cards


def turned(model, roll, parity=1):
    """The model on a detector of known orientation."""
    where = lambda m: m.detector.sky_roll_deg  # noqa: E731
    model = eqx.tree_at(where, model, jax.numpy.asarray(float(roll)), is_leaf=lambda x: x is None)
    return model if parity == 1 else eqx.tree_at(lambda m: m.detector, model, with_parity(model.detector, parity))


def with_parity(detector, parity):
    return dataclasses.replace(detector, parity=parity)


@pytest.fixture(scope="module")
def model():
    return small_instrument()


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(0, 360), roll=angles, parity=parities, dec=st.floats(-70, 70))
def test_the_position_angle_is_what_astropy_finds_between_the_stars(angle, roll, parity, dec):
    """Both stars to the sky through the WCS; the angle of the great circle from A to B, north through east."""
    scale, half = 0.3, 2.0  # arcsec per pixel, half the separation in pixels
    step = half * np.array([np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))])
    middle = np.array([49.0, 59.0])
    wcs = WCS(header(roll, parity, scale=scale, dec=dec))
    a, b = (SkyCoord(*wcs.all_pix2world(*(middle + sign * step), 0), unit="deg") for sign in (1, -1))
    ours = float(north_east_angle(angle, roll, parity))
    assert a.separation(b).arcsec == pytest.approx(2 * half * scale, rel=1e-8)
    assert abs((ours - a.position_angle(b).deg + 180) % 360 - 180) < 1e-3  # the sphere, over 1.2 arcsec
    offset = b.transform_to(a.skyoffset_frame())
    towards = np.degrees(np.arctan2(offset.lon.wrap_at(180 * u.deg).deg, offset.lat.deg))
    assert abs((ours - towards + 180) % 360 - 180) < 1e-3


@settings(max_examples=30, deadline=None)
@given(angle=angles, roll=angles, parity=parities)
def test_to_the_sky_and_back(angle, roll, parity):
    there = north_east_angle(angle, roll, parity)
    assert 0 <= there < 360
    back = float(detector_angle(there, roll, parity))
    assert abs((back - angle + 180) % 360 - 180) < 1e-9


def test_the_convention_in_words():
    """Without roll: star A towards +row is north, so that B is south; A towards +column is east for parity one."""
    assert north_east_angle(0.0, 0.0) == 180
    assert north_east_angle(90.0, 0.0, 1) == 270  # A east, B west
    assert north_east_angle(90.0, 0.0, -1) == 90  # A west, B east
    assert north_east_angle(0.0, 30.0, -1) == 210


@pytest.mark.parametrize("form", ["CD", "PC", "CROTA2"])
@pytest.mark.parametrize(("roll", "parity"), [(0.0, -1), (30.0, -1), (30.0, 1), (200.0, -1), (359.0, 1)])
def test_a_wcs_gives_roll_and_parity(form, roll, parity):
    found = sky_of_header(header(roll, parity, form))
    assert found.sky_roll_deg == pytest.approx(roll, abs=1e-9) or found.sky_roll_deg == pytest.approx(roll + 360)
    assert found.parity == parity


def test_exchanged_axes_are_read_by_what_they_are():
    cards = header(25.0, -1)
    cards["CTYPE1"], cards["CTYPE2"] = "DEC--TAN", "RA---TAN"
    cards["CRVAL1"], cards["CRVAL2"] = 40.0, 120.0
    rows = [[cards[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)]
    with_matrix(cards, "CD", np.array(rows[::-1]))
    assert sky_of_header(cards) == pytest.approx(Sky(25.0, -1))


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, Sky()),
        ({"ROLL": 12.5}, Sky(12.5)),
        ({"PA_V3": 3, "PARITY": -1}, Sky(3.0, -1)),
        ({"ORIENTAT": -40.0}, Sky(-40.0)),
        ({"SKYROLL": 1.0, "ROLL": 2.0}, Sky(1.0)),
        ({"PARITY": 1}, Sky(None, 1)),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR", "CDELT1": 0.1, "CDELT2": 0.1}, Sky()),
        ({"CD1_1": 1.0, "CD2_2": 1.0}, Sky()),
    ],
)
def test_nothing_is_guessed(cards, expected):
    assert sky_of_header(fits.Header(cards)) == expected


def test_a_wcs_wins_over_the_words_of_others_and_ours_over_it():
    cards = header(30.0, -1)
    cards["PA_V3"] = 77.0
    assert sky_of_header(cards) == pytest.approx(Sky(30.0, -1))
    cards["SKYROLL"] = 5.0
    assert sky_of_header(cards) == Sky(5.0, None)
    cards["PARITY"] = 1
    assert sky_of_header(cards) == Sky(5.0, 1)


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"ROLL": "north"}, "degrees for ROLL, got 'north'"),
        ({"ROLL": True}, "degrees for ROLL"),
        ({"PARITY": 2}, "1 or -1 for PARITY, got 2"),
    ],
)
def test_words_in_place_of_numbers_are_refused(cards, message):
    with pytest.raises(ValueError, match=message):
        sky_of_header(fits.Header(cards))


def test_a_matrix_without_an_inverse_is_refused():
    with pytest.raises(ValueError, match="can be inverted"):
        sky_of_matrix(np.zeros((2, 2)))


# The model


def test_without_a_roll_nothing_is_known_and_nothing_changes(model):
    assert model.detector.sky_roll_deg is None and model.detector.parity == 1
    assert ds.get_value(model, NAME) is None
    assert NAME not in {row["path"] for row in ds.describe(model).rows}
    assert "detector.sky_roll_deg" not in {row["path"] for row in ds.describe(model).rows}
    np.testing.assert_array_equal(turned(model, 30.0, -1).model(), model.model())


def test_with_a_roll_the_angle_is_derived(model):
    known = turned(model, 30.0, -1)
    assert ds.get_value(known, NAME) == pytest.approx((30 - 60 + 180) % 360)
    assert NAME in {row["path"] for row in ds.describe(known).rows}
    assert ds.set_values(model, {"detector.sky_roll_deg": 30.0}).north_east_position_angle_deg == pytest.approx(270.0)
    with pytest.raises(ds.ParameterError, match=r"north_east_position_angle_deg.*derived"):
        ds.set_values(known, {NAME: 10.0})
    with pytest.raises(ValueError, match="parity 1 or -1, got 3"):
        with_parity(model.detector, 3)


def test_profiles_say_roll_and_parity():
    overrides = {"optics.psf_npix": 16, "optics.pupil_npix": 32, "binary.n_wavelengths": 1, "binary.separation_as": 0.5}
    known = {"detector.sky_roll_deg": 12.0, "detector.parity": -1}
    assert ds.load_profile("shera_flight_two_plane", overrides=overrides).detector.sky_roll_deg is None
    model = ds.load_profile("shera_flight_two_plane", overrides=overrides | known)
    assert (model.detector.sky_roll_deg, model.detector.parity) == (12.0, -1)
    assert model.north_east_position_angle_deg == pytest.approx(12 - 90 + 180)
    for value in (0, 2, True, "left"):
        with pytest.raises(ds.ConfigError, match=r"detector\.parity"):
            ds.load_profile("shera_flight_two_plane", overrides=overrides | {"detector.parity": value})


# The fit


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A fit of an image whose header has a WCS, with its profile and the image."""
    path = tmp_path_factory.mktemp("sky") / "image.fits"
    hdu = fits.PrimaryHDU(np.asarray(ds.simulate(load("shera_flight_two_plane", TINY), 3).image), header(40.0, -1))
    hdu.header["BUNIT"] = "electron"
    hdu.writeto(path)
    observed = ds.Observation.read(path)
    profile = ds.read_profile("shera_flight_two_plane", TINY | observed.overrides)
    start = build_instrument(profile)
    space = ds.ThetaSpace(start, ["binary.separation_as", "binary.position_angle_deg"])
    return ds.fit(ds.Objective(start, space, observed), space.pack(start)), profile, observed


@pytest.fixture(scope="module")
def solution(fitted):
    return fitted[0]


def test_a_fit_tells_the_angle_on_the_sky_with_its_error(solution):
    start = solution.objective.model
    (row,) = derived_table(solution, start, truth=start)
    assert row["estimate"] == pytest.approx(float(north_east_angle(solution.model.binary.position_angle_deg, 40, -1)))
    assert row["sigma"] == pytest.approx(float(solution.sigma("binary.position_angle_deg")), rel=1e-9)
    assert row["cramer_rao"] == pytest.approx(row["sigma"], rel=1e-9)
    assert row["truth"] == row["start"] == pytest.approx((40 - 60 + 180) % 360)
    assert any(NAME in cells for cells in format_table([row])) and row["unit"] == "deg"


def test_the_row_is_there_only_where_it_says_something(solution):
    start = solution.objective.model
    unknown = eqx.tree_at(lambda s: s.model.detector.sky_roll_deg, solution, None)
    assert derived_table(unknown, start) == []
    held = eqx.tree_at(lambda s: s.covariance, solution, 0 * solution.covariance)
    assert derived_table(held, start) == []


def test_a_truth_beyond_the_turn_is_near(solution):
    start = solution.objective.model
    moved = ds.set_values(start, {"detector.sky_roll_deg": 40.0 - 160.001})
    (row,) = derived_table(eqx.tree_at(lambda s: s.model, solution, moved), start, truth=moved)
    assert abs(row["truth"] - row["estimate"]) < 1


@pytest.mark.full
def test_the_run_and_its_report_tell_the_angle(fitted, tmp_path):
    """Summary, page, and the run opened again."""
    solution, profile, observed = fitted
    start, names = solution.objective.model, list(solution.objective.space.names)
    ds.save_fit(tmp_path / "run", solution, profile, observed, free=names, start=start)
    run = ds.open_run(tmp_path / "run")
    (row,) = run.summary["derived"]
    assert row["estimate"] == pytest.approx((40 - float(solution.model.binary.position_angle_deg) + 180) % 360)
    assert row["sigma"] == pytest.approx(float(solution.sigma("binary.position_angle_deg")))
    assert run.model().north_east_position_angle_deg == pytest.approx(row["estimate"])
    assert run.observation().overrides == observed.overrides
    assert NAME in write_report(tmp_path / "run").read_text()
