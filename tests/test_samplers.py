"""Samplers against closed forms and fits; diagnostics against ArviZ."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny
from toy import NPIX, poisson, spots

import dluxshera as ds
from dluxshera.inference import EigenSpace, SamplerWarning, Samples, laplace_samples, sample
from dluxshera.inference.samplers import check_sampling, covariance_root, warn_of_trouble

pytest.importorskip("blackjax")
NAMES = ["x", "separation", "log_flux", "shape"]


@pytest.fixture(scope="module")
def objective():
    model = spots()
    return ds.Objective(model, ds.ThetaSpace(model, NAMES), poisson(model, seed=1))


@pytest.fixture(scope="module")
def solution(objective):
    return ds.fit(objective, objective.space.pack(objective.model))


@pytest.fixture(scope="module")
def drawn(objective, solution):
    return sample(objective, solution.theta, draws=600, warmup=200, seed=3)


@pytest.fixture(scope="module")
def prior_only():
    """An objective without a used pixel, of two bounded parameters: the posterior is the prior."""
    model = spots(silent=0.5, throughput=0.5)
    priors = {"silent": ds.LogNormal(0.0, 0.6), "throughput": ds.TruncatedNormal(0.7, 0.4, 0.0, 1.0)}
    space = ds.ThetaSpace(model, list(priors), overrides={"silent": {"bounds": (0.0, None)}}, priors=priors)
    nothing = jnp.zeros((NPIX, NPIX), bool)
    return eqx.tree_at(lambda o: o.mask, ds.Objective(model, space, poisson(model)), nothing)


def test_nuts_agrees_with_the_fit_where_the_posterior_is_normal(drawn, solution):
    for name in NAMES:
        value, sigma = np.asarray(ds.get_value(solution.model, name)), np.asarray(solution.sigma(name))
        draws = drawn.values[name]
        assert draws.shape == (4, 600, *value.shape)
        np.testing.assert_allclose(draws.std(axis=(0, 1)), sigma, rtol=0.1)
        np.testing.assert_allclose((draws.mean(axis=(0, 1)) - value) / sigma, 0, atol=0.15)
    rows = drawn.summary()
    assert [row["label"] for row in rows] == list(solution.objective.space.labels)
    assert all(row["r_hat"] < 1.01 and row["ess_bulk"] > 400 for row in rows)
    assert all(row["q05"] < row["q50"] < row["q95"] for row in rows)
    assert drawn.stats["divergences"] == 0 == drawn.divergent.sum()
    assert drawn.stats["leapfrogs"] < 12 and drawn.stats["step_size"].shape == (4,)


def test_chains_run_in_whitened_coordinates(objective, solution):
    root = np.asarray(covariance_root(objective, solution.theta))
    np.testing.assert_allclose(root @ root.T, solution.covariance, rtol=1e-8, atol=1e-14)


def test_log_prob_is_the_posterior_of_the_physical_parameters(drawn, objective):
    theta = jnp.asarray(drawn.theta[1, 5])
    expected = objective.log_prob(theta) + objective.space.log_det(theta)
    np.testing.assert_allclose(drawn.log_prob[1, 5], expected, rtol=1e-12)
    np.testing.assert_allclose(drawn.physical[1, 5], objective.space.physical(theta))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nuts", pytest.param("hmc", marks=pytest.mark.full)])
def test_bounded_parameters_have_their_own_density(prior_only, method):
    """Without the log-determinant the logarithm of the log-normal would be off by sigma^2."""
    stats = pytest.importorskip("scipy.stats")
    theta = prior_only.space.pack(prior_only.model)
    drawn = sample(prior_only, theta, method=method, draws=800, warmup=150, seed=5)
    values, exact = drawn.values, stats.truncnorm((0 - 0.7) / 0.4, (1 - 0.7) / 0.4, 0.7, 0.4)
    log_x = np.log(values["silent"])
    error = 1 / np.sqrt(min(row["ess_bulk"] for row in drawn.summary()))
    assert error < 0.07 and abs(log_x.mean()) < 4 * 0.6 * error
    assert log_x.std() == pytest.approx(0.6, rel=4 * error)
    assert stats.kstest(values["throughput"][:, ::5].ravel(), exact.cdf).pvalue > 1e-3
    assert 0 < values["throughput"].min() and values["throughput"].max() < 1


@pytest.mark.full
def test_eigenmodes_give_the_same_posterior(objective, solution, drawn):
    space = EigenSpace.of(objective, solution.theta)
    found = sample(objective.with_space(space), jnp.zeros(space.dim), draws=600, warmup=200, seed=4)
    assert found.labels == drawn.labels
    sigma = drawn.flat().std(axis=0)
    np.testing.assert_allclose((found.flat().mean(axis=0) - drawn.flat().mean(axis=0)) / sigma, 0, atol=0.15)
    np.testing.assert_allclose(found.flat().std(axis=0), sigma, rtol=0.12)
    np.testing.assert_allclose(found.physical[2, 7], objective.space.physical(space.decode(found.theta[2, 7])))


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::dluxshera.SamplingWarning")
def test_nuts_agrees_with_the_fit_of_an_instrument():
    """A tiny form of what `benchmarks/nuts.py` does at full size."""
    model = tiny("shera_flight_two_plane")
    space = ds.ThetaSpace(model, ["binary.separation_as", "binary.contrast", "binary.log_flux_total"])
    image = np.random.default_rng(1).poisson(np.asarray(model.model())).astype(float)
    problem = ds.Objective(model, space, ds.Observation(image))
    solution = ds.fit(problem, space.pack(model))
    drawn = sample(problem, solution.theta, draws=400, warmup=100, seed=2)
    for name in space.names:
        assert drawn.values[name].std() == pytest.approx(float(solution.sigma(name)), rel=0.1)
    assert max(row["r_hat"] for row in drawn.summary()) < 1.01


def test_laplace_draws_have_the_covariance_of_the_fit(objective, solution):
    drawn = laplace_samples(objective, solution.theta, draws=4000, chains=2, seed=jax.random.key(7))
    theta = drawn.theta.reshape(-1, objective.space.dim)
    sigma = np.sqrt(np.diagonal(solution.covariance))
    found = np.cov(theta.T) / sigma[:, None] / sigma
    np.testing.assert_allclose(found, solution.covariance / sigma[:, None] / sigma, atol=0.06)
    np.testing.assert_allclose((theta.mean(axis=0) - solution.theta) / sigma, 0, atol=0.06)
    assert drawn.values["shape"].shape == (2, 4000, 2) and drawn.stats["method"] == "laplace"
    rises = [float(objective.log_prob(jnp.asarray(row))) for row in drawn.theta[0, :4]]
    np.testing.assert_allclose(np.diff(drawn.log_prob[0, :4]), np.diff(rises), atol=0.5)


def test_seeds_decide(objective, solution):
    draw = lambda seed: laplace_samples(objective, solution.theta, draws=9, seed=seed).physical  # noqa: E731
    np.testing.assert_array_equal(draw(3), draw(jax.random.key(3)))
    assert (draw(3) != draw(4)).any()


def test_chains_that_move_or_diverge_are_told():
    noise = np.random.default_rng(0).normal(size=(1, 400, 1))
    space, broken = ds.ThetaSpace(spots(), ["x"]), np.zeros((1, 400), bool)

    def samples(physical, divergent):
        return Samples(physical, physical, noise[..., 0], divergent, space, {"divergences": int(divergent.sum())})

    steady, drifting = (samples(x, broken) for x in (noise, noise + np.linspace(0, 4, 400)[:, None]))
    assert steady.diagnostics()["r_hat"][0] < 1.02 < 1.2 < drifting.diagnostics()["r_hat"][0]
    with pytest.warns(SamplerWarning, match="^R-hat of x is 1"):
        warn_of_trouble(drifting)
    broken[0, 3] = True
    with pytest.warns(SamplerWarning, match="^1 of 400 trajectories diverged"):
        warn_of_trouble(samples(noise, broken))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_diagnostics_and_conversion_agree_with_arviz(drawn):
    pytest.importorskip("arviz", exc_type=ImportError)
    data = drawn.to_arviz()
    import arviz

    np.testing.assert_array_equal(data.posterior["separation"], drawn.values["separation"])
    assert data.posterior["shape"].dims == ("chain", "draw", "shape element")
    assert list(data.posterior["shape element"].values) == ["shape[0]", "shape[1]"]
    assert data.sample_stats["diverging"].shape == (4, 600)
    rows = {row["label"]: row for row in drawn.summary()}
    for name, of in (("r_hat", arviz.rhat), ("ess_bulk", arviz.ess)):
        np.testing.assert_allclose(rows["x"][name], of(data)["x"], rtol=0.02)


def test_bad_input_is_refused(objective, solution):
    model = objective.model
    with pytest.raises(ValueError, match="nuts, hmc"):
        sample(objective, solution.theta, method="gibbs")
    with pytest.raises(ValueError, match="draws of 8 or more"):
        sample(objective, solution.theta, draws=1)
    for wrong in ({"dispersion": -1.0}, {"target_acceptance": 1.5}, {"most_leapfrogs": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            sample(objective, solution.theta, **wrong)
    space = ds.ThetaSpace(model, ["throughput", "log_flux", "silent"])
    problem = ds.Objective(model, space, poisson(model))
    for draw in (sample, laplace_samples):
        with pytest.raises(ValueError, match="bounded(.|\n)*silent(.|\n)*log_flux . throughput"):
            draw(problem, space.pack(model))


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"draws": -1}, {"chains": 0}])
def test_impossible_numbers_of_laplace_draws_are_refused(objective, solution, wrong):
    with pytest.raises(ValueError, match=f"Expected {next(iter(wrong))} of 1 or more, a whole number"):
        laplace_samples(objective, solution.theta, **wrong)


def test_too_few_draws_have_no_diagnostics(objective, solution):
    few = laplace_samples(objective, solution.theta, draws=2)
    assert few.flat().shape[0] == 2
    with pytest.raises(ValueError, match="draws of 8 or more of a single chain"):
        few.summary()
    with pytest.raises(ValueError, match="draws of 8 or more, a whole number, got 10.5"):
        check_sampling("nuts", 4, 10.5, 500)


def test_seeds_may_be_of_any_whole_number(objective, solution):
    draw = lambda seed: laplace_samples(objective, solution.theta, draws=3, seed=seed).physical  # noqa: E731
    np.testing.assert_array_equal(draw(3), draw(np.int64(3)))
    for wrong in (3.5, "3", None):
        with pytest.raises(TypeError, match="Expected seed as a whole number or a jax key"):
            draw(wrong)


def test_what_has_no_finite_information_is_not_sampled(objective, solution):
    for draw in (sample, laplace_samples):
        with pytest.raises(ValueError, match="Expected finite information"):
            draw(objective, solution.theta * jnp.nan)
        with pytest.raises(ValueError, match="expected information for (sample|laplace_samples), got function"):
            draw(jnp.sum, jnp.zeros(2))


def test_modes_that_nothing_determines_are_named_with_their_parameters():
    model = spots()
    space = ds.ThetaSpace(model, ["x", "silent"])
    problem = ds.Objective(model, space, poisson(model))
    modes = EigenSpace.of(problem, space.pack(model))
    with pytest.raises(ValueError, match=r"mode 2 \(1.00 silent\): the image does not respond"):
        laplace_samples(problem.with_space(modes), jnp.zeros(2))
