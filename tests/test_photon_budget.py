"""The photon budget against the numbers of the instruments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dluxshera.instrument import clear_area, photon_budget
from dluxshera.optics import ApertureShape, pupil_transmission

ALPHA_CEN = 1.7227e11  # photons / s / m^2 / um, both stars
STRUTS = {"strut_count": 4, "strut_rotation_deg": -45.0}


@pytest.mark.parametrize(
    ("diameter", "band", "full", "clear"), [(0.22, 41e-9, 7.13, 7.113), (0.09, 110e-9, 6.78, 6.726)]
)
def test_alpha_centauri_through_shera(diameter, band, full, clear):
    disc = photon_budget(ALPHA_CEN, math.pi / 4 * diameter**2, band, 0.05)
    assert disc.log_flux_total == pytest.approx(full, abs=5e-3)
    shape = ApertureShape(0.025 / diameter, strut_width_ratio=0.002 / diameter, **STRUTS)
    area = clear_area(pupil_transmission(shape, 1024, oversample=1), diameter)
    assert photon_budget(ALPHA_CEN, area, band, 0.05).log_flux_total == pytest.approx(clear, abs=2e-3)


def test_throughput_and_efficiency_act_after_the_log_flux():
    plain = photon_budget(1e10, 0.01, 100e-9, 0.1)
    lossy = photon_budget(1e10, 0.01, 100e-9, 0.1, throughput=0.8, quantum_efficiency=0.5)
    assert plain.photons_per_exposure == plain.detected_per_exposure == pytest.approx(1e6)
    assert lossy[:2] == plain[:2]
    assert lossy.detected_per_exposure == pytest.approx(4e5)


@given(amplitude=st.floats(0, 1), npix=st.integers(1, 9), diameter=st.floats(0.01, 10))
def test_the_clear_area_counts_power(amplitude, npix, diameter):
    area = clear_area(np.full((npix, npix), amplitude), diameter)
    assert area == pytest.approx(amplitude**2 * diameter**2, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flux_photons_s_m2_um", 0.0),
        ("clear_area_m2", -1.0),
        ("bandwidth_m", math.inf),
        ("exposure_time_s", math.nan),
        ("throughput", 1.1),
        ("quantum_efficiency", 0.0),
    ],
)
def test_a_bad_argument_is_named(name, value):
    good = {"flux_photons_s_m2_um": 1e10, "clear_area_m2": 1e-2, "bandwidth_m": 1e-7, "exposure_time_s": 0.1}
    with pytest.raises(ValueError, match=f"^{name}: Expected"):
        photon_budget(**{**good, name: value})
