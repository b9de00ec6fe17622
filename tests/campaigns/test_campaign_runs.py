"""Campaigns on a small instrument: runs, resuming, damage, failures, tables."""

import json

import numpy as np
import pytest
from tiny_campaign import tiny_campaign

import dluxshera as ds
from dluxshera.campaigns import Experiment, preview, read_table, resume_campaign, run_campaign, write_table
from dluxshera.config import ConfigError

VARY = [{"grid": {"binary.contrast": [2, 3, 5]}}]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Three rows, done."""
    folder = tmp_path_factory.mktemp("campaign") / "tiny"
    seen = []
    found = run_campaign(tiny_campaign(vary=VARY), folder, on_progress=seen.append)
    assert (found.done, found.failed, found.left) == (3, 0, 0) and seen[0].done == 0 and seen[-1] == found
    return Experiment.open(folder)


def run_dirs(experiment):
    return [experiment.runs / row.run_id for row in experiment.rows]


def test_the_table_holds_what_was_varied_and_found(experiment):
    table = read_table(experiment.folder)
    assert table["run_id"] == [row.run_id for row in experiment.rows] and table["status"] == ["ok"] * 3
    assert table["set.binary.contrast"] == [2, 3, 5] and table["converged"] == [True] * 3
    estimate, sigma = (np.array(table[f"binary.separation_as.{column}"]) for column in ("estimate", "sigma"))
    assert np.all(np.abs(estimate - 0.8) < 5 * sigma) and table["binary.separation_as.truth"] == [0.8] * 3
    assert len(set(table["data"])) == 3


def test_every_run_opens_again(experiment):
    run = ds.open_run(run_dirs(experiment)[2])
    assert float(run.start_model().binary.contrast) == 5.0
    theta = run.objective().space.pack(run.model())
    assert float(run.objective().loss(theta)) == pytest.approx(run.summary["loss_best"], rel=1e-9)
    assert run.meta["campaign"]["settings"] == {"binary.contrast": 5}


def test_a_fit_of_a_batch_is_what_a_fit_alone_is(experiment):
    run = ds.open_run(run_dirs(experiment)[0])
    alone = ds.fit(run.objective(), run.objective().space.pack(run.start_model()))
    rows = {row["label"]: row for row in run.summary["parameters"]}
    for name in ("binary.separation_as", "binary.log_flux_total"):
        assert float(ds.get_value(alone.model, name)) == pytest.approx(rows[name]["estimate"], rel=1e-9)
        assert float(alone.sigma(name)) == pytest.approx(rows[name]["sigma"], rel=1e-5)


def test_nothing_is_done_twice(experiment):
    before = {path: path.stat().st_mtime_ns for path in experiment.runs.rglob("*")}
    found = run_campaign(experiment.campaign, experiment.folder)
    assert (found.there, found.done) == (3, 0)
    assert before == {path: path.stat().st_mtime_ns for path in experiment.runs.rglob("*")}


def test_what_is_damaged_is_done_again_and_comes_out_the_same(experiment):
    damaged, absent, whole = run_dirs(experiment)
    before = {path: ds.open_run(path).trace()["theta"] for path in run_dirs(experiment)}
    stamp = (whole / "MANIFEST.json").stat().st_mtime_ns
    data = bytearray((damaged / "trace.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (damaged / "trace.npz").write_bytes(bytes(data))
    for path in sorted(absent.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    absent.rmdir()
    assert [experiment.is_done(row) for row in experiment.rows] == [False, False, True]
    assert experiment.table()["status"] == ["ok", "missing", "ok"]  # its summary is sound
    found = resume_campaign(experiment)
    assert (found.there, found.done) == (1, 2)
    for path, theta in before.items():
        np.testing.assert_array_equal(ds.open_run(path).trace()["theta"], theta)
    assert (whole / "MANIFEST.json").stat().st_mtime_ns == stamp
    assert (experiment.folder / "damaged" / damaged.name / "trace.npz").exists()


def test_a_run_of_another_content_does_not_count(experiment):
    row = experiment.rows[0]
    assert experiment.is_done(row) and not experiment.is_done(row._replace(content="0" * 64))


def test_a_wider_plan_keeps_what_is_there(experiment):
    wider = tiny_campaign(vary=[{"grid": {"binary.contrast": [2, 3, 5, 1e9]}}])
    with pytest.raises(ConfigError, match="--update"):
        run_campaign(wider, experiment.folder)
    found = run_campaign(wider, experiment.folder, update=True)
    assert found.there == 3 and found.done + found.failed == 1
    again = run_campaign(tiny_campaign(vary=VARY), experiment.folder, update=True)
    assert again.there == 3 and len(read_table(experiment.folder)["run_id"]) == 3


def test_a_row_that_cannot_be_made_fails_alone(tmp_path):
    campaign = tiny_campaign(vary=[{"zip": {"binary.log_flux_total": [7.13, 14.0]}}])
    found = run_campaign(campaign, tmp_path / "one")
    assert (found.done, found.failed) == (1, 1)
    table = read_table(tmp_path / "one")
    assert table["status"] == ["ok", "failed"] and "full_well" in table["message"][1]
    assert table["binary.separation_as.estimate"][1] is None
    again = run_campaign(campaign, tmp_path / "one")
    assert (again.there, again.failed) == (1, 1)


def test_a_stop_leaves_what_can_be_gone_on_with(tmp_path):
    campaign = tiny_campaign(vary=VARY)
    stop = []
    meter = lambda progress: stop.append(progress.done)  # noqa: E731
    found = run_campaign(campaign, tmp_path / "one", on_progress=meter, should_stop=lambda: stop[-1] >= 1)
    assert (found.done, found.left) == (2, 1)
    assert read_table(tmp_path / "one")["status"] == ["ok", "ok", "missing"]
    assert run_campaign(campaign, tmp_path / "one").left == 0


def test_folders_that_are_something_else_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="is no experiment"):
        run_campaign(tiny_campaign(), tmp_path / "mine")
    with pytest.raises(ConfigError, match="does not exist"):
        run_campaign(tiny_campaign(), tmp_path / "absent" / "one")
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        Experiment.open(tmp_path / "mine")


def test_a_newer_manifest_is_refused(tmp_path):
    Experiment.create(tiny_campaign(), tmp_path / "one")
    path = tmp_path / "one" / "manifest.json"
    path.write_text(path.read_text().replace("dluxshera-experiment-v0", "dluxshera-experiment-v7"))
    with pytest.raises(ValueError, match="experiment-v7"):
        Experiment.open(tmp_path / "one")


def test_a_preview_counts_what_will_be_done(experiment):
    found = preview(experiment.campaign)
    assert (found.runs, len(found.groups), found.settings) == (3, 1, {"binary.contrast": 3})
    assert found.seconds > 0 and found.seconds_with(2) < found.seconds
    spent = sum(path.stat().st_size for path in run_dirs(experiment)[0].iterdir())
    assert 0.5 < found.groups[0].run_bytes / spent < 2
    assert preview(experiment.campaign, measure=False).seconds is None


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_tables_round_trip(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    columns = {
        **{"run_id": ["a", "b"], "status": ["ok", "failed"], "message": ["", 'a "quoted", line']},
        **{"x": [0.1, None], "n": [1, 2], "converged": [True, None], "content": ["0012", "1e5"]},
        "set.free": ['["a"]', '["b"]'],
    }
    path = write_table(columns, tmp_path / f"table.{ending}")
    assert read_table(path) == columns and read_table(tmp_path) == columns
    with pytest.raises(ValueError, match="parquet or .csv"):
        write_table(columns, tmp_path / "table.xlsx")


def test_the_manifest_is_plain_json(experiment):
    manifest = json.loads((experiment.folder / "manifest.json").read_text())
    assert manifest["settings"] == ["binary.contrast"] and len(manifest["rows"]) == 3
    assert experiment.campaign.rows == experiment.rows
