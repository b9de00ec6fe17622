"""The objective: values, gradients at empty pixels, masks, regularisers, curvature, gauge."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_scan import NPIX, PATTERNS, small_model, small_objective, smooth_object

from dluxshera.ptychography import Regularisers, ScanObjective, fix_gauge, mean_deviance, orthogonal_modes
from dluxshera.ptychography.gauge import mean_ramp, probe_centre
from dluxshera.ptychography.gauss_newton_cg import information_times
from dluxshera.ptychography.pixel_losses import FLOOR, amplitude_error, half_deviance
from dluxshera.ptychography.regularisers import total_variation
from dluxshera.ptychography.scaled_objective import preconditioned


@pytest.fixture(scope="module")
def model():
    return small_model(background=0.3)


@pytest.fixture(scope="module")
def objective(model):
    return small_objective(model, ("object", "probe", "positions", "background"))


@given(count=st.integers(0, 2**24), log_ratio=st.floats(-3, 3))
@settings(max_examples=50, deadline=None)
def test_half_deviance_is_that_of_scipy(count, log_ratio):
    from scipy.special import rel_entr

    expected = max(count, 1) * 10**log_ratio
    found = float(half_deviance(jnp.asarray(float(count)), jnp.asarray(expected), 0.0))
    assert found == pytest.approx(expected - count + rel_entr(count, expected), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("loss", [half_deviance, amplitude_error])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_losses_are_finite_and_smooth_down_to_nothing(loss, dtype):
    counts = jnp.asarray([0, 0, 3, 3, 900, 2**24], dtype)
    for expected in (0.0, 1e-30, 1e-6, 1.0):
        mean = jnp.full(counts.shape, expected, dtype)
        value, slope = jax.vmap(jax.value_and_grad(loss, argnums=1))(counts, mean)
        assert np.isfinite(value).all() and np.isfinite(slope).all()
    h = 1e-3 * FLOOR
    mean = jnp.asarray([h, h, 0.5, 2.0, 900.0, 2.0**24])
    counts = counts.astype(float)
    central = (loss(counts, mean * 1.001) - loss(counts, mean * 0.999)) / (0.002 * mean)
    np.testing.assert_allclose(jax.vmap(jax.grad(loss, argnums=1))(counts, mean), central, rtol=1e-3, atol=1e-5)


def test_mean_deviance_takes_counts_as_they_are_stored():
    counts, expected = np.array([0, 3, 7], np.uint32), np.array([0.5, 2.0, 7.0])
    wanted = 2 * np.mean(expected - counts + [0, 3 * np.log(3 / 2), 0])
    assert float(mean_deviance(counts, expected)) == pytest.approx(wanted)


def test_amplitude_error_is_close_to_half_the_deviance_at_many_counts():
    counts = jnp.asarray([1000.0, 1000.0])
    expected = jnp.asarray([1030.0, 950.0])
    np.testing.assert_allclose(amplitude_error(counts, expected), half_deviance(counts, expected), rtol=0.02)


def test_loss_is_the_mean_over_used_pixels(model, objective):
    expected = np.asarray(model.model(), float)
    counts = np.asarray(objective.counts, float)
    assert float(objective.loss(objective.start)) == pytest.approx(
        float(half_deviance(jnp.asarray(counts), jnp.asarray(expected)).mean()), rel=1e-5
    )
    assert float(mean_deviance(jnp.asarray(counts), jnp.asarray(expected))) == pytest.approx(
        2 * float(objective.loss(objective.start)), rel=0.02
    )


def test_works_in_single_precision(objective):
    theta = objective.start
    assert theta.dtype == jnp.float32
    value, slope = jax.value_and_grad(objective.loss)(theta)
    assert value.dtype == slope.dtype == objective.curvature(theta).dtype == jnp.float32


@pytest.mark.parametrize("likelihood", ["poisson", "amplitude"])
def test_gradient_matches_central_differences(model, likelihood):
    dim = small_model(background=0.3, number=3)
    counts = np.random.default_rng(0).poisson(np.asarray(dim.model()))
    counts[0] = 0  # an empty pattern
    objective = ScanObjective(dim, counts, ("object", "probe", "positions", "background"), likelihood)
    double = jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, objective)
    theta = double.space.pack(dim)

    def loss(theta):  # the same in double precision
        model = double.space.unpack(theta, dim)
        pixel = half_deviance if likelihood == "poisson" else amplitude_error
        return jnp.mean(pixel(jnp.asarray(counts, float), model.model()))

    along = jnp.asarray(np.random.default_rng(1).normal(size=theta.shape))
    central = (loss(theta + 1e-6 * along) - loss(theta - 1e-6 * along)) / 2e-6
    slope = jax.grad(objective.loss)(objective.start)
    assert float(slope @ along) == pytest.approx(float(central), rel=1e-3)
    assert np.isfinite(slope).all()


def test_gradient_of_the_whole_is_the_mean_of_those_of_batches(objective):
    theta = objective.start
    whole = jax.grad(objective.loss)(theta)
    one = jax.jit(jax.grad(lambda t, i: objective.batch_loss(t, i[None], jnp.ones(1, bool))[0]))
    parts = [one(theta, jnp.asarray(i)) for i in range(PATTERNS)]
    np.testing.assert_allclose(whole, sum(parts) / PATTERNS, atol=2e-6 * float(jnp.abs(whole).max()))


def test_pixels_left_out_do_not_count(model):
    rng = np.random.default_rng(2)
    used = rng.random((PATTERNS, NPIX, NPIX)) > 0.2
    objective = small_objective(model, used=used)
    spoilt = np.where(used, np.asarray(objective.counts), 1e6)
    other = ScanObjective(model, spoilt, used=used)
    assert float(objective.loss(objective.start)) == float(other.loss(objective.start))
    flat = small_objective(model, used=used[0])
    counts, expected = np.asarray(flat.counts, float), np.asarray(model.model())
    mean = np.asarray(half_deviance(jnp.asarray(counts), jnp.asarray(expected)))[:, used[0]].mean()
    assert float(flat.loss(flat.start)) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("used", [np.ones((3, 3), bool), np.zeros((NPIX, NPIX), bool), np.ones((NPIX, NPIX))])
def test_masks_that_cannot_be_used_are_refused(model, used):
    with pytest.raises(ValueError, match="used"):
        small_objective(model, used=used)


def test_what_cannot_be_refined_is_refused(model):
    with pytest.raises(ValueError, match="background"):
        small_objective(small_model(), ("object", "background"))  # it lies on its bound
    with pytest.raises(ValueError, match="halo"):
        small_objective(model, ("halo",))
    with pytest.raises(ValueError, match="counts of shape"):
        ScanObjective(model, np.zeros((2, NPIX, NPIX)))
    with pytest.raises(ValueError, match="poisson, amplitude"):
        small_objective(model, likelihood="gaussian")


def test_curvature_is_the_diagonal_of_the_expected_information():
    """On average over real and imaginary parts, and over pixels that share their light.

    Between pixels a window takes a canvas pixel with bilinear weights, whose squares sum to 4/9 on average.
    """
    objective = small_objective(small_model(1, photons=1e7), ("object", "probe", "positions"))
    theta, index = objective.start, objective.space.split(np.arange(objective.space.dim))
    curvature = np.asarray(objective.curvature(theta))
    exact = jax.jit(lambda i: information_times(objective, theta, jnp.zeros_like(theta).at[i].set(1.0))[i])
    object = np.stack([index[f"sample.object_{part}"][14:18, 14:18] for part in ("real", "imag")])
    probe = np.stack([index[f"probe.modes_{part}"][0, 6:10, 6:10] for part in ("real", "imag")])
    for group, share in ((object, 4 / 9), (probe, 1.0), (index["scan.positions"], 1.0)):
        found = np.mean([float(exact(i)) for i in group.ravel()])
        assert share * curvature[group.ravel()].mean() == pytest.approx(found, rel=0.2), group.shape


def test_products_with_the_information_are_those_of_a_matrix(objective):
    small = small_objective(small_model(number=3), ("positions",))
    theta = small.start
    expected = lambda t: small.at(t).model().ravel()  # noqa: E731
    jacobian = np.asarray(jax.jacfwd(expected)(theta), float)
    weight = 1 / (np.asarray(expected(theta), float) + FLOOR)
    vector = np.random.default_rng(0).normal(size=theta.shape).astype(np.float32)
    wanted = jacobian.T @ (weight * (jacobian @ vector)) / (3 * NPIX**2)
    found = np.asarray(information_times(small, theta, jnp.asarray(vector)))
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4 * np.abs(wanted).max())


def test_preconditioning_changes_coordinates_only(objective):
    scaled = preconditioned(objective, objective.start)
    u = jnp.zeros_like(objective.start).at[5].set(0.1)
    assert float(scaled.loss(u)) == float(objective.loss(scaled.theta(u)))
    assert scaled.space is objective.space or scaled.space.names == objective.space.names


def test_regularisers():
    flat, step = np.ones((8, 8)) + 0j, np.ones((8, 8)) + 0j
    step[:, 4:] += 0.5j
    assert float(total_variation(jnp.asarray(flat))) == pytest.approx(0.0, abs=1e-12)
    assert float(total_variation(jnp.asarray(step))) == pytest.approx(0.5 / 7, rel=0.01)
    support = np.zeros((NPIX, NPIX), bool)
    support[:, : NPIX // 2] = True
    model = small_model(1)
    lit = (np.abs(model.probe.modes) ** 2).sum(0)
    bare, tv = small_objective(model), Regularisers(total_variation=0.1, support=support, support_weight=2.0)
    penalised = small_objective(model, regularisers=tv)
    added = 0.1 * float(total_variation(jnp.asarray(smooth_object()))) + 2 * lit[~support].sum() / lit.sum()
    difference = float(penalised.loss(penalised.start)) - float(bare.loss(bare.start))
    assert difference == pytest.approx(added, rel=1e-4)


def test_gauge_changes_no_pattern():
    model = small_model(2)
    turned = eqx.tree_at(lambda m: m.probe.modes_real, model, 1.3 * model.probe.modes_real)
    fixed = fix_gauge(turned)
    np.testing.assert_allclose(fixed.model(), turned.model(), rtol=1e-9)
    modes = np.asarray(fixed.probe.modes).reshape(2, -1)
    gram = modes @ modes.conj().T
    assert abs(gram[0, 1]) < 1e-9 * abs(gram[0, 0]) and gram[0, 0].real > gram[1, 1].real
    again = fix_gauge(fixed)
    np.testing.assert_allclose(again.sample.object, fixed.sample.object, rtol=1e-9)


def test_gauge_removes_scale_and_phase():
    model = small_model(1)
    factor = 2.5 * np.exp(0.7j)
    other = fix_gauge(
        eqx.tree_at(
            lambda m: (m.sample.object_real, m.sample.object_imag),
            model,
            ((model.sample.object * factor).real, (model.sample.object * factor).imag),
        )
    )
    np.testing.assert_allclose(other.sample.object, fix_gauge(model).sample.object, rtol=1e-9)


def test_gauge_moves_a_ramp_to_the_probe():
    model = small_model(1)
    ramp = jnp.exp(0.05j * jnp.arange(32))[:, None]
    object = model.sample.object * ramp
    tilted = eqx.tree_at(
        lambda m: (m.sample.object_real, m.sample.object_imag, m.scan.positions),
        model,
        (object.real, object.imag, jnp.round(model.scan.positions)),
    )
    fixed = fix_gauge(tilted, ramp=True)
    light = jnp.ones((32, 32))
    assert abs(float(mean_ramp(fixed.sample.object, light)[0])) < 0.03
    np.testing.assert_allclose(fixed.model(), tilted.model(), rtol=1e-7, atol=1e-7)


def test_the_centre_of_a_probe_is_held_by_the_squared_distance():
    model = small_model(1)
    away = Regularisers(centre=probe_centre(model) + jnp.array([0.3, -0.4]), centre_weight=2.0)
    assert float(away(model)) == pytest.approx(2 * 0.25, rel=1e-6)
    rolled = eqx.tree_at(lambda m: m.probe, model, jax.tree.map(lambda p: jnp.roll(p, 1, axis=1), model.probe))
    assert float(probe_centre(rolled)[0] - probe_centre(model)[0]) == pytest.approx(1, abs=1e-3)


@given(seed=st.integers(0, 2**20))
@settings(max_examples=10, deadline=None)
def test_orthogonal_modes_keep_the_sum_of_intensities(seed):
    rng = np.random.default_rng(seed)
    modes = jnp.asarray(rng.normal(size=(3, 4, 4)) + 1j * rng.normal(size=(3, 4, 4)))
    mixed = orthogonal_modes(modes)
    spectrum = lambda m: (jnp.abs(jnp.fft.fft2(m)) ** 2).sum(0)  # noqa: E731
    np.testing.assert_allclose(spectrum(mixed), spectrum(modes), rtol=1e-9)
