"""Fits of many frames with shared and own parameters, against dense algebra."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import FREE, NPIX, poisson, spots

import dluxshera as ds
from dluxshera.inference.arrowhead import (
    Arrowhead,
    covariance_of_shared,
    own_variance,
    reduce_arrowhead,
    solve_arrowhead,
)

OWN = ["x", "log_flux"]
FRAMES = 8


def truths(count, seed=0):
    """Models that differ in position and flux."""
    rng = np.random.default_rng(seed)
    return [spots(x=0.3 + 0.2 * rng.normal(), log_flux=5 + 0.1 * rng.normal()) for _ in range(count)]


@pytest.fixture(scope="module")
def space():
    return ds.ThetaSpace(spots(), FREE)


@pytest.fixture(scope="module")
def observations():
    return [poisson(model, seed) for seed, model in enumerate(truths(FRAMES))]


@pytest.fixture(scope="module")
def stack(space, observations):
    return ds.FrameStack(spots(), space, observations, OWN)


@pytest.fixture(scope="module")
def start(space):
    return space.pack(spots(x=0.1, separation=3.6, log_flux=4.9, contrast=1.6, shape=[0.0, 0.0]))


@pytest.fixture(scope="module")
def solution(stack, start):
    return ds.fit_frames(stack, start)


# The algebra


def dense(system):
    """Matrix and gradient with all their zeros."""
    s, (frames, d) = system.shared.shape[0], system.own_gradient.shape
    matrix = np.zeros((s + frames * d,) * 2)
    matrix[:s, :s] = system.shared
    for f in range(frames):
        here = slice(s + f * d, s + (f + 1) * d)
        matrix[:s, here], matrix[here, here] = system.coupling[f], system.own[f]
        matrix[here, :s] = system.coupling[f].T
    return matrix, np.concatenate([system.gradient, np.ravel(system.own_gradient)])


def random_system(seed, s, frames, d, spread=3):
    """From a random jacobian of each frame, with units that differ by orders of magnitude."""
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-spread, spread, s + d)
    jacobian = rng.normal(size=(frames, 3 * (s + d), s + d)) * units
    information = np.einsum("fpi,fpj->fij", jacobian, jacobian)
    slope = rng.normal(size=(frames, s + d)) * units
    parts = information[:, :s, :s].sum(0), information[:, :s, s:], information[:, s:, s:]
    return Arrowhead(*map(jnp.asarray, (*parts, slope[:, :s].sum(0), slope[:, s:])))


@jax.jit
def solved(system):
    """Moves, covariance of the shared, variances of the others, and the change of the quadratic."""
    reduced = reduce_arrowhead(system)
    moves = solve_arrowhead(system, reduced)
    return moves, covariance_of_shared(reduced), own_variance(system, reduced), system.change(*moves)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.sampled_from([(1, 1, 1), (3, 4, 2), (2, 5, 0)]))
def test_the_schur_complement_solves_the_dense_system(seed, sizes):
    system = random_system(seed, *sizes)
    matrix, gradient = dense(system)
    scale = 1 / np.sqrt(np.diagonal(matrix))
    inverse = np.linalg.inv(scale[:, None] * matrix * scale) * scale[:, None] * scale
    moves, covariance, variance, change = solved(system)
    sigma, s = np.sqrt(np.diagonal(inverse)), sizes[0]
    move = np.concatenate([np.ravel(part) for part in moves])
    np.testing.assert_allclose(move / sigma, -inverse @ gradient / sigma, atol=1e-9)
    both = np.outer(sigma[:s], sigma[:s])
    np.testing.assert_allclose(covariance / both, inverse[:s, :s] / both, atol=1e-9)
    np.testing.assert_allclose(np.ravel(variance), np.diagonal(inverse)[s:], rtol=1e-9)
    assert float(change) == pytest.approx(-0.5 * gradient @ inverse @ gradient, rel=1e-9)


def test_what_is_not_determined_is_infinite_and_the_rest_is_not():
    system = random_system(0, 3, 4, 2, spread=1)
    # Shared 0 acts as own 0 does, in every frame; shared 2 acts on nothing.
    twin = jnp.sum(system.own[:, 0, 0])
    coupling = system.coupling.at[:, 0].set(system.own[:, 0]).at[:, 2].set(0.0)
    row = jnp.asarray([twin, jnp.sum(system.coupling[:, 1, 0]), 0.0])
    shared = system.shared.at[0].set(row).at[:, 0].set(row).at[2].set(0.0).at[:, 2].set(0.0)
    degenerate = system._replace(shared=shared, coupling=coupling)
    _, covariance, variance, _ = solved(degenerate)
    exact = np.diagonal(ds.covariance(jnp.asarray(dense(degenerate)[0])))
    np.testing.assert_array_equal(np.isinf(exact[:3]), [True, False, True])
    np.testing.assert_array_equal(np.isinf(np.diagonal(covariance)), np.isinf(exact[:3]))
    np.testing.assert_array_equal(np.isinf(np.ravel(variance)), np.isinf(exact[3:]))
    assert float(covariance[1, 1]) == pytest.approx(exact[1], rel=1e-9)


# The objective


@eqx.filter_jit
def expanded(stack, shared, own):
    return stack.expansion(shared, own)


@eqx.filter_jit
def value_and_gradient(objective, theta):
    return jax.value_and_grad(objective.loss)(theta)


def test_the_loss_is_the_sum_over_frames(stack, space, observations):
    rng = np.random.default_rng(1)
    shared, own = stack.split(jnp.asarray(rng.normal(size=stack.dim) * 0.01))
    shared, own = shared + stack.reference[np.array(stack.shared)], own + stack.reference[np.array(stack.own)]
    theta = stack.join(shared, own)
    assert theta.shape == (stack.dim,) == (len(stack.shared) + 2 * FRAMES,)
    single = [
        value_and_gradient(ds.Objective(spots(), space, o), stack.frame_theta(shared, row))
        for o, row in zip(observations, own, strict=True)
    ]
    value, gradient = value_and_gradient(stack, theta)
    total = sum(float(loss) for loss, _ in single)
    assert float(value) == pytest.approx(total, rel=1e-12)
    assert float(stack.observation_loss(theta, jnp.asarray(2))) == pytest.approx(float(single[2][0]), rel=1e-12)
    slopes = np.array([slope for _, slope in single])
    expected = [*slopes[:, stack.shared].sum(0), *np.ravel(slopes[:, stack.own])]
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)
    loss, system = expanded(stack, shared, own)
    assert float(loss) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(dense(system)[1], gradient, rtol=1e-9, atol=1e-6)
    direction = rng.normal(size=stack.dim)
    ends = [value_and_gradient(stack, theta + step * direction)[0] for step in (1e-6, -1e-6)]
    assert float(ends[0] - ends[1]) / 2e-6 == pytest.approx(float(gradient @ direction), rel=1e-5)


def test_labels_name_shared_and_own(stack, space):
    assert stack.own_labels == ("x", "log_flux")
    assert stack.shared_labels == tuple(label for label in space.labels if label not in OWN)
    assert stack.labels[-2:] == (f"frame[{FRAMES - 1}].x", f"frame[{FRAMES - 1}].log_flux")
    assert len(stack.labels) == stack.dim


def test_a_prior_of_a_shared_parameter_counts_once_and_of_an_own_one_in_each_frame(observations):
    def with_priors(width):
        overrides = {name: {"prior": ds.Normal(at, width)} for name, at in (("separation", 4.0), ("x", 0.3))}
        space = ds.ThetaSpace(spots(), ["x", "separation", "log_flux"], overrides=overrides)
        return ds.FrameStack(spots(), space, observations, OWN)

    narrow, wide = with_priors(0.01), with_priors(0.1)
    theta = narrow.reference + 0.01
    shared, own = theta[np.array(narrow.shared)], jnp.tile(theta[np.array(narrow.own)], (FRAMES, 1))
    (_, more), (_, less) = expanded(narrow, shared, own), expanded(wide, shared, own)
    information = np.asarray(narrow.space.prior_information(theta) - wide.space.prior_information(theta))
    x, separation = (narrow.space.labels.index(name) for name in ("x", "separation"))
    assert float(more.shared[0, 0] - less.shared[0, 0]) == pytest.approx(information[separation], rel=1e-6)
    place = narrow.own_labels.index("x")
    np.testing.assert_allclose((more.own - less.own)[:, place, place], information[x], rtol=1e-6)
    (_, slope), (_, other) = (value_and_gradient(stack, narrow.join(shared, own)) for stack in (narrow, wide))
    np.testing.assert_allclose(dense(more)[1] - dense(less)[1], slope - other, rtol=1e-6, atol=1e-6)
    expected = 0.01 * (1 / 0.01**2 - 1 / 0.1**2)  # x is its own θ, and 0.01 off the middle of its prior
    np.testing.assert_allclose((more.own_gradient - less.own_gradient)[:, place], expected, rtol=1e-6)


def test_memory_does_not_grow_with_the_frames_but_for_the_frames(space, observations):
    def temporary(count):
        stack = ds.FrameStack(spots(), space, (observations * 200)[:count], OWN, batch=2)
        theta = stack.reference
        own = jnp.tile(theta[np.array(stack.own)], (count, 1))
        arrays, static = eqx.partition(stack, eqx.is_array)
        expand = jax.jit(lambda a, s, o: eqx.combine(a, static).expansion(s, o))
        lowered = expand.lower(arrays, theta[np.array(stack.shared)], own)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    grown = temporary(1000) - temporary(100)
    dim = space.dim
    assert 0 <= grown < 900 * 8 * 6 * dim**2  # a few matrices (D, D) a frame; its jacobian would be D n n
    assert 6 * dim**2 < dim * NPIX**2


# The fit


def test_it_converges_to_where_the_gradient_is_zero(stack, solution):
    assert solution.converged and solution.result == "converged"
    assert solution.trace.loss.shape == (solution.stats["steps"] + 1,) and np.all(np.diff(solution.trace.loss) <= 1e-9)
    _, gradient = value_and_gradient(stack, stack.join(solution.shared, solution.own))
    sigma = np.sqrt([*np.diagonal(solution.covariance), *np.ravel(solution.own_variance)])
    np.testing.assert_allclose(gradient * sigma, 0, atol=1e-3)
    assert solution.stats["degrees_of_freedom"] == FRAMES * NPIX**2 - stack.dim
    assert solution.chi_square.sum() == pytest.approx(solution.stats["degrees_of_freedom"], abs=200)


def test_errors_are_those_of_the_dense_information(stack, solution):
    def images(theta):
        shared, own = stack.split(theta)
        thetas = jax.vmap(stack.frame_theta, in_axes=(None, 0))(shared, own)
        return jax.vmap(lambda t: stack.space.unpack(t, spots()).model())(thetas)

    theta = stack.join(solution.shared, solution.own)
    jacobian = np.asarray(jax.jit(jax.jacfwd(images))(theta)).reshape(-1, stack.dim)
    information = jacobian.T @ (jacobian / np.ravel(jax.jit(images)(theta))[:, None])
    inverse = np.linalg.inv(information)
    s = len(stack.shared)
    np.testing.assert_allclose(solution.covariance, inverse[:s, :s], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(np.ravel(solution.own_variance), np.diagonal(inverse)[s:], rtol=1e-8)


def test_values_and_errors_are_physical_and_of_the_parameters_shape(solution):
    assert solution.value("separation").shape == () and solution.sigma("shape").shape == (2,)
    assert solution.value("x").shape == solution.sigma("x").shape == (FRAMES,)
    slope = solution.stack.space.jacobian_diag(solution.stack.frame_theta(solution.shared, solution.own[0]))
    place = solution.stack.shared_labels.index("separation")
    expected = slope[solution.stack.shared[place]] * jnp.sqrt(solution.covariance[place, place])
    assert float(solution.sigma("separation")) == pytest.approx(float(expected), rel=1e-12)
    assert float(solution.sigma("shape[1]")) == float(solution.sigma("shape")[1])
    for name in OWN:
        true = np.array([float(getattr(model, name)) for model in truths(FRAMES)])
        assert np.abs((solution.value(name) - true) / solution.sigma(name)).max() < 4
    assert abs(float(solution.value("separation") - 4) / float(solution.sigma("separation"))) < 4


def test_a_start_of_its_own_for_each_frame_leads_there_too(stack, start, solution):
    own = solution.own + 3 * jnp.sqrt(solution.own_variance)
    again = ds.fit_frames(stack, start, own)
    np.testing.assert_allclose((again.shared - solution.shared) ** 2 / np.diagonal(solution.covariance), 0, atol=1e-6)
    np.testing.assert_allclose((again.own - solution.own) ** 2 / solution.own_variance, 0, atol=1e-6)


def test_scatter_of_the_shared_is_what_their_covariance_says(space, stack, start):
    models = truths(FRAMES)
    true = space.pack(spots())[np.array(stack.shared)]
    pulls = []
    for draw in range(25):
        observations = [poisson(model, 100 + FRAMES * draw + i) for i, model in enumerate(models)]
        found = ds.fit_frames(ds.FrameStack(spots(), space, observations, OWN), start)
        pulls.append((found.shared - true) / jnp.sqrt(jnp.diagonal(found.covariance)))
    assert np.abs(np.mean(pulls, axis=0)).max() < 4 / np.sqrt(25)
    assert np.std(pulls) == pytest.approx(1, abs=0.25)


def test_with_nothing_of_their_own_frames_add_up(space):
    model = spots()
    frames = [poisson(model, seed) for seed in range(4)]
    total = ds.Observation(sum(o.image for o in frames), exposures=4)
    one = ds.fit(ds.Objective(model, space, total), space.pack(model))
    found = ds.fit_frames(ds.FrameStack(model, space, frames), space.pack(model))
    assert found.own.shape == (4, 0)
    np.testing.assert_allclose(found.covariance, one.covariance, rtol=1e-3)
    sigma = jnp.sqrt(jnp.diagonal(one.covariance))
    np.testing.assert_allclose((found.shared - one.theta) / sigma, 0, atol=1e-3)


def test_what_the_frames_do_not_determine_is_said(observations):
    space = ds.ThetaSpace(spots(), ["separation", "log_flux", "throughput", "silent"])
    stack = ds.FrameStack(spots(), space, observations, ["log_flux"])
    with pytest.warns(ds.IdentifiabilityWarning, match="throughput, silent, log_flux"):
        found = ds.fit_frames(stack, stack.reference)
    assert set(found.stats["undetermined"]) == {"throughput", "silent", "log_flux"}
    assert found.converged and np.all(np.isinf(found.sigma("log_flux"))) and np.isinf(found.sigma("throughput"))
    assert np.isfinite(found.sigma("separation")) and float(found.value("silent")) == 0.0


def test_a_bad_frame_stands_out(space, observations, start):
    broken = ds.Observation(observations[2].image[::-1] * 1.5)
    found = ds.fit_frames(ds.FrameStack(spots(), space, [*observations[:2], broken, *observations[3:]], OWN), start)
    assert int(np.argmax(found.chi_square)) == 2


def test_frames_may_come_stacked_and_be_masked(space, observations, solution, start):
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *observations)
    value, _ = value_and_gradient(
        ds.FrameStack(spots(), space, stacked, OWN), solution.stack.join(solution.shared, solution.own)
    )
    assert float(value) == pytest.approx(float(solution.state.loss), rel=1e-12)
    mask = jnp.ones((NPIX, NPIX), bool).at[0].set(False)
    masked = [ds.Observation(o.image.at[0].set(jnp.nan), o.variance, mask) for o in observations]
    stack = ds.FrameStack(spots(), space, masked, OWN)
    found = ds.fit_frames(stack, start)
    assert found.converged and found.stats["degrees_of_freedom"] == FRAMES * NPIX * (NPIX - 1) - stack.dim


def test_the_likelihood_is_the_callers(space, observations, start, solution):
    stack = ds.FrameStack(spots(), space, observations, OWN, likelihood="gaussian")
    found = ds.fit_frames(stack, start)
    assert found.converged
    assert float(found.sigma("separation")) == pytest.approx(float(solution.sigma("separation")), rel=0.05)
    bare = [ds.Observation(o.image) for o in observations]
    with pytest.raises(ValueError, match="variance"):
        ds.FrameStack(spots(), space, bare, OWN, likelihood="gaussian")


def test_the_caller_sees_every_step_and_may_stop(stack, start):
    seen = []
    found = ds.fit_frames(
        stack, start, on_step=lambda state: seen.append(int(state.step)), should_stop=lambda: len(seen) > 1
    )
    assert seen == [0, 1] and found.result == "interrupted" and not found.converged
    whole, on = ds.fit_frames(stack, start), ds.fit_frames(stack, start, state=found.state)
    np.testing.assert_array_equal(on.shared, whole.shared)
    np.testing.assert_array_equal(on.own, whole.own)
    assert on.converged and int(on.state.step) == int(whole.state.step)
    limited = ds.fit_frames(stack, start, max_steps=1)
    assert limited.result == "step limit reached" and limited.trace.loss.shape == (2,)


def test_stopping_rules_end_it(stack, start, solution):
    rules = ds.StoppingRules(loss=1e6)
    found = ds.fit_frames(stack, start, stopping=rules)
    assert found.result == "loss settled" and found.converged
    assert found.stats["steps"] < solution.stats["steps"]


def test_lengths_are_standard_deviations(stack, start, solution):
    """Of the last step, in the metric of the dense information."""
    found = ds.fit_frames(stack, start, max_steps=solution.stats["steps"] - 1)
    move = stack.join(solution.shared - found.shared, solution.own - found.own)
    matrix, gradient = dense(found.state.memory.system)
    assert float(solution.trace.step_norm[-1]) == pytest.approx(float(jnp.sqrt(move @ matrix @ move)), rel=1e-6)
    newton = np.sqrt(gradient @ np.linalg.solve(matrix, gradient))
    assert float(found.state.grad_norm) == pytest.approx(newton, rel=1e-6)


def test_a_start_without_a_loss_is_said(stack, start):
    with_nothing = eqx.tree_at(lambda s: s.objective.model.background, stack, jnp.full((NPIX, NPIX), jnp.nan))
    found = ds.fit_frames(with_nothing, start)
    assert found.result == "loss or gradient not finite" and not found.converged and found.stats["steps"] == 0
    assert found.stats["first_bad"] == stack.labels[0]  # all are at fault


@pytest.mark.slow
def test_any_engine_may_lower_a_stack(stack, solution):
    theta = stack.join(solution.shared, solution.own)
    sigma = jnp.sqrt(jnp.concatenate([jnp.diagonal(solution.covariance), solution.own_variance.ravel()]))
    engine = ds.PreconditionedGD(curvature=ds.Refreshed(ds.EmpiricalFisher()), max_steps=300, floor=0.1 / sigma**2)
    found = ds.fit(stack, theta + sigma, engine=engine)
    assert found.stats["loss"] == pytest.approx(float(solution.state.loss), abs=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": []}, "at least one"),
        ({"batch": 0}, "batch"),
        ({"per_frame": FREE}, "the frames share"),
        ({"per_frame": ["nothing"]}, "nothing"),
        ({"observations": [ds.Observation(np.ones((4, 4)))]}, "shape"),
        ({"observations": ds.Observation(np.ones((NPIX, NPIX)))}, "(F, n, n)"),
        ({"observations": [ds.Observation(np.ones((n, n))) for n in (NPIX, 4)]}, "one shape"),
    ],
)
def test_bad_input_is_refused(space, observations, change, message):
    given = {"observations": observations, "per_frame": OWN} | change
    with pytest.raises(ValueError) as caught:
        ds.FrameStack(spots(), space, **given)
    assert message in str(caught.value)


def test_bad_starts_are_refused(stack, start):
    for theta, own in ((start[:2], None), (start, jnp.zeros((2, 2))), (start.at[0].set(jnp.nan), None)):
        with pytest.raises(ValueError, match="Expected"):
            ds.fit_frames(stack, theta, own)


@pytest.mark.parametrize("wrong", [{"max_steps": 0}, {"tolerance": -1.0}, {"damping": 0.0}])
def test_impossible_settings_are_refused(stack, start, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ds.fit_frames(stack, start, **wrong)


def test_what_is_no_stack_is_refused(stack, start, observations, space):
    single = ds.Objective(spots(), space, observations[0])
    with pytest.raises(TypeError, match="Expected a FrameStack for FrameScoring and fit_frames, got Objective"):
        ds.fit_frames(single, start)
    engine = ds.FrameScoring.of(stack)
    with pytest.raises(TypeError, match="Expected a FrameStack"):
        ds.fit(single, start, engine)
    fewer = ds.FrameStack(spots(), space, observations[:2], OWN)
    with pytest.raises(ValueError, match="Expected a stack of sizes"):
        ds.fit(fewer, jnp.zeros(fewer.dim), engine)


def test_theta_of_one_frame_is_none_of_a_stack(stack, start):
    with pytest.raises(ValueError, match=rf"Expected theta of shape \({stack.dim},\)(.|\n)*Use stack.join"):
        ds.fit(stack, start, ds.FrameScoring.of(stack))


def test_elements_of_a_stack_have_names_and_units(stack):
    entries = stack.index_map.entries
    assert tuple(entry.name for entry in entries) == stack.labels and stack.index_map.dim == stack.dim
    assert entries[0].block == "shared" and entries[-1].block == f"frame[{stack.num_observations - 1}]"
    assert len(stack.units) == stack.dim and stack.units[0] == stack.space.units[stack.shared[0]]
    assert stack.units[-1] == stack.space.units[stack.own[-1]]
