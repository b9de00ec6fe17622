"""Fisher information against Hessians, its inverse, and what it says of parameters it cannot see."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import PARAMETERS, tiny
from toy import NPIX, poisson, spots

import dluxshera as ds
from dluxshera.inference.fisher import prior_information

NAMES = ["x", "separation", "log_flux", "contrast", "shape", "width"]


@pytest.fixture(scope="module")
def model():
    return spots(read_noise=2.0)


@pytest.fixture(scope="module")
def space(model):
    return ds.ThetaSpace(model, NAMES)


def noiseless(model, exposures=1, mask=None):
    expected = model.model()
    return ds.Observation(exposures * expected, exposures * model.variance(expected), mask, exposures)


@eqx.filter_jit
def hessian(objective, theta):
    return jax.hessian(objective.loss)(theta)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_it_is_the_hessian_at_the_noiseless_image(likelihood, model, space):
    objective, theta = ds.Objective(model, space, noiseless(model), likelihood), space.pack(model)
    information = ds.fisher_information(objective, theta)
    scale = np.sqrt(np.outer(np.diagonal(information), np.diagonal(information)))
    np.testing.assert_allclose(information / scale, hessian(objective, theta) / scale, atol=1e-8)


def test_the_model_variance_adds_what_the_scatter_tells(model, space):
    """J^T (1/v + v'^2 / 2v^2) J with v' = 1, against the plain Gaussian information."""
    theta = space.pack(model)
    objective = ds.Objective(model, space, noiseless(model), "gaussian_model")
    _, jacobian = eqx.filter_jit(lambda o, t: o.jacobian(t))(objective, theta)
    flat, variance = np.asarray(jacobian).reshape(space.dim, -1), np.asarray(model.variance(model.model())).ravel()
    expected = (flat * (1 / variance + 0.5 / variance**2)) @ flat.T
    np.testing.assert_allclose(ds.fisher_information(objective, theta), expected, rtol=1e-9)


@settings(max_examples=5, deadline=None)
@given(exposures=st.sampled_from([1, 10, 36000]))
def test_information_grows_with_the_exposures(model, space, exposures):
    theta = space.pack(model)
    one, many = (ds.fisher_information(ds.Objective(model, space, noiseless(model, n)), theta) for n in (1, exposures))
    np.testing.assert_allclose(many, exposures * one, rtol=1e-9)


def test_masked_pixels_give_no_information(model, space):
    theta, mask = space.pack(model), np.ones((NPIX, NPIX), bool)
    mask[:, : NPIX // 2] = False
    objectives = [ds.Objective(model, space, noiseless(model, mask=m)) for m in (None, mask, mask[:, ::-1])]
    whole, right, left = (np.asarray(ds.fisher_information(objective, theta)) for objective in objectives)
    np.testing.assert_allclose(right + left, whole, rtol=1e-9, atol=1e-9 * np.abs(whole).max())


def test_the_data_themselves_do_not_enter(model, space):
    theta = space.pack(model)
    infos = [
        ds.fisher_information(ds.Objective(model, space, observation), theta)
        for observation in (noiseless(model), poisson(model, 3), ds.Observation(np.ones((NPIX, NPIX))))
    ]
    np.testing.assert_array_equal(infos[0], infos[1])
    np.testing.assert_array_equal(infos[0], infos[2])


def test_priors_are_in_the_covariance_and_not_in_the_information(model, space):
    prior = ds.ThetaSpace(model, NAMES, priors={"shape": ds.Normal(0.1, 1e-4)})
    theta = space.pack(model)
    with_prior = ds.Objective(model, prior, poisson(model, 3))
    np.testing.assert_array_equal(
        ds.fisher_information(with_prior, theta),
        ds.fisher_information(ds.Objective(model, space, noiseless(model)), theta),
    )
    added = np.zeros(space.dim)
    added[prior.slice("shape")] = 1e8
    np.testing.assert_allclose(prior_information(with_prior, theta), np.diag(added))
    solution = ds.fit(with_prior, theta)
    np.testing.assert_allclose(solution.sigma("shape"), 1e-4, rtol=1e-2)
    np.testing.assert_array_equal(solution.sigma("throughput"), 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**31), st.floats(0, 8))
def test_covariance_is_the_inverse_however_the_units_differ(size, seed, decades):
    random = np.random.default_rng(seed)
    root = random.normal(size=(size, 2 * size))
    units = 10 ** random.uniform(-decades, decades, size)
    information = units[:, None] * (root @ root.T) * units
    found = np.asarray(ds.covariance(jnp.asarray(information)))
    np.testing.assert_allclose(units[:, None] * found * units, np.linalg.inv(root @ root.T), rtol=1e-5)


def test_what_is_not_seen_has_infinite_variance_and_no_covariance():
    information = jnp.asarray([[4.0, 0, 0, 0], [0, 1.0, 1.0, 0], [0, 1.0, 1.0, 0], [0, 0, 0, 0]])
    expected = np.diag([0.25, np.inf, np.inf, np.inf])
    np.testing.assert_array_equal(ds.covariance(information), expected)


def test_dead_parameters_and_degenerate_pairs_are_named():
    information = jnp.asarray([[4.0, 0, 0, 0], [0, 1.0, -2.0, 0], [0, -2.0, 4.0, 0], [0, 0, 0, 0]])
    report = ds.identifiability(information, ("a", "b", "c", "d"))
    assert report.dead == ("d",) and report.degenerate == (("b", "c"),)
    assert "d:" in str(report) and "b + c" in str(report)
    nothing = ds.identifiability(jnp.zeros((2, 2)), ("a", "b"))
    assert nothing.dead == ("a", "b") and nothing.condition == np.inf
    fine = ds.identifiability(jnp.diag(jnp.asarray([1.0, 1e-12])), ("a", "b"))
    assert fine.dead == () == fine.degenerate and fine.condition == pytest.approx(1)


def test_a_fit_names_what_it_cannot_see():
    model = spots()
    space = ds.ThetaSpace(model, ["throughput", "log_flux", "separation", "silent"])
    objective = ds.Objective(model, space, poisson(model))
    with pytest.warns(ds.IdentifiabilityWarning, match="silent: the image(.|\n)*log_flux . throughput: only"):
        solution = ds.fit(objective, space.pack(model))
    assert solution.converged and solution.identifiability.dead == ("silent",)
    assert [set(pair) for pair in solution.identifiability.degenerate] == [{"throughput", "log_flux"}]
    for name in ("throughput", "log_flux", "silent", "fluxes"):
        assert np.isinf(solution.sigma(name)).all()
    assert 0 < float(solution.sigma("separation")) < 0.1
    assert float(solution.model.silent) == 0


@pytest.mark.parametrize("start", [0.3, 0.6, 0.95])
def test_a_prior_resolves_what_the_data_do_not(start):
    model = spots()
    space = ds.ThetaSpace(model, ["throughput", "log_flux"], priors={"throughput": ds.Normal(0.9, 0.01)})
    objective = ds.Objective(model, space, poisson(model))
    theta = space.pack(ds.set_values(model, {"throughput": start}))
    solution = ds.fit(objective, theta)
    assert solution.converged and not solution.identifiability.degenerate
    assert float(solution.model.throughput) == pytest.approx(0.9, abs=1e-4)
    assert float(solution.sigma("throughput")) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.slow
def test_without_a_diffractive_pupil_focus_is_dead_at_zero():
    model = tiny("shera_flight_two_plane", optics__diffractive_pupil="none")
    space = ds.ThetaSpace(model, ["binary.separation_as", "optics.m1.zernike_coeffs_nm[Z4]"])
    information = ds.fisher_information(ds.Objective(model, space, noiseless(model)), space.pack(model))
    report = ds.identifiability(information, space.labels)
    assert report.dead == ("optics.m1.zernike_coeffs_nm[Z4]",)


@pytest.mark.slow
def test_memory_of_a_full_size_fisher_matrix():
    model = ds.load_profile("shera_flight")
    space = ds.ThetaSpace(model, PARAMETERS)
    assert space.dim == 23 and model.binary.wavelengths_m.shape == (7,)
    objective = ds.Objective(model, space, ds.Observation(np.ones((256, 256))))
    arrays, static = eqx.partition((objective, space.pack(model)), eqx.is_array)
    function = jax.jit(lambda a: ds.fisher_information(*eqx.combine(a, static)))
    assert function.lower(arrays).compile().memory_analysis().temp_size_in_bytes < 1.5e9


def test_information_that_is_not_finite_is_not_called_dead():
    """One parameter's derivative is not finite, and so what it shares with others."""
    information = jnp.diag(jnp.asarray([1.0, 2.0])).at[1].set(jnp.nan).at[:, 1].set(jnp.nan)
    with pytest.raises(ValueError, match="finite information, got numbers that are not for b"):
        ds.identifiability(information, ("a", "b"))
    said = ds.identifiability_report(information, ("a", "b"))
    assert "not finite for b:" in said and "no effect" not in said
    mixed = jnp.eye(2).at[0, 1].set(jnp.inf).at[1, 0].set(jnp.inf)
    assert "not finite for a, b:" in ds.identifiability_report(mixed, ("a", "b"))
