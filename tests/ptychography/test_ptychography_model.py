"""The instrument as a tree of parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_scan import NPIX, PATTERNS, small_model, small_probe, smooth_object

import dluxshera as ds
from dluxshera.ptychography import build_model, expected_counts
from dluxshera.ptychography.batches import map_batches, split_evenly, sum_batches


@pytest.fixture(scope="module")
def model():
    return small_model(energy_ev=8800.0, distance=2.0, detector_pixel=75e-6)


def test_model_gives_the_expected_counts_of_every_pattern(model):
    found = model.model()
    direct = expected_counts(model.sample.object, model.probe.modes, model.scan.positions - NPIX // 2)
    assert found.shape == (PATTERNS, NPIX, NPIX)
    np.testing.assert_allclose(found, direct, rtol=1e-12)
    np.testing.assert_array_equal(model.variance(found), found)


def test_the_window_of_a_position_is_centred_on_it():
    object = np.zeros((32, 32), complex)
    object[13, 20] = 1.0
    probe = np.zeros((NPIX, NPIX), complex)
    probe[NPIX // 2, NPIX // 2] = 3.0
    dose = lambda y, x: float(build_model(object, probe, np.array([[y, x]])).dose)  # noqa: E731
    assert dose(13.0, 20.0) == pytest.approx(9.0)
    assert dose(13.0, 20.5) == pytest.approx(9.0 / 4)
    assert dose(12.0, 20.0) == 0


def test_derived_quantities(model):
    assert float(model.wavelength) == pytest.approx(1.40891e-10, rel=1e-5)
    assert float(model.object_pixel_size) == pytest.approx(1.40891e-10 * 2 / (NPIX * 75e-6), rel=1e-5)
    span = np.ptp(np.asarray(model.scan.positions), axis=0) + NPIX
    np.testing.assert_allclose(model.field_of_view, span * model.object_pixel_size, rtol=1e-12)
    assert float(model.dose) == pytest.approx(float(model.model().sum()) / PATTERNS, rel=1e-12)
    np.testing.assert_allclose(model.probe.mode_photons, (np.abs(model.probe.modes) ** 2).sum((1, 2)), rtol=1e-12)
    assert float(small_model(1).probe.diameter) == pytest.approx(8.0, rel=0.1)  # a disk of radius 4
    assert np.isnan(small_model().object_pixel_size)


def test_overlap_of_a_grid():
    grid = np.stack(np.meshgrid(np.arange(8.0, 20.0, 3), np.arange(8.0, 20.0, 3), indexing="ij"), -1).reshape(-1, 2)
    model = build_model(smooth_object(), small_probe(1), grid)
    assert float(model.scan.spacing) == pytest.approx(3.0)
    assert float(model.overlap_ratio) == pytest.approx(1 - 3.0 / float(model.probe.diameter))


def test_the_tree_works_with_the_house(model):
    paths = {row["path"] for row in ds.describe(model).rows}
    assert {"sample.object_real", "probe.modes_imag", "scan.positions", "background", "dose", "wavelength"} <= paths
    assert len(str(ds.describe(model)).splitlines()[2]) < 200  # images are summed up
    space = ds.ThetaSpace(model, ["sample.*", "scan.positions"])
    assert space.labels[-1] == f"scan.positions[{PATTERNS - 1},1]"
    again = space.unpack(space.pack(model), model)
    assert eqx.tree_equal(again, model)
    other = ds.set_values(model, {"energy_ev": 9000.0})
    assert float(other.wavelength) < float(model.wavelength)
    other = eqx.tree_at(lambda m: m.background, model, jnp.asarray(2.0))
    np.testing.assert_allclose(other.model() - model.model(), 2.0, atol=1e-9)
    with pytest.raises(ValueError, match="derived"):
        eqx.tree_at(lambda m: m.dose, model, jnp.asarray(1.0))


def test_a_large_space_is_cheap_to_build_and_compares_fast():
    big = build_model(np.ones((700, 700)), np.ones((32, 32)), np.full((3, 2), 40.0))
    space = ds.ThetaSpace(big, ["sample.*"])
    assert space.dim == 2 * 700 * 700
    assert hash(space.parts) == hash(ds.ThetaSpace(big, ["sample.*"]).parts)
    with pytest.raises(ds.ParameterError, match="overlap"):
        ds.ThetaSpace(small_model(), ["scan.positions", "scan.positions[3,1]"])


def test_one_compilation_for_other_values(model):
    traced = eqx.filter_jit(eqx.debug.assert_max_traces(lambda m: m.model(), max_traces=1))
    traced(model)
    traced(eqx.tree_at(lambda m: m.scan.positions, model, model.scan.positions + 0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object": np.ones((16, 40))}, "canvas larger than the windows"),
        ({"background": np.ones((4, 4))}, "background"),
        ({"interpolation": "nearest"}, "bilinear"),
        ({"probe": np.ones((2, 16, 15))}, "Probe"),
        ({"positions": np.ones((3, 3))}, "positions"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = {"object": smooth_object(), "probe": small_probe(), "positions": np.full((3, 2), 12.0)}
    with pytest.raises(ValueError, match=message):
        build_model(**(arguments | change))


@pytest.mark.parametrize(("number", "size"), [(11, 4), (12, 4), (3, 8), (1, 1)])
def test_batches_cover_everything_once(number, size):
    index, real = split_evenly(number, size)
    assert sorted(index[real].tolist()) == list(range(number))
    assert index.shape[1] <= size
    values = jnp.arange(number) ** 2.0
    np.testing.assert_array_equal(map_batches(lambda i: values[i], number, size), values)
    total = lambda v: sum_batches(lambda i, r: jnp.sum(jnp.where(r, v[i] ** 2, 0.0)), number, size)  # noqa: E731
    assert float(total(values)) == pytest.approx(float(jnp.sum(values**2)))
    np.testing.assert_allclose(jax.grad(total)(values), 2 * values)
