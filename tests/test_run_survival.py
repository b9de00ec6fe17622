"""What a run directory survives: a small sample of `python -m reliability`."""

import errno

import pytest
from reliability import damage, faults, kills, races, scan_problem

pytestmark = pytest.mark.filterwarnings("ignore::dluxshera.inference.recorded_fit.CommitWarning")


@pytest.mark.slow
def test_kills(tmp_path):
    assert sum(kills.kills(2, tmp_path, engines=("bfgs",)).values()) == 4


@pytest.mark.slow
def test_kills_of_a_reconstruction(tmp_path):
    assert sum(kills.kills(1, tmp_path, what=scan_problem).values()) == 2


@pytest.mark.parametrize("code", [None, errno.ENOSPC], ids=["killed", "full"])
@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_calls_of_a_commit_struck(tmp_path, code, later):
    found = faults.strike_commits(tmp_path, later, code, step=11)
    assert found["calls"] > 3


@pytest.mark.parametrize("kind", ["ftruncate of a lock", "write of a lock"])
@pytest.mark.parametrize("code", [None, errno.ENOSPC], ids=["killed", "full"])
def test_calls_on_the_lock_struck(tmp_path, kind, code):
    found = faults.strike_commits(tmp_path, False, code, step=1, only=kind)
    assert found["calls"] == 1


def test_calls_of_a_fit_struck(tmp_path):
    found = faults.faults_of_a_fit(tmp_path, step=47)
    assert sum(found["injected"].values()) > 4 and found["resumed"] > 1


def test_a_folder_that_cannot_be_written():
    assert faults.read_only() == {"refused": 2}


def test_odd_names(tmp_path):
    faults.odd_places(tmp_path)


@pytest.mark.parametrize("kind", damage.KINDS)
def test_damage(tmp_path, kind):
    found = damage.damage(tmp_path, 4, cuts=[0.0, 0.35, 0.95], kinds=[kind])
    assert found["damaged"] == 7 and found["named"] >= 5


@pytest.mark.slow
def test_a_damaged_fit_goes_on_from_the_generation_before(tmp_path):
    damage.fall_back(tmp_path, ["observation.npz"])


@pytest.mark.slow
def test_races_and_a_reader(tmp_path):
    (tmp_path / "races").mkdir()
    assert races.races(2, tmp_path / "races", pause=0.05)["RunLocked"] == 2
    assert races.reader_beside_writer(1.0, tmp_path)["reads"] > 3


def test_clock_backwards(tmp_path):
    assert races.clock_backwards(tmp_path)["looks at the clock"] > 5
