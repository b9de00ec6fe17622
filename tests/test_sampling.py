"""Grid sizes: what is planned for a geometry, and what the check says of grids that do not suit it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import edit, tiny

import dluxshera as ds
from dluxshera.optics import wavelength_count
from dluxshera.optics.sampling import fast_size, intensity_cutoff, spread_npix

ARCSEC = np.pi / (180 * 3600)


@pytest.fixture(scope="module")
def model():
    return tiny(binary__n_wavelengths=8, optics__oversample=3)


def with_optics(model, **values):
    return dataclasses.replace(model, optics=dataclasses.replace(model.optics, **values))


@settings(max_examples=60, deadline=None)
@given(st.floats(1, 4000))
def test_fast_sizes_are_even_smooth_and_the_smallest_such(minimum):
    def is_smooth(n):
        return n == 1 or any(n % p == 0 and is_smooth(n // p) for p in (2, 3, 5))

    size = fast_size(minimum)
    assert size >= minimum and size % 2 == 0 and is_smooth(size)
    assert not any(is_smooth(n) for n in range(2 * int(np.ceil(minimum / 2)), size, 2))


@pytest.mark.parametrize(
    ("diameter", "scale", "width", "count"), [(0.22, 0.123207, 41e-9, 7), (0.09, 0.35503, 110e-9, 15)]
)
def test_as_many_wavelengths_as_the_instruments_need(diameter, scale, width, count):
    assert wavelength_count(128 * scale * ARCSEC, diameter, 550e-9, width) == count
    assert wavelength_count(128 * scale * ARCSEC, diameter, 550e-9, 0.0) == 1


def test_closed_forms():
    assert spread_npix(550e-9, -6.7, 1e-3) == pytest.approx(550e-9 * 6.7 / 2e-6)
    assert intensity_cutoff(0.22, 4.6e-6, 550e-9, -7.7) == pytest.approx(0.22 * 4.6e-6 / (550e-9 * 7.7))


@pytest.mark.parametrize("name", ["shera_flight", "shera_testbed", "shera_flight_two_plane", "shera_testbed_two_plane"])
@pytest.mark.parametrize("psf_npix", [64, 128, 256])
def test_profiles_are_planned_without_a_complaint(name, psf_npix):
    found = ds.load_profile(name, overrides={"optics.psf_npix": psf_npix})
    assert found.sampling_problems() == []
    optics = found.optics
    assert optics.pupil_npix < optics.band_npix * 2 and optics.band_npix <= optics.pad_npix


def test_a_tiny_model_has_no_problem(model):
    assert model.sampling_problems() == []


CASES = {
    "wavelengths": lambda m: edit(m, {"binary.wavelengths_m": [530e-9, 570e-9], "binary.spectral_weights": [1, 1]}),
    "reach": lambda m: edit(m, {"binary.separation_as": 60.0}),
    "spreads": lambda m: edit(m, {"optics.plane_separation": 0.60434}),
    "cycles per pixel": lambda m: edit(m, {"detector.pixel_pitch": 12e-6}),
}


@pytest.mark.parametrize("word", CASES)
def test_what_does_not_suit_the_grids_is_said(model, word):
    problems = CASES[word](model).sampling_problems()
    assert any(word in problem for problem in problems)
    assert all(problem.startswith("Sampling: ") for problem in problems)


def test_a_period_that_is_too_short_is_said():
    fine = tiny(optics__pupil_npix=256, binary__n_wavelengths=8)
    short = with_optics(fine, pad_npix=258, band_npix=258)
    assert fine.sampling_problems() == []
    assert any("period of 258" in problem for problem in short.sampling_problems())


def test_traced_values_are_not_looked_at(model):
    def traced(separation):
        moved = ds.params.replace_paths(model, {"binary.separation_as": separation})
        assert moved.sampling_problems() == []
        return separation

    jax.jit(traced)(jnp.asarray(60.0))


def test_building_a_coarse_model_warns_once_and_does_not_refuse():
    with pytest.warns(ds.SamplingWarning, match="Gauss-Legendre") as caught:
        ds.load_profile("shera_flight", overrides={"optics.psf_npix": 64, "binary.n_wavelengths": 2})
    assert len(caught) == 1
