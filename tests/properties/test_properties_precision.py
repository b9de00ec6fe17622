"""What single precision can carry, and that a fit says so."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from precision import in_double
from toy import FREE, poisson, spots
from variants import VARIANTS, image, paths, variant

import dluxshera as ds

pytestmark = pytest.mark.float32


@pytest.mark.parametrize("kind", VARIANTS)
def test_every_number_and_the_image_have_the_precision_of_this_leg(kind):
    dtype = np.float64 if in_double() else np.float32
    assert {ds.get_value(variant(kind), path).dtype for path in paths(kind)} == {np.dtype(dtype)}
    assert image(variant(kind)).dtype == dtype and np.isfinite(image(variant(kind))).all()
    assert image(variant(kind)).min() > -1e-4 * image(variant(kind)).max()


@pytest.mark.parametrize("engine", [ds.LevenbergMarquardt(max_steps=2), ds.SimpleGD(max_steps=2)], ids=["lm", "gd"])
def test_a_fit_warns_in_single_precision_only(engine):
    model = spots()
    space = ds.ThetaSpace(model, FREE)
    objective = ds.Objective(model, space, poisson(model))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solution = ds.fit(objective, space.pack(spots(x=0.2)), engine=engine)
    said = [w for w in caught if w.category is ds.PrecisionWarning]
    assert len(said) == (0 if in_double() else 1)
    assert all("jax_enable_x64" in str(w.message) for w in said)
    assert solution.theta.dtype == (jnp.float64 if in_double() else jnp.float32)


def test_a_step_at_ten_arcsec_is_a_microarcsecond_in_single_precision():
    """The reason for the warning."""
    separation = np.asarray(ds.set_values(variant("two"), {"binary.separation_as": 10.0}).binary.separation_as)
    step = np.spacing(separation)
    assert step < 2e-15 if in_double() else 0.9e-6 < step < 1e-6
