"""Run directories made by somebody who means harm, or by another version: refused by name, with nothing run."""

import io
import json
import shutil
import string
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from test_run_artifacts import make_checkpoint, make_meta, make_trace, npy_bytes, npz_bytes, reseal, save

from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference._artifact_npz import decode_npz
from dluxshera.inference.run_listing import list_runs

LEGAL = set(string.ascii_letters + string.digits + "._-")


@pytest.fixture(scope="module")
def many_members():
    """An archive whose directory lists a million members."""
    small = npz_bytes(("a.npy", npy_bytes(np.ones(1))))
    start = small.index(b"PK\x01\x02")
    entry, end = small[start : small.index(b"PK\x05\x06")], small[small.index(b"PK\x05\x06") :]
    directory = entry * 1_000_000
    return small[:start] + directory + end[:12] + len(directory).to_bytes(4, "little") + end[16:]


def test_a_million_members_are_refused_before_they_are_listed(many_members):
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(artifacts.CorruptArtifact, match="directory of members"):
        decode_npz(many_members, "file")
    assert time.process_time() - begun < 1 and tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_second_directory_is_refused():
    """A large-archive record before the end, which readers would follow to another directory; a comment at the end."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", npy_bytes(np.ones(1)))
        archive.comment = b"more"
    plain = npz_bytes(("a.npy", npy_bytes(np.ones(1))))
    locator = b"PK\x06\x07" + bytes(16)
    for data in (buffer.getvalue(), plain[:-22] + locator + plain[-22:], plain + b"PK", b""):
        with pytest.raises(artifacts.CorruptArtifact, match="file"):
            decode_npz(data, "file")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=110) | st.text(alphabet=sorted(LEGAL), max_size=110))
@example("..")
@example("a/b")
@example("a\x00")
@example("a\n")
@example("nul\u200b")
@example("-rf")
@example("~")
@example("a" * 101)
def test_run_ids(run_id):
    legal = 0 < len(run_id) <= 100 and set(run_id) <= LEGAL and run_id[0] not in ".-"
    if legal:
        assert artifacts.check_run_id(run_id) == run_id
    else:
        with pytest.raises(artifacts.SchemaError, match="run id"):
            artifacts.check_run_id(run_id)


@settings(max_examples=12, deadline=None)
@given(name=st.text(st.characters(exclude_characters="/"), max_size=40))
@example(name="..")
@example(name="x\x00y")
def test_no_name_leads_out_of_the_parent(tmp_path_factory, name):
    outside = tmp_path_factory.mktemp("outside")
    parent = outside / "runs"
    parent.mkdir()
    assume(parent / name != parent)
    try:
        run = save(parent / name)
    except (ValueError, OSError):
        pass
    else:
        assert run.resolve().parent == parent.resolve() and artifacts.verify(run) == []
    assert [path.name for path in outside.iterdir()] == ["runs"]


def test_a_trace_of_another_layout_is_named(tmp_path):
    run, other = save(tmp_path / "run"), tmp_path / "other"
    artifacts.save_run(
        other, make_trace(dim=5), make_meta(5), {}, checkpoint_final=make_checkpoint(make_trace(dim=5), 2)
    )
    for name in ("trace.npz", "checkpoint_final.npz"):
        own = (run / name).read_bytes()
        reseal(run, files={name: (other / name).read_bytes()})
        (problem,) = artifacts.verify(run)
        assert name in problem and "(5,), not (3,)" in problem
        with pytest.raises(artifacts.CorruptArtifact, match=name):
            artifacts.newest_valid(run)
        reseal(run, files={name: own})
    reseal(run, files={"summary.json": (other / "summary.json").read_bytes()})
    assert "summary.json" in artifacts.verify(run)[0] and "run_id" in artifacts.verify(run)[0]


def test_a_listing_survives_whatever_lies_there(tmp_path):
    save(tmp_path / "good")
    for name, content in (("list", b"[]"), ("deep", b"[" * 50_000), ("text", b"\xff"), ("newer", b"")):
        run = save(tmp_path / name)
        if name == "newer":
            reseal(run, manifest={"artifact_schema": "dluxshera-run-v9"})
        else:
            reseal(run, files={"summary.json": content})
    (tmp_path / "folder" / "MANIFEST.json").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    rows = {row["path"].rpartition("/")[2]: row for row in list_runs([tmp_path])}
    assert {name: row["state"] for name, row in rows.items()} == {
        "good": "ok",
        **dict.fromkeys(("list", "deep", "text", "newer", "folder"), "damaged"),
    }
    assert "dluxshera-run-v9" in rows["newer"]["problem"]


@pytest.mark.slow
def test_a_thousand_runs_are_listed_in_a_second(tmp_path):
    source = save(tmp_path / "source", signals={"a": np.ones(300)})
    root = tmp_path / "runs"
    for i in range(1000):
        shutil.copytree(source, root / f"run-{i:04d}")
    for i in range(0, 1000, 100):
        (root / f"run-{i:04d}" / "trace.npz").write_bytes(b"cut")
    begun = time.process_time()
    rows = list_runs([root])
    seconds = time.process_time() - begun
    assert len(rows) == 1000 and sum(row["state"] == "damaged" for row in rows) == 10
    assert seconds < 2.0  # half a second on an idle machine; type checks of the tests come on top
    assert json.dumps(rows)
