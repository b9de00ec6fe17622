"""Known perturbations of a known object give the numbers that they must."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.ptychography import (
    ScanData,
    ScanError,
    half_scans,
    judge,
    judge_halves,
    judge_scan,
    make_object,
    make_scan,
    measures,
    place_on_canvas,
    register,
    ring_correlation,
)
from dluxshera.ptychography.ring_correlation import crossing

SIZE = 72


@pytest.fixture(scope="module")
def truth():
    return make_object("mixed", SIZE, 3)


@pytest.fixture(scope="module")
def covered():
    y, x = np.ogrid[:SIZE, :SIZE]
    return (y - 36) ** 2 + (x - 34) ** 2 < 28**2


def noise(scale, seed=0):
    rng = np.random.default_rng(seed)
    return scale * (rng.standard_normal((SIZE, SIZE)) + 1j * rng.standard_normal((SIZE, SIZE)))


def plane(slope_y, slope_x):
    y, x = (np.arange(SIZE) - (SIZE - 1) / 2 for _ in range(2))
    return slope_y * y[:, None] + slope_x * x


def test_the_truth_is_perfect(truth, covered):
    record = judge(truth, truth, covered).record
    for part in ("amplitude", "phase"):
        found = record[part]
        assert found["scale"] == pytest.approx(1, abs=1e-12) and found["ssim"] == pytest.approx(1)
        assert found["psnr"] > 250 and found["frc_half"] == 1.0 and found["pearson_r"] == pytest.approx(1)
        assert found["mae"] < 1e-12 and found["max_error"] < 1e-12
    assert record["covered_pixels"] == covered.sum() and record["rescaled"] is None


@settings(max_examples=15, deadline=None)
@given(st.floats(-3, 3), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_global_phase_and_ramp_do_not_count(truth, covered, phase, slope_y, slope_x):
    judged = judge(truth * np.exp(1j * (plane(slope_y, slope_x) + phase)), truth, covered)
    assert judged.record["phase"]["rmse"] < 1e-9 and judged.record["amplitude"]["rmse"] < 1e-12
    np.testing.assert_allclose(judged.registered.ramp, [slope_y, slope_x], atol=1e-9)
    assert np.exp(1j * judged.registered.phase) == pytest.approx(np.exp(1j * phase), abs=1e-9)


@pytest.mark.parametrize("shift", [(0.37, -1.62), (-3.0, 2.0), (0.0, 0.05)])
def test_a_shift_is_found_and_undone(covered, shift):
    """The shifted object is made by another interpolation: Fourier's, on a periodic object."""
    rng = np.random.default_rng(1)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE), indexing="ij"))
    smooth = np.exp(-((frequency / 0.06) ** 2))
    fields = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * smooth).real for _ in range(2)]
    truth = (1 + fields[0] / np.abs(fields[0]).max() / 2) * np.exp(1j * fields[1] / np.abs(fields[1]).max())
    turns = np.exp(-2j * np.pi * sum(np.meshgrid(*(s * np.fft.fftfreq(SIZE) for s in shift), indexing="ij")))
    moved = np.fft.ifft2(np.fft.fft2(truth) * turns)
    judged = judge(moved * np.exp(1j * (plane(0.02, -0.01) + 1)), truth, covered)
    np.testing.assert_allclose(judged.registered.shift, np.negative(shift), atol=0.011)
    assert judged.record["amplitude"]["psnr"] > 50 and judged.record["phase"]["psnr"] > 50
    unmoved = judge(moved, truth, covered, shift=False).record["amplitude"]["psnr"]
    assert unmoved < judged.record["amplitude"]["psnr"] - 8


def test_a_scale_is_reported_and_removed_only_when_asked(truth, covered):
    plain = judge(1.3 * truth, truth, covered).record
    assert plain["amplitude"]["scale"] == pytest.approx(1.3)
    assert plain["amplitude"]["mae"] == pytest.approx(0.3 * np.abs(truth)[covered].mean())
    assert plain["amplitude"]["pearson_r"] == pytest.approx(1) and plain["phase"]["rmse"] < 1e-12
    assert plain["amplitude"]["ratio_percentiles"] == pytest.approx({f"p{p:02d}": 1.3 for p in (5, 25, 50, 75, 95)})
    best = judge(1.3 * truth, truth, covered, rescale="best").record
    assert best["amplitude"]["mae"] < 1e-12 and best["rescaled"]["how"] == "best"
    assert best["rescaled"]["factor"] == pytest.approx(1 / 1.3)
    fixed = judge(1.3 * truth, truth, covered, rescale=0.5).record
    assert fixed["amplitude"]["scale"] == pytest.approx(0.65) and fixed["rescaled"]["factor"] == 0.5


def test_noise_gives_its_own_errors(truth, covered):
    sigma = 0.02
    found = judge(truth + noise(sigma), truth, covered, shift=False, ramp=False).record
    amplitude, phase = found["amplitude"], found["phase"]
    span = np.ptp(np.abs(truth)[covered])
    assert amplitude["rmse"] == pytest.approx(sigma, rel=0.05)  # the part of the noise along the object
    assert amplitude["mae"] == pytest.approx(sigma * np.sqrt(2 / np.pi), rel=0.05)
    assert amplitude["psnr"] == pytest.approx(20 * np.log10(span / sigma), abs=0.4)
    assert phase["rmse"] == pytest.approx(sigma * np.sqrt(np.mean(1 / np.abs(truth)[covered] ** 2)), rel=0.05)
    free = judge(truth + noise(sigma), truth, covered).record["amplitude"]
    assert free["rmse"] == pytest.approx(sigma, rel=0.05)  # to look for a shift does not smooth it away
    worse = judge(truth + noise(0.1), truth, covered).record["amplitude"]
    assert worse["ssim"] < amplitude["ssim"] < 1 and worse["frc_half"] < amplitude["frc_half"]


def test_what_is_not_covered_does_not_count(truth, covered):
    wild = np.where(covered, truth, 1e6 * noise(1.0))
    wild[0, 0] = np.nan
    a, b = judge(truth + noise(0.01) * covered, truth, covered).record, judge(wild + noise(0.01), truth, covered).record
    assert json.dumps(a) == json.dumps(b)
    judged = judge(wild, truth, covered)
    assert np.isnan(judged.differences["phase"][~covered]).all()
    assert np.abs(judged.differences["amplitude"][covered]).max() < 1e-12


def test_flat_truths_have_no_scale_of_phase(truth, covered):
    found = judge(np.abs(truth) + 0j, np.abs(truth) + 0j, covered).record["phase"]
    assert found["scale"] is None and found["psnr"] is None and found["ssim"] is None and found["frc"] is None
    assert found["rmse"] == 0
    flat = judge(np.ones((SIZE, SIZE)), np.ones((SIZE, SIZE)), covered).record["amplitude"]
    assert flat["scale"] == pytest.approx(1) and flat["psnr"] is None and flat["pearson_r"] is None


def test_phases_are_compared_across_the_cut(covered):
    truth = np.exp(1j * (np.pi + 0.3 * np.sin(plane(0.2, 0.1))))
    estimate = truth * np.exp(0.05j * np.sin(plane(0.1, 0.5)))
    assert judge(estimate, truth, covered).record["phase"]["max_error"] < 0.11


def test_measures_against_their_definitions(truth, covered):
    a, b = np.abs(truth + noise(0.05)), np.abs(truth)
    found = measures(a, b, covered)
    e, t = a[covered], b[covered]
    assert found["pearson_r"] == pytest.approx(np.corrcoef(e, t)[0, 1])
    assert found["scale"] == pytest.approx(np.linalg.lstsq(t[:, None], e, rcond=None)[0][0])
    assert found["max_error"] == np.abs(e - t).max()


def test_ring_correlation_of_known_spectra():
    """Two images that share what is below half of Nyquist, and have noise of their own above it."""
    n, rng = 128, np.random.default_rng(0)
    frequency = 2 * np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n))
    shared, *own = (np.fft.fft2(rng.standard_normal((n, n))) for _ in range(3))
    images = [np.fft.ifft2(np.where(frequency < 0.5, shared, o)).real for o in own]
    axis, curve = ring_correlation(*images, np.ones((n, n), bool))
    assert (curve[axis < 0.45] > 0.99).all() and np.abs(curve[axis > 0.6].mean()) < 0.1
    assert crossing(axis, curve) == pytest.approx(0.5, abs=0.03)
    signal, noises = rng.standard_normal((n, n)), rng.standard_normal((2, n, n))
    _, curve = ring_correlation(signal + noises[0], signal + noises[1], np.ones((n, n), bool))
    assert curve.mean() == pytest.approx(0.5, abs=0.03)  # signal over signal plus noise


def test_crossing():
    assert crossing(np.array([0.5, 1.0]), np.array([1.0, 0.9])) == 1.0
    assert crossing(np.array([0.5, 1.0]), np.array([0.7, 0.3])) == pytest.approx(0.75)
    assert crossing(np.array([0.5, 1.0]), np.array([0.2, 0.9])) == 0.0


def test_halves_of_a_scan(truth, covered):
    scan = make_scan(size=40, npix=16, number=9, margin=8, photons=1e4)
    first, second = half_scans(scan, seed=1)
    assert len(first) == 4 and len(second) == 5
    both = np.concatenate([first.positions, second.positions])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(scan.positions, axis=0))
    with pytest.raises(ScanError, match="two patterns"):
        half_scans(scan.select([0]))
    record = judge_halves(truth + noise(0.05, 1), (truth + noise(0.05, 2)) * np.exp(1j), covered)
    assert 0 < record["frc_half"] < record["frc_full_half"] <= 1
    json.dumps(record, allow_nan=False)


def test_records_are_json(truth, covered):
    json.dumps(judge(truth + noise(0.05), truth, covered).record, allow_nan=False)


def test_an_object_is_placed_on_a_canvas():
    object = np.arange(12.0).reshape(3, 4)
    placed, known = place_on_canvas(object, [-1, 2], (5, 3))
    np.testing.assert_array_equal(placed[1:4, :2], object[:, 2:])
    assert known.sum() == 6 and not placed[~known].any()
    assert not place_on_canvas(object, [10, 0], (2, 2))[1].any()
    with pytest.raises(ScanError, match="on the object's own pixels"):
        place_on_canvas(object, [0.5, 0], (2, 2))


def test_a_reconstruction_is_laid_over_the_object_of_its_scan():
    """A canvas of its own, smaller than the truth's or beyond it, refined positions, and a scale of 0.9."""
    scan = make_scan("mixed", size=40, npix=16, number=9, margin=8, photons=1e4)
    rng = np.random.default_rng(0)
    for first in (np.array([2, 1]), np.array([-3, 0])):
        shape = (30, 34)
        canvas = 0.9 * np.exp(1j) * place_on_canvas(scan.object, first, shape)[0]
        corners = scan.positions - 8 - first + 0.2 * rng.standard_normal((9, 2))
        coverage = np.zeros(shape)
        coverage[:28, 5:30] = 1.0
        judged = judge_scan(scan, canvas, corners, coverage, 0.5)
        assert judged.record["amplitude"]["scale"] == pytest.approx(0.9)
        assert judged.record["phase"]["rmse"] < 1e-9
        assert judged.record["covered_pixels"] == (28 - max(0, -first[0])) * 25
    with pytest.raises(ScanError, match="Expected an object to judge against"):
        judge_scan(ScanData(scan.counts, scan.positions), canvas, corners, coverage)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t, c: (t[1:], t, c), "of one shape"),
        (lambda t, c: (t, t, np.zeros_like(c)), "some covered pixels"),
        (lambda t, c: (t * np.nan, t, c), "finite objects where they are covered"),
    ],
)
def test_objects_that_cannot_be_compared(truth, covered, change, message):
    with pytest.raises(ScanError, match=message):
        register(*change(truth, covered))
    for wrong in ("worst", -1.0, 0):
        with pytest.raises(ScanError, match="Expected rescale"):
            judge(truth, truth, covered, rescale=wrong)
