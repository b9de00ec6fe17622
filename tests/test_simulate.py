"""Simulated observations against the statistics that the detector's numbers ask for."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_instrument import small_instrument

from dluxshera.instrument import Observation, SaturationWarning, simulate
from dluxshera.optics import SamplingWarning
from dluxshera.params import ParameterError, set_values


@pytest.fixture(scope="module")
def model():
    """Read noise 3 e-, 2 e-/adu, dark 10 e- and background 5 e- per exposure, no saturation."""
    return small_instrument(read_noise_e=3.0, gain_e_per_adu=2.0, dark_current_e=200.0, background_e=5.0, bit_depth=16)


def bright(model, **values):
    return set_values(model, {f"detector.{name}": value for name, value in values.items()})


def pulls(observation, model, exposures=1):
    """Residuals over the expected standard deviation, used pixels only."""
    expected = exposures * np.asarray(model.model())
    deviation = np.sqrt(exposures * np.asarray(model.variance(model.model())))
    return ((np.asarray(observation.image) - expected) / deviation)[np.asarray(observation.mask)]


@pytest.mark.parametrize("exposures", [1, 2, 36000, 10**9])
def test_the_noise_has_the_variance_that_the_model_says(model, exposures):
    found = np.concatenate([pulls(simulate(model, seed, exposures), model, exposures) for seed in range(40)])
    assert len(found) == 40 * 256
    assert abs(found.mean()) < 5 / np.sqrt(len(found))
    assert found.var() == pytest.approx(1, abs=5 * np.sqrt(2 / len(found)))


def test_poisson_variance_holds_at_counts_where_single_precision_fails():
    model = small_instrument(log_flux_total=9.0)
    found = np.concatenate([pulls(simulate(model, seed, 1000), model, 1000) for seed in range(20)])
    assert np.max(model.model()) * 1000 > 1e9
    assert found.var() == pytest.approx(1, abs=5 * np.sqrt(2 / len(found)))


def test_without_read_noise_and_digitisation_counts_are_whole():
    image = np.asarray(simulate(small_instrument(), 1).image)
    np.testing.assert_array_equal(image, np.round(image))
    assert image.min() >= 0


@pytest.mark.parametrize("exposures", [1, 7])
def test_images_are_whole_digital_units(model, exposures):
    adu = np.asarray(simulate(model, 0, exposures).image) / 2.0
    np.testing.assert_array_equal(adu, np.round(adu))


def test_the_observation_carries_what_a_fit_needs(model):
    observation = simulate(model, jax.random.key(3), exposures=20)
    assert isinstance(observation, Observation)
    assert observation.image.shape == (16, 16) and observation.masked_count == 0
    assert observation.exposures == 20
    np.testing.assert_allclose(observation.variance, 20 * model.variance(model.model()), rtol=1e-12)
    noiseless = simulate(model, 3, exposures=20, noise=False)
    np.testing.assert_allclose(noiseless.image, 20 * model.model(), rtol=1e-12)
    np.testing.assert_array_equal(noiseless.variance, observation.variance)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_key_of_either_kind_or_an_int_gives_one_image(seed):
    model = small_instrument()
    image = simulate(model, seed).image
    for key in (jax.random.key(seed), jax.random.PRNGKey(seed), np.uint32(seed)):
        np.testing.assert_array_equal(simulate(model, key).image, image)
    assert np.any(simulate(model, seed + 1).image != image)


def test_keys_that_are_none_are_refused(model):
    for key in (1.0, True, "seed", None, jax.random.split(jax.random.key(0)), np.zeros(2)):
        with pytest.raises(TypeError, match="PRNG key"):
            simulate(model, key)
    for key in (-1, 2**64):
        with pytest.raises(ValueError, match="seed"):
            simulate(model, key)
    with pytest.raises(ValueError, match="at least one exposure"):
        simulate(model, 0, exposures=0)
    with pytest.raises(TypeError):
        simulate(model, 0, exposures=True)


def test_tracing_and_invalid_models_are_refused(model):
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda key: simulate(model, key).image)(jax.random.key(0))
    with pytest.raises(TypeError, match="outside jit"):
        eqx.filter_jit(lambda m: simulate(m, 0).image)(model)
    broken = eqx.tree_at(lambda m: m.binary.separation_as, model, jnp.asarray(-1.0))
    with pytest.raises(ParameterError, match="binary.separation_as"):
        simulate(broken, 0)


def test_one_exposure_is_clipped_at_the_full_well(model):
    full = bright(model, full_well_e=1000.0, gain_e_per_adu=0.0, read_noise_e=0.0)
    with pytest.warns(SaturationWarning, match="simulate: [0-9]+ pixels") as caught:
        observation = simulate(full, 0)
    image, mask = np.asarray(observation.image), np.asarray(observation.mask)
    assert 0 < observation.masked_count < 60 and f": {observation.masked_count} pixels" in str(caught[0].message)
    assert np.all(image[~mask] == 1000) and np.all(image[mask] < 1000)
    far = np.abs(np.asarray(full.model()) - 1000) > 200
    np.testing.assert_array_equal(mask[far], (np.asarray(full.model()) < 1000)[far])


def test_one_exposure_is_clipped_at_the_converters_limit(model):
    narrow = eqx.tree_at(
        lambda m: m.detector,
        model,
        small_instrument(gain_e_per_adu=4.0, read_noise_e=2.0, bit_depth=8).detector,
    )
    with pytest.warns(SaturationWarning):
        observation = simulate(narrow, 0)
    image, mask = np.asarray(observation.image), np.asarray(observation.mask)
    assert image.max() == 4 * 255 and np.all(image[~mask] == 4 * 255) and np.all(image[mask] < 4 * 255)


@pytest.mark.parametrize("exposures", [2, 36000])
def test_sums_are_clipped_per_exposure_and_unbiased_where_used(model, exposures):
    full = bright(model, full_well_e=1000.0)
    with pytest.warns(SaturationWarning):
        observation = simulate(full, 0, exposures)
    image, mask = np.asarray(observation.image), np.asarray(observation.mask)
    above = np.asarray(full.model()) >= 1000
    assert above.sum() > 5 and not mask[above].any()
    # The well clips charge; what is above it is read noise and digitisation.
    assert np.all(image <= exposures * 1000 + 6 * np.sqrt(exposures * full.detector.read_variance) + 2)
    assert np.abs(pulls(observation, full, exposures)).max() < 5
    # Near the well some exposures of many saturate: those pixels are left out too.
    assert (~mask).sum() > above.sum() or exposures == 2


def test_a_sum_is_the_sum_of_its_exposures(model):
    full = bright(model, full_well_e=3000.0)
    singles = [np.asarray(simulate(full, seed).image) for seed in range(60)]
    sums = np.array([np.asarray(simulate(full, 10**6 + seed, 60).image) for seed in range(60)])
    difference = (np.sum(singles, 0) - sums.mean(0)) / np.sqrt(
        60 * np.asarray(full.variance(full.model())) * (1 + 1 / 60)
    )
    assert difference.mean() == pytest.approx(0, abs=5 / 16)
    assert difference.std() == pytest.approx(1, abs=0.25)


def test_the_noiseless_image_masks_what_would_saturate(model):
    full = bright(model, full_well_e=1000.0)
    with pytest.warns(SaturationWarning):
        observation = simulate(full, 0, noise=False)
    np.testing.assert_array_equal(observation.mask, np.asarray(full.model()) < 1000)
    np.testing.assert_allclose(observation.image, full.model(), rtol=1e-12)


def test_a_frame_that_saturates_all_over_is_refused(model):
    with pytest.raises(ValueError, match="below saturation.*binary.log_flux_total"):
        simulate(bright(model, full_well_e=10.0), 0)


@pytest.mark.parametrize("log_flux_total", [-5.0, 0.0, 20.0])
def test_any_flux_within_bounds_is_drawn(log_flux_total):
    model = small_instrument(log_flux_total=log_flux_total, read_noise_e=1.0, full_well_e=1e12)
    if log_flux_total < 20:
        assert np.isfinite(simulate(model, 0).image).all()
    else:
        with pytest.raises(ValueError, match="below saturation"):
            simulate(model, 0)


def test_each_problem_of_the_grids_is_a_warning():
    model = small_instrument(wavelength_count=2)
    problems = model.sampling_problems()
    assert len(problems) == 1
    with pytest.warns(SamplingWarning) as caught:
        simulate(model, 0)
    assert [str(w.message) for w in caught] == problems
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(small_instrument(), 0)


def test_simulated_observations_survive_files(model, tmp_path):
    observation = simulate(model, 0, exposures=36000)
    for suffix in (".fits", ".npz"):
        observation.write(tmp_path / f"image{suffix}", saturation_e=1e9)
        for name, array in Observation.read(tmp_path / f"image{suffix}").arrays().items():
            np.testing.assert_array_equal(array, observation.arrays()[name])
