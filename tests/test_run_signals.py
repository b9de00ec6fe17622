"""Signals of saved runs: from the directory alone, in parameters and in eigenmodes, stored only when told."""

import sys
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import everything_in
from tiny import TINY, load

import dluxshera as ds
from dluxshera._report import write_report
from dluxshera.config import read_profile
from dluxshera.config.runs import fixed_files, run_meta, table_without_errors
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.added_arrays import add_arrays
from dluxshera.inference.signal_arrays import key_of
from dluxshera.inference.signals import SignalWarning, register_signal

FREE = ["binary.separation_as", "binary.log_flux_total", "optics.m1.zernike_coeffs_nm[:2]", "plate_scale_as"]
PROFILE = "shera_flight_two_plane"
pytestmark = pytest.mark.filterwarnings("ignore::dluxshera.SamplingWarning")


SEPARATIONS, ZERNIKES = (0.800, 0.8009, 0.801002), ((0.0, 0.0), (0.9, 0.2), (1.01, -0.03))


TRUTH = []  # of the run at hand


@pytest.fixture(scope="module")
def problem():
    """Profile, start, truth, data, and the two spaces of a fit that nobody made."""
    start = load(PROFILE, TINY)
    truth = ds.set_values(start, {"binary.separation_as": 0.801, "optics.m1.zernike_coeffs_nm[0]": 1.0})
    profile = read_profile(PROFILE, TINY)
    space = ds.default_space(start, profile, FREE)
    factor = np.random.default_rng(0).normal(size=(5, 5))
    information = (factor @ factor.T + np.eye(5)) * 1e4
    modes = ds.EigenSpace(space, information, centre=space.pack(start), whiten=True)
    return profile, start, truth, ds.Observation(np.ones((16, 16))), (space, modes)


@pytest.fixture
def runs(tmp_path, problem):
    """Directories of the same three steps in parameters and in modes."""
    return [save(tmp_path / space.kind, problem, space) for space in problem[-1]]


def save(path, problem, space, truth_known=True):
    """A run without a fit: its trace is made up."""
    profile, start, truth, observation, (primitive, _) = problem
    here = np.asarray(primitive.physical(primitive.pack(start)))
    rows = np.stack([[s, here[1], *z, here[4]] for s, z in zip(SEPARATIONS, ZERNIKES, strict=True)])
    theta = space.encode(np.stack([np.asarray(primitive.from_physical(row)) for row in rows]))
    told = run_meta(profile, observation, start, truth if truth_known else None, free=FREE)
    layout = {"dim": space.dim, "theta_space": space.kind, "index_map": space.index_map.to_dict()}
    meta = told | {"theta": layout, "optimizer": {"name": "none"}}
    trace = {"loss": np.array([9.0, 4.0, 1.0]), "theta": np.asarray(theta)}
    best = {"theta": trace["theta"][-1], "step": 2, "loss": 1.0}
    rows = table_without_errors(space, theta[-1], start, truth)
    return artifacts.save_run(
        path,
        trace,
        meta,
        {"status": "running", "parameters": rows},
        extra=fixed_files(space, start, profile),
        observation=observation.arrays(),
        checkpoint_best=best,
    )


def test_the_signals_of_a_directory_are_those_of_its_rows(runs):
    for path in runs:
        signals = ds.open_run(path).signals()
        np.testing.assert_allclose(signals["binary.separation_error_uas"].values, [-1000.0, -100.0, 2.0], atol=1e-6)
        zernikes = signals["primary.zernike_error_nm"]
        np.testing.assert_allclose(zernikes.values[:, :2], np.array(ZERNIKES) - [1.0, 0.0], atol=1e-9)
        assert zernikes.labels[:2] == ("Z4", "Z5")
        np.testing.assert_allclose(signals["system.plate_scale_error_ppm"].values, 0.0, atol=1e-6)
        assert signals["binary.x_error_uas"].is_silent
        assert "secondary.zernike_error_nm" not in signals  # a lens has no second mirror


def test_a_run_in_modes_has_their_residuals(runs):
    plain, modes = (ds.open_run(path).signals() for path in runs)
    residual = modes["eigen.coefficient_error_sigma"]
    assert residual.labels == tuple(f"mode {i}" for i in range(1, 6))
    rms = np.sqrt(np.mean(residual.values**2, axis=1))
    np.testing.assert_allclose(modes["eigen.coefficient_error_rms_sigma"].values, rms)
    assert not any(name.startswith("eigen") for name in plain)


def test_reading_signals_writes_nothing_and_saving_stores_them(runs, monkeypatch):
    path = runs[0]
    before = everything_in(path)
    made = ds.open_run(path).signals()
    assert everything_in(path) == before
    ds.open_run(path).signals(save=True)
    assert artifacts.verify(path) == [] and artifacts.load_summary(path)["has_signals"] is True
    monkeypatch.setattr("dluxshera.config.run_signals.decode_signals", None)  # nothing is decoded any more
    stored = ds.open_run(path).signals()
    assert list(stored) == list(made)
    for name, signal in made.items():
        np.testing.assert_array_equal(stored[name].values, signal.values)
    assert set(artifacts.load_signals(path)) > set(made)


def test_the_rest_of_the_run_is_as_it_was(runs):
    path = runs[1]
    before = ds.open_run(path)
    before.signals(save=True)
    after = ds.open_run(path)
    assert after.meta == before.meta
    assert {k: v for k, v in after.summary.items() if k != "has_signals"} == {
        k: v for k, v in before.summary.items() if k != "has_signals"
    }
    np.testing.assert_array_equal(after.trace()["theta"], before.trace()["theta"])
    assert after.space().labels == before.space().labels


def test_stored_signals_of_another_trace_are_made_again(runs):
    path = runs[0]
    made = ds.open_run(path).signals(save=True)
    arrays = artifacts.load_signals(path)
    name = "binary.separation_error_uas"
    add_arrays(path, "signals", {**arrays, name: 0 * arrays[name], "trace:sha256": np.array("0" * 64)})
    again = ds.open_run(path).signals(save=True)
    np.testing.assert_array_equal(again[name].values, made[name].values)
    assert key_of(artifacts.load_signals(path)) == key_of(arrays)


def test_stored_signals_are_made_again_when_one_is_registered_or_they_are_damaged(runs, monkeypatch):
    path = runs[0]
    ds.open_run(path).signals(save=True)
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})

    @register_signal("binary.mean_flux_ph")
    def mean_flux(model):
        return model.binary.raw_fluxes.mean()

    found = ds.open_run(path).signals()["binary.mean_flux_ph"]
    assert found.unit == "photon" and found.truth == pytest.approx(float(mean_flux(ds.open_run(path).truth_model())))
    (path / "signals.npz").write_bytes(b"no archive")
    assert "binary.mean_flux_ph" in ds.open_run(path).signals()


def test_a_function_that_was_registered_anew_is_not_served_from_the_store(runs, monkeypatch):
    path = runs[0]
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})

    def register(scale, opaque=None):
        @register_signal("my.scale_nm")
        def scaled(model):
            return scale * jnp.ones(()) if opaque is None else jnp.asarray(opaque[0].scale)

    def found():
        return ds.open_run(path).signals(save=True)["my.scale_nm"].values[0]

    register(1.0)
    assert found() == 1.0
    register(1000.0)
    assert found() == 1000.0
    holder = SimpleNamespace(scale=2.0)
    register(0.0, [holder])
    assert found() == 2.0
    holder.scale = 3.0
    assert found() == 3.0


def test_one_bad_function_costs_its_own_signal(runs, monkeypatch):
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})
    before = ds.open_run(runs[0]).signals()
    register_signal("my.bad_nm")(lambda model, truth: {}["oops"])
    with pytest.warns(SignalWarning, match=r"my\.bad_nm.*KeyError, 'oops'") as told:
        after = ds.open_run(runs[0]).signals()
    assert [w.category for w in told].count(SignalWarning) == 1 and list(after) == list(before)


@pytest.mark.parametrize(
    ("function", "words"),
    [(lambda model: eqx.error_if(model.binary.contrast, model.binary.contrast > 0, "never"), "never"),
     (lambda model: next(iter(())), "StopIteration"),
     (lambda model: jax.random.key(0), "expected real numbers"),
     (lambda model: model.optics.m1.zernike_coeffs_nm[: 1 + (model is TRUTH[0])], "one truth|label")],
    ids=["at run time", "stop", "key", "truth"],
)  # fmt: skip
def test_a_function_that_fails_in_any_of_these_ways_costs_its_own_signal(runs, monkeypatch, function, words):
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})
    run = ds.open_run(runs[0])
    TRUTH[:] = [run.truth_model()]
    monkeypatch.setattr(type(run), "truth_model", lambda self: TRUTH[0])
    before = run.signals()
    register_signal("my.bad_nm")(function)
    with pytest.warns(SignalWarning, match=words):
        after = run.signals()
    assert list(after) == list(before)


def test_a_fresh_look_reads_files_again(runs, monkeypatch, tmp_path):
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})
    file = tmp_path / "calibration.npy"
    register_signal("my.read_nm")(lambda model: jnp.asarray(np.load(file)))
    run, found = ds.open_run(runs[0]), []
    for value in (1.0, 1000.0):
        np.save(file, value)
        found.append(float(run.signals(refresh=True)["my.read_nm"].values[0]))
    assert found == [1.0, 1000.0]


def test_a_set_that_lacks_one_is_not_served_when_its_cause_is_gone(runs, monkeypatch):
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})
    register_signal("my.late_nm")(lambda model: jnp.asarray(sys.modules["not_there_yet"].value))
    run = ds.open_run(runs[0])
    with pytest.warns(SignalWarning, match="not_there_yet"):
        run.signals(save=True)
    assert key_of(artifacts.load_signals(runs[0])) == ""
    monkeypatch.setitem(sys.modules, "not_there_yet", SimpleNamespace(value=3.0))
    assert run.signals()["my.late_nm"].values[0] == 3.0


def test_a_vector_without_elements_is_no_fault(runs, monkeypatch):
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})
    register_signal("my.none_nm")(lambda model: jnp.zeros(0))
    made = ds.open_run(runs[0]).signals(save=True)
    monkeypatch.setattr("dluxshera.config.run_signals.decode_signals", None)  # the stored ones serve
    assert list(ds.open_run(runs[0]).signals()) == list(made)


def test_damaged_signals_are_replaced_when_they_are_saved(runs):
    path = runs[0]
    made = ds.open_run(path).signals(save=True)
    (path / "signals.npz").write_bytes(b"no archive")
    assert list(ds.open_run(path).signals(save=True)) == list(made)
    assert key_of(artifacts.load_signals(path)) and artifacts.verify(path) == []


def test_without_the_truth_only_what_needs_none_is_left(tmp_path, problem):
    assert ds.open_run(save(tmp_path / "run", problem, problem[-1][1], truth_known=False)).signals() == {}


def test_only_optional_files_can_be_added(runs):
    with pytest.raises(ValueError, match="trace"):
        add_arrays(runs[0], "trace", {})


def test_nobody_adds_to_a_run_that_is_being_written(runs):
    from dluxshera.inference.run_lock import RunLock

    with RunLock(runs[0]), pytest.raises(artifacts.RunLocked):
        ds.open_run(runs[0]).signals(save=True)
    assert "binary.separation_error_uas" in ds.open_run(runs[0]).signals()


@pytest.mark.slow
def test_a_run_that_has_not_ended_has_a_report_with_its_signals(runs):
    text = write_report(runs[1]).read_text(encoding="utf-8")
    assert "Separation and angle: final separation 2, position angle 0 µas" in text
    assert "Eigenmodes: final RMS" in text and "Not converged after 2 steps" in text
    assert artifacts.verify(runs[1]) == []
