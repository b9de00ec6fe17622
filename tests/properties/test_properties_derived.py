"""Derived quantities of every variant: they follow the primitives, refuse edits, and aliases solve for them."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import edit
from variants import VARIANTS, all_of, binaries, central_difference, derived_names, few, paths, some, variant

import dluxshera as ds
from dluxshera.params import DerivedEditError, ParameterError
from dluxshera.params.paths import derived_places, find


def place(kind, name):
    return find(variant(kind), name)[0]


def is_alias(kind, name):
    return place(kind, name).value.is_alias


def primitives(kind, name):
    """Paths, from the root, that a derived quantity names as its primitives."""
    found = place(kind, name)
    parent = name.rpartition(".")[0]
    return tuple(f"{parent}.{path}" if parent else path for path in found.value.primitives(found.owner))


PLAIN = [(kind, name) for kind, name in all_of(derived_names) if not is_alias(kind, name)]
ALIASES = [(kind, name) for kind, name in all_of(derived_names) if is_alias(kind, name)]
ONCE = [(kind, name) for kind, name in ALIASES if kind == "two" or not name.startswith("binary.")]
EVERY_ALIAS = {"plate_scale_as", "effective_focal_length", "binary.raw_fluxes", "binary.positions_as"}


def test_there_are_the_aliases_one_expects():
    for kind in VARIANTS:
        assert EVERY_ALIAS <= {name for k, name in ALIASES if k == kind}
    assert ("three", "optics.focal_length") in PLAIN


@pytest.mark.parametrize(("kind", "name"), all_of(derived_names))
def test_an_edit_by_tree_at_is_refused_with_the_primitives_and_the_alias(kind, name):
    tokens = name.split(".")

    def where(model):
        for token in tokens:
            model = getattr(model, token)
        return model

    with pytest.raises(DerivedEditError, match="no leaf to edit") as caught:
        eqx.tree_at(where, variant(kind), ds.get_value(variant(kind), name))
    message, owner = str(caught.value), place(kind, name)
    assert all(path in message for path in owner.value.primitives(owner.owner))
    alias = owner.value.name if owner.value.is_alias else owner.value.alias
    assert alias is None or f"alias {alias!r}" in message


@pytest.mark.parametrize(("kind", "name"), PLAIN)
@pytest.mark.parametrize("use", [lambda m, n: ds.ThetaSpace(m, [n]), lambda m, n: ds.set_values(m, {n: 1.0})])
def test_a_plain_derived_quantity_is_neither_fitted_nor_set(kind, name, use):
    with pytest.raises(ParameterError, match="is derived") as caught:
        use(variant(kind), name)
    message, alias = str(caught.value), place(kind, name).value.alias
    assert all(path in message for path in primitives(kind, name))
    assert alias is None or f"alias {alias!r}" in message


@pytest.mark.parametrize(("kind", "name"), PLAIN)
def test_an_alias_that_stands_for_a_quantity_is_it(kind, name):
    alias = place(kind, name).value.alias
    if alias is not None:
        assert (kind, alias) in ALIASES
        assert ds.get_value(variant(kind), alias) == ds.get_value(variant(kind), name)


def slopes(kind, name):
    """Derivative of a derived quantity by every parameter, by path."""
    space = ds.ThetaSpace(variant(kind), list(paths(kind)))
    start = space.physical(jnp.zeros(space.dim)) * 0
    for entry in space.index_map.entries:
        start = start.at[entry.start : entry.stop].set(jnp.ravel(ds.get_value(variant(kind), entry.name)))

    def read(vector):
        values = {path: piece for path, piece in space.split(vector).items()}
        return ds.get_value(ds.params.replace_paths(variant(kind), values), name)

    return jax.jacfwd(read)(start), space


@pytest.mark.parametrize(("kind", "name"), PLAIN)
def test_the_primitives_named_are_those_it_depends_on(kind, name):
    slope, space = slopes(kind, name)
    depends = {entry.name for entry in space.index_map.entries if jnp.any(slope[..., entry.start : entry.stop] != 0)}
    assert depends == set(primitives(kind, name))


@pytest.mark.parametrize(("kind", "name"), all_of(derived_names))
def test_it_follows_every_primitive_at_once_with_the_right_gradient(kind, name):
    """Compared with finite differences on models edited by `eqx.tree_at`."""
    model = variant(kind)
    slope, space = slopes(kind, name)
    compared = 0
    for entry in space.index_map.entries:
        value = np.asarray(ds.get_value(model, entry.name))
        got = np.asarray(slope[..., entry.start : entry.stop])
        if not got.any():
            continue
        assert value.shape == ()
        step = 1e-5 * max(abs(float(value)), 0.1)
        after = lambda x, path=entry.name: np.asarray(ds.get_value(edit(model, {path: x}), name))  # noqa: E731
        np.testing.assert_allclose(got[..., 0], central_difference(after, float(value), step), rtol=1e-6, atol=1e-9)
        assert np.any(after(float(value) + 100 * step) != after(float(value)))
        compared += 1
    assert compared


def targets(kind, name):
    """Strategy of values that an alias may be given."""
    value = np.asarray(ds.get_value(variant(kind), name))
    if name == "binary.positions_as":
        return st.lists(st.floats(-20, 20), min_size=4, max_size=4).map(lambda v: np.reshape(v, (2, 2)))
    factors = st.lists(st.floats(0.97, 1.03), min_size=value.size, max_size=value.size)
    return factors.map(lambda v: value * np.reshape(v, value.shape))


def apart(value):
    """Whether two stars are two: where they fall together the angle between them is nothing."""
    return value.shape != (2, 2) or np.hypot(*(value[0] - value[1])) > 1e-6


@pytest.mark.parametrize(("kind", "name"), ONCE)
@some
@given(data=st.data())
def test_what_an_alias_is_set_to_is_what_it_is(kind, name, data):
    if not np.all(np.isfinite(ds.get_value(variant(kind), name))):
        pytest.skip("infinite in this model")
    value = data.draw(targets(kind, name).filter(apart))
    solved = ds.set_values(variant(kind), {name: value})
    np.testing.assert_allclose(ds.get_value(solved, name), value, rtol=1e-11, atol=1e-12)
    moved = set(primitives(kind, name))
    for path in set(paths(kind)) - moved:
        assert jnp.array_equal(ds.get_value(solved, path), ds.get_value(variant(kind), path)), path


@functools.cache
def solved(kind, name):
    """`value -> (the alias, its primitives)` after solving for a flat value of the alias, and its two Jacobians."""
    model, shape = variant(kind), np.shape(ds.get_value(variant(kind), name))

    def numbers(value):
        after = ds.params.replace_paths(model, {name: value.reshape(shape)})
        found = [ds.get_value(after, path) for path in (name, *primitives(kind, name))]
        return jnp.concatenate([jnp.ravel(x) for x in found])

    return jax.jit(numbers), jax.jit(jax.jacfwd(numbers)), jax.jit(jax.jacrev(numbers))


@pytest.mark.parametrize(("kind", "name"), ONCE)
@few
@given(data=st.data())
def test_the_gradient_through_an_alias_is_the_identity_and_that_of_finite_differences(kind, name, data):
    value = np.asarray(data.draw(targets(kind, name).filter(apart))).ravel()
    numbers, forward, reverse = solved(kind, name)
    slope = np.asarray(forward(value))
    np.testing.assert_allclose(slope[: value.size], np.eye(value.size), atol=1e-8)
    np.testing.assert_allclose(reverse(value), slope, rtol=1e-9, atol=1e-9)
    for i, unit in enumerate(np.eye(value.size)):
        step = 1e-5 * max(abs(value[i]), 1e-2)
        difference = central_difference(lambda t, unit=unit: np.asarray(numbers(value + t * unit)), 0.0, step)
        np.testing.assert_allclose(slope[:, i], difference, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", VARIANTS)
@few
@given(values=binaries())
def test_setting_an_alias_to_its_own_value_changes_nothing(kind, values):
    """The position angle keeps its turn."""
    model = edit(variant(kind), values)
    for name in ("binary.raw_fluxes", "binary.positions_as", "plate_scale_as"):
        same = ds.set_values(model, {name: ds.get_value(model, name)})
        for path in primitives(kind, name):
            np.testing.assert_allclose(ds.get_value(same, path), ds.get_value(model, path), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("kind", "name"), ALIASES)
def test_an_alias_is_not_moved_with_what_it_solves_for(kind, name):
    model = variant(kind)
    for path in primitives(kind, name):
        for both in ([name, path], [path, name]):
            with pytest.raises(ParameterError, match="the alias solves for"):
                ds.ThetaSpace(model, both)
        with pytest.raises(ParameterError, match="the alias solves for"):
            ds.set_values(model, {name: ds.get_value(model, name), path: ds.get_value(model, path)})


def test_two_aliases_of_one_primitive_are_not_moved_together():
    with pytest.raises(ParameterError, match="effective_focal_length.*without 'plate_scale_as'"):
        ds.ThetaSpace(variant("three"), ["plate_scale_as", "effective_focal_length"])


@pytest.mark.parametrize("kind", VARIANTS)
def test_fluxes_and_positions_are_fitted_in_place_of_the_six_numbers(kind):
    """The model, its gradient included, is the same in both coordinates."""
    model = variant(kind)
    space = ds.ThetaSpace(model, ["binary.raw_fluxes", "binary.positions_as"])
    assert (
        space.dim == 6 and space.labels[0] == "binary.raw_fluxes[0]" and space.labels[-1] == "binary.positions_as[1,1]"
    )
    theta = space.pack(model)
    back = space.unpack(theta, model)
    for path in paths(kind):
        np.testing.assert_allclose(ds.get_value(back, path), ds.get_value(model, path), rtol=1e-11)
    mask = space.mask(model)
    names = ("x_position_as", "y_position_as", "separation_as", "position_angle_deg", "log_flux_total", "contrast")
    assert all(getattr(mask.binary, name) for name in names) and not mask.optics.throughput
    moved = space.unpack(theta.at[2].add(0.01), model)
    np.testing.assert_allclose(moved.binary.positions_as - model.binary.positions_as, [[0.01, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(moved.binary.raw_fluxes, model.binary.raw_fluxes, rtol=1e-11)


def test_one_star_is_moved_with_the_other_held():
    model = variant("two")
    space = ds.ThetaSpace(model, ["binary.positions_as[0]", "binary.raw_fluxes[1]"])
    assert space.dim == 3 and space.names == ("binary.positions_as[0]", "binary.raw_fluxes[1]")
    moved = space.unpack(space.pack(model) + jnp.asarray([0.02, -0.01, np.log(2.0)]), model)
    change = moved.binary.positions_as - model.binary.positions_as
    np.testing.assert_allclose(change, [[0.02, -0.01], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(moved.binary.raw_fluxes / model.binary.raw_fluxes, [1, 2], rtol=1e-11)
    whole = ds.set_values(model, {"binary.positions_as": [[0.1, 0.2], [0.3, -0.4]]})
    parts = ds.set_values(model, {"binary.positions_as[0]": [0.1, 0.2], "binary.positions_as[1]": [0.3, -0.4]})
    np.testing.assert_allclose(parts.binary.positions_as, whole.binary.positions_as, atol=1e-12)


def test_fluxes_below_zero_are_refused():
    for fluxes in ([1e5, -1.0], [1e5, 0.0]):
        with pytest.raises(ParameterError, match="raw_fluxes|contrast"):
            ds.set_values(variant("two"), {"binary.raw_fluxes": fluxes})


def test_aliases_are_overrides_of_a_profile():
    from tiny import TINY, load

    fluxes = {"binary.raw_fluxes": [3e5, 1e5], "binary.positions_as": [[0.3, 0.0], [-0.3, 0.1]]}
    model = load(
        "shera_flight_two_plane", {k: v for k, v in TINY.items() if not k.startswith("binary.") or "n_w" in k} | fluxes
    )
    np.testing.assert_allclose(model.binary.raw_fluxes, [3e5, 1e5], rtol=1e-11)
    np.testing.assert_allclose(model.binary.positions_as, [[0.3, 0.0], [-0.3, 0.1]], atol=1e-12)
    with pytest.raises(ds.ConfigError, match=r"binary.raw_fluxes.*solves for 'binary.contrast'"):
        load("shera_flight", {"binary.raw_fluxes": [1.0, 2.0], "binary.contrast": 2.0})


def test_every_derived_quantity_of_every_module_is_one_of_these():
    found = {p.path for kind in VARIANTS for p in derived_places(variant(kind))}
    assert {"optics.relay_magnification", "optics.magnification", "optics.relay.focal_length"} <= found
