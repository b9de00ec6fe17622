"""Numbers as text: digits to the sigma, angles in micro-arcseconds, the parameter table."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dluxshera.inference.format_values import (
    TABLE_COLUMNS,
    format_estimate,
    format_number,
    format_small_angle,
    format_table,
    pull,
)


@pytest.mark.parametrize(
    ("value", "sigma", "expected"),
    [
        (10.000000123, 1.03e-6, ("10.0000001", "0.0000010")),
        (10.0027855, 0.0011341, ("10.0028", "0.0011")),
        (12.258, 6.16, ("12.3", "6.2")),
        (14.8338, 424.34, ("10", "420")),
        (0.5, 0.0996, ("0.50", "0.10")),
        (-0.0001, 0.5, ("0.00", "0.50")),
        (-0.0, 1.0, ("0.0", "1.0")),
        (1234567.8, 25000.0, ("1235000", "25000")),
        (2.5e-17, 1.2e-19, ("2.500e-17", "1.2e-19")),
        (6.02214e23, 1.5e19, ("6.02214e+23", "1.5e+19")),
    ],
)
def test_an_estimate_shows_digits_down_to_two_of_its_sigma(value, sigma, expected):
    assert format_estimate(value, sigma) == expected


@pytest.mark.parametrize(("sigma", "text"), [(None, ""), (math.nan, ""), (math.inf, "∞"), (0.0, "0")])
def test_an_estimate_without_a_usable_sigma_keeps_ten_digits(sigma, text):
    assert format_estimate(10.00000012345, sigma) == ("10.00000012", text)


def test_values_that_are_not_finite_are_said_to_be_so():
    assert format_estimate(math.nan, 0.1) == ("nan", "0.1")
    assert format_number(-math.inf) == "-∞"


@given(st.floats(-1e12, 1e12, allow_nan=False), st.floats(1e-14, 1e10, allow_nan=False, allow_subnormal=False))
def test_reading_an_estimate_back_loses_less_than_a_tenth_of_its_sigma(value, sigma):
    text, error = format_estimate(value, sigma)
    assert abs(float(text) - value) <= 0.0501 * sigma + 1e-15 * abs(value)
    assert float(error) == pytest.approx(sigma, rel=0.051)


@pytest.mark.parametrize(
    ("sigma", "unit", "expected"),
    [
        (1.03e-6, "arcsec", "1.0 µas"),
        (2.883e-5, "arcsec/pixel", "29 µas/pixel"),
        (0.0011341, "arcsec", "1.1 mas"),
        (0.43, "arcsec", ""),
        (1e-6, "deg", ""),
        (math.inf, "arcsec", ""),
        (None, "arcsec", ""),
    ],
)
def test_small_angles_are_shown_in_readable_units(sigma, unit, expected):
    assert format_small_angle(sigma, unit) == expected


def row(**changes):
    base = {"label": "binary.separation_as", "unit": "arcsec", "estimate": 10.0027855, "sigma": 0.0011341}
    return base | {"cramer_rao": 0.0011, "start": 10.000000000000002, "truth": 10.0003} | changes


def test_the_table_has_one_line_for_each_row_under_its_header():
    header, line = format_table([row()])
    assert header == list(TABLE_COLUMNS)
    estimate = ["binary.separation_as", "arcsec", "10.0028", "0.0011", "1.1 mas"]
    assert line == [*estimate, "0.0011", "10", "10.0003", "+2.19"]


def test_columns_with_no_entry_are_left_out_of_the_table():
    header, line = format_table([row(truth=None, unit="deg")])
    assert header == ["parameter", "unit", "estimate", "sigma", "Cramér-Rao", "start"]
    assert len(line) == len(header)


def test_a_truth_keeps_its_digits_where_the_sigma_is_large():
    cells = dict(zip(*format_table([row(sigma=424.0, truth=2.5)]), strict=True))
    assert cells["truth"] == "2.5"


def test_the_pull_is_unknown_without_truth_or_sigma():
    assert pull(row()) == pytest.approx((10.0027855 - 10.0003) / 0.0011341)
    assert pull(row(truth=None)) is None
    assert pull(row(sigma=math.inf)) is None
