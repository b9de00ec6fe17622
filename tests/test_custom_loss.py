"""Losses of one's own: of θ, and over the whole tree."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from decay import counts, decay
from jaxtyping import Array, Float

import dluxshera as ds
from dluxshera.inference.fit import _checked_start

FREE = ["level", "rate", "slope"]
IMAGE = counts(decay())


@pytest.fixture(scope="module")
def model():
    return decay(level=300.0, rate=1.2)


@pytest.fixture(scope="module")
def space(model):
    return ds.ThetaSpace(model, FREE)


class Robust(eqx.Module):
    """Huber's loss of the residuals: of the whole tree."""

    image: Float[Array, "n n"]
    noise: float = eqx.field(static=True, default=15.0)

    def __call__(self, model):
        residual = (self.image - model.model()) / self.noise
        return jnp.sum(optax.losses.huber_loss(residual, delta=3.0))


@pytest.fixture(scope="module")
def spoilt():
    """The image with one pixel hit by a cosmic ray."""
    return jnp.asarray(IMAGE).at[2, 3].add(5000.0)


def test_a_function_of_theta(model, space, spoilt):
    robust = Robust(spoilt)
    found = ds.fit(lambda theta: robust(space.unpack(theta, model)), space.pack(model))
    assert found.converged and found.covariance is None and found.model is None
    best = space.unpack(found.theta, model)
    clean = ds.fit(ds.Objective(model, space, ds.Observation(IMAGE)), space.pack(model))
    with pytest.warns(ds.BadPixelWarning, match="row 2 column 3"):
        plain = ds.fit(ds.Objective(model, space, ds.Observation(spoilt)), space.pack(model))
    away = lambda other: abs(float(other.rate - clean.model.rate)) / float(clean.sigma("rate"))  # noqa: E731
    assert away(best) < 2 < 10 < away(plain.model)
    with pytest.raises(ValueError, match=r"expected information for sigma, got LossObjective"):
        found.sigma("rate")


def test_the_loss_and_more(model, space):
    def loss(theta):
        expected = space.unpack(theta, model).model()
        return 0.5 * jnp.sum((IMAGE - expected) ** 2 / 100.0), {"flux": expected.sum()}

    found = ds.fit(loss, space.pack(model))
    assert found.converged
    assert float(found.aux["flux"]) == pytest.approx(float(space.unpack(found.theta, model).model().sum()))


class Weighing(eqx.Module):
    """A loss of one's own with a method, and more than numbers beside it."""

    target: jnp.ndarray

    def loss(self, theta):
        return jnp.sum((theta - self.target) ** 2), {"name": "distance", "theta": theta}


def test_a_method_may_give_the_loss_and_more():
    found = ds.fit(Weighing(jnp.ones(2)), jnp.zeros(2))
    assert found.converged and found.aux["name"] == "distance"
    np.testing.assert_allclose(found.aux["theta"], 1, atol=1e-6)


def test_labels_name_what_is_not_finite(space):
    wall = ds.LossObjective(lambda theta: jnp.sum(jnp.where(theta[1] < 0, jnp.nan, (theta + 1) ** 2)), space.labels)
    found = ds.fit(wall, jnp.ones(3), ds.SimpleGD(learning_rate=0.6))
    assert found.result == "loss or gradient not finite" and found.stats["first_bad"] == "rate"


class Weighted(ds.AbstractObjective):
    """An objective with data in fields: they are arguments, so that other data compile nothing."""

    model: eqx.Module
    space: ds.ThetaSpace
    loss_of_model: Robust

    def loss(self, theta):
        return self.loss_of_model(self.space.unpack(theta, self.model))


def test_an_objective_of_ones_own(model, space, spoilt):
    found = ds.fit(Weighted(model, space, Robust(spoilt)), space.pack(model))
    assert found.converged and found.stats["first_bad"] is None and found.identifiability is None


def test_the_gradient_over_the_whole_tree(model, spoilt):
    """`eqx.filter_grad` of a loss module, by every parameter and no buffer, against finite differences."""
    robust = Robust(spoilt)
    moving, rest = eqx.partition(model, ds.parameter_mask(model))
    gradient = eqx.filter_grad(lambda part: robust(eqx.combine(part, rest)))(moving)
    for name, step in (("level", 1e-3), ("rate", 1e-6), ("slope", 1e-4)):
        up, down = (robust(ds.set_values(model, {name: getattr(model, name) + s * step})) for s in (1, -1))
        assert float(getattr(gradient, name)) == pytest.approx(float((up - down) / (2 * step)), rel=1e-5)
    assert float(gradient.silent) == 0


def test_a_tree_fitted_by_optax(model):
    """The loop that a notebook writes: no θ at all."""
    robust = Robust(jnp.asarray(IMAGE))
    moving, rest = eqx.partition(model, ds.parameter_mask(model))
    scale = jax.tree.map(lambda x: jnp.maximum(jnp.abs(x), 1.0), moving)
    optimiser = optax.adam(0.01)

    @eqx.filter_jit
    def step(units, state):
        physical = lambda u: eqx.combine(jax.tree.map(jnp.multiply, u, scale), rest)  # noqa: E731
        loss, gradient = eqx.filter_value_and_grad(lambda u: robust(physical(u)))(units)
        update, state = optimiser.update(gradient, state)
        return optax.apply_updates(units, update), state, loss

    units = jax.tree.map(jnp.divide, moving, scale)
    state, losses = optimiser.init(units), []
    for _ in range(200):
        units, state, loss = step(units, state)
        losses.append(float(loss))
    assert losses[-1] < 0.2 * losses[0] and np.isfinite(losses).all()


def test_what_is_no_loss_is_refused():
    with pytest.raises(TypeError, match=r"loss\(theta\)"):
        ds.fit(3.0, jnp.zeros(2))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda theta: (theta, jnp.sum(theta)), r"\(loss, aux\), got float64 of shape \(2,\)"),
        (lambda theta: (jnp.sum(theta), theta, theta), r"\(loss, aux\), got tuple"),
        (lambda theta: theta**2, r"got float64 of shape \(2,\)"),
        (lambda theta: jnp.sum(theta) + 1j, "got complex128"),
        (lambda theta: 3, "got int"),
        (lambda theta: None, "got NoneType"),
    ],
)
def test_a_loss_that_is_not_one_number_is_refused(loss, message):
    objective = ds.LossObjective(loss)
    with pytest.raises(TypeError, match=message):
        ds.fit(objective, jnp.zeros(2))
    with pytest.raises(TypeError, match=message):
        ds.fit_many(objective, jnp.zeros((3, 2)))


def test_whole_numbers_to_start_from_are_fitted_in_full_precision():
    objective = ds.LossObjective(lambda theta: jnp.sum(theta**2))
    assert _checked_start(objective, [1, 2]).dtype == jnp.float64
    assert _checked_start(objective, jnp.ones(2, jnp.float32)).dtype == jnp.float32
    with pytest.raises(TypeError, match="real theta"):
        _checked_start(objective, jnp.zeros(2) + 1j)
