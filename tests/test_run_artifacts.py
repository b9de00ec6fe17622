"""Run directories: round trips, what is refused, damage that is named, and kills at every call of a save."""

import builtins
import contextlib
import hashlib
import io
import json
import math
import os
import re
import shutil
import subprocess
import zipfile
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dluxshera.inference import _artifact_npz, _artifact_provenance
from dluxshera.inference._artifact_json import decode_json, encode_json
from dluxshera.inference._artifact_npz import decode_npz, encode_npz
from dluxshera.inference.run_artifacts import (
    CorruptArtifact,
    RunExists,
    SchemaError,
    load_arrays,
    load_checkpoint,
    load_diag_steps,
    load_meta,
    load_observation_arrays,
    load_signals,
    load_summary,
    load_trace,
    newest_valid,
    save_run,
    verify,
)


def make_trace(seed=0, steps=5, dim=3):
    rng = np.random.default_rng(seed)
    return {"loss": rng.normal(size=steps + 1), "theta": rng.normal(size=(steps + 1, dim))}


def make_meta(dim=3, **changes):
    entries = [
        {"name": "binary.separation_as", "start": 0, "stop": 1, "shape": [], "block": "binary"},
        {"name": "optics.m1.zernike_coeffs_nm", "start": 1, "stop": dim, "shape": [dim - 1], "block": "m1"},
    ]
    theta = {
        "dim": dim,
        "theta_space": "primitive",
        "index_map": {"layout_hash": "abc", "entries": entries},
    }
    objective = {"likelihood": "poisson", "data_fingerprint": "f00"}
    given = {"git": {"commit": None, "dirty": None}, "environment": {}}  # so that these saves are quick
    optimizer = {"name": "lm", "num_steps": 5}
    return {"theta": theta, "objective": objective, "optimizer": optimizer} | given | changes


def make_checkpoint(trace, step):
    state = {"state.damping": np.float64(1e-3), "state.mu": np.arange(3.0)}
    return {"theta": trace["theta"][step], "step": step, "loss": trace["loss"][step], **state}


def save(run_dir, seed=0, **options):
    trace = make_trace(seed)
    options = {"checkpoint_final": make_checkpoint(trace, 5), "observation": {"image": np.eye(4)}} | options
    return save_run(run_dir, trace, make_meta(label=seed), {"status": "ok", "label": seed}, **options)


def state_of(run_dir):
    """Everything that the loaders give, as comparable text."""
    arrays = {
        "trace": load_trace(run_dir),
        "final": load_checkpoint(run_dir, "final"),
        "observation": load_observation_arrays(run_dir),
    }
    listed = {kind: {k: v.tolist() for k, v in values.items()} for kind, values in arrays.items()}
    text = {"meta": load_meta(run_dir)["label"], "summary": load_summary(run_dir)["label"]}
    return json.dumps([listed, text], sort_keys=True)


def reseal(run_dir, **replaced):
    """Write files and a manifest that agrees with them, as a hostile or a newer writer could."""
    path = run_dir / "MANIFEST.json"
    content = json.loads(path.read_text())
    content.pop("sha256")
    content |= replaced.pop("manifest", {})
    for name, data in replaced.pop("files", {}).items():
        (run_dir / name).write_bytes(data)
        content["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))


def same_arrays(loaded, expected):
    assert set(loaded) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)


# Round trips


def test_everything_saved_is_loaded(tmp_path):
    trace = make_trace() | {"accepted": np.array([True, True, False, True, True, True])}
    arrays = {
        "a": np.arange(6, dtype=np.int32).reshape(2, 3),
        "b.c_uas": np.array([1 + 2j]),
        "t": np.array("x"),
    }
    best = make_checkpoint(trace, 2)
    run = save_run(
        tmp_path / "run",
        trace,
        make_meta(),
        {"status": "interrupted", "message": "SIGINT"},
        signals=arrays,
        precond=arrays,
        curvature=arrays,
        grads=arrays,
        observation=arrays | {"mask": None},
        checkpoint_best=best,
        diag_steps=[{"step": 0, "damping": math.inf}, {"step": 5}],
        extra={"reconstruction": arrays},
    )
    same_arrays(load_trace(run), trace)
    for loaded in (load_signals(run), load_observation_arrays(run), load_arrays(run, "reconstruction")):
        same_arrays(loaded, arrays)
    for name in ("precond", "curvature", "grads"):
        same_arrays(load_arrays(run, name), arrays)
    same_arrays(load_checkpoint(run), {k: np.asarray(v) for k, v in best.items()})
    assert load_diag_steps(run) == [{"step": 0, "damping": math.inf}, {"step": 5}]
    summary = load_summary(run)
    assert summary["status"] == "interrupted" and summary["message"] == "SIGINT"
    assert summary["has_signals"] and summary["has_checkpoint_best"] and not summary["has_checkpoint_final"]
    assert verify(run) == []


def test_plain_files_open_without_the_package(tmp_path):
    run = save(tmp_path / "run")
    with np.load(run / "trace.npz", allow_pickle=False) as archive:
        same_arrays(dict(archive), make_trace())
    assert json.loads((run / "meta.json").read_text())["artifact_schema"] == "dluxshera-run-v0"
    assert json.loads((run / "summary.json").read_text())["run_id"] == "run"


def test_trace_may_be_any_object_with_these_attributes(tmp_path):
    trace = SimpleNamespace(**make_trace(), grad_norm=np.ones(6), step_norm=None, stats="not stored")
    run = save_run(tmp_path / "run", trace, make_meta(), {})
    same_arrays(load_trace(run), make_trace() | {"grad_norm": np.ones(6)})


def test_what_can_be_known_is_filled_in(tmp_path):
    trace = make_trace() | {"loss": np.array([5.0, np.nan, 1.0, 2.0, np.inf, 3.0])}
    meta = {key: value for key, value in make_meta().items() if key not in ("git", "environment")}
    run = save_run(tmp_path / "m1-fit.3", trace, meta, {"converged": True})
    meta, summary = load_meta(run), load_summary(run)
    assert meta["run_id"] == summary["run_id"] == "m1-fit.3"
    assert meta["created_at"] == summary["created_at"]
    assert datetime.fromisoformat(meta["created_at"]).utcoffset() == timedelta(0)
    assert set(meta["git"]) == {"commit", "dirty"} and summary["git"] == {"commit": meta["git"]["commit"]}
    assert meta["environment"]["versions"]["numpy"] == np.__version__
    assert summary["num_steps_completed"] == 5
    assert (summary["loss_init"], summary["loss_final"], summary["loss_best"]) == (5.0, 3.0, 1.0)
    assert summary["best_step"] == 2
    same_arrays(load_trace(run), trace)


def test_a_loss_that_is_all_nan_is_kept(tmp_path):
    run = save_run(tmp_path / "run", make_trace() | {"loss": np.full(6, np.nan)}, make_meta(), {"status": "failed"})
    assert np.isnan(load_trace(run)["loss"]).all()
    summary = load_summary(run)
    assert math.isnan(summary["loss_init"]) and summary["best_step"] is None


def test_loaded_meta_and_summary_can_be_saved_again(tmp_path):
    run = save(tmp_path / "run")
    meta, summary = load_meta(run), load_summary(run)
    again = save_run(tmp_path / "copy", load_trace(run), meta, summary)
    assert load_meta(again) == meta


def test_numpy_values_in_meta_become_plain(tmp_path):
    meta = make_meta(sigma=np.array([1.0, np.nan]), npix=np.int64(64), pair=(1, np.float32(0.5)))
    meta["theta"]["dim"] = np.int64(3)
    loaded = load_meta(save_run(tmp_path / "run", make_trace(), meta, {}))
    assert loaded["npix"] == 64 and loaded["pair"] == [1, 0.5]
    assert loaded["sigma"][0] == 1.0 and math.isnan(loaded["sigma"][1])


def test_git_is_null_without_git_and_reports_a_checkout(tmp_path, monkeypatch):
    assert _artifact_provenance.git_state(tmp_path) == {"commit": None, "dirty": None}
    (tmp_path / ".git").mkdir()
    assert _artifact_provenance.git_state(tmp_path)["commit"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _artifact_provenance.git_state(tmp_path) == {"commit": None, "dirty": None}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_names_the_commit_and_whether_the_tree_is_dirty(tmp_path):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, *who, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    state = _artifact_provenance.git_state(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", state["commit"]) and state["dirty"] is False
    (tmp_path / "new").touch()
    assert _artifact_provenance.git_state(tmp_path)["dirty"] is True


def test_size_of_a_200_step_run_with_40_parameters(tmp_path):
    def save_big(seed):
        trace = make_trace(seed, steps=200, dim=40)
        channels = {name: np.random.default_rng(1).normal(size=201) for name in ("grad_norm", "step_norm")}
        last = {"theta": trace["theta"][-1], "step": 200, "loss": 0.0, "state.mu": np.ones(40)}
        return save_run(
            tmp_path / "run",
            trace | channels,
            make_meta(40),
            {},
            checkpoint_best=last,
            checkpoint_final=last,
            overwrite=True,
        )

    for seed in range(4):
        run = save_big(seed)
    assert sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) < 200_000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "\\NaN", "\\\\-Infinity", "nan"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_keeps_every_value_and_is_standard(value):
    data = encode_json(value, "value")
    json.loads(data, parse_constant=pytest.fail)
    assert repr(decode_json(data, "value")) == repr(value)


@settings(max_examples=40)
@given(
    st.sampled_from(["<f8", "<f4", ">i2", "|b1", "<c16", "<U3", "|S2", "|u1"]),
    st.lists(st.integers(0, 4), max_size=3),
    st.booleans(),
)
def test_npz_keeps_every_array(dtype, shape, fortran):
    array = np.asarray(np.arange(math.prod(shape)).reshape(shape).astype(dtype), order="F" if fortran else "C")
    data = encode_npz({"a": array}, "file")
    assert data == encode_npz({"a": array}, "file")
    same_arrays(decode_npz(data, "file"), {"a": array})


# What is refused at saving


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": np.zeros((5, 3))}, "theta"),
        ({"theta": np.zeros(6)}, "theta"),
        ({"theta": np.zeros((6, 4))}, "dim"),
        ({"loss": np.zeros((6, 1))}, "loss"),
        ({"loss": None}, "loss"),
        ({"loss": np.array(["a"] * 6)}, "loss"),
        ({"loss": np.zeros(0), "theta": np.zeros((0, 3))}, "loss"),
        ({"accepted": np.ones(5, bool)}, "accepted"),
        ({"damping": np.ones(6)}, "damping"),
        ({"grad_norm": np.array([object()] * 6)}, "grad_norm"),
    ],
)
def test_bad_traces_are_refused(tmp_path, change, message):
    with pytest.raises(SchemaError, match=message):
        save_run(tmp_path / "run", make_trace() | change, make_meta(), {})
    assert os.listdir(tmp_path) == []


def entries(*spans):
    return [{"name": "a", "start": a, "stop": b, "shape": shape} for a, b, shape in spans]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": None}, "meta.theta"),
        ({"optimizer": None}, "meta.optimizer"),
        ({"objective": None}, "meta.objective"),
        ({"run_id": "../evil"}, "run id"),
        ({"run_id": ".hidden"}, "run id"),
        ({"run_id": "-rf"}, "run id"),
        ({"run_id": "a" * 101}, "run id"),
        ({"run_id": "a\n"}, "run id"),
        ({"run_id": 7}, "run id"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": "2030-01-01T00:00:00"}, "created_at"),
        ({"artifact_schema": "dluxshera-run-v1"}, "artifact_schema"),
        ({"profile": {"model": object()}}, "meta.profile.model"),
        ({"profile": {1: 2}}, "meta.profile"),
        ({"git": "abc"}, "meta.git"),
    ],
)
def test_bad_metas_are_refused(tmp_path, change, message):
    with pytest.raises(SchemaError, match=re.escape(message)):
        save_run(tmp_path / "run", make_trace(), make_meta() | change, {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        {"theta_space": "latent"},
        {"dim": "3"},
        {"dim": 4},
        {"index_map": {"entries": []}},
        {"index_map": {"layout_hash": "a", "entries": None}},
        {"index_map": {"layout_hash": "a", "entries": entries((0, 2, [2]))}},
        {"index_map": {"layout_hash": "a", "entries": entries((0, 3, [2]))}},
        {"index_map": {"layout_hash": "a", "entries": entries((0, 2, [2]), (1, 3, [2]))}},
        {"index_map": {"layout_hash": "a", "entries": entries((0, 3, None))}},
        {"index_map": {"layout_hash": "a", "entries": [3]}},
    ],
)
def test_a_meta_that_cannot_read_theta_is_refused(tmp_path, change):
    meta = make_meta()
    meta["theta"] |= change
    with pytest.raises(SchemaError, match="theta"):
        save_run(tmp_path / "run", make_trace(), meta, {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"summary": {"status": "fine"}}, "status"),
        ({"summary": {"run_id": "other"}}, "run_id"),
        ({"signals": {"a/b": np.ones(1)}}, "a/b"),
        ({"signals": np.ones(1)}, "signals"),
        ({"grads": {"a": [object()]}}, "grads"),
        ({"checkpoint_best": {"theta": np.ones(3), "loss": 1.0}}, "step"),
        ({"checkpoint_best": {"theta": np.ones(2), "step": 1, "loss": 1.0}}, "theta"),
        ({"extra": {"trace": {}}}, "trace"),
        ({"extra": {"../up": {}}}, "up"),
        ({"diag_steps": [{"a": object()}]}, "diag_steps"),
    ],
)
def test_bad_parts_are_refused(tmp_path, options, message):
    summary = options.pop("summary", {})
    with pytest.raises(SchemaError, match=message):
        save_run(tmp_path / "run", make_trace(), make_meta(), summary, **options)
    assert os.listdir(tmp_path) == []


def test_a_missing_parent_is_named_and_not_made(tmp_path):
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "missing"))):
        save(tmp_path / "missing" / "run")
    assert os.listdir(tmp_path) == []


def test_an_existing_run_is_not_overwritten_unasked(tmp_path):
    run = save(tmp_path / "run")
    before = state_of(run)
    for error in (RunExists, ValueError, FileExistsError):
        with pytest.raises(error, match="exists"):
            save(run, seed=1)
    assert state_of(run) == before
    save(run, seed=1, overwrite=True)
    assert state_of(run) != before


def test_an_empty_directory_is_filled_and_a_file_is_not_replaced(tmp_path):
    (tmp_path / "run").mkdir()
    assert verify(save(tmp_path / "run")) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="file"):
        save(tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_directory_stays_in_its_parent(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / "run").symlink_to(tmp_path / "elsewhere")
    for target, message in ((tmp_path / "runs" / "run", "leads elsewhere"), (tmp_path / "runs" / "..", "leading dot")):
        with pytest.raises(ValueError, match=message):
            save(target, overwrite=True)
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "name", [".hid", ".a.tmp", ".a.lock", "-x", "a\nb", "a\x7f", "\u2028", "x" * 101, "★" * 90, "a\x00b"]
)
def test_a_name_that_no_folder_of_a_run_should_have_is_refused(tmp_path, name):
    with pytest.raises(SchemaError, match=r"run directory of 1 to 100 characters .* Choose another\."):
        save(tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a b", "Bärenstern α ★", "x" * 100, "_", "é" * 100])
def test_blanks_and_other_letters_are_no_hindrance(tmp_path, name):
    assert verify(save(tmp_path / name)) == []


def test_a_run_under_the_name_of_a_save_under_way_is_not_taken_away(tmp_path):
    hidden = tmp_path / ".a.tmp"
    save(tmp_path / "other").rename(hidden)
    before = state_of(hidden)
    for make in (
        lambda: save(tmp_path / "a"),
        lambda: save(save(tmp_path / "b").rename(tmp_path / "a"), overwrite=True),
    ):
        with pytest.raises(ValueError, match=r"left-over of a save in .*\.a\.tmp"):
            make()
        assert state_of(hidden) == before and verify(hidden) == []


def test_a_disk_that_was_full_at_the_lock_leaves_the_run_free(tmp_path, monkeypatch):
    descriptors = os.listdir("/dev/fd")

    def full(*args):
        raise OSError(28, "No space left on device")

    for call in ("write", "ftruncate"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(OSError, match=r"lock file .*\.run\.lock: No space left"):
                save(tmp_path / "run")
        assert os.listdir(tmp_path) == [] and len(os.listdir("/dev/fd")) == len(descriptors)
    assert verify(save(tmp_path / "run")) == []


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"note": (own := []).append(own) or own}, "meta to be nested less deeply"),
        ({"note": 10**5000}, r"at most \d+ bits in meta.note"),
    ],
)
def test_what_json_cannot_hold_is_refused(tmp_path, meta, message):
    with pytest.raises(SchemaError, match=message):
        save_run(tmp_path / "run", make_trace(), make_meta(**meta), {})
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_name_illegal_as_run_id_gets_a_generated_one(tmp_path):
    run = save(tmp_path / "my run")
    assert re.fullmatch(r"run-[A-Za-z0-9-]+", load_meta(run)["run_id"])


def test_a_later_save_leaves_out_what_it_was_not_given(tmp_path):
    run = save(tmp_path / "run", signals={"a": np.ones(2)}, extra={"more": {"a": np.ones(1)}})
    (run / "report.html").write_text("kept")
    save(run, seed=1, overwrite=True)
    with pytest.raises(SchemaError, match="signals.npz"):
        load_signals(run)
    assert not load_summary(run)["has_signals"]
    assert not (run / "signals.npz").exists() and not (run / "more.npz").exists()
    assert (run / "report.html").read_text() == "kept"


def test_only_the_generation_before_is_kept(tmp_path):
    run = save(tmp_path / "run")
    for seed in range(1, 4):
        before = state_of(run)
        save(run, seed=seed, overwrite=True)
    assert os.listdir(run / ".generations") == ["3"]
    assert state_of(run / ".generations" / "3") == before
    assert verify(run) == []


# Damage


FILES = ["trace.npz", "meta.json", "summary.json", "checkpoint_final.npz", "observation.npz", "MANIFEST.json"]
LOADERS = {
    "trace.npz": load_trace,
    "meta.json": load_meta,
    "summary.json": load_summary,
    "checkpoint_final.npz": lambda run: load_checkpoint(run, "final"),
    "observation.npz": load_observation_arrays,
    "MANIFEST.json": load_trace,
}


def check_damage_is_named(run, name):
    with pytest.raises(CorruptArtifact, match=re.escape(name)):
        LOADERS[name](run)
    (problem,) = verify(run)
    assert name in problem
    for other, loader in LOADERS.items():
        if name not in (other, "MANIFEST.json") and other != "MANIFEST.json":
            loader(run)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, name, keep):
    run = save(tmp_path / "run")
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: int(keep * len(data))])
    check_damage_is_named(run, name)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name):
    run = save(tmp_path / "run")
    (run / name).unlink()
    check_damage_is_named(run, name)


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory):
    return save(tmp_path_factory.mktemp("sound") / "run")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_named(sound_run, name, position, bit):
    path = sound_run / name
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[int(position * len(data))] ^= 1 << bit
    same_json = path.suffix == ".json" and flipped.split() == data.split()  # white space of the manifest
    newer = bool(re.search(rb'artifact_schema": "dluxshera-run-v[1-9]"', flipped))
    path.write_bytes(flipped)
    try:
        if not (same_json and name == "MANIFEST.json"):
            with pytest.raises(SchemaError if newer else CorruptArtifact, match=re.escape(name)):
                LOADERS[name](sound_run)
            assert any(name in problem for problem in verify(sound_run))
    finally:
        path.write_bytes(data)


def test_earlier_generations_are_verified_and_serve_a_damaged_run(tmp_path):
    run = save(tmp_path / "run")
    before = state_of(run)
    save(run, seed=1, overwrite=True)
    assert newest_valid(run) == run
    (run / "trace.npz").write_bytes(b"")
    assert state_of(newest_valid(run)) == before
    save(run, seed=2, overwrite=True)
    assert verify(run) == [] and state_of(newest_valid(run / ".generations" / "1")) == before
    (run / ".generations" / "1" / "meta.json").unlink()
    assert len(verify(run)) == 1 and newest_valid(run) == run
    (run / "trace.npz").write_bytes(b"")
    with pytest.raises(CorruptArtifact, match="trace.npz"):
        newest_valid(run)


def test_a_run_whose_manifest_is_lost_can_be_overwritten(tmp_path):
    run = save(tmp_path / "run")
    (run / "MANIFEST.json").unlink()
    save(run, seed=1, overwrite=True)
    assert verify(run) == [] and load_summary(run)["label"] == 1


def test_what_is_no_run_is_named(tmp_path):
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CorruptArtifact, match=re.escape(str(place))):
            load_meta(place)
        assert len(verify(place)) == 1
    with pytest.raises(ValueError, match="worst"):
        load_checkpoint(tmp_path, "worst")


def test_a_newer_schema_is_refused_naming_it(tmp_path):
    run = save(tmp_path / "manifest")
    reseal(run, manifest={"artifact_schema": "dluxshera-run-v3", "written_by": "dluxshera 9.1"})
    for load in LOADERS.values():
        with pytest.raises(SchemaError, match="dluxshera-run-v3.*dluxshera 9.1"):
            load(run)
    assert "dluxshera-run-v3" in verify(run)[0]
    with pytest.raises(SchemaError, match="dluxshera-run-v3"):
        save(run, overwrite=True)
    run = save(tmp_path / "meta")
    newer = (run / "meta.json").read_bytes().replace(b"dluxshera-run-v0", b"dluxshera-run-v3")
    (run / "meta.json").write_bytes(newer)
    with pytest.raises(SchemaError, match="dluxshera-run-v3"):
        load_meta(run)
    reseal(run, files={"meta.json": newer.replace(b"dluxshera-run-v3", b"other-run-v0")})
    with pytest.raises(SchemaError, match="other-run-v0"):
        load_meta(run)


# Hostile files with a manifest that agrees


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code was executed by a loader",))


def npz_bytes(*members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def npy_bytes(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def check_refused(run, data, message):
    reseal(run, files={"trace.npz": data})
    with pytest.raises(CorruptArtifact, match=rf"trace\.npz.*{message}"):
        load_trace(run)
    assert "trace.npz" in verify(run)[0]


def test_pickled_arrays_are_never_loaded(tmp_path):
    run = save(tmp_path / "run")
    pickled = npy_bytes(np.array([Bomb()], dtype=object), allow_pickle=True)
    check_refused(run, npz_bytes(("loss.npy", pickled)), "pickled")
    structured = npy_bytes(np.zeros(2, dtype=[("a", "f8")]))
    check_refused(run, npz_bytes(("loss.npy", structured)), "plain array")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_odd_archives_are_refused(tmp_path):
    run = save(tmp_path / "run")
    ones = npy_bytes(np.ones(3))
    check_refused(run, npz_bytes(("loss.npy", ones), ("loss.npy", ones)), "twice")
    check_refused(run, npz_bytes(("../loss.npy", ones)), "not allowed")
    check_refused(run, npz_bytes(("loss.txt", ones)), "not allowed")
    check_refused(run, npz_bytes(("loss.npy", ones), compression=zipfile.ZIP_BZIP2), "packed")
    check_refused(run, npz_bytes(("loss.npy", ones[:-1])), "24 bytes")
    check_refused(run, npz_bytes(("loss.npy", ones[:-1] + b"ab")), "24 bytes")
    check_refused(run, npz_bytes(("loss.npy", b"")), "NPZ")
    check_refused(run, b"not an archive", "NPZ")
    huge = ones.replace(b"(3,), }          ", b"(3, 9999999999),}")
    check_refused(run, npz_bytes(("loss.npy", huge)), "loss.npy")


def test_declared_sizes_are_checked_before_reading(tmp_path, monkeypatch):
    run = save(tmp_path / "run")
    bomb = npz_bytes(("loss.npy", npy_bytes(np.zeros(100_000))), compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(_artifact_npz, "MAX_BYTES", 100_000)
    check_refused(run, bomb, "limit of 100000")
    monkeypatch.setattr(_artifact_npz, "read_member", lambda *_: pytest.fail("read before the check"))
    with pytest.raises(CorruptArtifact, match="limit of 100000"):
        load_trace(run)


def test_arrays_above_the_limit_are_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(_artifact_npz, "MAX_BYTES", 20_000)
    with pytest.raises(SchemaError, match="grads"):
        save(tmp_path / "run", grads={"g": np.zeros(3000)})
    assert os.listdir(tmp_path) == []


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_are_decoded_or_refused(data):
    archive = bytearray(npz_bytes(("loss.npy", npy_bytes(np.ones(3)))))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        arrays = decode_npz(bytes(archive), "file")
    except CorruptArtifact as error:
        assert "file" in str(error)
    else:
        assert all(array.size <= len(archive) for array in arrays.values())


@pytest.mark.parametrize("text", ["[NaN]", '{"a": 1, "a": 2}', "[" * 100_000, "\xff", "1 2", ""])
def test_json_that_is_not_standard_is_refused(text):
    with pytest.raises(CorruptArtifact, match="file"):
        decode_json(text.encode("latin-1"), "file")


def test_a_manifest_cannot_name_files_elsewhere(tmp_path):
    run = save(tmp_path / "run")
    reseal(run, files={"../secret.npz": b"abc"})
    with pytest.raises(CorruptArtifact, match="MANIFEST.json"):
        load_arrays(run, "../secret")


def test_loading_changes_nothing(tmp_path):
    run = save(tmp_path / "run")
    save(run, seed=1, overwrite=True)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.rglob("*")}
    state_of(run)
    verify(run)
    newest_valid(run)
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.rglob("*")}


# Kills


class Killed(BaseException):
    """Stands for the death of the process: from the call that raises it on, no call has any effect."""


class DyingSystem:
    """Counts the calls that change the disk and lets `last` of them through; the file open at death is torn.

    With `recovers` only the next call fails, as on a full disk, and the process goes on.
    """

    calls = ("replace", "rename", "fsync", "link", "mkdir", "unlink", "rmdir", "open")

    def __init__(self, monkeypatch, last, recovers=False):
        self.count, self.last, self.recovers = 0, last, recovers
        for name in self.calls:
            monkeypatch.setattr(os, name, self.mortal(getattr(os, name)))
        monkeypatch.setattr(shutil, "rmtree", self.mortal(shutil.rmtree))
        monkeypatch.setattr(builtins, "open", self.mortal(self.tearing(builtins.open)))

    def mortal(self, call):
        def wrapped(*args, **kwargs):
            self.count += 1
            if self.count == self.last + 1 and self.recovers:
                raise OSError(28, "No space left on device")
            if self.count > self.last and not self.recovers:
                raise Killed
            return call(*args, **kwargs)

        return wrapped

    def tearing(self, call):
        def wrapped(path, mode="r", *args, **kwargs):
            if self.count == self.last and "x" in mode and not self.recovers:
                with call(path, mode) as stream:
                    stream.write(b"torn")
                raise Killed
            return call(path, mode, *args, **kwargs)

        return wrapped


def stopped_at_each_call(run_of_save, prepare=lambda last: None, recovers=False):
    """Run a save that is stopped before its first, second, ... call; yield after each."""
    for last in range(1000):
        prepare(last)
        with pytest.MonkeyPatch.context() as patch:
            system = DyingSystem(patch, last, recovers)
            with contextlib.suppress(Killed, OSError):
                run_of_save(last)
        yield last
        if system.count <= last:
            return
    pytest.fail("the save does not end")


def test_a_first_save_that_is_killed_leaves_nothing_or_all(tmp_path):
    complete = state_of(save(tmp_path / "reference"))
    seen = set()
    for last in stopped_at_each_call(lambda last: save(tmp_path / f"run{last}")):
        run = tmp_path / f"run{last}"
        seen.add(run.exists())
        assert not run.exists() or (state_of(run) == complete and verify(run) == [])
        assert all(name.startswith((".run", "run", "reference")) for name in os.listdir(tmp_path))
    assert seen == {False, True} and last > 15


def test_a_first_save_that_fails_leaves_nothing_or_all_and_no_rest(tmp_path):
    complete = state_of(save(tmp_path / "reference"))
    for last in stopped_at_each_call(lambda last: save(tmp_path / f"run{last}"), recovers=True):
        run = tmp_path / f"run{last}"
        assert not run.exists() or (state_of(run) == complete and verify(run) == [])
        rest = [name for name in os.listdir(tmp_path) if name.startswith(f".run{last}.")]
        # What could not be taken away locks nothing, and the next save takes it.
        assert len(rest) < 2 and all(name.endswith((".lock", ".tmp")) for name in rest)
    assert last > 15


def test_an_overwrite_that_fails_leaves_the_old_or_the_new(tmp_path):
    template = save(tmp_path / "template")
    states = [state_of(template), state_of(save(tmp_path / "new", seed=8))]
    seen = set()
    for last in stopped_at_each_call(
        lambda last: save(tmp_path / f"run{last}", seed=8, overwrite=True),
        lambda last: shutil.copytree(template, tmp_path / f"run{last}"),
        recovers=True,
    ):
        run = tmp_path / f"run{last}"
        assert state_of(run) in states and verify(run) == []
        seen.add(state_of(run))
        save(run, seed=9, overwrite=True)
        assert load_summary(run)["label"] == 9 and not list(run.glob(".generations/*.tmp"))
    assert seen == set(states) and last > 20


def test_an_overwrite_that_is_killed_leaves_the_old_or_the_new(tmp_path):
    template = tmp_path / "template"
    for seed in range(2):
        save(template, seed=seed, signals={"old": np.ones(seed + 1)}, overwrite=True)
    old = state_of(template)
    shutil.copytree(template, tmp_path / "next")
    new = state_of(save(tmp_path / "next", seed=8, overwrite=True))

    def overwrite(last):
        save(tmp_path / f"run{last}", seed=8, grads={"new": np.ones(1)}, overwrite=True)

    seen = []
    for last in stopped_at_each_call(overwrite, lambda n: shutil.copytree(template, tmp_path / f"run{n}")):
        run = tmp_path / f"run{last}"
        state = state_of(run)
        assert state in (old, new), last
        assert verify(run) == [], last
        seen.append(state)
        has_signals = "signals.npz" in json.loads((run / "MANIFEST.json").read_text())["files"]
        assert has_signals == (state == old)
        if state == old:
            assert load_signals(run)["old"].size == 2
        third = state_of(save(run, seed=9, overwrite=True))
        assert verify(run) == [] and third not in (old, new)
        assert not list(run.glob(".generations/*.tmp")) and not (run / "grads.npz").exists()
        assert state_of(newest_valid(next((run / ".generations").iterdir()))) == state
    assert seen == sorted(seen, key=[old, new].index) and {old, new} == set(seen) and last > 20
