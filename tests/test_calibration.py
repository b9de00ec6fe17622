"""Simulation-based calibration: a right sampler passes, wrong ones are found out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dluxshera.inference import simulation_based_calibration
from dluxshera.inference.calibration import calibration_of

SIGMA, DATA, DRAWS = jnp.asarray([1.0, 0.2]), 4, 39


def draw_prior(key):
    """Two independent standard normal means."""
    return jax.random.normal(key, (2,))


def simulate(means, key):
    """Four measurements of each mean."""
    return means + SIGMA * jax.random.normal(key, (DATA, 2))


def posterior(width=1.0, shift=0.0):
    """The conjugate posterior, exact for the defaults."""

    def sample(data, key):
        precision = 1 + DATA / SIGMA**2
        mean = (DATA / SIGMA**2) * data.mean(axis=0) / precision
        return mean + (shift + width * jax.random.normal(key, (DRAWS, 2))) / jnp.sqrt(precision)

    return jax.jit(sample)


def run(sample, **options):
    return simulation_based_calibration(jax.jit(draw_prior), jax.jit(simulate), sample, **options)


@pytest.fixture(scope="module")
def exact():
    return run(posterior(), simulations=400, seed=1)


def test_an_exact_posterior_has_uniform_ranks(exact):
    assert (exact.p_values > 0.01).all() and exact.ranks.shape == (400, 2)
    assert exact.ranks.min() >= 0 and exact.ranks.max() <= DRAWS
    np.testing.assert_array_equal(exact.counts.sum(axis=0), 400)
    np.testing.assert_array_equal(exact.expected, 40)
    assert "[1]: uniform ranks with p" in str(exact)


@pytest.mark.parametrize("width, shift", [(0.6, 0.0), (1.7, 0.0), (1.0, 0.5)])
def test_a_wrong_posterior_is_detected(width, shift):
    wrong = run(posterior(width, shift), simulations=400, seed=1)
    assert (wrong.p_values < 1e-4).all()
    ends, middle = wrong.counts[[0, -1]].sum(axis=0), wrong.counts[4:6].sum(axis=0)
    if shift == 0:
        assert ((ends > 1.5 * middle) == (width < 1)).all() and ((middle > 1.5 * ends) == (width > 1)).all()
    else:
        assert (wrong.counts[0] > 2 * wrong.counts[-1]).all()


def test_p_values_are_those_of_scipy(exact):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.chisquare(exact.counts, exact.expected[:, None])
    np.testing.assert_allclose(exact.p_values, expected.pvalue, rtol=1e-8)


def test_bins_that_do_not_divide_the_ranks_hold_their_share():
    ranks = np.repeat(np.arange(11), 6)[:, None]  # perfectly uniform on 0 to 10
    found = calibration_of(ranks, 10, 4, ["a"])
    np.testing.assert_allclose(found.counts[:, 0], found.expected)
    assert found.p_values == pytest.approx(1.0) and found.labels == ("a",)


def test_the_seed_decides(exact):
    again, other = (run(posterior(), simulations=50, bins=5, seed=seed) for seed in (jax.random.key(1), 2))
    same = run(posterior(), simulations=50, bins=5, seed=1)
    np.testing.assert_array_equal(again.ranks, same.ranks)
    assert (again.ranks != other.ranks).any()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="5 simulations"):
        run(posterior(), simulations=10)
    with pytest.raises(ValueError, match="draws of shape"):
        run(lambda data, key: np.zeros((9, 3)), simulations=20, bins=2)
    with pytest.raises(ValueError, match="2 to 4 bins"):
        run(lambda data, key: np.zeros((3, 2)), simulations=50)
    sizes = iter(range(5, 100))
    with pytest.raises(ValueError, match="as many draws"):
        run(lambda data, key: np.zeros((next(sizes), 2)), simulations=20, bins=2)
