"""Random wavefront-error maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.optics import ApertureShape, power_law_map, pupil_transmission
from dluxshera.optics.apertures import pixel_centres


def disc(npix):
    u = pixel_centres(npix)
    return (np.hypot(*np.meshgrid(u, u)) <= 0.5).astype(float)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 64), st.floats(0.01, 1e3), st.floats(0, 4), st.integers(0, 2**32))
def test_rms_is_as_asked_and_piston_tip_and_tilt_are_out(npix, rms_nm, alpha, seed):
    error, weights = power_law_map(npix, rms_nm, alpha, seed), disc(npix)
    assert np.sqrt((weights * error**2).sum() / weights.sum()) == pytest.approx(rms_nm * 1e-9)
    x, y = np.meshgrid(pixel_centres(npix), pixel_centres(npix))
    for mode in (np.ones_like(x), x, y):
        assert abs((weights * error * mode).sum()) < 1e-9 * rms_nm * 1e-9 * weights.sum()


def test_another_aperture_has_its_own_rms():
    aperture = pupil_transmission(ApertureShape(0.3, 3, 0.05, 0.0), 40)
    error = power_law_map(40, 20.0, 2.5, 1, aperture)
    assert np.sqrt((aperture * error**2).sum() / aperture.sum()) == pytest.approx(20e-9)
    assert np.sqrt((disc(40) * error**2).sum() / disc(40).sum()) != pytest.approx(20e-9, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.5, 2.5, 3.5])
def test_the_power_spectrum_falls_as_asked(alpha):
    """Before the plane is taken out: over the whole square, which a full aperture leaves periodic but for a plane."""
    npix, power = 64, 0.0
    for seed in range(40):
        power = (
            power + np.abs(np.fft.fft2(power_law_map(npix, 1.0, alpha, seed) * np.outer(*[np.hanning(npix)] * 2))) ** 2
        )
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(npix), np.fft.fftfreq(npix)))
    band = (frequency > 0.1) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-alpha, abs=0.15)


def test_a_seed_gives_one_map():
    np.testing.assert_array_equal(power_law_map(16, 5.0, 2.0, 7), power_law_map(16, 5.0, 2.0, 7))
    assert not np.allclose(power_law_map(16, 5.0, 2.0, 7), power_law_map(16, 5.0, 2.0, 8))


def test_no_error_is_a_flat_map():
    np.testing.assert_array_equal(power_law_map(16, 0.0, 2.0, 7), np.zeros((16, 16)))


@pytest.mark.parametrize(("npix", "rms_nm"), [(16, -1.0), (3, 1.0)])
def test_what_cannot_be_is_refused(npix, rms_nm):
    with pytest.raises(ValueError, match="Expected rms_nm"):
        power_law_map(npix, rms_nm, 2.0, 0)


@pytest.mark.parametrize(("rms_nm", "alpha"), [(np.nan, 2.0), (np.inf, 2.0), (1.0, np.nan), (1.0, np.inf)])
def test_numbers_that_are_not_finite_are_refused(rms_nm, alpha):
    with pytest.raises(ValueError, match="Expected"):
        power_law_map(16, rms_nm, alpha, 0)


def test_an_aperture_that_is_closed_is_refused():
    with pytest.raises(ValueError, match="aperture"):
        power_law_map(16, 1.0, 2.0, 0, np.zeros((16, 16)))
