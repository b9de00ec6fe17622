"""A wrong dtype, shape, unit or name of any parameter of any variant is refused with its path."""

import difflib

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units
from variants import VARIANTS, all_of, paths, variant

import dluxshera as ds
from dluxshera.params import ParameterError, UnknownPathError
from dluxshera.params.elements import target
from dluxshera.params.paths import descend

pytestmark = pytest.mark.float32
EVERY = pytest.mark.parametrize(("kind", "path"), all_of(paths))


def planted(kind, path, value):
    """The model with anything at all in place of a parameter, as `eqx.tree_at` would leave it."""
    _, item = target(variant(kind), path)
    return eqx.tree_at(lambda m: descend(m, item.tokens), variant(kind), value)


@EVERY
def test_a_wrong_dtype(kind, path):
    shape = np.shape(ds.get_value(variant(kind), path))
    for value in (jnp.ones(shape, int), jnp.ones(shape, complex), jnp.ones(shape, bool)):
        with pytest.raises(ParameterError, match=f"{path}: Expected a float array, got {value.dtype}"):
            ds.validate(planted(kind, path, value))
    for value in ("1.0", None, True, np.full(shape, "x")):
        with pytest.raises(TypeError, match=path):
            ds.set_values(variant(kind), {path: value})


@EVERY
def test_a_wrong_shape(kind, path):
    shape = np.shape(ds.get_value(variant(kind), path))
    for wrong in (shape + (2,), (9,), (1, *shape)):
        with pytest.raises(ParameterError, match=rf"{path}: Expected shape"):
            ds.set_values(variant(kind), {path: np.full(wrong, 1e-6)})
        with pytest.raises(ParameterError, match=rf"{path}: Expected shape"):
            ds.validate(planted(kind, path, jnp.full(wrong, 1e-6)))


@EVERY
def test_a_wrong_unit(kind, path):
    shape = np.shape(ds.get_value(variant(kind), path))
    wrong = np.ones(shape) * units.kg
    with pytest.raises(ParameterError, match=rf"{path}: .*kg"):
        ds.set_values(variant(kind), {path: wrong})


@EVERY
def test_numbers_that_are_none(kind, path):
    shape = np.shape(ds.get_value(variant(kind), path))
    for bad in (np.nan, np.inf):
        with pytest.raises(ParameterError, match=rf"{path}: Expected finite"):
            ds.set_values(variant(kind), {path: np.full(shape, bad)})


@EVERY
def test_out_of_bounds(kind, path):
    shape, (low, high) = np.shape(ds.get_value(variant(kind), path)), ds.params.spec_of(variant(kind), path).bounds
    for bound, beyond in ((low, -1), (high, 1)):
        if bound is not None:
            value = np.full(shape, bound + beyond * max(1.0, abs(bound)))
            with pytest.raises(ParameterError, match=rf"{path}: Expected a value in"):
                ds.set_values(variant(kind), {path: value})
            with pytest.raises(ParameterError, match=rf"{path}: Expected a value in"):
                ds.ThetaSpace(planted(kind, path, jnp.asarray(value)), ["binary.*"])


@EVERY
def test_a_wrong_name_is_answered_with_the_right_one(kind, path):
    slip = path[:-2] + path[-1] + path[-2] if path[-1] != path[-2] else path[:-1]
    assert difflib.SequenceMatcher(None, slip, path).ratio() > 0.7
    for use in (
        lambda: ds.get_value(variant(kind), slip),
        lambda: ds.set_values(variant(kind), {slip: 1.0}),
        lambda: ds.ThetaSpace(variant(kind), [slip]),
    ):
        with pytest.raises(UnknownPathError, match=rf"got '{slip}'.*Did you mean"):
            use()


@pytest.mark.parametrize("kind", VARIANTS)
def test_every_problem_is_listed_at_once(kind):
    values = {path: jnp.full(np.shape(ds.get_value(variant(kind), path)), jnp.nan) for path in paths(kind)}
    with pytest.raises(ParameterError) as caught:
        ds.validate(ds.params.replace_paths(variant(kind), values))
    assert all(path in str(caught.value) for path in paths(kind))
