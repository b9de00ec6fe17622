"""What a network's patches become: merged, cut and propagated by the forward model, and their losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import NPIX, small_scan, small_settings

from dluxshera import ptychography as pt
from dluxshera.ptychography import network as nn
from dluxshera.ptychography.network import inputs, losses, patches, sweeps
from dluxshera.ptychography.network.group_sets import group_set, scan_arrays

SIDE = 24
MERGED = jax.jit(patches.merged, static_argnums=3)
WINDOWS = jax.jit(patches.windows, static_argnums=2)


@pytest.fixture(scope="module")
def groups():
    return group_set(small_scan(noise=False), 2, None, 5, 0)


def true_canvas(data, origin, side):
    return pt.place_on_canvas(data.object, origin, (side, side))[0].astype(np.complex64)


def test_a_group_canvas_holds_the_true_object_whose_counts_are_those_of_the_scan(groups):
    data, scan = small_scan(noise=False), scan_arrays(small_scan(noise=False))
    rows = np.arange(4)
    canvas = jnp.stack([true_canvas(data, groups.origins[k], groups.side) for k in rows])
    expected = jax.jit(patches.counts_of)(canvas, scan.probe, jnp.asarray(groups.corners[rows]), scan.background)
    counted = data.counts[groups.index[rows]]
    np.testing.assert_allclose(expected, counted, atol=2e-5 * counted.max())
    assert expected.dtype == jnp.float32


@pytest.mark.parametrize("side", [8, 16])
def test_true_patches_are_merged_to_the_true_object(groups, side):
    data = small_scan(noise=False)
    architecture = small_settings(support=side).architecture
    rows = np.arange(3)
    canvas = jnp.stack([true_canvas(data, groups.origins[k], groups.side) for k in rows])
    at = inputs.placed(architecture, jnp.asarray(groups.corners[rows]))
    cut = WINDOWS(canvas, at, side)
    mask = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, (side, side)), jnp.float32)
    merged = MERGED(cut, at, mask, (groups.side, groups.side))
    there = np.abs(merged) > 0
    assert there.sum() >= 3 * side**2 and (side == 16 or not there.all())
    np.testing.assert_allclose(merged[there], canvas[there], rtol=1e-5)


def test_a_flat_object_is_no_better_than_its_patches():
    """The same mask above and below: constant patches give that constant, whatever the mask."""
    corners = jnp.asarray(np.random.default_rng(1).uniform(0, 6, (2, 4, 2)), jnp.float32)
    mask = jnp.zeros((8, 8), jnp.float32).at[2:6, 2:6].set(1.0)
    merged = MERGED(jnp.full((2, 4, 8, 8), 0.7 + 0.1j, jnp.complex64), corners, mask, (SIDE, SIDE))
    inside = np.abs(merged) > 0
    assert 0 < inside.mean() < 0.5
    np.testing.assert_allclose(merged[inside], 0.7 + 0.1j, rtol=1e-5)


def test_merging_can_be_differentiated():
    generator = np.random.default_rng(2)
    corners = jnp.asarray(generator.uniform(0, 6, (1, 2, 2)))
    mask, to = jnp.ones((4, 4)), jnp.asarray(generator.normal(size=(1, 12, 12)))
    start = jnp.asarray(generator.normal(size=(1, 2, 4, 4)))
    value = lambda p: jnp.sum(to * MERGED(p, corners, mask, (12, 12)) ** 2)  # noqa: E731
    slope, step = jax.jit(jax.grad(value))(start), 1e-6
    for where in ((0, 0, 1, 2), (0, 1, 3, 3)):
        moved = [value(start.at[where].add(s)) for s in (step, -step)]
        np.testing.assert_allclose(slope[where], (moved[0] - moved[1]) / (2 * step), rtol=1e-5, atol=1e-7)


def test_sweeps_bring_a_group_closer_to_its_counts(groups):
    data, scan = small_scan(), scan_arrays(small_scan())
    counts, corners = scan.counts[groups.index[0]], jnp.asarray(groups.corners[0])
    shape, errors = (groups.side, groups.side), []
    for number in (0, 8):
        made = sweeps.estimated(counts, None, scan.probe, corners, scan.background, shape, number, False)
        expected = pt.expected_counts(made.object, scan.probe, corners)
        errors.append(float(jnp.mean((jnp.sqrt(counts) - jnp.sqrt(expected)) ** 2)))
        assert made.object.dtype == made.left.dtype == jnp.complex64
    assert errors[1] < 0.2 * errors[0]
    assert data.npix == NPIX


def test_a_real_object_stays_real_in_its_sweeps(groups):
    scan = scan_arrays(small_scan())
    made = sweeps.estimated(scan.counts[groups.index[0]], None, scan.probe, jnp.asarray(groups.corners[0]),
                            scan.background, (groups.side,) * 2, 2, True)  # fmt: skip
    assert np.all(made.object.imag == 0) and np.all(made.object.real >= 0)


def test_masked_pixels_change_no_input(groups):
    data = small_scan()
    mask = np.ones((NPIX, NPIX), bool)
    mask[3:5] = False
    spoiled = np.array(data.counts)
    spoiled[:, ~mask] = 10**6
    architecture = small_settings().architecture
    found = []
    for counts in (data.counts, spoiled):
        scan = scan_arrays(pt.ScanData(counts, data.positions, data.probe, mask=mask))
        found.append(inputs.all_inputs(architecture, scan, groups.select(np.arange(2))))
    np.testing.assert_array_equal(*found)


COUNTS = jnp.asarray([0.0, 1.0, 4.0, 9.0, 1e8])[None]
EXPECTED = jnp.asarray([9.0, 2.0, 4.0, 16.0, 1.02e8])[None]


def test_losses_are_those_of_their_formulas():
    n, e = np.asarray(COUNTS), np.asarray(EXPECTED)
    likelihood = e - n * np.log(e)
    least = np.where(n > 0, n - n * np.log(np.where(n > 0, n, 1.0)), 0.0)
    wanted = {
        "poisson": likelihood - least,
        "mae": np.abs(np.sqrt(n) - np.sqrt(e)),
        "squared": (np.sqrt(n) - np.sqrt(e)) ** 2,
    }
    for name, pixels in wanted.items():
        found = losses.pixel_error(nn.LossWeights.named(name), COUNTS, EXPECTED)
        np.testing.assert_allclose(found, pixels, rtol=0.03, atol=2e-3)
    mixed = nn.LossWeights(poisson=2.0, mae=0.5, squared=0.25)
    total = 2 * wanted["poisson"] + wanted["mae"] / 2 + wanted["squared"] / 4
    np.testing.assert_allclose(losses.pixel_error(mixed, COUNTS, EXPECTED), total, rtol=0.03, atol=5e-3)


@pytest.mark.parametrize("name", ["poisson", "mae", "squared"])
def test_slopes_are_finite_at_empty_pixels(name):
    slope = jax.grad(lambda e: jnp.sum(losses.pixel_error(nn.LossWeights.named(name), COUNTS, e)))(0 * EXPECTED)
    assert np.all(np.isfinite(slope))


def test_a_loss_counts_only_pixels_that_are_used():
    used = jnp.asarray([[True, True, False, False, True]])
    weights = nn.LossWeights.named("squared")
    each = losses.pixel_error(weights, COUNTS, EXPECTED)
    np.testing.assert_allclose(losses.mean_error(weights, COUNTS, EXPECTED, used), np.mean(each[:, [0, 1, 4]]))


def test_total_variation_of_a_step():
    canvas = jnp.zeros((1, 10, 10), complex).at[:, :, 5:].set(2j)
    covered = jnp.ones((1, 10, 10)).at[:, 6:].set(0.0)
    np.testing.assert_allclose(losses.total_variation(canvas, covered), 2 / 9, atol=2e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"loss": "huber"}, {"weights": {"poisson": 0.0}}, {"weights": {"mae": -1.0}}],
    ids=str,
)
def test_losses_that_make_no_sense_are_refused(wrong):
    with pytest.raises(pt.ScanError, match="Expected"):
        nn.LossWeights.named(wrong["loss"]) if "loss" in wrong else nn.LossWeights(**wrong["weights"])
