"""Training in memory: it learns, it repeats, it stops, it says what went wrong."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest
from small_network import BACKGROUND, dark_scan, same_arrays, small_scan, small_settings, trained

from dluxshera import ptychography as pt
from dluxshera.ptychography import network as nn
from dluxshera.ptychography.network import steps, training
from dluxshera.ptychography.network.plateau import Plateau
from dluxshera.ptychography.network.state_files import training_arrays, training_from_arrays


def test_training_lowers_the_loss_of_groups_it_has_not_seen():
    found, states = trained()
    history = found.history
    assert found.result == "epochs" and found.state.epochs == 3 and len(states) == 4
    assert min(history["val_loss"]) < 0.9 * found.state.start_loss
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert {len(values) for values in history.values()} == {3}
    assert np.all(np.isfinite([history[name] for name in history]))
    assert abs(history["scale"][-1] - 1) < 0.05 and history["learning_rate"] == [1e-3] * 3
    assert found.bundle.facts["val_loss"] == min([found.state.start_loss, *history["val_loss"]])


@pytest.fixture(scope="module")
def single():
    """The same training, in single precision."""
    with jax.enable_x64(False):
        return nn.train(small_scan(), small_settings())


def test_the_same_seed_trains_the_same_network_in_any_precision_setting(single):
    wanted = trained()[0]
    # Twelve steps from the same weights: what is left are the roundings of single precision.
    assert single.history["val_loss"] == pytest.approx(wanted.history["val_loss"], rel=1e-5)
    leaves, others = (jax.tree.leaves(eqx.filter(t.bundle.model, eqx.is_array)) for t in (wanted, single))
    assert {leaf.dtype.name for leaf in (*leaves, *others)} == {"float32"}
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(leaves, others, strict=True))


@pytest.mark.full  # of functions compiled as users have it: the quick compilation of tests rounds otherwise
def test_the_same_seed_trains_the_same_bits_in_any_precision_setting(single):
    wanted = trained()[0]
    assert same_arrays(single.bundle.arrays(), wanted.bundle.arrays())
    assert single.history["val_loss"] == wanted.history["val_loss"]


def test_another_seed_trains_another_one():
    other = nn.train(small_scan(), small_settings(1, seed=2))
    assert other.history["val_loss"][0] != trained()[0].history["val_loss"][0]


def test_the_true_object_is_not_looked_at():
    data = small_scan()
    blind = pt.ScanData(data.counts, data.positions, data.probe)
    assert nn.train(blind, small_settings(1)).history["val_loss"] == trained()[0].history["val_loss"][:1]


def test_it_goes_on_from_a_state_bit_for_bit():
    whole, states = trained()
    settings = small_settings()
    stored = training_arrays(states[1])
    state = training_from_arrays(stored, settings, "here")
    assert same_arrays(training_arrays(state), stored)
    rest = nn.train(small_scan(), settings, resume=state)
    left_out = {"history.seconds"}
    first, second = (
        {k: v for k, v in training_arrays(s).items() if k not in left_out} for s in (rest.state, whole.state)
    )
    assert same_arrays(first, second)


def test_somebody_may_stop_it():
    asked = []
    found = nn.train(small_scan(), small_settings(), should_stop=lambda: asked.append(1) or len(asked) > 5)
    assert found.result == "interrupted" and found.state.epochs == 1


def test_numbers_that_are_not_finite_are_named_and_end_it():
    found = nn.train(small_scan(), small_settings(rate=1e30))
    where = found.state.nonfinite
    assert found.result == "nonfinite" and (where["epoch"], where["batch"]) == (1, 1)
    assert where["layer"].startswith("encoder.0.") and where["layer"] in found.message
    assert found.state.best_epoch == 0
    leaves = jax.tree.leaves(eqx.filter(found.bundle.model, eqx.is_array))
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves)
    assert found.bundle.facts["val_loss"] == found.state.start_loss


@pytest.mark.parametrize("more", [{"epochs": 1}, {"epochs": 9, "stop_after": 1}], ids=["last epoch", "early stop"])
def test_what_the_last_update_of_an_epoch_spoils_is_named_in_that_epoch(more, monkeypatch):
    """Every number of the epoch is finite before its last update, and none after."""
    calls, plain = [], training.step

    def spoilt(*arguments):
        update = plain(*arguments)
        calls.append(1)
        network = jax.tree.map(lambda a: a * np.float32(1 if len(calls) < 4 else np.nan), update.network)
        return update._replace(network=network)

    monkeypatch.setattr(training, "step", spoilt)
    found = nn.train(small_scan(), small_settings(**more))
    assert found.result == "nonfinite" and found.state.epochs == 1 and found.state.best_epoch == 0
    assert found.state.nonfinite == {"epoch": 1, "batch": 3, "layer": "weights of encoder.0.first.weight"}
    assert np.isfinite(found.history["train_loss"][0]) and not np.isfinite(found.history["val_loss"][0])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(eqx.filter(found.bundle.model, eqx.is_array)))


def test_weights_that_are_not_finite_are_named_though_the_loss_is():
    """An infinite bias ahead of a tanh: a phase of pi, and no slope."""
    bundle = trained()[0].bundle
    at = lambda b: b.network.phase.head.bias  # noqa: E731
    broken = eqx.tree_at(at, bundle.model, at(bundle.model) + np.inf)
    found = nn.train(small_scan(), small_settings(), start=dataclasses.replace(bundle, model=broken))
    assert np.isfinite(found.state.start_loss) and np.isfinite(found.history["val_loss"][0])
    assert found.state.nonfinite == {"epoch": 1, "batch": 3, "layer": "weights of phase.head.bias"}
    assert found.state.best_epoch == 0


def test_the_scale_of_the_history_is_that_of_the_photons_above_the_background():
    data, settings = dark_scan(), small_settings(1)
    found = nn.train(data, settings)
    course = training._Course.of(data, settings, None, None)
    model, held = nn.PhysicsNetwork(found.state.network, found.state.conditioning), course.validation
    expected = eqx.filter_jit(model.predict)(held.x, course.scan, held.corners, course.side).expected
    counted, sent = (np.sum(np.asarray(n, float) - BACKGROUND) for n in (data.counts[held.index], expected))
    assert found.history["scale"] == [pytest.approx(np.sqrt(counted / sent), rel=1e-4)]


def test_a_network_that_is_broken_from_the_start_is_named():
    bundle = trained()[0].bundle
    at = lambda b: b.network.phase.stages[0].second.bias  # noqa: E731
    broken = eqx.tree_at(at, bundle.model, at(bundle.model) + np.nan)
    found = nn.train(small_scan(), small_settings(), start=dataclasses.replace(bundle, model=broken))
    assert found.state.nonfinite == {"epoch": 1, "batch": 0, "layer": "weights of phase.stages.0.second.bias"}


def test_it_is_fine_tuned_from_a_bundle():
    bundle = trained()[0].bundle
    other = small_scan(photons=2e6)
    found = nn.train(other, small_settings(1), start=bundle)
    fresh = nn.train(other, small_settings(1))
    assert found.state.start_loss < fresh.state.start_loss
    assert eqx.tree_equal(found.state.conditioning, bundle.model.conditioning)
    with pytest.raises(pt.ScanError, match="architecture"):
        nn.train(other, small_settings(1, width=0.5), start=bundle)


def test_the_rate_falls_on_a_plateau_to_its_floor():
    settings = small_settings(rate=4e-4, patience=2, stop_after=9)
    plateau = Plateau(4e-4)
    rates, over = [], []
    for loss in (5.0, 4.0, 4.0, 4.0, 4.0, 3.0, *[3.5] * 9):
        plateau = plateau.after(loss, settings)
        rates.append(plateau.rate)
        over.append(plateau.is_over(settings))
    assert rates == [4e-4] * 4 + [2e-4] * 4 + [1e-4] * 7
    assert over == [False] * 14 + [True] and plateau.best == 3.0
    assert plateau.after(float("nan"), settings).best == 3.0
    assert not plateau.is_over(small_settings())  # never, by default


def test_it_stops_early():
    found = nn.train(small_scan(), small_settings(50, stop_after=1, rate=0.3, least_rate=0.1))
    assert found.result == "plateau" and found.state.epochs < 50 and "no better" in found.message


def test_another_loss_for_single_patterns_is_compiled_once(monkeypatch):
    calls, plain = [], steps._loss
    monkeypatch.setattr(steps, "_loss", lambda *a: calls.append(1) or plain(*a))
    settings = small_settings(2, gridsize=1, loss=nn.LossWeights.named("mae", tv=0.01), validation=0.0)
    found = nn.train(small_scan(photons=1e4), settings)
    assert len(calls) == 1 and found.history["val_loss"][1] < found.state.start_loss


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"rate": 1e-5}, "least_rate"), ({"epochs": 0}, "epochs"), ({"validation": 1.0}, "validation"),
     ({"neighbours": 0}, "neighbours"), ({"seed": -1}, "seed"), ({"patience": -1}, "patience"),
     ({"stop_after": -1}, "stop_after"), ({"groups": 0}, "groups"), ({"rate": np.nan}, "rate"), ({"clip": 0}, "clip"),
     ({"epochs": True}, "epochs")],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(pt.ScanError, match=f"^Expected {words} to be"):
        small_settings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"patience": np.nan}, {"epochs": 1.5}, {"epochs": "2"}, {"neighbours": None}, {"rate": "1"}, {"groups": 2.5},
     {"gridsize": 2.0}, {"sweeps": 2.5}, {"npix": [16]}, {"width": "1"}, {"skips": 1}, {"inputs": 3}, {"tv": True}],
    ids=str,
)  # fmt: skip
def test_records_of_settings_with_other_types_are_refused(wrong):
    record, (name, _) = small_settings().record(), *wrong.items()
    part = next((record[key] for key in ("architecture", "loss") if name in record[key]), record)
    part.update(wrong)
    with pytest.raises(pt.ScanError, match=f"^Expected {name} to be .*, got"):
        nn.TrainingSettings.from_record(record)


def test_scans_that_cannot_be_trained_on_are_refused():
    data = small_scan()
    with pytest.raises(pt.ScanError, match="Expected a calibrated probe, got none"):
        nn.train(pt.ScanData(data.counts, data.positions), small_settings())
    with pytest.raises(pt.ScanError, match="Expected patterns of 64 x 64"):
        nn.train(data, nn.TrainingSettings())
    with pytest.raises(pt.ScanError, match="groups of at most 24, one for each pattern, got 25"):
        nn.train(data, small_settings(groups=25))
    with pytest.raises(pt.ScanError, match="3 points but 4 coordinates"):
        nn.train(data.select(np.arange(3)), small_settings())


def test_settings_come_back_from_their_record():
    settings = small_settings(loss=nn.LossWeights.named("nll", tv=0.5))
    assert nn.TrainingSettings.from_record(settings.record()) == settings and settings.loss.name == "poisson+tv"
    with pytest.raises(pt.ScanError, match="bogus"):
        nn.TrainingSettings.from_record(settings.record() | {"bogus": 1})
    for part in ("architecture", "loss"):
        with pytest.raises(pt.ScanError, match=f"Expected {part} to be a mapping"):
            nn.TrainingSettings.from_record(settings.record() | {part: None})
        with pytest.raises(pt.ScanError, match="bogus"):
            nn.TrainingSettings.from_record(settings.record() | {part: {"bogus": 1}})
