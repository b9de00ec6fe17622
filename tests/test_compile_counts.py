"""What compiles a fit again, and what does not: another number never does."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import pytest
from tiny import edit
from toy import FREE, NPIX, poisson, spots

import dluxshera as ds
from dluxshera.inference import AbstractEngine


@pytest.fixture
def traces():
    """A list that grows by one whenever a step is traced, and an engine that does it."""
    count = []

    class Counting(AbstractEngine):
        max_steps: int = eqx.field(static=True, default=50)
        inner: ds.LevenbergMarquardt = ds.LevenbergMarquardt()

        def init(self, theta):
            return self.inner.init(theta)

        def step(self, objective, state):
            count.append(1)
            return self.inner.step(objective, state)

    return count, Counting


CHANGES = {
    "values": lambda: (spots(x=0.1, area=2.1, throughput=0.8), {}, {}),
    "data": lambda: (spots(), {}, {"seed": 5}),
    "exposures": lambda: (spots(), {}, {"exposures": 7}),
    "bounds": lambda: (spots(), {"overrides": {"separation": {"bounds": (0.5, None)}}}, {}),
    "a buffer": lambda: (spots(background=2 * jnp.ones((NPIX, NPIX))), {}, {}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_numbers_compile_nothing(name, traces):
    count, engine = traces
    for model, space_options, data_options in ((spots(), {}, {}), CHANGES[name]()):
        space = ds.ThetaSpace(model, FREE, **space_options)
        ds.fit(ds.Objective(model, space, poisson(model, **data_options)), space.pack(model), engine=engine())
        assert len(count) == 1


def test_other_priors_compile_nothing_and_another_structure_compiles_once(traces):
    count, engine = traces
    for mean in (1.9, 2.1):
        model = spots()
        space = ds.ThetaSpace(model, FREE, priors={"contrast": ds.Normal(mean, 0.1 * mean)})
        ds.fit(ds.Objective(model, space, poisson(model)), space.pack(model), engine=engine())
    assert len(count) == 1
    model = dataclasses.replace(spots(), exponent=4)
    for seed in (0, 1):
        space = ds.ThetaSpace(model, FREE, priors={"contrast": ds.Normal(2.0, 0.1)})
        ds.fit(ds.Objective(model, space, poisson(model, seed)), space.pack(model), engine=engine())
    assert len(count) == 2


def test_a_weakly_typed_value_compiles_nothing_more(traces):
    (count, engine), model = traces, spots()
    space = ds.ThetaSpace(model, FREE)
    weak = eqx.tree_at(lambda m: m.area, model, jnp.asarray(2.0))
    for candidate in (model, weak, edit(model, {"area": 2.0})):
        ds.fit(ds.Objective(candidate, space, poisson(model)), space.pack(candidate), engine=engine())
    assert len(count) == 1
