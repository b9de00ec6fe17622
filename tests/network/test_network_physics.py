"""What a network's patches become: merged, cut and propagated by the forward model, and their losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import NPIX, small_scan, small_settings

from dluxshera import ptychography as pt
from dluxshera.ptychography import network as nn
from dluxshera.ptychography.network import inputs, losses, patches, steps, sweeps
from dluxshera.ptychography.network.group_sets import group_set, scan_arrays

SIDE = 24
MERGED = jax.jit(patches.merged, static_argnums=3)
LEVEL = jax.jit(sweeps.flat_level)
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


SOME = np.ones((NPIX, NPIX), bool)
SOME[3:5], SOME[8, 8] = False, False
EACH = np.random.default_rng(4).uniform(size=(4, NPIX, NPIX)) < 0.7


@pytest.mark.parametrize("background", [0.0, 30.0, np.linspace(0, 9, NPIX**2).reshape(NPIX, NPIX)],
                         ids=["dark", "even", "uneven"])  # fmt: skip
@pytest.mark.parametrize("used", [None, SOME, EACH], ids=["all", "mask", "mask of each"])
def test_the_level_of_the_start_is_that_of_a_flat_object(groups, used, background):
    """Whatever the background and the mask; no sweep moves what is right."""
    scan, corners = scan_arrays(small_scan()), jnp.asarray(groups.corners[0])
    flat, background = jnp.full((groups.side, groups.side), 0.7, jnp.complex64), jnp.asarray(background, jnp.float32)
    counts = patches.counts_of(flat[None], scan.probe, corners[None], background)[0]
    counts = counts if used is None else jnp.where(used, counts, 0)
    found = LEVEL(counts, used, scan.probe, background, jnp.sum(jnp.abs(scan.probe) ** 2))
    np.testing.assert_allclose(found, 0.7, rtol=1e-5)
    if used is SOME:
        made = sweeps.estimated(counts, jnp.asarray(used), scan.probe, corners, background, flat.shape, 0, False).object
        np.testing.assert_allclose(made, 0.7, rtol=1e-5)


def test_a_mask_that_hides_nearly_all_leaves_a_level_that_is_finite(groups):
    scan = scan_arrays(small_scan())
    counts, light = scan.counts[groups.index[0]], jnp.sum(jnp.abs(scan.probe) ** 2)
    for used in (np.zeros((NPIX, NPIX), bool), np.eye(NPIX, dtype=bool) & (np.arange(NPIX) > 13)):
        level = LEVEL(jnp.where(used, counts, 0), used, scan.probe, jnp.float32(0), light)
        assert 0 <= level < 1
    assert LEVEL(counts, None, scan.probe, jnp.float32(1e9), light) > 0  # more background than counts


@pytest.mark.parametrize("photons", [1e2, 1e6])
def test_the_true_object_has_a_scale_of_one_at_any_dose(photons):
    data = small_scan(photons)
    groups, scan = group_set(data, 2, None, 5, 0), scan_arrays(data)
    canvas = jnp.stack([true_canvas(data, origin, groups.side) for origin in groups.origins])
    expected = jax.jit(patches.counts_of)(canvas, scan.probe, jnp.asarray(groups.corners), scan.background)
    counts = scan.counts[groups.index]

    def scale(*arrays):
        counted, sent = steps.photons_of(*arrays)
        return np.sqrt(np.sum(counted) / np.sum(sent))

    assert abs(scale(counts, expected, jnp.float32(0), None) - 1) < 0.02  # of a fit of roots 0.04 at 1e2 photons
    assert scale(4 * counts + 9, expected + 9, jnp.float32(9), None) == pytest.approx(2, rel=0.02)
    masked = jnp.where(SOME, counts, 0)
    assert abs(scale(masked, expected, jnp.float32(0), jnp.asarray(SOME)) - 1) < 0.03


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
    [{"loss": "huber"}, {"weights": {"poisson": 0.0}}, {"weights": {"mae": -1.0}}, {"weights": {"tv": np.nan}},
     {"weights": {"squared": True}}],
    ids=str,
)  # fmt: skip
def test_losses_that_make_no_sense_are_refused(wrong):
    named = "loss" if "loss" in wrong else next(iter(wrong["weights"]))
    with pytest.raises(pt.ScanError, match=f"Expected .*{named}"):
        nn.LossWeights.named(wrong["loss"]) if "loss" in wrong else nn.LossWeights(**wrong["weights"])
