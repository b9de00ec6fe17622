"""The manifest of an experiment: named when damaged, made anew when asked, read as earlier builds wrote it."""

import json
import math
import shutil

import pytest
from reliability.campaign_work import toy, toy_campaign
from reliability.campaigns import started
from reliability.damage import damage_of_an_experiment

from dluxshera.campaigns import Experiment, is_experiment, read_table, resume_campaign, run_campaign
from dluxshera.config import ConfigError
from dluxshera.inference.run_artifacts import CorruptArtifact, RunLocked, SchemaError
from dluxshera.inference.run_lock import RunLock


@pytest.fixture
def experiment(tmp_path):
    """Three rows of made-up numbers, done."""
    experiment = started(tmp_path / "one", rows=3)
    resume_campaign(experiment, work=toy)
    return experiment


def rewritten(experiment, change, with_sum=False):
    """Change the content of a manifest as an earlier build would have written it, or somebody who knows better."""
    from dluxshera.campaigns import manifest

    path = experiment.folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    content |= {"sha256": manifest._sum(content)} if with_sum else {}
    path.write_text(json.dumps(content, indent=1))
    return path


def test_cuts_and_flipped_bits_are_named(tmp_path):
    found = damage_of_an_experiment(tmp_path, 15, cuts=[0.0, 0.35, 0.95])
    assert found["named"] >= 15 and found["made anew"] == found["named"]


def test_a_changed_setting_gives_no_wrong_number(experiment):
    path = experiment.folder / "manifest.json"
    text = path.read_text()
    path.write_text(text.replace('"seed": 2\n', '"seed": 6\n'))
    assert path.read_text() != text
    with pytest.raises(CorruptArtifact, match=r"manifest\.json is damaged: .*SHA-256.*--update"):
        Experiment.open(experiment.folder)


def test_the_manifest_of_a_campaign_that_runs_stays(experiment):
    content = (experiment.folder / "manifest.json").read_bytes()
    with RunLock(experiment.folder), pytest.raises(RunLocked):
        Experiment.create(toy_campaign(5), experiment.folder, update=True)
    assert (experiment.folder / "manifest.json").read_bytes() == content


@pytest.mark.parametrize("name", [".hid", "-x", "a\nb"])
def test_an_experiment_is_called_as_a_run_may_be(tmp_path, name):
    with pytest.raises(SchemaError):
        Experiment.create(toy_campaign(2), tmp_path / name)
    assert not list(tmp_path.iterdir())


def row(i, **values):
    return lambda content: content["rows"][i].update(values)


WRONG = [
    *[(lambda content, key=key: content.pop(key), f"{key}: missing key") for key in ("name", "settings", "campaign")],
    *[(lambda content, key=key: content.pop(key), f"{key}: missing key") for key in ("rows", "size", "created_at")],
    (lambda content: content["rows"].__setitem__(1, None), r"rows\[1\]: expected a row"),
    (lambda content: content["rows"][1].pop("settings"), r"rows\[1\].settings: missing key"),
    (row(0, run_id="../../runs/good"), r"rows\[0\].run_id: expected 'run-.*got '\.\./\.\./runs/good'"),
    (row(0, run_id=1, content=2, group=None, settings=None), r"rows\[0\].run_id: expected text"),
    (row(2, content="x"), r"rows\[2\].content: expected a SHA-256"),
    (row(2, settings=None), r"rows\[2\].settings: expected settings by name"),
    (row(2, group="a"), r"rows\[2\].group"),
    (lambda content: content["rows"].append(content["rows"][0]), r"rows\[3\].run_id: .*once"),
    (lambda content: content.update(size=3), "size: expected small or full"),
    (lambda content: content.update(settings=[1]), "settings: expected a list of names"),
    (lambda content: content.update(plot=3), "plot: expected"),
]


@pytest.mark.parametrize(("change", "named"), WRONG, ids=lambda case: case if isinstance(case, str) else "")
@pytest.mark.parametrize("with_sum", [False, True])
def test_what_is_wrong_is_named_with_its_file(experiment, change, named, with_sum):
    path = rewritten(experiment, change, with_sum)
    with pytest.raises(CorruptArtifact, match=f"{path} is damaged: {named}"):
        Experiment.open(experiment.folder)


def test_other_keys_are_for_those_who_sum_them(experiment):
    """One flipped bit in the name of the sum does not do away with it."""
    rewritten(experiment, lambda content: content.update(sha257="x"))
    with pytest.raises(CorruptArtifact, match="sha257: unknown key"):
        Experiment.open(experiment.folder)
    rewritten(started(experiment.folder.parent / "two"), lambda content: content.update(more=1), with_sum=True)
    assert Experiment.open(experiment.folder.parent / "two").manifest["more"] == 1


def test_manifests_of_earlier_builds_are_read_and_get_their_sum(experiment):
    path = rewritten(experiment, lambda content: None)
    opened = Experiment.open(experiment.folder)
    assert opened.rows == experiment.rows and resume_campaign(opened, work=toy).there == 3
    again = Experiment.create(toy_campaign(3), experiment.folder)
    assert again.rows == experiment.rows and "sha256" in json.loads(path.read_text())


@pytest.mark.parametrize(
    "change",
    [
        row(1, settings={"seed": 7}),
        lambda content: content["campaign"].update(vary=[{"seeds": 2}]),
    ],
)
def test_without_a_sum_settings_are_checked_against_the_content_hash(experiment, change):
    rewritten(experiment, change)
    with pytest.raises(CorruptArtifact, match=r"the settings of run-\w+ are not those of its content hash"):
        Experiment.open(experiment.folder)


def test_a_description_that_makes_no_sense_is_named_with_its_file(experiment):
    path = rewritten(experiment, lambda content: content["campaign"].pop("profile"))
    opened = Experiment.open(experiment.folder)
    assert opened.table()["status"] == ["ok"] * 3
    with pytest.raises(ConfigError, match=f"^{path}: missing key: profile"):
        _ = opened.campaign


def test_what_is_planned_otherwise_by_now_is_not_done(experiment):
    rewritten(experiment, lambda content: content["campaign"].update(exposures=7))
    opened = Experiment.open(experiment.folder)  # it may be of another version: that cannot be told
    assert opened.table()["status"] == ["ok"] * 3 and resume_campaign(opened, work=toy).there == 3
    shutil.rmtree(experiment.runs / experiment.rows[0].run_id)
    with pytest.raises(ConfigError, match="other runs by now.*--update"):
        resume_campaign(opened, work=toy)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"experiment_schema": "dluxshera-experiment-v0"}'])
def test_a_manifest_that_is_damaged_or_lost_is_made_anew_when_asked(experiment, content):
    path, table = experiment.folder / "manifest.json", read_table(experiment.folder)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match="is no experiment" if content is None else "--update"):
        run_campaign(toy_campaign(3), experiment.folder)
    assert content is None or path.read_bytes() == content
    anew = Experiment.create(toy_campaign(3), experiment.folder, update=True)
    assert anew.rows == experiment.rows and resume_campaign(anew, work=toy).there == 3
    assert read_table(experiment.folder) == table


def fails(task):
    raise RuntimeError("bad row")


def test_folders_that_were_deleted_are_made_again(experiment):
    table = read_table(experiment.folder)
    shutil.rmtree(experiment.runs)
    shutil.rmtree(experiment.folder / "failures")
    opened = Experiment.open(experiment.folder)
    assert is_experiment(experiment.folder) and opened.table()["status"] == ["missing"] * 3
    assert not opened.runs.exists()  # readers change nothing
    assert resume_campaign(opened, work=fails).failed == 3
    assert opened.table()["message"] == ["RuntimeError: bad row"] * 3
    shutil.rmtree(experiment.folder / "failures")
    assert resume_campaign(opened, work=toy).done == 3 and read_table(experiment.folder) == table


def test_what_is_not_finite_keeps_its_sum(tmp_path):
    unlimited = {"name": "processes", "timeout_s": math.inf}
    experiment = started(tmp_path / "one", rows=1, executor=unlimited)
    assert experiment.campaign.values["executor"] == unlimited


def test_a_run_directory_is_no_experiment(experiment):
    assert not is_experiment(experiment.runs / experiment.rows[0].run_id)
