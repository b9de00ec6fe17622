"""Reconstructions of small scans: engines, seeds, resumption, files, and the measured star."""

import dataclasses
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_scan import NPIX, small_data, small_probe

from dluxshera.inference import LBFGS, fit, state_arrays, state_from_arrays
from dluxshera.ptychography import (
    EPIE,
    LSQML,
    DifferenceMap,
    GaussNewtonCG,
    MinibatchAdam,
    Reconstruction,
    ScanData,
    ScanError,
    ScanObjective,
    preconditioned,
    read_scan,
    reconstruct,
    starting_model,
)
from dluxshera.ptychography.starts import add_modes

REFINED = ("probe", "positions", "background")
stages = sys.modules["dluxshera.ptychography.reconstruct"]  # the name in the package is the function
STAR = Path(__file__).parents[3] / "shared" / "data" / "siemens_star.npz"


@pytest.fixture(scope="module")
def data():
    found = small_data()
    return type(found)(found.counts, found.positions, found.probe)


@pytest.fixture(scope="module")
def objective(data):
    return ScanObjective(starting_model(data, batch=20)[0], data.counts, ("object",))


ENGINES = {
    "adam": (lambda o: MinibatchAdam(30, batch=15), 2.0),
    "epie": (lambda o: EPIE(30), 2.0),
    "difference_map": (lambda o: DifferenceMap.for_objective(o, max_steps=40, batch=20), 3.0),
    "lsqml": (lambda o: LSQML(30, batch=15), 2.0),
    "gauss_newton": (lambda o: GaussNewtonCG(8), 1.5),
}


@pytest.mark.parametrize("name", ENGINES)
def test_engines_explain_the_counts(objective, name):
    engine, limit = ENGINES[name]
    solution = fit(objective, objective.start, engine(objective), record_theta=False)
    trace = np.asarray(solution.trace.loss)
    assert np.isfinite(trace).all() and trace[-1] < 0.1 * trace[0]
    assert 2 * float(objective.half_deviance(solution.state.theta)) < limit
    assert solution.state.theta.dtype == jnp.float32


def test_full_batch_descent_through_the_house_engine(objective):
    scaled = preconditioned(objective, objective.start)
    solution = fit(scaled, jnp.zeros_like(objective.start), LBFGS(40), record_theta=False)
    assert 2 * float(solution.state.loss) < 1.5


def test_a_saved_state_goes_on_bit_for_bit(objective):
    engine = MinibatchAdam(6, batch=15)
    whole = fit(objective, objective.start, engine, record_theta=False)
    seen = []
    fit(objective, objective.start, engine, on_step=seen.append, record_theta=False)
    middle = state_from_arrays(engine, state_arrays(seen[3]), objective.space.dim)
    rest = fit(objective, middle.theta, engine, state=middle, record_theta=False)
    np.testing.assert_array_equal(rest.state.theta, whole.state.theta)
    other = fit(objective, objective.start, MinibatchAdam(6, batch=15, seed=1), record_theta=False)
    assert not np.array_equal(other.state.theta, whole.state.theta)


@pytest.fixture(scope="module")
def known_probe(data):
    return reconstruct(data, refine=(), epochs=60, batch=15, hold_out=0.05)


def test_the_object_comes_back(known_probe):
    truth = small_data()
    corner = known_probe.origin
    seen = known_probe.coverage > 0.2 * known_probe.coverage.max()
    object = truth.object[corner[0] :, corner[1] :][: seen.shape[0], : seen.shape[1]]
    estimate = known_probe.object[: object.shape[0], : object.shape[1]]
    seen = seen[: object.shape[0], : object.shape[1]]
    turn = np.vdot(estimate[seen], object[seen])
    error = np.abs(estimate * turn / abs(turn) - object)[seen]
    assert np.sqrt((error**2).mean()) < 0.05
    assert known_probe.deviance < 1.3
    assert known_probe.held_out_deviance == pytest.approx(known_probe.facts["fitted_deviance"], rel=0.25)


def test_saved_arrays_make_the_expected_counts(known_probe, data, tmp_path):
    path = tmp_path / "reconstruction.npz"
    known_probe.write(path)
    with np.load(path) as file:
        stored = {name: file[name] for name in ("object", "probe", "positions", "coverage", "background")}
    total, counts = 0.0, np.asarray(data.counts, float)
    for pattern, (y, x) in zip(counts, stored["positions"], strict=True):
        j, i = int(np.floor(y)), int(np.floor(x))
        block, b, a = stored["object"][j : j + NPIX + 1, i : i + NPIX + 1], y - j, x - i
        rows = (1 - b) * block[:-1] + b * block[1:]
        window = (1 - a) * rows[:, :-1] + a * rows[:, 1:]
        fields = np.fft.fftshift(np.fft.fft2(stored["probe"] * window, norm="ortho"), axes=(1, 2))
        expected = (np.abs(fields) ** 2).sum(0) + stored["background"]
        seen = pattern > 0
        total += 2 * (expected.sum() - pattern.sum() + (pattern * np.log(np.where(seen, pattern, 1) / expected)).sum())
    assert total / counts.size == pytest.approx(known_probe.deviance, rel=1e-4)
    again = Reconstruction.read(path)
    np.testing.assert_array_equal(again.object, known_probe.object)
    np.testing.assert_array_equal(again.history["loss"], known_probe.history["loss"])
    assert again.facts == known_probe.facts
    with pytest.raises(ScanError, match="exists"):
        known_probe.write(path)


def test_positions_beyond_the_canvas_are_saved_where_the_model_takes_them(known_probe, data):
    last = np.subtract(known_probe.object.shape, NPIX)
    outside = known_probe.positions.copy()
    outside[:3] = (-2.5, 1.0), last + 0.25, (3.0, last[1])
    start = dataclasses.replace(known_probe, positions=outside)
    found = reconstruct(data, refine=(), epochs=1, batch=15, hold_out=0.05, start=start)
    np.testing.assert_allclose(found.positions[:3], [(0, 1), last, (3, last[1])], atol=1e-5)
    np.testing.assert_array_equal(found.positions[3:], known_probe.positions[3:])
    assert (found.positions.astype(np.float32) < last).all()
    model, clipped = (dataclasses.replace(found, positions=p).model(batch=20) for p in (outside, found.positions))
    np.testing.assert_allclose(model.patterns(np.arange(3)), clipped.patterns(np.arange(3)), rtol=1e-3, atol=1e-2)
    Reconstruction.from_arrays(found.arrays(), "sound.npz")
    with pytest.raises(ScanError, match=r"far\.npz: positions: .* one more row and column.* for pattern 0, and 2 more"):
        Reconstruction.from_arrays(found.arrays() | {"positions": outside}, "far.npz")


def test_epochs_that_are_not_finite_are_refused_and_counted(data, monkeypatch):
    monkeypatch.setattr(stages, "KNOWN_PROBE", stages.Pace(0.2, np.inf, 0.02))
    found = reconstruct(data, refine=(), epochs=10, batch=15, hold_out=0.05)
    assert found.facts["nonfinite_steps"] == 2 and found.facts["failure"] is None
    assert found.history["finite"].tolist() == [True, False, False] + 8 * [True]
    assert found.deviance < found.history["deviance"][0]


def test_too_many_of_them_end_it_with_what_there_was(data, monkeypatch):
    monkeypatch.setattr(stages, "KNOWN_PROBE", stages.Pace(0.1, 0.03, np.inf))
    found = reconstruct(data, refine=(), epochs=40, batch=15, hold_out=0.05)
    assert found.facts["failure"].startswith("loss or gradient not finite in 12 epochs in a row, up to epoch 12 of")
    assert "first by sample.object_real" in found.facts["failure"]
    assert found.facts["stage_epochs"] == [4, 12, 0] and found.facts["nonfinite_steps"] == 12
    assert np.isfinite(found.object).all() and found.deviance < found.history["deviance"][0]


def test_positions_and_probe_that_are_not_refined_stay(known_probe, data):
    np.testing.assert_array_equal(known_probe.probe[0], data.probe[0].astype(np.complex64))
    shift = known_probe.positions + NPIX // 2 + known_probe.origin - data.positions
    assert np.abs(shift).max() < 1e-5


@pytest.mark.slow
def test_wrong_probe_and_positions_are_mended(data):
    data, rng = small_data(photons=1e6), np.random.default_rng(0)
    flat = np.abs(data.probe) * np.sqrt(0.9)
    moved = data.positions + rng.normal(0, 0.5, data.positions.shape)
    wrong = type(data)(data.counts, moved, flat)
    fixed = reconstruct(wrong, refine=(), epochs=60, batch=15)
    free = reconstruct(wrong, epochs=120, batch=15)
    assert free.deviance < 1.5 and free.deviance < 0.2 * fixed.deviance
    error = free.positions + NPIX // 2 + free.origin - data.positions
    assert (error - error.mean(0)).std() < 0.1


def test_a_background_is_found(data):
    rng = np.random.default_rng(1)
    noisy = type(data)(np.asarray(data.counts) + rng.poisson(2.0, data.counts.shape), data.positions, data.probe)
    found = reconstruct(noisy, refine=("background",), epochs=60, batch=15)
    assert found.background.shape == (NPIX, NPIX)
    assert np.median(found.background) == pytest.approx(2.0, rel=0.25)
    assert found.deviance < 1.3


def test_interrupted_and_resumed_is_the_same(data):
    settings = {"refine": ("probe",), "epochs": 12, "batch": 15}
    seen = []
    whole = reconstruct(data, **settings, on_epoch=seen.append)
    for k in (1, 5, 11):
        rest = reconstruct(data, **settings, resume=seen[k])
        np.testing.assert_array_equal(rest.object, whole.object)
        np.testing.assert_array_equal(rest.history["loss"], whole.history["loss"])


def test_the_clock_is_kept(data):
    found = reconstruct(data, refine=(), seconds=0.5, batch=15)
    assert found.facts["seconds"] < 1.0 and found.facts["epochs"] > 3
    stopped = reconstruct(data, refine=(), epochs=50, batch=15, should_stop=lambda: True)
    assert stopped.facts["interrupted"] and stopped.facts["epochs"] <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modes": 0}, "modes"),
        ({"refine": ("probe", "halo")}, "halo"),
        ({"refine": "probe"}, "refine"),
        ({"seconds": 1.0, "epochs": 3}, "seconds or epochs"),
        ({"epochs": 0}, "above zero"),
        ({"hold_out": 1.0}, "hold_out"),
        ({"hold_out": 1e-12}, "hold out a pixel"),
        ({"likelihood": "gaussian"}, "poisson"),
        ({"seed": -1}, r"seed \(--seed\)"),
        ({"seed": 2**31 - 1}, "from 0 to 2147483646, got 2147483647"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(data, change, message):
    with pytest.raises(ValueError, match=message):
        reconstruct(data, **change)


def test_a_canvas_that_memory_cannot_hold_is_refused_before_it_is_made(data, monkeypatch):
    positions = np.array(data.positions)
    positions[0] = positions.max(0) + 15_000
    far = ScanData(data.counts, positions, data.probe)
    monkeypatch.setattr("dluxshera.ptychography.memory.memory", lambda: 16e9)
    with pytest.raises(ScanError, match="positions of scan with a canvas .* that 16 GB of memory can hold, got"):
        reconstruct(far, epochs=1)


def test_files_that_are_no_reconstruction_are_refused(known_probe, tmp_path):
    with pytest.raises(ScanError, match="none there"):
        Reconstruction.read(tmp_path / "absent.npz")
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ScanError, match="bad.npz"):
        Reconstruction.read(bad)
    np.savez(bad, object=known_probe.object)
    with pytest.raises(ScanError, match="probe"):
        Reconstruction.read(bad)
    arrays = {name: getattr(known_probe, name) for name in ("object", "probe", "positions", "coverage", "background")}
    np.savez(bad, **arrays | {"coverage": np.ones((2, 2))})
    with pytest.raises(ScanError, match="coverage"):
        Reconstruction.read(bad)


def test_added_modes_are_orthogonal_and_keep_the_photons():
    given = small_probe(1)
    modes = add_modes(given, 4)
    flat = modes.reshape(4, -1)
    gram = flat @ flat.conj().T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-9 * abs(gram[0, 0])
    assert (np.abs(modes) ** 2).sum() == pytest.approx((np.abs(given) ** 2).sum())
    assert add_modes(modes, 2).shape == (2, NPIX, NPIX)


@pytest.mark.parametrize("modes", [1, 5])
def test_modes_are_finite_for_any_probe_with_power(modes):
    one_pixel = np.zeros((1, NPIX, NPIX), complex)
    one_pixel[0, NPIX // 2, NPIX // 2] = 3.0
    for probe in (one_pixel, np.concatenate([0 * one_pixel, one_pixel])):
        made = add_modes(probe, modes)
        assert made.shape == (modes, NPIX, NPIX) and np.isfinite(made).all()
        assert np.sum(np.abs(made) ** 2) == pytest.approx(9.0)
    with pytest.raises(ScanError, match="at most"):
        add_modes(np.ones((1, 4, 4)), 17)


@pytest.mark.slow
@pytest.mark.skipif(not STAR.exists(), reason="the measured star lies beside the project, not in it")
def test_the_measured_star():
    """A cut of the scan: few epochs bring the deviance down by far, with held-out pixels alike."""
    data = read_scan(STAR)
    near = np.flatnonzero(np.abs(data.positions).max(1) < 45)
    found = reconstruct(data.select(near), epochs=12, hold_out=0.05, batch=12)
    assert found.history["deviance"][0] > 20
    assert found.deviance < 3
    assert found.held_out_deviance < 1.5 * found.facts["fitted_deviance"]


@pytest.mark.slow
@given(log_dose=st.floats(-2, 8), empty=st.integers(0, 200), seed=st.integers(0, 2**20))
@settings(max_examples=6, deadline=None)
def test_nothing_that_the_data_door_lets_through_makes_a_nan(log_dose, empty, seed):
    """From one photon a pattern to 1e10, masked pixels, positions on top of each other."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-8:8, -8:8]
    counts = rng.poisson(10**log_dose * np.exp(-(y**2 + x**2) / 8), (6, NPIX, NPIX))
    counts[:, 8, 8] += 1
    mask = np.ones((NPIX, NPIX), bool)
    mask.ravel()[rng.permutation(NPIX**2)[:empty]] = False
    mask[8, 8] = True
    positions = np.concatenate([[[8.0, 8.0], [13.0, 13.0]], rng.choice([9.0, 10.5, 12.25], (4, 2))])
    found = reconstruct(ScanData(counts, positions, mask=mask), 2, REFINED, epochs=8, batch=3)
    for array in (found.object, found.probe, found.positions, found.coverage, found.background):
        assert np.isfinite(array).all()
    assert np.isfinite(found.history["loss"]).all() and np.isfinite(found.deviance)
