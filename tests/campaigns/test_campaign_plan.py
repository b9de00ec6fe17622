"""Plans: the axes, the settings, the hash of a row, and what a file may say."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_campaign import FREE, TINY, tiny_campaign, values

from dluxshera.campaigns import Campaign, Experiment, campaign_names, preview
from dluxshera.campaigns.axes import assignments
from dluxshera.campaigns.cases import case_of
from dluxshera.campaigns.plot import check_plot
from dluxshera.config import ConfigError


def test_grid_zip_and_seeds_multiply():
    found = assignments(
        [{"grid": {"a": [1, 2], "b": [3, 4, 5]}}, {"zip": {"c": [6, 7], "d": [8, 9]}}, {"seeds": 2}], "x"
    )
    assert len(found) == 2 * 3 * 2 * 2
    assert {(row["c"], row["d"]) for row in found} == {(6, 8), (7, 9)}
    assert found[0] == {"a": 1, "b": 3, "c": 6, "d": 8, "seed": 0}


def test_spaced_values():
    rows = assignments([{"grid": {"a": {"linear": [0, 1, 3]}}}, {"grid": {"b": {"log": [1, 100, 3]}}}], "x")
    assert [row["a"] for row in rows[::3]] == [0, 0.5, 1] and [row["b"] for row in rows[:3]] == [1, 10, 100]


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_samples_follow_their_distributions(kind):
    of = {
        "u": {"uniform": [2, 4]},
        "l": {"log_uniform": [1e-3, 1e3]},
        "n": {"normal": [5, 2]},
        "k": {"log_normal": [3, 0.5]},
    }
    rows = assignments([{kind: {"count": 1024, "seed": 3, "of": of}}], "x")
    u, lg, n, k = (np.array([row[name] for row in rows]) for name in of)
    assert 2 <= u.min() and u.max() <= 4 and abs(u.mean() - 3) < 0.06
    assert abs(np.log10(lg).mean()) < 0.25 and 1e-3 <= lg.min() and lg.max() <= 1e3
    assert abs(n.mean() - 5) < 0.25 and abs(n.std() - 2) < 0.2
    assert abs(np.log(k).mean() - np.log(3)) < 0.06 and abs(np.log(k).std() - 0.5) < 0.06
    assert rows == assignments([{kind: {"count": 1024, "seed": 3, "of": of}}], "x")
    assert rows != assignments([{kind: {"count": 1024, "seed": 4, "of": of}}], "x")


def test_sobol_points_fill_every_cell():
    rows = assignments([{"sobol": {"count": 16, "of": {"a": {"uniform": [0, 4]}, "b": {"uniform": [0, 4]}}}}], "x")
    assert len({(int(row["a"]), int(row["b"])) for row in rows}) == 16


def test_a_series_drifts():
    drift = {"p": [{"rate": 2.0}, {"sinusoid": [3.0, 4.0, 90.0]}], "w": {"walk": 0.5}}
    rows = assignments([{"series": {"frames": 400, "step_days": 0.25, "seed": 1, "drift": drift}}], "x")
    t, p, w = (np.array([row[name] for row in rows]) for name in ("time_days", "drift.p", "drift.w"))
    np.testing.assert_allclose(t, 0.25 * np.arange(400))
    np.testing.assert_allclose(p, 2 * t + 3 * np.cos(np.pi * t / 2), atol=1e-12)
    assert w[0] == 0 and abs(np.diff(w).std() - 0.5 * np.sqrt(0.25)) < 0.03
    assert [row["frame"] for row in rows] == list(range(400))


BAD_AXES = [
    {"grid": {"a": []}},
    {"grid": {"a": 3}},
    {"grid": {"a": {"log": [0, 1, 3]}}},
    {"zip": {"a": [1], "b": [1, 2]}},
    {"random": {"count": 0, "of": {"a": {"uniform": [0, 1]}}}},
    {"random": {"count": 4, "of": {"a": {"uniform": [1, 0]}}}},
    {"random": {"count": 4, "of": {"a": {"cauchy": [1, 0]}}}},
    {"random": {"count": 4, "off": {}}},
    {"sobol": {"count": 3, "of": {"a": {"uniform": [0, 1]}}}},
    {"seeds": -1},
    {"grid": {"a": {"log": [1, 0, 3]}}},
    {"grid": {"frame": [1]}},
    {"zip": {"time_days": [1.0]}},
    {"random": {"count": 2, "of": [1]}},
    {"random": {"count": 2, "of": {"a": {"log_normal": [1, 1e300]}}}},
    {"random": {"count": 2, "of": {"frame": {"uniform": [0, 1]}}}},
    {"sobol": {"count": 2, "of": {}}},
    {"series": {"frames": 2, "step_days": "x", "drift": {}}},
    {"series": {"frames": 2, "seed": -1, "drift": {"a": {"walk": 1}}}},
    {"series": {"frames": 2, "seed": "x", "drift": {"a": {"walk": 1}}}},
    {"series": {"frames": 2, "drift": {"a": []}}},
    {"series": {"frames": 2, "drift": {"a": {"sinusoid": ["a", 1]}}}},
    {"series": {"frames": 2, "drift": {"a": {"sinusoid": [1, 1, "x"]}}}},
    {"series": {"frames": 2, "drift": {"a": {"rate": float("nan")}}}},
    {"series": {"frames": 3, "drift": {"a": {"jump": 1}}}},
    {"series": {"frames": 0, "drift": {}}},
    {"series": {"frames": 2, "drifts": {}}},
    {"wobble": 1},
    {"grid": {"a": [1]}, "seeds": 2},
    "seeds",
]


@pytest.mark.parametrize("axis", BAD_AXES, ids=str)
def test_a_bad_axis_is_named(axis):
    with pytest.raises(ConfigError, match=r"vary\[1\]"):
        assignments([{"seeds": 1}, axis], "file.yaml")


HUGE = 10**18
TOO_MANY = [
    {"seeds": HUGE},
    {"starts": HUGE},
    {"grid": {"a": {"linear": [0, 1, HUGE]}}},
    {"zip": {"a": {"log": [1, 2, HUGE]}}},
    {"random": {"count": HUGE, "of": {"a": {"uniform": [0, 1]}}}},
    {"sobol": {"count": 2**60, "of": {"a": {"uniform": [0, 1]}}}},
    {"series": {"frames": HUGE, "drift": {}}},
    {"series": {"frames": 100_000, "drift": {f"p{i}": {"rate": 1} for i in range(20)}}},
    {"grid": {"a": {"linear": [0, 1, 400]}, "b": {"linear": [0, 1, 400]}}},
    {"zip": {f"p{i}": {"linear": [0, 1, 100_000]} for i in range(21)}},
]


@pytest.mark.parametrize("axis", TOO_MANY, ids=lambda axis: f"{axis!s:.60}")
def test_what_is_too_large_is_refused_before_it_is_made(axis):
    with pytest.raises(ConfigError, match=r"^file.yaml: vary\[0\].*at most \d+ (runs|settings)"):
        assignments([axis], "file.yaml")


def test_axes_are_too_many_together():
    with pytest.raises(ConfigError, match=r"^file.yaml: vary: expected at most 100000 runs, got 250000"):
        assignments([{"seeds": 500}, {"starts": 500}], "file.yaml")


def test_nothing_is_varied_twice():
    with pytest.raises(ConfigError, match="'seed' is varied twice"):
        assignments([{"seeds": 2}, {"grid": {"seed": [1]}}], "x")


def test_rows_are_stable_and_legal():
    campaign = tiny_campaign(vary=[{"grid": {"binary.contrast": [2, 3]}}, {"seeds": 2}])
    again = tiny_campaign(vary=[{"grid": {"binary.contrast": [2, 3]}}, {"seeds": 2}])
    assert campaign.rows == again.rows and len({row.run_id for row in campaign.rows}) == 4
    wider = tiny_campaign(vary=[{"grid": {"binary.contrast": [1, 2, 3]}}, {"seeds": 3}])
    assert {row.run_id for row in campaign.rows} < {row.run_id for row in wider.rows}


def test_what_comes_to_the_same_is_planned_once():
    assert len(tiny_campaign(vary=[{"grid": {"binary.contrast": [3.0, 3.0, 3.37]}}]).rows) == 2
    same = tiny_campaign(vary=[{"zip": {"truth.binary.contrast": [4.0], "fit.binary.contrast": [4.0]}}])
    assert same.rows[0].content == tiny_campaign(vary=[{"grid": {"binary.contrast": [4.0]}}]).rows[0].content


CHANGES = [
    {"seed": 1},
    {"exposures": 1001},
    {"noiseless": True},
    {"likelihood": "gaussian"},
    {"priors": True},
    {"free": FREE[:1]},
    {"engine": {"name": "bfgs"}},
    {"engine": {"max_steps": 7}},
    {"overrides": TINY | {"binary.contrast": 3.0}},
    {"truth": {"overrides": {"binary.contrast": 3.0}}},
    {"truth": {"draw": "priors"}},
    {"fit": {"overrides": {"binary.contrast": 3.0}}},
    {"errors": {"detector.pixel_response": 0.01}},
    {"start": {"sigmas": 1.0}},
    {"start": {"at": "truth"}},
    {"target": "alpha Cen"},
    {"profile": "shera_testbed_two_plane"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_everything_that_decides_a_row_is_in_its_hash(change):
    changed = tiny_campaign(**change).rows[0].content
    assert changed != tiny_campaign().rows[0].content
    assert changed == tiny_campaign(**change, doc="other words", batch=3, executor={"workers": 3}).rows[0].content


def test_the_contents_of_files_are_in_the_hash(tmp_path):
    path = tmp_path / "response.npy"
    np.save(path, np.ones((16, 16)))
    overrides = {"overrides": TINY | {"detector.pixel_response": str(path)}}
    before = tiny_campaign(**overrides).rows[0].content
    np.save(path, np.full((16, 16), 0.5))
    from dluxshera.campaigns import cases

    cases._digest.cache_clear()  # as another process would
    assert tiny_campaign(**overrides).rows[0].content != before


def test_rows_of_one_structure_are_one_group():
    campaign = tiny_campaign(vary=[{"grid": {"optics.psf_npix": [16, 20]}}, {"grid": {"binary.contrast": [2, 3]}}])
    assert [len(group) for group in campaign.groups] == [2, 2]
    assert {row.settings["optics.psf_npix"] for row in campaign.groups[1]} == {20}
    free = tiny_campaign(vary=[{"grid": {"free": [FREE, FREE[:1]]}}])
    assert len(free.groups) == 2
    with pytest.raises(ConfigError, match="theta.free: .* varies it"):  # it would lie over what varies
        free.changed({"theta.free": FREE})
    with pytest.raises(ConfigError, match="theta.free would take the place of free"):
        len(tiny_campaign(vary=[{"grid": {"free": [FREE, FREE[:1]]}}], overrides={"theta.free": FREE}).rows)


def test_settings_reach_the_case():
    row = {
        **{"exposures": 10.2, "frame": 2, "seed": 7, "start.seed": 9, "engine.max_steps": 3},
        **{"truth.binary.contrast": 5.0, "fit.binary.contrast": 4.0},
        **{"error.detector.pixel_offsets": 0.1, "drift.optics.focus_shift": 1e-6},
    }
    case = case_of(tiny_campaign().values, row)
    assert (case.exposures, case.seed, case.frame, case.start["seed"]) == (10, 7, 2, 9)
    assert (case.truth.get("binary.contrast"), case.fit.get("binary.contrast")) == (5.0, 4.0)
    assert case.errors == {"detector.pixel_offsets": 0.1} and case.drift == {"optics.focus_shift": 1e-6}
    assert case.fit.get("engine")["max_steps"] == 3 and case.fit.get("theta.free") == FREE


BAD = [
    ({"bogus": 1}, "bogus"),
    ({"small": {"bogus": 1}}, "small.bogus"),
    ({"exposures": 0}, "exposures"),
    ({"likelihood": "cauchy"}, "likelihood"),
    ({"truth": {"bogus": 1}}, "truth"),
    ({"start": {"at": "nowhere"}}, "start"),
    ({"vary": {"seeds": 1}}, "vary"),
    ({"name": "../x"}, "name"),
    ({"free": "binary.*"}, "free"),
    ({"vary": [{"grid": {"binary.contrst": [1]}}]}, "contrst"),
    ({"vary": [{"grid": {"likelihood": ["cauchy"]}}]}, "likelihood"),
    ({"vary": [{"grid": {"binary.contrast": [-1]}}]}, "contrast"),
    ({"profile": "nowhere"}, "nowhere"),
    ({"start": {"sigmas": -1}}, "start"),
    ({"start": {"sigmas": float("nan")}}, "start"),
    ({"errors": {"binary.contrast": float("inf")}}, "errors"),
    ({"executor": {"workers": 1.5, "name": "processes"}}, "executor"),
    ({"executor": {"workers": "two", "name": "processes"}}, "executor"),
    ({"executor": {"name": ["dask"]}}, "executor"),
    ({"executor": {"timeout_s": float("nan"), "name": "processes"}}, "executor"),
    ({"engine": {"max_steps": 0}}, "engine.max_steps"),
    ({"overrides": TINY | {"engine.max_steps": 0}}, "engine.max_steps"),
    ({"vary": [{"grid": {"engine.name": ["nope"]}}]}, "engine.name"),
    ({"vary": [{"grid": {"start.at": ["nope"]}}]}, "start.at"),
    ({"vary": [{"grid": {"start.seed": ["x"]}}]}, "start.seed"),
    ({"vary": [{"grid": {"start.sigmas": ["x"]}}]}, "start.sigmas"),
    ({"vary": [{"grid": {"start.sigmas": [-1]}}]}, "start.sigmas"),
    ({"vary": [{"grid": {"seed": [1.5]}}]}, "seed"),
    ({"vary": [{"grid": {"exposures": [float("inf")]}}]}, "exposures"),
    ({"vary": [{"grid": {"drift.binary.contrast": ["x"]}}]}, "drift.binary.contrast"),
    ({"vary": [{"grid": {"error.binary.contrast": [float("nan")]}}]}, "error.binary.contrast"),
]


@pytest.mark.parametrize(("change", "named"), BAD, ids=str)
def test_what_makes_no_sense_is_named(change, named):
    with pytest.raises(ConfigError, match=named):
        _ = Campaign(values(**change)).rows


@pytest.mark.parametrize(
    "text",
    [
        "vary: [{grid: {start.at: [nope]}}]",
        "vary: [{grid: {binary.contrast: [-1]}}]",
        "vary: [{series: {frames: 2, seed: x, drift: {}}}]",
        "engine: {max_steps: 0}",
        "start: {sigmas: -1}",
    ],
)
def test_the_file_is_named(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(f"profile: shera_flight\n{text}\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}"):
        _ = Campaign.read(path).rows


@pytest.mark.parametrize(("axis", "other"), [("x", "binary.separation_as"), ("y", "binary.nothing")])
def test_a_plot_of_what_is_not_there_is_refused(tmp_path, axis, other):
    fine = {"x": "seed", "y": "binary.separation_as"}
    check_plot(tiny_campaign(vary=[{"seeds": 2}], plot=fine))
    campaign = tiny_campaign(vary=[{"seeds": 2}], plot=fine | {axis: other})
    for act in (lambda: Experiment.create(campaign, tmp_path / "one"), lambda: preview(campaign, measure=False)):
        with pytest.raises(
            ConfigError, match=rf"^tiny: plot\.{axis}: expected .*{re.escape(fine[axis])}.* got '{other}'"
        ):
            act()
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize("name", campaign_names())
def test_another_seed_changes_every_row_or_is_refused(name):
    campaign = Campaign.read(name)
    if "seed" in campaign.settings:
        with pytest.raises(ConfigError, match=r"seed: .*varies it.*seeds: \[7, 8, 9\]"):
            campaign.changed({}, 7)
    else:
        assert not {row.content for row in campaign.rows} & {row.content for row in campaign.changed({}, 7).rows}


def test_a_file_is_read_with_its_lines(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "profile: shera_flight\nexposures: 5\nvary:\n  - seeds: 3\nsmall:\n  exposures: 1\n  overrides: {}\n"
    )
    assert Campaign.read(path).size == "small" and Campaign.read(path).values["exposures"] == 1
    assert Campaign.read(path, "full").values["exposures"] == 5 and Campaign.read(path).name == "own"
    path.write_text("profile: shera_flight\nexposurs: 5\n")
    with pytest.raises(ConfigError, match=r"own.yaml:2: exposurs: unknown key"):
        Campaign.read(path)
    with pytest.raises(ConfigError, match="unknown campaign 'separation'"):
        Campaign.read("separation")


def test_profiles_are_found_beside_the_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: shera_flight\nbinary:\n  contrast: 9.0\n")
    (tmp_path / "own.yaml").write_text("profile: mine.yaml\ntruth: {profile: mine.yaml}\n")
    campaign = Campaign.read(tmp_path / "own.yaml")
    case = case_of(campaign.values, {})
    assert case.fit.get("binary.contrast") == case.truth.get("binary.contrast") == 9.0


@pytest.mark.parametrize("name", campaign_names())
@pytest.mark.parametrize("size", ["small", "full"])
def test_packaged_campaigns_are_planned(name, size):
    campaign = Campaign.read(name, size)
    assert campaign.name == name and campaign.values["doc"] and campaign.values["plot"]["x"] in campaign.settings
    assert len(campaign.groups) == 1 and (len(campaign.rows) <= 16 if size == "small" else len(campaign.rows) >= 100)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=3, unique=True), st.integers(1, 3))
def test_every_combination_has_its_own_row(contrasts, seeds):
    rows = tiny_campaign(vary=[{"grid": {"binary.contrast": contrasts}}, {"seeds": seeds}]).rows
    assert len({row.content for row in rows}) == len(rows) == len(contrasts) * seeds


def test_the_file_of_the_documentation_is_planned(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "campaigns.md").read_text()
    first, second = re.findall(r"^```yaml\n(.*?)^```", text, re.S | re.M)
    path = tmp_path / "focus_study.yaml"
    path.write_text(first + second)
    campaign = Campaign.read(path)
    assert (campaign.size, len(campaign.rows), len(campaign.groups)) == ("small", 60, 1)
    assert campaign.values["executor"]["slurm"]["queue"] == "normal"
