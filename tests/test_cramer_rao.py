"""Cramér-Rao bounds of the separation at full size, and how they and the bias converge in wavelengths."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from wavelengths import CASES, bounds, spectral_bias

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Sampling")]

# Micro-arcseconds in 30 minutes with a converged spectrum: alone, binary free, plate scale free too.
EXPECTED = {
    "shera_flight_two_plane": (0.667, 0.822, 1.569),
    "shera_testbed_two_plane": (3.03, 4.08, 5.36),
    "toliman": (2.64, 3.40, 5.10),
}


@pytest.mark.parametrize(
    "profile", ["shera_flight_two_plane", *(pytest.param(p, marks=pytest.mark.full) for p in list(EXPECTED)[1:])]
)
def test_bounds_of_the_converged_spectrum(profile):
    assert bounds(profile, CASES[profile]) == pytest.approx(EXPECTED[profile], rel=0.03)


@pytest.mark.parametrize(
    "profile, few, enough, converged",
    [
        ("shera_flight_two_plane", 3, 7, 15),
        pytest.param("shera_testbed_two_plane", 9, 15, 25, marks=pytest.mark.full),
    ],
)
def test_the_bias_of_few_wavelengths_vanishes(profile, few, enough, converged):
    """Tens of micro-arcseconds with few nodes; below a tenth of a standard deviation with the profile's own count."""
    grid = {"optics.pupil_npix": 128, "optics.psf_npix": 256}
    assert abs(spectral_bias(profile, few, converged, grid=grid)) > 20
    assert abs(spectral_bias(profile, enough, converged, grid=grid)) < 0.1 * EXPECTED[profile][2]
