"""`rebuild`: another structure, the same values, and word of what could not be carried."""

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_instrument import small_instrument
from tiny import TINY, load, tiny

import dluxshera as ds
from dluxshera.config import ConfigError, build_instrument, read_profile
from dluxshera.params import parameter_paths

pytestmark = pytest.mark.filterwarnings("ignore::dluxshera.optics.SamplingWarning")
VALUES = {
    "binary.separation_as": 0.83,
    "binary.contrast": 2.5,
    "optics.m1.zernike_coeffs_nm": np.arange(1.0, 9.0),
    "detector.background_e": 3.0,
}


@pytest.fixture(scope="module")
def model():
    return ds.set_values(tiny(), VALUES)


def rebuilt_silently(model, **changes):
    """The rebuilt model, from which nothing may be missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ds.RebuildWarning)
        return model.rebuild(**changes)


def rebuilt_with_loss(model, **changes):
    with pytest.warns(ds.RebuildWarning) as caught:
        new = model.rebuild(**changes)
    (warning,) = [w.message for w in caught if isinstance(w.message, ds.RebuildWarning)]
    return new, warning


STRUCTURES = [
    {"optics.psf_npix": 24},
    {"optics.pupil_npix": 48},
    {"optics.oversample": 3, "optics.psf_npix": 20},
    {"optics": {"pad_npix": 64}},
    {"binary.n_wavelengths": 5},
    {"optics.aperture": "none"},
    {"optics.diffractive_pupil": "none"},
    {"detector.bit_depth": 16},
    {"optics.m1.wavefront_error": {"rms_nm": 5, "alpha": 2.5, "seed": 3}},
    {},
]


@pytest.mark.parametrize("changes", STRUCTURES, ids=str)
def test_the_same_as_built_from_scratch(model, changes):
    scratch = load("shera_flight", TINY | changes | VALUES)
    assert eqx.tree_equal(rebuilt_silently(model, **changes), scratch)


@pytest.mark.parametrize("name", ["shera_flight_two_plane", "shera_testbed_four_plane", "toliman"])
def test_every_variant_carries_every_parameter(name):
    model = ds.set_values(tiny(name), {"binary.separation_as": 0.83, "detector.pixel_pitch": "5.1 um"})
    new = rebuilt_silently(model, **{"optics.psf_npix": 12, "optics.pupil_npix": 24})
    for path in parameter_paths(model):
        np.testing.assert_array_equal(ds.get_value(new, path), ds.get_value(model, path), err_msg=path)
    assert new.detector.pixel_response.shape == (12, 12) and new.optics.m1.transmission.shape == (24, 24)


def test_there_and_back_is_the_same_model(model):
    there = rebuilt_silently(model, **{"optics.psf_npix": 24, "optics.pupil_npix": 40})
    assert eqx.tree_equal(rebuilt_silently(there, **{"optics.psf_npix": 16, "optics.pupil_npix": 32}), model)


def test_grids_are_planned_for_the_present_geometry():
    coarse = ds.set_values(tiny(optics__oversample=3), {"detector.pixel_pitch": "40 um"})
    assert coarse.optics.focal_samples == 1  # planned for 4.6 um
    new = rebuilt_silently(coarse)
    assert new.optics.focal_samples == 3
    again = rebuilt_silently(new, **{"optics.pupil_npix": 64})
    assert again.optics.pad_npix >= 64 and float(again.detector.pixel_pitch) == 4e-5


def test_a_mask_goes_with_the_diameter_that_was_edited():
    model = ds.set_values(tiny(), {"optics.m1.diameter": 0.3})
    new = rebuilt_silently(model, **{"optics.psf_npix": 24})
    np.testing.assert_array_equal(new.optics.m1.transmission, model.optics.m1.transmission)
    assert float(new.optics.m1.diameter) == 0.3


def test_values_and_aliases_among_the_changes_win(model):
    new = rebuilt_silently(
        model,
        **{"optics.psf_npix": 24, "plate_scale_as": 0.13, "binary.contrast": "4", "detector.pixel_pitch": "5 um"}
        | {"binary.contrast": 4.0, "optics.m1.zernike_coeffs_nm[Z4]": -1.0},
    )
    assert float(new.plate_scale_as) == pytest.approx(0.13) and float(new.detector.pixel_pitch) == 5e-6
    assert float(new.binary.contrast) == 4 and float(new.binary.separation_as) == 0.83
    np.testing.assert_array_equal(new.optics.m1.zernike_coeffs_nm, [-1, *range(2, 9)])


# ---- Noll indices


def test_coefficients_are_carried_by_noll_index(model):
    new = rebuilt_silently(model, **{"optics.m1.noll_indices": (12, 11, 10, 9, 8, 7, 6, 5, 4)})
    np.testing.assert_array_equal(new.optics.m1.zernike_coeffs_nm, [0, 8, 7, 6, 5, 4, 3, 2, 1])
    np.testing.assert_array_equal(new.optics.m2.zernike_coeffs_nm, np.zeros(8))


def test_coefficients_without_a_place_are_named(model):
    new, warning = rebuilt_with_loss(model, **{"optics.m1.noll_indices": [4, 5, 6], "optics.m2.noll_indices": [4]})
    np.testing.assert_array_equal(new.optics.m1.zernike_coeffs_nm, [1, 2, 3])
    assert warning.paths == tuple(f"optics.m1.zernike_coeffs_nm[Z{j}]" for j in range(7, 12))
    assert "optics.m1.zernike_coeffs_nm[Z7] = 4" in str(warning) and "m2" not in str(warning)


def test_the_same_number_of_other_indices_is_not_the_same_coefficients(model):
    new, _ = rebuilt_with_loss(model, **{"optics.m1.noll_indices": tuple(range(11, 19))})
    np.testing.assert_array_equal(new.optics.m1.zernike_coeffs_nm, [8] + [0] * 7)


# ---- arrays of one's own


def own(model, where, array):
    return eqx.tree_at(where, model, jnp.asarray(array, float), is_leaf=lambda x: x is None)


def test_an_own_mask_is_carried_where_it_fits_and_named_where_not(model):
    mask = np.random.default_rng(0).uniform(size=(32, 32))
    mine = own(model, lambda m: m.optics.m1.transmission, mask)
    np.testing.assert_array_equal(rebuilt_silently(mine, **{"optics.psf_npix": 24}).optics.m1.transmission, mask)
    new, warning = rebuilt_with_loss(mine, **{"optics.pupil_npix": 48})
    assert warning.paths == ("optics.m1.transmission",)
    assert "optics.m1.transmission (shape (32, 32), and (48, 48) is needed)" in str(warning)
    np.testing.assert_array_equal(new.optics.m1.transmission, tiny(optics__pupil_npix=48).optics.m1.transmission)


def test_own_arrays_of_the_detector(model):
    mine = own(model, lambda m: m.detector.pixel_response, np.full((16, 16), 0.9))
    new, warning = rebuilt_with_loss(mine, **{"optics.psf_npix": 24})
    assert warning.paths == ("detector.pixel_response",) and float(new.detector.pixel_response.min()) == 1
    kept = rebuilt_silently(mine, **{"optics.pupil_npix": 48})
    assert float(kept.detector.pixel_response.max()) == 0.9


def test_an_own_spectrum_is_carried_whole(model):
    mine = own(model, lambda m: m.binary.wavelengths_m, [540e-9, 550e-9, 560e-9])
    mine = own(mine, lambda m: m.binary.spectral_weights, [[1, 2, 1], [1, 1, 1]])
    new = rebuilt_silently(mine, **{"optics.psf_npix": 32})
    np.testing.assert_array_equal(new.binary.wavelengths_m, mine.binary.wavelengths_m)
    np.testing.assert_array_equal(new.binary.spectral_weights, mine.binary.spectral_weights)


def test_an_own_map_of_a_mirror_has_its_own_size(model):
    mine = own(model, lambda m: m.optics.m2.wavefront_error_m, 1e-9 * np.ones((10, 10)))
    new = rebuilt_silently(mine, **{"optics.pupil_npix": 48})
    np.testing.assert_array_equal(new.optics.m2.wavefront_error_m, mine.optics.m2.wavefront_error_m)


# ---- what a model remembers


def test_models_of_other_profiles_stack_and_a_foreign_recipe_does_no_harm():
    flight = tiny("shera_flight")
    testbed = tiny("shera_testbed", optics__pad_npix=flight.optics.pad_npix, optics__band_npix=flight.optics.band_npix)
    assert jax.tree.structure(flight) == jax.tree.structure(testbed)
    brighter = eqx.filter_jit(lambda m: eqx.tree_at(lambda m: m.binary.log_flux_total, m, m.binary.log_flux_total + 1))
    brighter(flight)
    mine = brighter(testbed)  # compiled for `flight`, whose recipe it returns
    new = rebuilt_silently(mine, **{"optics.psf_npix": 12})
    np.testing.assert_array_equal(new.binary.wavelengths_m, testbed.binary.wavelengths_m)
    for path in parameter_paths(mine):
        np.testing.assert_array_equal(ds.get_value(new, path), ds.get_value(mine, path), err_msg=path)


def test_edits_of_the_structure_by_hand_are_kept(model):
    import dataclasses

    detector = dataclasses.replace(model.detector, bit_depth=14)
    mine = dataclasses.replace(model, detector=detector)
    assert rebuilt_silently(mine, **{"optics.psf_npix": 24}).detector.bit_depth == 14


def test_a_seed_given_to_load_profile_is_that_of_the_rebuilt_maps():
    drawn = {"optics.m1.wavefront_error": {"rms_nm": 5, "alpha": 2.5}}
    models = [ds.load_profile("shera_flight", TINY | drawn, seed=seed) for seed in (1, 2)]
    new = [rebuilt_silently(m, **{"optics.pupil_npix": 48}).optics.m1.wavefront_error_m for m in models]
    scratch = ds.load_profile("shera_flight", TINY | drawn | {"optics.pupil_npix": 48}, seed=1)
    np.testing.assert_array_equal(new[0], scratch.optics.m1.wavefront_error_m)
    assert not np.array_equal(new[0], new[1])


def test_a_coarse_rebuild_warns(model):
    with pytest.warns(ds.SamplingWarning, match="wavelengths"):
        model.rebuild(**{"binary.n_wavelengths": 2})


def test_refused(model):
    with pytest.raises(ConfigError, match="rebuild: unknown path 'optics.psf_npx'; did you mean 'optics.psf_npix'?"):
        model.rebuild(**{"optics.psf_npx": 24})
    with pytest.raises(ConfigError, match="rebuild: 'system' is fixed"):
        model.rebuild(system="two_plane")
    with pytest.raises(ConfigError, match="rebuild: optics.psf_npix: expected a whole number"):
        model.rebuild(**{"optics.psf_npix": 2.5})
    with pytest.raises(ds.ParameterError, match="built from a profile, got one without a recipe"):
        small_instrument().rebuild(**{"optics.psf_npix": 24})
    with pytest.raises(ds.ParameterError, match="got a traced one"):
        eqx.filter_jit(lambda m: m.rebuild(**{"optics.psf_npix": 24}))(model)


def test_a_profile_that_was_read_gives_a_recipe_too():
    model = build_instrument(read_profile("shera_flight", TINY))
    assert eqx.tree_equal(rebuilt_silently(model, **{"optics.psf_npix": 24}), tiny(optics__psf_npix=24))


def test_a_stack_of_models_is_refused(model):
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), model)
    with pytest.raises(ds.ParameterError, match=r"binary.x_position_as: .*a stack of shape \(2,\)"):
        stack.rebuild(**{"optics.psf_npix": 24})


def test_a_telescope_that_the_profile_does_not_build_is_refused(model):
    """It would come back as another instrument."""
    other = dataclasses.replace(model, optics=tiny("shera_flight_two_plane").optics)
    with pytest.raises(ds.ParameterError, match="optics: Expected a ThreePlaneTelescope.*got a TwoPlaneTelescope"):
        other.rebuild(**{"optics.psf_npix": 24})
