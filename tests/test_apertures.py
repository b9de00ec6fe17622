"""Pupil masks against closed forms and dLux's soft shapes."""

import dLux.utils as dlu
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.optics import ApertureShape, pupil_transmission
from dluxshera.optics.apertures import pixel_centres, soft_circle

FLIGHT = ApertureShape(0.025 / 0.22, 4, 0.002 / 0.22, -45.0)


@pytest.mark.parametrize("npix", [1, 2, 5, 256])
def test_pixel_centres_span_the_diameter_and_are_symmetric(npix):
    centres = pixel_centres(npix)
    assert centres[0] - 0.5 / npix == pytest.approx(-0.5) and centres[-1] + 0.5 / npix == pytest.approx(0.5)
    np.testing.assert_allclose(centres, -centres[::-1], atol=1e-15)


@settings(max_examples=15, deadline=None)
@given(ratio=st.floats(0, 0.9), npix=st.integers(48, 96))
def test_the_area_of_an_annulus_is_that_of_the_circles(ratio, npix):
    clear = pupil_transmission(ApertureShape(ratio), npix).mean()
    assert clear == pytest.approx(np.pi / 4 * (1 - ratio**2), abs=0.6 / npix**1.5)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_struts_take_their_length_times_width(count):
    shape, npix = ApertureShape(0.2, count, 0.02, 17.0), 256
    blocked = pupil_transmission(ApertureShape(0.2), npix).mean() - pupil_transmission(shape, npix).mean()
    assert blocked == pytest.approx(count * 0.02 * (0.5 - 0.1), rel=0.02)


@pytest.mark.parametrize(("rotation", "blocked"), [(0, (0, 0.5)), (90, (0.5, 0.0)), (180, (1, 0.5)), (270, (0.5, 1.0))])
def test_the_first_strut_points_where_dlux_says(rotation, blocked):
    """From -row towards -column, as (row, column) in fractions of the grid."""
    mask = pupil_transmission(ApertureShape(0.0, 1, 0.1, float(rotation)), 41)
    row, column = (int(10 + 20 * value) for value in blocked)
    assert mask[row, column] == 0 and mask[40 - row, 40 - column] == 1


@pytest.mark.parametrize("angles", [(0, 90, 180, 270), (0, 120, 240), (30, 150, 270)])
def test_the_pupil_agrees_with_dlux_away_from_the_edges(angles):
    npix = 128
    centres = jnp.asarray(pixel_centres(npix))
    grid = jnp.stack(jnp.meshgrid(centres, centres))
    pixel = 1 / npix
    soft = dlu.soft_circle(grid, 0.5, pixel / 2) * dlu.soft_circle(grid, 0.1, pixel / 2, invert=True)
    soft = soft * dlu.soft_spider(grid, 0.04, np.array(angles, float), pixel / 2, invert=True)
    ours = pupil_transmission(ApertureShape(0.2, len(angles), 0.04, float(angles[0])), npix)
    assert np.abs(ours - soft).mean() < 4e-3
    sure = np.isin(ours, (0, 1)) & np.isin(soft, (0, 1))
    assert sure.mean() > 0.9
    assert np.mean(ours[sure] != np.asarray(soft)[sure]) < 1e-3


def test_masks_are_fractions_shared_and_cannot_be_changed():
    mask = pupil_transmission(FLIGHT, 64)
    assert mask.shape == (64, 64) and mask.min() == 0 and mask.max() == 1
    assert pupil_transmission(FLIGHT, 64) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 1


@pytest.mark.parametrize(
    "bad",
    [
        {"secondary_ratio": 1.0},
        {"secondary_ratio": -0.1},
        {"secondary_ratio": np.nan},
        {"strut_count": -1},
        {"strut_width_ratio": 1.0},
        {"strut_width_ratio": np.nan},
    ],
)
def test_impossible_shapes_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        ApertureShape(**bad)


def stop(radius, edge=0.05, npix=200, centre=(0.0, 0.0)):
    x = jnp.linspace(-1, 1, npix)
    return soft_circle(x - centre[0], x - centre[1], jnp.asarray(radius), jnp.asarray(edge)), 4 / npix**2


def test_soft_circle_is_one_inside_half_on_the_edge_and_zero_outside():
    values = soft_circle(jnp.array([0.0, 0.4, 0.5, 0.6]), jnp.zeros(1), jnp.asarray(0.5), jnp.asarray(0.1))
    np.testing.assert_allclose(values[0], [1, 1, 0.5, 0], atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(radius=st.floats(0.2, 0.8), x=st.floats(-0.1, 0.1), y=st.floats(-0.1, 0.1))
def test_soft_circle_has_the_area_of_the_circle_wherever_it_lies(radius, x, y):
    mask, cell = stop(radius, centre=(x, y))
    assert float(mask.sum() * cell) == pytest.approx(np.pi * radius**2, rel=0.02)


def test_soft_circle_area_grows_with_the_circumference():
    area = lambda radius: stop(radius)[0].sum() * stop(radius)[1]  # noqa: E731
    slope = float(jax.grad(lambda r: area(r))(0.5))
    assert slope == pytest.approx(2 * np.pi * 0.5, rel=0.02)
    assert slope == pytest.approx(float(area(0.5 + 1e-5) - area(0.5 - 1e-5)) / 2e-5, rel=1e-4)


def test_soft_circle_has_finite_gradients_at_its_centre():
    height = lambda x, r, e: soft_circle(x, x, r, e).sum()  # noqa: E731
    slopes = jax.grad(height, (0, 1, 2))(jnp.zeros(1), jnp.asarray(0.5), jnp.asarray(0.1))
    assert all(np.isfinite(s).all() for s in slopes)
