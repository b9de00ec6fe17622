"""θ-spaces, files and tables over any choice of parameters of every variant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from precision import tolerance
from variants import VARIANTS, derived_names, few, leaves_equal, paths, some, variant

import dluxshera as ds
from dluxshera.params import Identity, parameter_mask, validate


def choices(kind):
    """Any parameters of a variant, in any order, each once."""
    return st.lists(st.sampled_from(paths(kind)), min_size=1, max_size=8, unique=True)


def inside(kind, names):
    """The names whose present value lies strictly inside its bounds, where θ is finite."""
    bounds = {name: ds.params.spec_of(variant(kind), name).bounds for name in names}
    values = {name: np.asarray(ds.get_value(variant(kind), name)) for name in names}
    return [
        name
        for name, (low, high) in bounds.items()
        if (low is None or np.all(values[name] > low)) and (high is None or np.all(values[name] < high))
    ]


def space_of(kind, data):
    names = inside(kind, data.draw(choices(kind)))
    return ds.ThetaSpace(variant(kind), names or ["binary.*"])


every_variant = pytest.mark.parametrize("kind", VARIANTS)


@every_variant
@some
@given(data=st.data())
def test_the_index_map_covers_theta_once_and_in_the_order_of_the_model(kind, data):
    space = space_of(kind, data)
    entries = space.index_map.entries
    assert [e.start for e in entries] == [0, *(e.stop for e in entries[:-1])] and entries[-1].stop == space.dim
    assert [int(np.prod(e.shape, dtype=int)) for e in entries] == [e.stop - e.start for e in entries]
    order = [paths(kind).index(e.name) for e in entries]
    assert order == sorted(order) and len(set(order)) == len(order)
    assert len(space.labels) == len(set(space.labels)) == len(space.units) == len(space.blocks) == space.dim
    pieces = space.split(jnp.arange(float(space.dim)))
    assert np.concatenate([np.ravel(piece) for piece in pieces.values()]).tolist() == list(range(space.dim))


@pytest.mark.float32
@every_variant
@some
@given(data=st.data())
def test_packing_and_unpacking(kind, data):
    """Exact where nothing bounds a parameter; to rounding where a bijector does. The rest is not touched."""
    space, model = space_of(kind, data), variant(kind)
    back = space.unpack(space.pack(model), model)
    for entry, bijector in zip(space.index_map.entries, space.bijectors, strict=True):
        got, value = (np.asarray(ds.get_value(m, entry.name)) for m in (back, model))
        exact = isinstance(bijector, Identity)
        np.testing.assert_allclose(got, value, rtol=0 if exact else tolerance(1e-14, 1e-5), err_msg=entry.name)
    assert leaves_equal(
        ds.params.replace_paths(back, {e.name: ds.get_value(model, e.name) for e in space.index_map.entries}), model
    )
    theta = space.pack(model) + jnp.asarray(
        data.draw(st.lists(st.floats(-1, 1), min_size=space.dim, max_size=space.dim))
    )
    again = np.asarray(space._join(list(space._split_physical(theta)), "to_unconstrained"))
    np.testing.assert_allclose(again, theta, rtol=tolerance(1e-12, 1e-4), atol=tolerance(1e-12, 1e-4))


@every_variant
def test_a_free_fit_of_unbounded_parameters_is_exact_both_ways(kind):
    model = variant(kind)
    names = [n for n in paths(kind) if ds.params.spec_of(model, n).bounds == (None, None)]
    space = ds.ThetaSpace(model, names)
    theta = space.pack(model)
    assert len(names) > 5 and leaves_equal(space.unpack(theta, model), model)
    other = theta + np.random.default_rng(0).normal(size=theta.shape)
    assert jnp.array_equal(space.pack(space.unpack(other, model)), other)


@pytest.mark.float32
@every_variant
@some
@given(data=st.data())
def test_wherever_theta_goes_values_stay_in_their_bounds_and_a_model_is_valid(kind, data):
    space = space_of(kind, data)
    theta = np.asarray(data.draw(st.lists(st.floats(-60, 60), min_size=space.dim, max_size=space.dim)))
    physical = np.asarray(space.physical(jnp.asarray(theta, float)))
    lower, upper = map(np.asarray, space.bounds)
    assert np.all((physical >= lower) & (physical <= upper)) and np.all(np.isfinite(physical))
    assert np.all(np.isfinite(space.jacobian_diag(jnp.asarray(theta, float))))


@every_variant
@few
@given(seed=st.integers(0, 2**31))
def test_saving_and_loading_is_exact(kind, seed, tmp_path_factory):
    draw, model = np.random.default_rng(seed), variant(kind)
    names = inside(kind, paths(kind))
    space = ds.ThetaSpace(model, names)
    changed = space.unpack(space.pack(model) + 1e-3 * draw.normal(size=space.dim), model)
    path = tmp_path_factory.mktemp("values") / "values.npz"
    for buffers in (False, True):
        ds.save_values(changed, path, buffers=buffers)
        assert leaves_equal(ds.load_values(model, path), changed)


@pytest.mark.float32
@every_variant
def test_describe_lists_every_parameter_and_every_derived_quantity(kind):
    table = ds.describe(variant(kind))
    rows = {row["path"]: row for row in table.rows}
    assert [row["path"] for row in table.rows if row["kind"] == "parameter"] == list(paths(kind))
    assert [row["path"] for row in table.rows if row["kind"] == "derived"] == list(derived_names(kind))
    assert len(rows) == len(table.rows)
    for path, row in rows.items():
        assert np.array_equal(row["value"], ds.get_value(variant(kind), path)) and row["doc"]
        assert path in str(table) and path in table._repr_html_()


@every_variant
def test_the_mask_of_parameters_is_the_paths_and_no_more(kind):
    model = variant(kind)
    mask = parameter_mask(model)
    assert jax.tree.leaves(mask).count(True) == len(paths(kind))
    assert all(ds.get_value(mask, path) is True for path in paths(kind))
    assert validate(model) is model
