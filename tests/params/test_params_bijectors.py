"""Bijectors: inverses, bounds, determinants, far ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.params import Identity, Interval, Log, ParameterError, Softplus
from dluxshera.params.bijectors import bijector_for

BIJECTORS = [Identity(), Log(), Log(-2.5), Softplus(3.0, -1), Softplus(-1.0, 1), Interval(-1.0, 4.0)]
LIMITS = [(-np.inf, np.inf), (0, np.inf), (-2.5, np.inf), (-np.inf, 3), (-1, np.inf), (-1, 4)]
cases = pytest.mark.parametrize(("bijector", "limits"), list(zip(BIJECTORS, LIMITS, strict=True)))
unconstrained = st.floats(-12, 12)


@cases
@settings(deadline=None, max_examples=30)
@given(u=unconstrained)
def test_inverse(bijector, limits, u):
    assert np.isclose(bijector.to_unconstrained(bijector.to_physical(u)), u, rtol=1e-9, atol=1e-9)


@cases
@settings(deadline=None, max_examples=30)
@given(u=st.floats(-700, 700))
def test_values_stay_in_bounds(bijector, limits, u):
    x = bijector.to_physical(u)
    assert limits[0] <= x <= limits[1] and np.isfinite(x)
    assert np.isfinite(bijector.log_det(u))


@cases
@settings(deadline=None, max_examples=15)
@given(u=unconstrained)
def test_log_det_is_the_log_of_the_slope(bijector, limits, u):
    slope = jax.grad(lambda v: bijector.to_physical(v))(u)
    assert slope > 0
    assert np.isclose(bijector.log_det(u), np.log(slope), rtol=1e-9, atol=1e-9)


def test_close_to_a_bound_precision_is_kept():
    tiny = jnp.asarray([1e-12, 1e-100, 1e-300])
    for bijector in (Log(0.0), Softplus(0.0, 1), Interval(0.0, 1.0)):
        assert np.allclose(bijector.to_physical(bijector.to_unconstrained(tiny)), tiny, rtol=1e-12, atol=0)


def test_far_away_softplus_is_the_identity():
    x = jnp.asarray([50.0, 1e8])
    assert np.array_equal(Softplus(0.0, 1).to_unconstrained(x), x)
    assert np.array_equal(Softplus(0.0, -1).to_unconstrained(-x), -x)


def test_gradients_are_finite_at_far_ends():
    for bijector in BIJECTORS:
        slopes = jax.vmap(jax.grad(lambda u, b=bijector: b.to_physical(u)))(jnp.array([-700.0, 0.0, 700.0]))
        assert np.all(np.isfinite(slopes))


def test_bounds_choose_the_bijector():
    kinds = [type(bijector_for(*b)) for b in ((None, None), (0, None), (-1, None), (None, 1), (0, 1))]
    assert kinds == [Identity, Log, Log, Softplus, Interval]


def test_bounds_are_dynamic_leaves():
    traces = []

    @jax.jit
    def use(bijector):
        traces.append(1)
        return bijector.to_physical(0.0)

    assert use(Interval(0.0, 1.0)) == 0.5 and use(Interval(0.0, 3.0)) == 1.5
    assert len(traces) == 1


def test_vector_bounds():
    bijector = Interval(jnp.zeros(2), jnp.array([1.0, 2.0]))
    assert bijector.to_physical(jnp.zeros(2)).tolist() == [0.5, 1.0]


def test_bad_arguments():
    with pytest.raises(ParameterError, match="lower < upper"):
        Interval(1.0, 1.0)
    with pytest.raises(ParameterError, match="sign"):
        Softplus(0.0, 2)
