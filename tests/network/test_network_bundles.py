"""Bundles on the disk, and what inference makes of them."""

import json

import equinox as eqx
import numpy as np
import pytest
from small_network import NPIX, same_arrays, small_scan, trained

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
        assert str(path) in str(caught.value)

    refused("v9; this one reads", meta=np.asarray(json.dumps(meta | {"schema": "dluxshera-network-v9"})))
    refused("Expected schema", meta=np.asarray(json.dumps(meta | {"schema": "other"})))
    refused("meta of a bundle", meta=np.asarray("no JSON"))
    refused("meta of a bundle", meta=None)
    refused("encoder.0.first.bias", **{"weights.encoder.0.first.bias": None})
    refused("encoder.0.first.bias", **{"weights.encoder.0.first.bias": np.zeros(3, np.float32)})
    refused("no array extra", **{"weights.extra": np.zeros(3)})
    refused("probe", probe=np.full((1, NPIX, NPIX), np.nan))
    refused("input_gain", input_gain=np.ones(3))
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
