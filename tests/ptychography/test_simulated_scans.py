"""Simulated scans: objects, probes, trajectories, dose, and a forward model that shares nothing with the other."""

import numpy as np
import pytest
from scipy import ndimage

from dluxshera.ptychography import (
    ScanError,
    default_probe,
    defocused_probe,
    disc_probe,
    gap_mask,
    image_object,
    independent_counts,
    line_pattern,
    make_object,
    make_scan,
    nongrid_positions,
    normalised_probe,
    probe_radius,
    raster_positions,
    scan_facts,
    simulate_scan,
    spiral_positions,
)
from dluxshera.ptychography.independent import fine_object
from dluxshera.ptychography.propagation import expected_counts


@pytest.fixture(scope="module")
def doses():
    """The same scan at high and at low dose, N = 64."""
    return {photons: make_scan(size=96, number=100, photons=photons, seed=2) for photons in (1e9, 1e4)}


def test_the_dose_is_the_mean_of_the_counts(doses):
    for photons, scan in doses.items():
        total = np.asarray(scan.counts).sum(dtype=float)
        assert abs(total - photons * len(scan)) < 5 * np.sqrt(photons * len(scan))
        assert np.issubdtype(scan.counts.dtype, np.integer)


def test_ratios_between_doses(doses):
    """Counts by 1e5, root-mean-square amplitude by its root, mean amplitude by more: most pixels are empty."""
    high, low = (scan_facts(doses[photons]) for photons in (1e9, 1e4))
    assert high["mean_counts"] / low["mean_counts"] == pytest.approx(1e5, rel=0.01)
    assert high["rms_amplitude"] / low["rms_amplitude"] == pytest.approx(316.2, rel=0.005)
    assert high["mean_amplitude"] / low["mean_amplitude"] == pytest.approx(387, rel=0.01)
    assert low["empty_pixels"] == pytest.approx(0.93, abs=0.01)
    assert low["counts_shape"] == [100, 64, 64] and low["probe_shape"] == [1, 64, 64]


def test_the_trajectory_does_not_depend_on_the_dose(doses):
    np.testing.assert_array_equal(doses[1e9].positions, doses[1e4].positions)
    np.testing.assert_array_equal(doses[1e9].object, doses[1e4].object)
    np.testing.assert_allclose(doses[1e9].probe, np.sqrt(1e5) * doses[1e4].probe, rtol=1e-12)


def test_counts_are_poisson_draws_of_the_calibrated_model(doses):
    for scan in doses.values():
        expected = np.asarray(expected_counts(scan.object, scan.probe, scan.positions - 32))
        seen = expected > 10
        pulls = (scan.counts[seen] - expected[seen]) / np.sqrt(expected[seen])
        assert abs(pulls.mean()) < 5 / np.sqrt(pulls.size) and pulls.std() == pytest.approx(1, abs=0.03)


def test_a_seed_is_a_scan():
    make = {"size": 40, "npix": 16, "number": 6, "margin": 8, "photons": 1e4}
    first, again, other = (make_scan(seed=seed, **make) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.counts, again.counts)
    assert (first.object.shape != other.object.shape) or not np.array_equal(first.object, other.object)
    assert not np.array_equal(first.positions, other.positions)


def test_mask_and_background():
    mask = gap_mask(16, 2, 1.5)
    assert not mask[4:6].any() and not mask[:, 4:6].any() and not mask[8, 8] and mask[12, 12]
    make = {"size": 40, "npix": 16, "number": 30, "margin": 8, "photons": 1e3, "seed": 1, "background": 2.0}
    masked, whole = make_scan(mask=mask, **make), make_scan(**make)
    np.testing.assert_array_equal(masked.counts, whole.counts * mask)
    far = np.asarray(whole.counts)[:, 0, 0]  # the probe's light does not reach the corner
    assert far.mean() == pytest.approx(2.0, abs=5 * np.sqrt(2 / far.size))
    assert whole.background == 2.0


def test_a_dose_that_leaves_a_pattern_empty_is_refused():
    with pytest.raises(ScanError, match="Raise photons, now 0.1"):
        make_scan(size=40, npix=16, number=30, margin=8, photons=0.1)
    with pytest.raises(ScanError, match="a scan that light passes"):
        simulate_scan(np.zeros((20, 20)), disc_probe(8, 2), [[10.0, 10.0]])
    with pytest.raises(ScanError, match="photons above zero"):
        make_scan(photons=0)


@pytest.mark.parametrize("background", [-1.0, np.nan, np.inf, 1e20, np.ones(3)])
def test_a_background_that_makes_no_sense_is_refused(background):
    with pytest.raises(ScanError, match="background: Expected"):
        make_scan("lines", size=32, npix=16, number=4, margin=8, background=background)


def test_more_photons_than_can_be_drawn_are_refused():
    with pytest.raises(ScanError, match=r"less than 1e\+15 photons in every pixel.*Lower photons"):
        make_scan("lines", size=32, npix=16, number=4, margin=8, photons=1e30)


def test_more_positions_than_fit_are_refused():
    for scan in ({"scan": "raster", "step": 1e-9}, {"number": 10**12}, {"scan": "spiral", "number": 10**12}):
        with pytest.raises(ScanError, match="positions, got"):
            make_scan("lines", size=32, npix=16, margin=8, **scan)


def test_lines_follow_the_formula():
    """G1 + 2 G5 + 5 G10 of a raster of lines is what three filters of it, one by one, give."""
    pattern = line_pattern(64, seed=3)
    assert pattern.max() == 1 and pattern.min() >= 0 and pattern.shape == (64, 64)
    one = line_pattern(64, seed=3, lines=1)
    from skimage.draw import line

    raster = np.zeros((64, 64))
    raster[line(*np.random.default_rng([3, 0]).integers(0, 64, (1, 4))[0])] = 1
    blurred = [ndimage.gaussian_filter(raster, s) for s in (1, 5, 10)]
    expected = blurred[0] + 2 * blurred[1] + 5 * blurred[2]
    np.testing.assert_allclose(one, expected / expected.max(), rtol=1e-12)


def test_kinds_of_objects():
    lines, phase, mixed = (make_object(kind, 64, 1) for kind in ("lines", "phase", "mixed"))
    assert np.abs(lines).max() == pytest.approx(1.5) and np.abs(lines).min() >= 0.5 and not np.angle(lines).any()
    np.testing.assert_allclose(np.abs(phase), 1)
    assert np.angle(phase).max() == pytest.approx(1.0)
    np.testing.assert_allclose(mixed, np.abs(lines) * phase, rtol=1e-12)
    with pytest.raises(ScanError, match="lines, phase, mixed, got 'disc'"):
        make_object("disc", 64, 1)


def test_an_image_becomes_an_object():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = image_object(np.stack([image] * 3, axis=-1), phase=image[::-1], largest_phase=0.5)
    np.testing.assert_allclose(np.abs(found), 0.5 + image / 11)
    np.testing.assert_allclose(np.angle(found), 0.5 * image[::-1] / 11)
    for bad in (-image.astype(float), image * np.nan, np.zeros((3, 4))):
        with pytest.raises(ScanError, match="Expected an image"):
            image_object(bad)
    with pytest.raises(ScanError, match="Expected an amplitude, a phase, or both"):
        image_object()


def test_the_default_probe():
    probe = default_probe(64)
    assert probe_radius(probe) == pytest.approx(10.9, abs=0.1)
    distance = np.hypot(*np.ogrid[-32:32, -32:32])
    inside = np.where(distance <= 16, np.abs(probe), 0)
    assert inside.mean() == pytest.approx(1 / 4) and probe.shape == (64, 64)
    assert normalised_probe(3 * probe, 2).sum() == pytest.approx(2 * probe.sum())
    assert np.abs(probe[:, 8]).max() == 0


def test_custom_probes():
    probe = disc_probe(32, 6.5)
    assert probe_radius(probe) == pytest.approx(6.5, abs=0.2)
    curved = defocused_probe(probe, 1.0)
    np.testing.assert_allclose(np.abs(curved), np.abs(probe))
    rim = 16 + round(probe_radius(probe))
    assert np.angle(curved[16, rim]) == pytest.approx((rim - 16) ** 2 / probe_radius(probe) ** 2)
    for wrong in (0, 16, -3):
        with pytest.raises(ScanError, match="radius between 0 and 16"):
            disc_probe(32, wrong)


def test_trajectories():
    free = nongrid_positions(200, (100, 60), seed=1)
    assert (free >= 15).all() and (free <= [84, 44]).all() and np.ptp(free, axis=0) == pytest.approx([69, 29], abs=3)
    np.testing.assert_array_equal(nongrid_positions(50, (100, 60), seed=1), free[:50])
    grid = raster_positions(8, (100, 60))
    assert len(grid) == 9 * 4 and np.unique(np.diff(np.unique(grid[:, 0]))) == pytest.approx(8)
    np.testing.assert_allclose(grid.mean(0), [49.5, 29.5])
    spiral = spiral_positions(400, (100, 100))
    radius = np.hypot(*(spiral - 49.5).T)
    assert radius.max() <= 34.5
    inner = (radius < radius.max() / np.sqrt(2)).sum()  # half of the area holds half of the points
    assert inner == pytest.approx(200, abs=4)
    for wrong in (
        lambda: nongrid_positions(0, (50, 50), 0),
        lambda: nongrid_positions(3, (20, 50), 0),
        lambda: raster_positions(0, (50, 50)),
        lambda: spiral_positions(3, (50, 50), -1),
    ):
        with pytest.raises(ScanError, match="Expected"):
            wrong()


def test_scans_by_name():
    make = {"size": 40, "npix": 16, "margin": 8, "photons": 1e4}
    raster = make_scan(scan="raster", step=6, **make)
    assert np.unique(np.diff(raster.positions[:, 1])).size == 2  # the step, and the way back
    assert len(make_scan(scan="spiral", number=7, **make)) == 7
    with pytest.raises(ScanError, match="nongrid, raster, spiral, got 'circle'"):
        make_scan(scan="circle")


def test_the_finer_grid_agrees_where_both_are_exact():
    """On whole pixels there is nothing to interpolate; both then differ by what lies beyond the detector."""
    scan = make_scan("mixed", size=48, npix=32, number=6, margin=16, photons=1e6, noise=False)
    whole = np.round(scan.positions)
    fine = independent_counts(scan.object, scan.probe, whole)
    coarse = np.asarray(expected_counts(scan.object, scan.probe, whole - 16))
    assert np.abs(np.sqrt(fine) - np.sqrt(coarse)).max() < 2e-3 * np.sqrt(coarse.max())
    assert ((np.sqrt(fine) - np.sqrt(coarse)) ** 2).sum() < 2e-5 * coarse.sum()


def test_the_finer_grid_is_exact_for_a_wave():
    """A plane-wave object at any position shifts the probe's spectrum, and nothing else."""
    npix, k = 32, 3
    probe = disc_probe(npix, 6)[None]
    y = np.arange(60)[:, None]
    object = np.exp(2j * np.pi * k * y / npix) * np.ones((60, 60))
    found = independent_counts(object, probe, np.array([[27.3, 28.9], [30.0, 31.5]]))
    expected = np.abs(np.fft.fftshift(np.fft.fft2(probe[0], norm="ortho"))) ** 2
    for pattern in found:
        np.testing.assert_allclose(pattern[8:], np.roll(expected, k, axis=0)[8:], atol=2e-4 * expected.max())


def test_a_finer_object_passes_through_the_coarse_one():
    object = make_object("mixed", 20, 1)
    fine = fine_object(object, 4)
    assert fine.shape == (77, 77)
    np.testing.assert_allclose(fine[::4, ::4], object, atol=1e-12)


def test_an_independent_scan_is_close_to_the_standard_one():
    make = {"size": 48, "npix": 32, "number": 8, "margin": 16, "photons": 1e6, "noise": False, "seed": 4}
    bilinear, fine = make_scan(**make), make_scan(independent=True, **make)
    fourier = make_scan(interpolation="fourier", **make)
    assert (bilinear.interpolation, fourier.interpolation) == ("bilinear", "fourier")
    for scan in (bilinear, fourier):
        misfit = ((np.sqrt(scan.counts) - np.sqrt(fine.counts)) ** 2).sum() / fine.counts.sum()
        assert 1e-9 < misfit < 1e-4
    np.testing.assert_array_equal(bilinear.positions, fine.positions)


def test_the_finer_grid_refuses_windows_beyond_the_object():
    with pytest.raises(ScanError, match="Expected every window on the object"):
        independent_counts(np.ones((20, 20), complex), np.ones((1, 16, 16), complex), np.array([[2.0, 9.0]]))
