"""Fits side by side: each is what `fit` gives, and does not depend on its neighbours."""

import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from toy import FREE, poisson, spots

import dluxshera as ds
from dluxshera.inference import fit_batch


@pytest.fixture(scope="module")
def members():
    model = spots()
    space = ds.ThetaSpace(model, FREE)
    objectives = [ds.Objective(model, space, poisson(model, seed)) for seed in range(3)]
    return objectives, jnp.stack([space.pack(spots(x=0.3 + 0.1 * i)) for i in range(3)])


@pytest.mark.parametrize("engine", [ds.LevenbergMarquardt(), ds.BFGS(max_steps=40)], ids=["lm", "bfgs"])
def test_each_member_is_what_fit_gives(members, engine):
    objectives, thetas = members
    for found, objective, theta in zip(fit_batch(objectives, thetas, engine), objectives, thetas, strict=True):
        alone = ds.fit(objective, theta, engine)
        np.testing.assert_allclose(found.theta, alone.theta, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found.trace.loss[:4], alone.trace.loss[:4], rtol=1e-9)
        np.testing.assert_allclose(found.covariance, alone.covariance, rtol=1e-4, atol=1e-15)
        assert found.result == alone.result and found.stats["steps"] == len(found.trace.loss) - 1
        np.testing.assert_array_equal(found.trace.theta[0], theta)


def test_a_member_can_be_gone_on_with(members):
    objectives, thetas = members
    found = fit_batch(objectives, thetas, ds.LevenbergMarquardt(max_steps=2))[1]
    on = ds.fit(objectives[1], found.state.theta, ds.LevenbergMarquardt(), state=found.state)
    assert on.converged and on.stats["loss"] <= found.stats["loss"]


def test_neighbours_change_nothing(members):
    objectives, thetas = members
    whole = fit_batch(objectives, thetas, size=4)
    part = fit_batch(objectives[:2], thetas[:2], size=4)
    for a, b in zip(whole, part, strict=False):
        np.testing.assert_array_equal(a.theta, b.theta)
        np.testing.assert_array_equal(a.trace.loss, b.trace.loss)


def test_one_alone(members):
    objectives, thetas = members
    found = fit_batch(objectives[:1], thetas[:1])
    np.testing.assert_allclose(found[0].theta, ds.fit(objectives[0], thetas[0]).theta, rtol=1e-7)


def test_another_structure_is_refused(members):
    objectives, thetas = members
    other = ds.Objective(objectives[0].model, objectives[0].space, poisson(objectives[0].model), "gaussian_model")
    with pytest.raises(ValueError, match="one structure"):
        fit_batch([objectives[0], other], thetas[:2])


SPREAD = """
import sys, jax, numpy as np
sys.path.insert(0, "tests")
jax.config.update("jax_enable_x64", True)
import dluxshera as ds
from toy import FREE, poisson, spots
from dluxshera.inference import fit_batch
model = spots()
space = ds.ThetaSpace(model, FREE)
objectives = [ds.Objective(model, space, poisson(model, seed)) for seed in range(6)]
thetas = np.stack([space.pack(model)] * 6)
assert len(jax.devices()) == 4
spread = fit_batch(objectives, thetas)
single = fit_batch(objectives, thetas, devices=jax.devices()[:1])
for a, b in zip(spread, single):
    np.testing.assert_allclose(a.theta, b.theta, rtol=1e-10, atol=1e-12)
    assert a.stats["steps"] == b.stats["steps"]
"""


def test_members_are_spread_over_devices_and_found_the_same():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", SPREAD], env=environment, cwd=root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
