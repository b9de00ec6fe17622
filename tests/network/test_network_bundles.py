"""Bundles on the disk, and what inference makes of them."""

import json

import equinox as eqx
import numpy as np
import pytest
from small_network import BACKGROUND, NPIX, dark_scan, same_arrays, small_scan, small_settings, trained

from dluxshera import ptychography as pt
from dluxshera.ptychography import network as nn


@pytest.fixture(scope="module")
def bundle():
    return trained()[0].bundle


def rewritten(path, arrays, **changes):
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


def test_a_bundle_comes_back(bundle, tmp_path):
    path = nn.save_bundle(tmp_path / "bundle", bundle)
    for where in (path, path.parent):
        again = nn.load_bundle(where)
        assert same_arrays(again.arrays(), bundle.arrays())
        assert eqx.tree_equal(again.model, bundle.model) and again.settings == bundle.settings
        assert again.facts == bundle.facts
    with pytest.raises(pt.ScanError, match="exists"):
        nn.save_bundle(path.parent, bundle)
    with np.load(path, allow_pickle=False) as stored:
        assert "weights.amplitude.head.weight" in stored and "input_gain" in stored


def test_bundles_that_cannot_be_used_are_named(bundle, tmp_path):
    arrays, path = bundle.arrays(), tmp_path / "bundle.npz"
    meta = json.loads(str(arrays["meta"]))

    def refused(words, **changes):
        rewritten(path, arrays, **changes)
        with pytest.raises(pt.ScanError, match=words) as caught:
            nn.load_bundle(tmp_path)
        assert str(path) in str(caught.value) and "Error(" not in str(caught.value)

    refused("v9; this one reads", meta=np.asarray(json.dumps(meta | {"schema": "dluxshera-network-v9"})))
    refused("Expected schema", meta=np.asarray(json.dumps(meta | {"schema": "other"})))
    refused("meta of a bundle", meta=np.asarray("no JSON"))
    refused("meta of a bundle", meta=None)
    refused("encoder.0.first.bias", **{"weights.encoder.0.first.bias": None})
    refused("encoder.0.first.bias", **{"weights.encoder.0.first.bias": np.zeros(3, np.float32)})
    refused("no array extra", **{"weights.extra": np.zeros(3)})
    refused("probe", probe=np.full((1, NPIX, NPIX), np.nan))
    refused("input_gain", input_gain=np.ones(3))
    refused("meta: Expected the meta of a bundle, a mapping, got list", meta=np.asarray("[1]"))
    refused("Expected facts to be a mapping", meta=np.asarray(json.dumps(meta | {"facts": [1]})))
    refused("input_gain: Expected real", input_gain=arrays["input_gain"] * 1j)
    refused("input_offset: Expected the input_offset of a bundle, got none", input_offset=None)
    refused("probe with power", probe=0 * arrays["probe"])
    refused("background: Expected a number or shape", background=np.zeros((3, 5), np.float32))
    refused("background: Expected finite", background=np.float32(np.inf))
    name = "weights.encoder.0.first.weight"
    refused(f"{name}: Expected finite numbers, got {arrays[name].size}", **{name: arrays[name] * np.nan})
    for wrong in ({"gridsize": 2.0}, {"sweeps": 2.5}, {"npix": "16"}, {"npix": [16]}, {"skips": 1}, {"bogus": 1}):
        settings = meta["settings"] | {"architecture": meta["settings"]["architecture"] | wrong}
        refused(
            f"meta: settings: Expected .*{next(iter(wrong))}",
            meta=np.asarray(json.dumps(meta | {"settings": settings})),
        )
    for wrong in ({"epochs": 1.5}, {"neighbours": None}, {"architecture": None}):
        settings = meta["settings"] | wrong
        refused(
            f"meta: settings: Expected {next(iter(wrong))}", meta=np.asarray(json.dumps(meta | {"settings": settings}))
        )
    wide = meta | {"settings": meta["settings"] | {"architecture": meta["settings"]["architecture"] | {"width": 0.5}}}
    refused("encoder.0.first", meta=np.asarray(json.dumps(wide)))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(pt.ScanError, match="damaged"):
        nn.load_bundle(path)
    with pytest.raises(pt.ScanError, match="got none there"):
        nn.load_bundle(tmp_path / "nothing")


def test_inference_gives_the_object_on_a_canvas_that_holds_it(bundle):
    data = small_scan()
    found = nn.infer(bundle, data)
    made, canvas = found.reconstruction, pt.canvas_of(data.positions, data.npix)
    assert made.object.shape == canvas.shape and np.array_equal(made.positions, canvas.corners)
    assert found.facts["energy_inside"] == pytest.approx(1) and found.facts["patch_energy_inside"] <= 1
    assert found.facts["patterns_per_second"] > 0 and found.covered.any()
    np.testing.assert_array_equal(found.covered, pt.coverage_mask(made.coverage))
    judged = pt.judge_scan(data, made.object, made.positions, made.coverage).record["amplitude"]
    assert judged["scale"] == pytest.approx(1, abs=0.05)
    start = nn.infer(bundle, data, corrected=False)  # what the network begins with, stitched
    assert not start.facts["corrected"] and np.any(start.reconstruction.object != made.object)


def test_inference_repeats_and_takes_batches_of_any_size(bundle):
    data = small_scan()
    first, again = (nn.infer(bundle, data, groups=5, batch=batch).reconstruction.object for batch in (2, 32))
    np.testing.assert_allclose(first, again, atol=1e-5)


def test_the_bundles_probe_serves_a_scan_without_one(bundle):
    data = small_scan()
    without = pt.ScanData(data.counts, data.positions)
    found, wanted = (nn.infer(bundle, d, groups=5).reconstruction.object for d in (without, data))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_the_bundles_background_serves_a_scan_without_one():
    data = dark_scan()
    bundle = nn.train(data, small_settings(1)).bundle
    found, wanted = (
        nn.infer(bundle, d, groups=5).reconstruction for d in (pt.ScanData(data.counts, data.positions), data)
    )
    assert found.background == BACKGROUND and found.deviance == pytest.approx(wanted.deviance, rel=1e-4)
    np.testing.assert_allclose(found.object, wanted.object, atol=1e-4)
    own = pt.ScanData(data.counts, data.positions, background=0.0)  # none, and known to be none
    assert nn.infer(bundle, own, groups=5).reconstruction.background == 0


def test_what_no_group_reaches_is_not_covered(bundle):
    data = small_scan()
    few, whole = nn.infer(bundle, data, groups=1), nn.infer(bundle, data)
    assert np.all(few.reconstruction.object[few.covered]) and not few.reconstruction.object.all()
    np.testing.assert_array_equal(few.covered, pt.coverage_mask(few.reconstruction.coverage))
    assert 0 < few.covered.sum() < 0.6 * whole.covered.sum()
    assert (few.facts["patterns"], whole.facts["patterns"]) == (4, len(data))
    for found in (few, whole):
        assert found.facts["patterns_per_second"] * found.facts["seconds"] == pytest.approx(found.facts["patterns"])
    assert few.reconstruction.deviance < 5 * whole.reconstruction.deviance  # of the patterns that were read


@pytest.mark.parametrize("change", ["moved", "modes"])
def test_a_probe_that_is_not_the_trainings_is_told(bundle, change):
    data = small_scan()
    own = np.asarray(data.probe)
    other = np.roll(own, 2, axis=1) if change == "moved" else np.concatenate([own, own[..., ::-1, :]]) / np.sqrt(2)
    overlap = nn.probe_overlap(own, np.roll(own, 2, axis=1))
    words = f"an overlap of {overlap:.3g}" if change == "moved" else "2 modes where it has 1"
    with pytest.warns(nn.ProbeWarning, match=f"{words}. The data's own is used") as caught:
        found = nn.infer(bundle, pt.ScanData(data.counts, data.positions, other), groups=5)
    assert len(caught) == 1
    np.testing.assert_allclose(found.reconstruction.probe, other, rtol=1e-6)
    nn.infer(bundle, pt.ScanData(data.counts, data.positions, 1.1j * own), groups=5)  # of another scale: no word


def test_the_overlap_of_probes_is_that_of_their_light():
    a, b, c = np.linalg.qr(np.random.default_rng(5).normal(size=(9, 3)))[0].T.reshape(3, 1, 3, 3)
    assert nn.probe_overlap(a, 3j * a) == pytest.approx(1) and nn.probe_overlap(a, b) == pytest.approx(0, abs=1e-12)
    assert nn.probe_overlap(a, 0.6 * a + 0.8 * b) == pytest.approx(0.6)
    pair = np.concatenate([a, b])
    turned = np.concatenate([0.6 * a + 0.8j * b, 0.8j * a + 0.6 * b])
    assert nn.probe_overlap(pair, turned) == pytest.approx(1)  # the same light in other modes
    assert nn.probe_overlap(pair, np.concatenate([a, c])) == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"groups": 0}, {"neighbours": 0}, {"seed": -1}, {"rescale": np.nan}])
def test_options_of_an_inference_that_make_no_sense_are_named(bundle, wrong):
    with pytest.raises(pt.ScanError, match=f"Expected {next(iter(wrong))}"):
        nn.infer(bundle, small_scan(), **wrong)


def test_a_result_is_rescaled_only_when_asked(bundle):
    data = small_scan()
    plain, scaled = (nn.infer(bundle, data, groups=5, rescale=factor) for factor in (None, 2.0))
    np.testing.assert_allclose(scaled.reconstruction.object, 2 * plain.reconstruction.object, rtol=1e-6)
    assert plain.facts["rescaled"] is None and scaled.facts["rescaled"] == 2.0
    with pytest.raises(pt.ScanError, match="rescale"):
        nn.infer(bundle, data, rescale=-1.0)


def test_scans_of_another_shape_are_refused(bundle):
    other = pt.make_scan("lines", size=60, npix=32, number=8, margin=18, photons=1e5)
    with pytest.raises(pt.ScanError, match="Expected patterns of 16 x 16"):
        nn.infer(bundle, other)
    with pytest.raises(pt.ScanError, match="2 points but 4 coordinates"):
        nn.infer(bundle, small_scan().select(np.arange(2)))
