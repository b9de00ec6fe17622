"""Paraxial geometry against the table of the two instruments and against ray matrices."""

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dluxshera.optics.paraxial import marginal_ray, separation_for_focal_length

FLIGHT, TESTBED = (0.604353, -0.0545, 0.55413), (0.35796, -0.041935, 0.320)
primaries, secondaries, gaps = st.floats(0.1, 2), st.floats(-1, -0.01), st.floats(0.001, 2)


def arrays(*values):
    return tuple(jax.numpy.asarray(value) for value in values)


def two_mirrors(f1, f2, separation):
    return marginal_ray((1 / f1, 1 / f2), (separation,))


@pytest.mark.parametrize(
    ("mirrors", "focal_length", "magnification"), [(FLIGHT, 7.70101, 12.0334), (TESTBED, 3.77637, 9.42993)]
)
def test_the_table(mirrors, focal_length, magnification):
    found = two_mirrors(*arrays(*mirrors))
    assert 1 / float(found.power) == pytest.approx(focal_length, abs=6e-6)
    assert 1 / float(found.heights[0]) == pytest.approx(magnification, rel=1e-5)
    assert float(found.distances[0]) == pytest.approx(mirrors[2] * magnification, rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(primaries, secondaries, gaps)
def test_it_is_the_product_of_the_ray_matrices(f1, f2, separation):
    lens = lambda f: np.array([[1, 0], [-1 / f, 1]])  # noqa: E731
    system = lens(f2) @ np.array([[1, separation], [0, 1]]) @ lens(f1)
    found = two_mirrors(*arrays(f1, f2, separation))
    assert float(found.heights[0]) == pytest.approx(system[0, 0], abs=1e-12)
    assert float(found.power) == pytest.approx(-system[1, 0], rel=1e-9, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-9, 9)), min_size=1, max_size=5))
def test_any_train_is_the_product_of_its_ray_matrices(planes):
    system, heights = np.array([[1, 0], [-0.7, 1]]), [1.0]
    for separation, power in planes:
        arrived = np.array([[1, separation], [0, 1]]) @ system
        heights.append(arrived[0, 0])
        system = np.array([[1, 0], [-power, 1]]) @ arrived
    assume(min(map(abs, heights)) > 1e-3 and abs(system[1, 0]) > 1e-3)
    found = marginal_ray(arrays(0.7, *(power for _, power in planes)), arrays(*(d for d, _ in planes)))
    np.testing.assert_allclose(found.heights, heights[1:], rtol=1e-8)
    np.testing.assert_allclose(found.power, -system[1, 0], rtol=1e-8)
    np.testing.assert_allclose(found.back_focal_distance, -system[0, 0] / system[1, 0], rtol=1e-8)
    products = [d / (y * after) for (d, _), y, after in zip(planes, heights, heights[1:], strict=False)]
    np.testing.assert_allclose(found.distances, products, rtol=1e-7, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(primaries, secondaries, gaps)
def test_the_separation_is_found_back(f1, f2, separation):
    f1, f2, separation = arrays(f1, f2, separation)
    power = two_mirrors(f1, f2, separation).power
    assume(abs(float(power)) > 1e-6)
    np.testing.assert_allclose(separation_for_focal_length(f1, f2, 1 / power), separation, rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(primaries, secondaries, st.floats(0.5, 50), st.sampled_from([-1, 1]))
def test_the_focal_length_asked_for_is_what_one_gets_inverted_or_not(f1, f2, length, sign):
    f1, f2, length = arrays(f1, f2, sign * length)
    separation = separation_for_focal_length(f1, f2, length)
    np.testing.assert_allclose(1 / two_mirrors(f1, f2, separation).power, length, rtol=1e-7)


def test_scaling_all_lengths_scales_the_focal_length():
    small, large = two_mirrors(*arrays(*FLIGHT)), two_mirrors(*arrays(*(3 * f for f in FLIGHT)))
    np.testing.assert_allclose(small.power, 3 * large.power)
    np.testing.assert_allclose(small.heights, large.heights)


def test_slope_of_the_focal_length_by_the_separation():
    f1, f2, separation = arrays(*FLIGHT)
    slope = jax.grad(lambda d: 1 / two_mirrors(f1, f2, d).power)(separation)
    relative_per_micrometre = float(slope * two_mirrors(f1, f2, separation).power) * 1e-6
    assert -relative_per_micrometre == pytest.approx(234e-6, rel=0.01)
