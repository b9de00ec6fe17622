"""Fits of telescope images: an independent simulator's noisy data, and half an hour of our own."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import PARAMETERS, reference_file, reference_model

import dluxshera as ds
from dluxshera.inference import AbstractEngine

NAME = "testbed_poisson_short_pup256_psf128.npz"
pytestmark = pytest.mark.slow
TRACES = []


class Counting(AbstractEngine):
    """Levenberg-Marquardt that notes when it is compiled."""

    max_steps: int = eqx.field(static=True, default=15)
    inner: ds.LevenbergMarquardt = ds.LevenbergMarquardt()

    def init(self, theta):
        return self.inner.init(theta)

    def step(self, objective, state):
        TRACES.append(1)
        return self.inner.step(objective, state)


@pytest.fixture(scope="module")
def truth():
    return reference_model(NAME)


@pytest.fixture(scope="module")
def space(truth):
    return ds.ThetaSpace(truth, PARAMETERS)


@pytest.fixture(scope="module")
def start(truth):
    """What the file says a fit should begin with; only parameters differ from the truth."""
    values = reference_file(NAME)[1]["start"]
    return ds.set_values(
        truth, {path: v for path, v in values.items() if path.startswith("binary.") or "coeffs" in path}
    )


def pulls(solution, space, truth):
    return np.asarray((solution.theta - space.pack(truth)) / jnp.sqrt(jnp.diagonal(solution.covariance)))


def check_fit(solution, space, truth):
    assert solution.converged and solution.stats["steps"] <= 15
    assert space.dim == 23 and np.abs(pulls(solution, space, truth)).max() < 4
    freedom = 128**2 - 23
    assert abs(solution.stats["reduced_chi_square"] - 1) < 3 * np.sqrt(2 / freedom)
    assert not solution.identifiability.dead and not solution.identifiability.degenerate


@pytest.mark.parametrize("draw", [0, *(pytest.param(n, marks=pytest.mark.full) for n in (1, 2))])
def test_one_exposure_of_the_reference(draw, tmp_path, truth, space, start):
    """Through a file."""
    counts = reference_file(NAME)[0]["counts"][draw].astype(float)
    ds.Observation(counts).write(tmp_path / "image.fits")
    observation = ds.Observation.read(tmp_path / "image.fits")
    np.testing.assert_array_equal(observation.image, counts)
    solution = ds.fit(ds.Objective(start, space, observation), space.pack(start), engine=Counting())
    check_fit(solution, space, truth)
    assert float(solution.sigma("binary.separation_as")) == pytest.approx(1130e-6, rel=0.05)
    assert len(TRACES) == 1


def test_half_an_hour_from_fifty_sigma_away(truth, space, start):
    exposures = 36000
    counts = np.random.default_rng(11).poisson(exposures * np.asarray(truth.model())).astype(float)
    objective = ds.Objective(truth, space, ds.Observation(counts, exposures=exposures))
    theta = space.pack(truth)
    information = ds.fisher_information(objective, theta)
    values, vectors = np.linalg.eigh(np.asarray(information))
    away = vectors @ (50 * np.random.default_rng(5).choice([-1, 1], 23) / np.sqrt(values))
    solution = ds.fit(objective, theta + away, engine=Counting())
    check_fit(solution, space, truth)
    assert float(solution.sigma("binary.separation_as")) == pytest.approx(5.95e-6, rel=0.05)
    assert float(solution.sigma("binary.x_position_as")) == pytest.approx(2.1e-3, rel=0.08)
    assert len(TRACES) == 1
