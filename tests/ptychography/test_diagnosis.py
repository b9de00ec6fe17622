"""Diagnoses in numbers, as tables, and as pictures."""

import json

import numpy as np
import pytest

from dluxshera import plotting
from dluxshera.ptychography import (
    ScanError,
    bias_summary,
    canvas_and_energy,
    canvas_of,
    default_probe,
    group_patterns,
    grouping_summary,
    illumination,
    info,
    intensity_chain,
    judge,
    make_scan,
    probe_normalisation,
    table_rows,
)


@pytest.fixture(scope="module")
def scan():
    return make_scan("mixed", size=40, npix=16, number=12, margin=8, photons=1e5, seed=3, background=0.1)


def test_probe_normalisation_of_known_probes():
    probe = default_probe(32)
    record = probe_normalisation(3 * probe, probe, photons=1e6)
    assert record["ratio"] == pytest.approx({"mean_amplitude": 3, "largest_amplitude": 3, "radius": 1, "power": 9})
    assert record["b"]["mean_amplitude"] == pytest.approx(0.25) and record["b"]["outside_half"] < 1e-5
    assert record["a"]["scale_to_photons"] ** 2 * record["a"]["power"] == pytest.approx(1e6)
    flat = probe_normalisation(np.ones((16, 16)), probe[None])["a"]
    assert flat["outside_half"] == pytest.approx(0.75) and flat["scale_to_photons"] is None
    with pytest.raises(ScanError, match="probes with power"):
        probe_normalisation(0 * probe, probe)


def test_canvas_and_energy(scan):
    record = canvas_and_energy(scan.positions, scan.probe, nominal=18)
    assert record["energy_inside"] == pytest.approx(1, abs=1e-12)
    assert record["canvas_shape"] == list(canvas_of(scan.positions, 16).shape)
    assert record["energy_inside_nominal"] < 0.9
    large = canvas_and_energy(scan.positions, scan.probe, nominal=record["needed_side"] + 2)
    assert large["energy_inside_nominal"] == pytest.approx(1, abs=1e-12)
    assert canvas_and_energy(scan.positions, scan.probe)["energy_inside_nominal"] is None


def test_intensity_chain_agrees_with_the_counts(scan):
    record = intensity_chain(scan)
    stages, counts = record["stages"], np.asarray(scan.counts, float)
    assert list(stages) == ["counts", "amplitude", "input", "model_counts", "model_amplitude"]
    assert stages["counts"] == pytest.approx(
        {
            "mean": counts.mean(),
            "rms": np.sqrt((counts**2).mean()),
            "largest": counts.max(),
            "zeros": (counts == 0).mean(),
        }
    )
    assert stages["input"]["rms"] == pytest.approx(1) and record["gain"] == pytest.approx(1 / np.sqrt(counts.mean()))
    assert record["model_over_data"] == pytest.approx(1, abs=0.01)
    wrong = intensity_chain(scan, gain=2.0, probe=2 * scan.probe)
    assert wrong["model_over_data"] == pytest.approx(4, rel=0.01)
    assert wrong["stages"]["input"]["mean"] == pytest.approx(2 * stages["amplitude"]["mean"])
    alone = intensity_chain(make_scan(size=40, npix=16, number=3, margin=8).select([0, 2]))
    assert alone["stages"]["counts"]["mean"] > 0


def test_bias_of_a_scaled_prediction():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 1.5, (40, 40))
    covered = truth < 1.4
    record = bias_summary(0.7 * truth, truth, covered)
    assert record["scale"] == pytest.approx(0.7)
    assert record["before"]["ratio"]["mean"] == pytest.approx(0.7) and record["after"]["ratio"]["std"] < 1e-12
    assert record["before"]["mae"] == pytest.approx(0.3 * truth[covered].mean()) and record["after"]["mae"] < 1e-12
    assert record["truth"]["percentiles"]["p50"] == pytest.approx(np.median(truth[covered]))
    offset = bias_summary(truth + 0.1, truth)
    assert offset["after"]["mae"] > 0.01  # one factor does not remove an offset
    assert bias_summary(np.zeros(4), np.ones(4))["after"] is None
    for wrong in ((truth, truth[1:]), (truth * np.nan, truth), (truth, truth, np.zeros_like(covered))):
        with pytest.raises(ScanError, match="Expected"):
            bias_summary(*wrong)


def test_records_as_tables():
    rows = table_rows({"a": {"b": 1, "c": None}, "d": [1.5, 2], "e": list(range(9)), "f": 0.123456789, "g": True})
    assert rows == [
        ("a.b", "1"), ("a.c", "-"), ("d", "1.5, 2"), ("e", "9 values"), ("f", "0.12346"), ("g", "yes"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def groups(scan):
    return group_patterns(scan.positions, 2, 8, 0)


def test_every_record_is_json_and_a_table(scan, groups):
    for record in (
        info(scan),
        grouping_summary(scan.positions, groups),
        probe_normalisation(scan.probe, default_probe(16)),
        canvas_and_energy(scan.positions, scan.probe),
        intensity_chain(scan),
        bias_summary(np.abs(scan.object), np.abs(scan.object)),
    ):
        json.dumps(record, allow_nan=False)
        assert all(name and text for name, text in table_rows(record))


def test_every_picture_can_be_drawn(scan, groups):
    canvas = canvas_of(scan.positions, 16)
    lit = illumination(scan.probe, canvas.corners, canvas.shape)
    covered = np.zeros(scan.object.shape, bool)
    covered[10:-10, 10:-10] = True
    judged = judge(scan.object, scan.object, covered)
    curve = judged.record["amplitude"]
    pattern = scan.mean_pattern.copy()
    pattern[3] = np.nan
    for figure, axes in (
        (plotting.plot_scan(pattern, scan.positions, scan.probe), 4),
        (plotting.plot_scan(pattern, scan.positions[:1]), 3),
        (plotting.plot_complex(scan.object), 1),
        (plotting.plot_judgement(judged.registered.object, judged.registered.reference, covered), 10),
        (plotting.plot_judgement(np.abs(scan.object), np.abs(scan.object), covered), 10),
        (plotting.plot_ring_correlation(curve["frequency"], {"amplitude": curve["frc"]}), 1),
        (plotting.plot_groups(scan.positions, groups.nn_indices, groups.coords_relative), 2),
        (plotting.plot_probes(scan.probe, default_probe(16)), 3),
        (plotting.plot_canvas(lit, canvas.corners, 16, 20), 2),
        (plotting.plot_intensity_chain(intensity_chain(scan)["stages"]), 1),
        (plotting.plot_bias(np.abs(scan.object)[covered], np.abs(scan.object)[covered], 1.0), 3),
    ):
        assert len(figure.axes) == axes


def test_pictures_show_the_arrays_they_are_given(scan):
    drawn = plotting.plot_scan(scan.mean_pattern, scan.positions, scan.probe).axes
    pattern = drawn[0].images[0].get_array()
    assert np.unravel_index(pattern.argmax(), pattern.shape) == np.unravel_index(
        np.nanargmax(scan.mean_pattern), pattern.shape
    )
    np.testing.assert_allclose(drawn[1].collections[0].get_offsets(), scan.positions[:, ::-1])
    bright = np.asarray(drawn[2].images[0].get_array()).max(-1)
    np.testing.assert_allclose(bright, np.abs(scan.probe[0]) / np.abs(scan.probe[0]).max(), atol=1e-12)
