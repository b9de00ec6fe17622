"""Optax engines: optimisers that ask for more than a gradient, refusals, and the record of their settings."""

import json

import jax.numpy as jnp
import optax
import pytest

import dluxshera as ds
from dluxshera.config.fit_runs import _lasting
from dluxshera.config.settings import adam_in_sigmas
from dluxshera.inference import engine_settings


def quadratic(theta):
    return 0.5 * jnp.sum(jnp.asarray([1.0, 4.0]) * (theta - 1) ** 2)


ASKING = {
    "lbfgs": lambda: optax.lbfgs(),
    "polyak": lambda: optax.polyak_sgd(max_learning_rate=0.4),
    "plateau": lambda: optax.chain(optax.sgd(0.2), optax.contrib.reduce_on_plateau(patience=50)),
}


@pytest.mark.parametrize("name", ASKING)
def test_optimisers_that_ask_for_the_loss_are_given_it(name):
    found = ds.fit(quadratic, jnp.asarray([3.0, -2.0]), ds.OptaxEngine(ASKING[name](), max_steps=60))
    assert found.stats["loss"] < 1e-6 and found.stats["refused_steps"] == 0


def test_polyak_steps_follow_from_the_loss():
    """Of one over |x|^2 / 2 the step is half of the way: f / |g|^2 = 1/2."""
    engine = ds.OptaxEngine(optax.polyak_sgd(), max_steps=4)
    found = ds.fit(lambda x: 0.5 * jnp.sum(x**2), jnp.asarray([8.0]), engine)
    assert found.trace.theta[:, 0].tolist() == pytest.approx([8.0, 4.0, 2.0, 1.0, 0.5])


def test_a_name_is_no_optimiser():
    for wrong in ("adam", optax.adam, None):
        with pytest.raises(TypeError, match="Expected optimiser as an optax.GradientTransformation"):
            ds.OptaxEngine(wrong)


def recorded(engine):
    return json.loads(json.dumps(engine_settings(engine)))


def test_options_are_recorded():
    assert recorded(ds.sgd(0.1, momentum=0.9, nesterov=True))["options"] == {"momentum": 0.9, "nesterov": True}
    assert recorded(ds.adam(0.1, b1=0.5))["options"] == {"b1": 0.5}
    assert recorded(ds.OptaxEngine(optax.rmsprop(0.1)))["options"] == {}
    own = ds.OptaxEngine(optax.rmsprop(0.1, decay=0.8), options={"decay": 0.8, "sizes": [1, 2], "of": jnp.ones(2)})
    assert recorded(own)["options"] == {"decay": 0.8, "sizes": [1, 2], "of": [1.0, 1.0]}


def test_the_scaled_adam_is_recorded_with_its_numbers():
    found = recorded(adam_in_sigmas(jnp.asarray([1.0, 2.0]), 0.3, 100))["options"]
    assert found == {"learning_rate": 0.3, "schedule": "cosine", "steps": 100, "sigma": [1.0, 2.0]}


def test_a_scaled_adam_is_the_same_for_another_step_limit_and_no_other_rate():
    """What a resumed run is compared by."""
    made = [_lasting(recorded(adam_in_sigmas(jnp.asarray(s), rate, n))) for s, rate, n in
            ((1.0, 0.3, 100), (1.1, 0.3, 200), (1.0, 0.1, 100))]  # fmt: skip
    assert made[0] == made[1] != made[2]
    assert "options" not in _lasting({"name": "adam", "max_steps": 3})  # a record without them


def test_options_compile_nothing_anew():
    assert hash(ds.adam(0.1, b1=0.5).options) == hash(ds.adam(0.2, b1=0.5).options)
