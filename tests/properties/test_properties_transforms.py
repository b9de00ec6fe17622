"""`model()` of every variant under jit, grad and vmap, against the same without compilation; ensembles."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from tiny import edit
from variants import VARIANTS, binaries, few, image, variant

import dluxshera as ds

WEIGHT = np.random.default_rng(2).normal(size=(16, 16))
every_variant = pytest.mark.parametrize("kind", VARIANTS)
one_by_default = pytest.mark.parametrize(
    "kind", [kind if kind == "three" else pytest.param(kind, marks=pytest.mark.full) for kind in VARIANTS]
)


def split(model):
    return eqx.partition(model, ds.parameter_mask(model))


def score(parameters, rest):
    """One number of the image, so that every pixel counts."""
    return jnp.sum(WEIGHT * jnp.sqrt(eqx.combine(parameters, rest).model() + 1))


compiled = eqx.filter_jit(eqx.filter_value_and_grad(score))


def one_wavelength(kind):
    """Uncompiled code is slow."""
    one = jnp.asarray([550e-9]), jnp.ones(1)
    return eqx.tree_at(lambda m: (m.binary.wavelengths_m, m.binary.spectral_weights), variant(kind), one)


@one_by_default
@pytest.mark.slow
def test_compiled_and_eager_images_agree(kind):
    model = one_wavelength(kind)
    with jax.disable_jit():
        eager = model.model()
    np.testing.assert_allclose(image(model), eager, rtol=1e-10, atol=1e-10 * float(eager.max()))


@one_by_default
@pytest.mark.slow
def test_compiled_and_eager_gradients_agree(kind):
    parameters, rest = split(one_wavelength(kind))
    with jax.disable_jit():
        loss, gradient = eqx.filter_value_and_grad(score)(parameters, rest)
    other_loss, other = compiled(parameters, rest)
    assert float(loss) == pytest.approx(float(other_loss), rel=1e-10)
    for one, two in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9 * np.abs(np.asarray(two)).max() + 1e-9)


@every_variant
@few
@given(one=binaries(), other=binaries())
def test_ensembles_stack_and_map(kind, one, other):
    """Stacked models are a model, and each image is that of its member."""
    members = [edit(variant(kind), values) for values in (one, other)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    assert jax.tree.structure(stacked) == jax.tree.structure(members[0])
    images = mapped(stacked)
    assert images.shape == (2, 16, 16)
    for member, got in zip(members, images, strict=True):
        expected = np.asarray(image(member))
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10 * expected.max())


@eqx.filter_jit
def mapped(stacked):
    return eqx.filter_vmap(lambda m: m.model())(stacked)


@every_variant
def test_models_with_other_bounds_and_words_stack(kind):
    """What is declared about a parameter is not part of the tree."""
    model = variant(kind)
    leaves, structure = jax.tree.flatten(model)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert "bounds" not in str(structure) and hash(structure) == hash(jax.tree.structure(model))
