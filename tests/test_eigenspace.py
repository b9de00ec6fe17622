"""EigenSpace: another θ for the same fit; its modes, truncation, priors, traces and errors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import FREE, poisson, spots

import dluxshera as ds
from dluxshera.inference import EigenSpace, identifiability_report
from dluxshera.inference.eigenmodes import canonical_signs, count_kept
from dluxshera.inference.fisher import prior_information
from dluxshera.inference.identifiability_report import combination, sparse_basis

PRIORS = {"x": ds.Normal(0.3, 0.05), "separation": ds.Normal(4.0, 0.2), "shape": ds.Normal(0.0, 0.5)}


@pytest.fixture(scope="module")
def truth():
    return spots()


@pytest.fixture(scope="module")
def start(truth):
    return ds.set_values(truth, {"x": 0.33, "separation": 4.1, "log_flux": 5.01, "contrast": 2.1, "shape": [0.0, 0.0]})


@pytest.fixture(scope="module")
def objective(truth, start):
    return ds.Objective(start, ds.ThetaSpace(start, FREE), poisson(truth, seed=4))


@pytest.fixture(scope="module")
def with_priors(truth, start):
    return ds.Objective(start, ds.ThetaSpace(start, FREE, priors=PRIORS), poisson(truth, seed=4))


@pytest.fixture(scope="module")
def theta(objective, start):
    return objective.space.pack(start)


@pytest.fixture(scope="module")
def fisher(objective, theta):
    return ds.fisher_information(objective, theta)


@pytest.fixture(scope="module")
def eigen(objective, theta):
    return EigenSpace.of(objective, theta)


def test_the_information_of_coefficients_is_the_eigenvalues(objective, eigen):
    information = ds.fisher_information(objective.with_space(eigen), jnp.zeros(eigen.dim))
    values = np.asarray(eigen.eigenvalues)
    assert (np.diff(values) < 0).all()
    np.testing.assert_allclose(information, np.diag(values), atol=1e-9 * values[0])


def test_whitened_coefficients_have_unit_information(objective, with_priors, theta):
    for problem in (objective, with_priors):
        white = EigenSpace.of(problem, theta, whiten=True)
        problem, zero = problem.with_space(white), jnp.zeros(white.dim)
        total = ds.fisher_information(problem, zero) + prior_information(problem, zero)
        np.testing.assert_allclose(np.diagonal(total), 1, rtol=1e-8)
        assert white.units == ("sigma",) * white.dim
    np.testing.assert_allclose(
        ds.fisher_information(objective.with_space(EigenSpace.of(objective, theta, whiten=True)), zero),
        np.eye(white.dim),
        atol=1e-8,
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.booleans())
def test_decoding_undoes_encoding(objective, start, theta, fisher, moves, whiten):
    eigen = EigenSpace(objective.space, fisher, centre=theta, whiten=whiten)
    there = theta + jnp.asarray(moves) / jnp.sqrt(jnp.diagonal(fisher))
    np.testing.assert_allclose(eigen.decode(eigen.encode(there)), there, rtol=1e-12, atol=1e-12)
    model = objective.space.unpack(there, start)
    np.testing.assert_allclose(eigen.decode(eigen.pack(model)), there, rtol=1e-12, atol=1e-12)
    assert eqx.tree_equal(eigen.unpack(eigen.encode(there), start), model, rtol=1e-11, atol=1e-11)


def test_it_offers_everything_a_theta_space_offers(eigen, objective, start):
    interface = [name for name in vars(ds.params.AbstractSpace) if not name.startswith("_")]
    assert {"pack", "decode", "bounds", "slice", "prior_information_matrix"} <= set(interface)
    public = [n for n in vars(ds.ThetaSpace) if not n.startswith("_") and callable(getattr(ds.ThetaSpace, n))]
    assert set(public) <= set(interface)
    assert eigen.labels[:2] == ("mode 1", "mode 2") == eigen.names[:2] and eigen.dim == 6 == len(eigen.units)
    assert set(eigen.blocks) == {"modes"} and eigen.slice("mode 3") == slice(2, 3)
    assert eigen.index_map.layout_hash != objective.space.index_map.layout_hash
    assert eigen.index_map.layout_hash != EigenSpace.of(objective, eigen.centre, truncate=3).index_map.layout_hash
    c = jnp.arange(6.0)
    np.testing.assert_array_equal(eigen.physical(c), c)
    np.testing.assert_array_equal(eigen.from_physical(c), c)
    np.testing.assert_array_equal(eigen.jacobian_diag(c), np.ones(6))
    assert list(eigen.split(c)) == list(eigen.labels) and np.isinf(eigen.bounds).all()
    assert eqx.tree_equal(eigen.mask(start), objective.space.mask(start))
    with pytest.raises(ds.ParameterError, match="6 modes"):
        eigen.decode(jnp.ones(5))


def test_log_determinant_is_that_of_the_map_to_physical_values(eigen, objective):
    c = jnp.asarray([20.0, -10.0, 3.0, 1.0, -1.0, 0.5])
    jacobian = jax.jacfwd(lambda c: objective.space.physical(eigen.decode(c)))(c)
    np.testing.assert_allclose(eigen.log_det(c), np.linalg.slogdet(jacobian)[1], rtol=1e-10)


def test_priors_enter_whole(truth):
    """Priors of parameters are dense in coefficients; their curvature is that of the log prior."""
    space = ds.ThetaSpace(truth, ["x", "shape"], priors={k: PRIORS[k] for k in ("x", "shape")})
    root = np.random.default_rng(0).normal(size=(3, 5))
    fisher, centre, c = 100 * root @ root.T, space.pack(truth), jnp.asarray([0.3, -0.2, 0.1])
    wide, own = (EigenSpace(space, fisher, centre=centre, scale=scale) for scale in (None, np.ones(3)))
    for eigen in (wide, own):
        matrix = eigen.prior_information_matrix(c)
        np.testing.assert_array_equal(eigen.log_prior(c), space.log_prior(eigen.decode(c)))
        np.testing.assert_array_equal(eigen.prior_information(c), np.diagonal(matrix))
        np.testing.assert_allclose(matrix, -jax.hessian(eigen.log_prior)(c), atol=1e-9 * float(jnp.abs(matrix).max()))
    np.testing.assert_allclose(wide.prior_information_matrix(c), np.eye(3), atol=1e-9)  # in units of the prior sigmas
    assert abs(own.prior_information_matrix(c)[0, 1]) > 1


def test_scale_makes_the_modes_independent_of_units(truth):
    """The same parameter as width and as area: another unit of θ, the same modes."""
    found = []
    for name, sigma in (("width", 0.1), ("area", 0.1 * 2 * float(truth.width))):
        value = float(ds.get_value(truth, name))
        space = ds.ThetaSpace(truth, ["x", name], priors={"x": ds.Normal(0.3, 0.05), name: ds.Normal(value, sigma)})
        found.append(EigenSpace.of(ds.Objective(truth, space, poisson(truth)), space.pack(truth)))
    first, second = found
    assert not np.allclose(first.scale, second.scale)
    np.testing.assert_allclose(first.eigenvalues, second.eigenvalues, rtol=1e-9)
    order = [list(space.space.names).index("x") for space in found]
    np.testing.assert_allclose(first.vectors[order[0]], second.vectors[order[1]], rtol=1e-8, atol=1e-12)


def test_scale_where_priors_are_missing(objective, with_priors, theta, fisher):
    own = 1 / np.sqrt(np.diagonal(fisher))
    np.testing.assert_allclose(EigenSpace(objective.space, fisher, centre=theta).scale, own)
    some = np.asarray(EigenSpace(with_priors.space, fisher, centre=theta).scale)
    sigma = np.array([0.05, 0.2, np.nan, np.nan, 0.5, 0.5]) / np.asarray(with_priors.space.jacobian_diag(theta))
    given = np.isfinite(sigma)
    np.testing.assert_allclose(some[given], sigma[given])
    np.testing.assert_allclose(some[~given], own[~given] * np.max(sigma[given] / own[given]))
    chosen = EigenSpace(objective.space, fisher, centre=theta, scale=np.full(6, 0.1))
    np.testing.assert_array_equal(chosen.scale, 0.1)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**31))
def test_signs_do_not_depend_on_those_of_the_solver(size, seed):
    random = np.random.default_rng(seed)
    vectors = np.linalg.qr(random.normal(size=(size, size)))[0]
    found = np.asarray(canonical_signs(jnp.asarray(vectors)))
    np.testing.assert_array_equal(found, canonical_signs(jnp.asarray(vectors * random.choice([-1.0, 1.0], size))))
    assert (found[np.abs(found).argmax(axis=0), range(size)] > 0).all()
    tie = jnp.asarray([[-1.0], [1.0 + 1e-12]]) / np.sqrt(2)
    np.testing.assert_array_equal(np.sign(canonical_signs(tie))[:, 0], [1, -1])


def test_truncations():
    values = jnp.asarray([100.0, 9.0, 1.0, 0.0])
    assert count_kept(values, None) == 4 and count_kept(values, 3) == 3 == count_kept(values, {"count": 3})
    assert [count_kept(values, {"eigenvalue": limit}) for limit in (1e3, 9.0, 9.1, 0)] == [1, 2, 1, 4]
    assert [count_kept(values, {"information": part}) for part in (0.5, 100 / 110, 0.95, 0.999, 1.0)] == [1, 1, 2, 3, 3]
    bad = (0, 5, True, {"count": 0}, {"eigenvalue": -1.0}, {"information": 0}, {"information": 2.0}, {"modes": 3})
    for truncate in (*bad, {"count": 1, "eigenvalue": 1.0}, "all", {}):
        with pytest.raises(ValueError, match="Expected truncate"):
            count_kept(values, truncate)


@pytest.mark.slow
def test_truncated_modes_stay_where_the_fit_starts(objective, theta, eigen):
    few = EigenSpace.of(objective, theta, truncate=4)
    np.testing.assert_array_equal(few.decode(jnp.zeros(4)), theta)
    np.testing.assert_allclose(few.vectors, eigen.vectors[:, :4])
    solution = ds.fit(objective.with_space(few), jnp.zeros(4))
    moved = solution.objective.space.decode(solution.theta) - theta
    np.testing.assert_allclose(eigen.encode(theta + moved)[4:], 0, atol=1e-9)
    np.testing.assert_allclose(eigen.encode(theta + moved)[:4], solution.theta, rtol=1e-9, atol=1e-9)
    assert solution.converged and float(jnp.abs(moved).max()) > 1e-3


def test_bad_input_is_refused(objective, theta, fisher):
    space = objective.space
    with pytest.raises(ValueError, match="centre of shape"):
        EigenSpace(space, fisher, centre=theta[:2])
    with pytest.raises(ValueError, match="fisher of shape"):
        EigenSpace(space, fisher[:3, :3], centre=theta)
    with pytest.raises(ValueError, match="finite fisher"):
        EigenSpace(space, fisher * jnp.nan, centre=theta)
    with pytest.raises(ValueError, match="scale above zero"):
        EigenSpace(space, fisher, centre=theta, scale=jnp.ones(space.dim).at[1].set(0.0))


@pytest.mark.slow
@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("name", ["objective", "with_priors"])
def test_a_fit_in_coefficients_is_the_same_fit(name, whiten, theta, request):
    problem = request.getfixturevalue(name)
    space = EigenSpace.of(problem, theta, whiten=whiten)
    plain, eigen = ds.fit(problem, theta), ds.fit(problem.with_space(space), space.pack(problem.model))
    assert eigen.converged
    sigma = np.sqrt(np.diagonal(plain.covariance))
    np.testing.assert_allclose((space.decode(eigen.theta) - plain.theta) / sigma, 0, atol=1e-3)
    for path in (*FREE, "fluxes", "width"):
        np.testing.assert_allclose(eigen.sigma(path), plain.sigma(path), rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(eigen.stats["loss"], plain.stats["loss"], rtol=1e-12)
    decoded = space.decode(eigen.trace.theta)
    assert decoded.shape == (len(eigen.trace.loss), 6)
    losses = [problem.loss(row) for row in decoded]
    np.testing.assert_allclose(losses, eigen.trace.loss, rtol=1e-12)


@pytest.mark.slow
def test_bounds_of_parameters_are_watched_in_coefficients(truth):
    space = ds.ThetaSpace(truth, ["throughput", "x"])
    problem = ds.Objective(truth, space, poisson(ds.set_values(truth, {"throughput": 1.0}), seed=2))
    eigen = EigenSpace.of(problem, space.pack(truth), whiten=True)
    plain, found = (
        ds.fit(p, jnp.asarray(t)) for p, t in ((problem, eigen.centre), (problem.with_space(eigen), [0.0, 0]))
    )
    assert plain.stats["at_bounds"] == found.stats["at_bounds"] == ("throughput",)


@pytest.mark.slow
def test_what_is_not_seen_is_infinite_in_coefficients_too(truth):
    space = ds.ThetaSpace(truth, ["throughput", "log_flux", "separation", "silent"])
    problem = ds.Objective(truth, space, poisson(truth))
    for whiten in (False, True):
        eigen = EigenSpace.of(problem, space.pack(truth), whiten=whiten)
        with pytest.warns(ds.IdentifiabilityWarning, match="mode 3(.|\n)*mode 4"):
            solution = ds.fit(problem.with_space(eigen), jnp.zeros(4))
        for name in ("throughput", "log_flux", "silent"):
            assert np.isinf(solution.sigma(name))
        assert 0 < float(solution.sigma("separation")) < 0.1


def test_arrays_give_the_space_back(objective, theta):
    for options in ({}, {"truncate": 3, "whiten": True}):
        eigen = EigenSpace.of(objective, theta, **options)
        saved = {name: np.asarray(array) for name, array in eigen.arrays().items()}
        assert eqx.tree_equal(EigenSpace.from_arrays(objective.space, saved), eigen)


def test_same_shapes_compile_once(objective, theta, fisher):
    count = []

    @eqx.filter_jit
    def loss(problem, c):
        count.append(None)
        return problem.loss(c)

    for factor in (1.0, 2.0):
        space = EigenSpace(objective.space, factor * fisher, centre=theta, truncate=3)
        loss(objective.with_space(space), jnp.zeros(3))
    assert len(count) == 1


def test_modes_are_described(eigen):
    lines = eigen.describe().splitlines()
    assert len(lines) == 6 and lines[0].startswith("mode 1 (eigenvalue ")
    assert combination(np.array([0.6, -0.8, 1e-3]), ["a", "b", "c"]) == "- 0.80 b + 0.60 a"
    assert combination(np.ones(9), list("abcdefghi"), 2) == "0.33 a + 0.33 b ..."


def test_the_report_says_what_to_freeze():
    root = np.diag([1.0, 1e3, 1e-3, 1.0, 1.0, 0.0])
    mix = np.eye(6)
    mix[0, 1] = mix[2, 3] = 1.0  # a with b, c with d
    information = root @ mix.T @ np.diag([1.0, 0, 1.0, 0, 1.0, 0]) @ mix @ root
    text = identifiability_report(information, list("abcdef"))
    lines = text.splitlines()
    assert lines[0].startswith("Rank 3 of 6; condition 2") and "f: no effect on the data" in lines[1]
    pairs = [{word for word in line.partition(":")[0].split() if word.isalpha()} for line in lines[2:]]
    assert sorted(map(sorted, pairs)) == [["a", "b"], ["c", "d"]]
    assert all("not seen at all. Freeze" in line for line in lines[2:])
    assert identifiability_report(np.eye(2), ("a", "b")).startswith("Rank 2 of 2; condition 1 ")
    weak = identifiability_report(np.array([[1.0, 1 - 1e-6], [1 - 1e-6, 1.0]]), ("a", "b"))
    assert "b: seen weakly, its error is 1e+03" in weak
    assert identifiability_report(np.zeros((1, 1)), ["a"]).startswith("Rank 0 of 1")
    with pytest.raises(ValueError, match="for the labels"):
        identifiability_report(np.eye(3), ("a", "b"))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(0, 2**31))
def test_sparse_basis_spans_the_same_directions(count, seed):
    directions = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, count)))[0]
    rows, pivots = sparse_basis(directions)
    np.testing.assert_allclose(rows[:, pivots], np.eye(count), atol=1e-9)
    assert np.linalg.matrix_rank(np.hstack([directions, rows.T]), tol=1e-8) == count


def test_a_forecast_in_modes_has_one_over_the_root_of_the_eigenvalues(truth, objective):
    space = EigenSpace.of(objective, objective.space.pack(truth))  # the data do not enter the expected information
    found = ds.forecast(truth, space)
    sigmas = [found.sigma(label) for label in space.labels]
    np.testing.assert_allclose(sigmas, 1 / np.sqrt(space.eigenvalues), rtol=1e-6)


def test_a_truncation_that_leaves_out_what_is_not_seen_says_so(truth):
    names = ["x", "throughput", "log_flux", "silent"]
    problem = ds.Objective(truth, ds.ThetaSpace(truth, names), poisson(truth))
    theta = problem.space.pack(truth)
    for truncate in (np.int64(2), {"information": 1.0}):
        with pytest.warns(ds.IdentifiabilityWarning, match="do not see: (?=.*0.71).*1.00 silent") as caught:
            few = EigenSpace.of(problem, theta, truncate=truncate)
        assert len(caught) == 1 and few.dim == 2 and str(caught[0].message).count(";") == 1
    again = EigenSpace.from_arrays(problem.space, few.arrays())  # warns of nothing
    np.testing.assert_array_equal(again.basis, few.basis)


def test_a_truncation_of_what_is_seen_is_silent(objective, theta):
    assert EigenSpace.of(objective, theta, truncate=2).dim == 2
