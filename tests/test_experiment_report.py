"""The page of an experiment: what it says, and that a real browser opens it from disk, sorts and filters it."""

import dataclasses

import numpy as np
import pytest
from browser import Browser
from campaigns.tiny_campaign import tiny_campaign
from test_report_page import HOSTILE, Page

from dluxshera._report import write_report
from dluxshera.campaigns import Experiment
from dluxshera.inference import run_artifacts as artifacts
from dluxshera.inference.ensemble_verdict import ensemble_findings
from dluxshera.plotting import ExperimentReport, experiment_report
from dluxshera.plotting import _experiment_sections as sections

LABELS = {"binary.separation_as": "arcsec", "binary.contrast": "", "optics.m1.zernike_coeffs_nm[Z4]": "nm"}
SIGMAS = (1e-6, 1e-3, 0.4)
TRUTH = (10.0, 3.37, 0.0)


def row(i, contrast, seed, status="ok", message="converged"):
    """A row of the table; run 3 is 6 sigma off in its separation."""
    found = {
        **{"run_id": f"run-{i:03d}", "status": status, "message": message, "group": 0},
        **{"set.binary.contrast": contrast, "set.seed": seed},
    }
    if status != "ok":
        return found | dict.fromkeys(("converged", "steps", "seconds", "loss_final", "reduced_chi_square"))
    found |= {"converged": True, "steps": 5 + i % 3, "seconds": 0.5 + 0.01 * i, "loss_final": 8000.0 - i}
    found["reduced_chi_square"] = 1 + 0.01 * (i % 5)
    pulls = np.random.RandomState(i).normal(size=3) + (np.array([6.0, 0, 0]) if i == 3 else 0)
    for label, sigma, truth, pull in zip(LABELS, SIGMAS, TRUTH, pulls, strict=True):
        found |= {f"{label}.estimate": truth + pull * sigma, f"{label}.sigma": sigma, f"{label}.truth": truth}
    return found


def report(**changes):
    rows = [row(i, [1.0, 3.0, 10.0, 30.0][i % 4], i // 4) for i in range(22)]
    rows += [row(22, 10.0, 5, "failed", "worker 1 ended (signal 9)"), row(23, 30.0, 5, "missing", "")]
    base = ExperimentReport(
        name="contrast",
        doc="Separation error against contrast.",
        created_at="2026-01-02T03:04:05Z",
        rows=rows,
        settings=("binary.contrast", "seed"),
        units=LABELS,
        x="binary.contrast",
        y="binary.separation_as",
        links={"run-003": "runs/run-003/report.html"},
        description={
            "size": "small",
            "campaign": {"sweep": {"binary.contrast": [1, 3, 10, 30]}},
            "git": {"dirty": True},
        },
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def text():
    return experiment_report(report())


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_planned_run_has_a_row_and_those_with_a_page_a_link(page):
    cells = {c[0]: c for c in page.cells if c and c[0].startswith("run-")}
    assert len(cells) == 24
    assert [a["href"] for a in page.all("a") if "runs/" in a["href"]] == ["runs/run-003/report.html"]
    assert cells["run-005"][1:5] == ["ok", "3", "1", "yes"]


def test_the_table_has_the_error_of_interest_in_a_readable_unit(page):
    header = next(c for c in page.cells if c[0] == "run" and "steps" in c)
    cells = next(c for c in page.cells if c[0] == "run-003")
    found = dict(zip(header, cells, strict=True))
    pull = np.random.RandomState(3).normal() + 6
    assert float(found["error of separation_as (µas)"]) == pytest.approx(pull, abs=2e-3)
    assert (found["its sigma"], found["largest pull"]) == ("1", f"{pull:+.2f}")


def test_failures_have_their_reasons(page):
    assert ["run-022", "failed", "worker 1 ended (signal 9)", "10", "5"] in page.cells
    assert ["run-023", "missing", "", "30", "5"] in page.cells


def test_errors_of_each_parameter_against_its_sigmas(page):
    errors = report().errors("binary.contrast")
    cells = next(c for c in page.cells if c[:1] == ["binary.contrast"] and len(c) == 9)
    assert cells[2] == "22" and float(cells[3]) == pytest.approx(errors.mean(), rel=0.02)
    assert float(cells[5]) == pytest.approx(errors.std(ddof=1), rel=0.05)
    assert cells[7:] == [f"{errors.mean() / 1e-3:+.2f}", f"{errors.std(ddof=1) / 1e-3:.2f}"]


def test_every_figure_has_words_with_its_numbers(page):
    alternatives = [image["alt"] for image in page.all("img")]
    assert len(alternatives) == 3 and all(len(alt) > 60 for alt in alternatives)
    pulls = report().pulls("binary.separation_as")
    assert f"mean {pulls.mean():+.3f}, spread {pulls.std(ddof=1):.3f}" in alternatives[1]


def test_the_page_is_self_contained_and_its_one_script_is_named_by_its_hash(page, text):
    sources = [a[key] for _, a in page.tags for key in ("src", "action", "data") if key in a]
    assert all(source.startswith("data:image/") for source in sources)
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "script-src 'sha256-" in policy and len(page.all("script")) == 1
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_hostile_text_stays_text():
    rows = [r | {"message": HOSTILE, "set.seed": HOSTILE} for r in report().rows]
    rows[22] = rows[22] | {"run_id": HOSTILE}
    found = Page(experiment_report(report(name=HOSTILE, doc=HOSTILE, rows=rows, links={HOSTILE: HOSTILE})))
    assert len(found.all("script")) == 1 and len(found.all("img")) == 3


def test_an_experiment_that_has_hardly_begun_is_still_reported():
    rows = [row(i, 1.0, i, "missing", "") for i in range(3)]
    found = Page(experiment_report(report(rows=rows, links={}, units={})))
    assert "3 planned: 3 missing" in found.text and "No run knows both" in found.text
    nothing = Page(experiment_report(report(rows=[], settings=(), units={}, x=None, y=None, links={})))
    assert "none planned" in nothing.text


def test_one_run_is_enough_for_a_page():
    assert "1 planned: 1 ok" in Page(experiment_report(report(rows=[row(0, 1.0, 0)]))).text


def test_what_is_no_column_is_refused():
    with pytest.raises(ValueError, match="setting"):
        report(x="optics.m1.diameter")
    with pytest.raises(ValueError, match="parameter"):
        report(y="binary.flux")


def test_reasons_are_counted_only_where_there_are_failures():
    assert sections.failures(report(rows=[row(0, 1.0, 0)])) == "<p>Every run ended well.</p>"


# ---- from a folder


@pytest.fixture
def experiment(tmp_path):
    """An experiment of which one run is made up, one failed and two are missing."""
    campaign = tiny_campaign(
        vary=[{"grid": {"binary.contrast": [2.0, 3.0]}}, {"seeds": 2}],
        plot={"x": "binary.contrast", "y": "binary.separation_as"},
    )
    made = Experiment.create(campaign, tmp_path / "sweep")
    first, second = made.rows[:2]
    layout = {"layout_hash": "0" * 64, "entries": [{"name": "a", "start": 0, "stop": 1, "shape": []}]}
    theta = {"dim": 1, "theta_space": "primitive", "index_map": layout}
    meta = {"theta": theta, "objective": {}, "optimizer": {}, "campaign": {"content": first.content}}
    parameter = {"label": "binary.separation_as", "unit": "arcsec", "start": 0.8}
    parameter |= {"estimate": 0.8000021, "sigma": 1e-6, "truth": 0.8}
    trace, folder = {"loss": np.ones(2), "theta": np.ones((2, 1))}, made.runs / first.run_id
    artifacts.save_run(folder, trace, meta, {"parameters": [parameter], "converged": True})
    (folder / "report.html").write_text("a page")
    made.note_failure(second.run_id, "worker 0 ended (signal 9)")
    return made


def test_the_page_of_a_folder_is_written_into_it(experiment):
    written = write_report(experiment.folder)
    found = Page(written.read_text(encoding="utf-8"))
    first, second = experiment.rows[:2]
    assert written == experiment.folder / "report.html"
    assert "4 planned: 1 ok, 1 failed, 2 missing" in found.text
    links = [a["href"] for a in found.all("a") if a["href"].startswith("runs/")]
    assert links == [f"runs/{first.run_id}/report.html"] and (experiment.folder / links[0]).is_file()
    cells = next(c for c in found.cells if c[0] == first.run_id)
    assert "2.1" in cells and "+2.10" in cells
    assert [second.run_id, "failed", "worker 0 ended (signal 9)", "2", "1"] in found.cells


def test_a_damaged_run_is_a_row_that_failed(experiment):
    (experiment.runs / experiment.rows[0].run_id / "summary.json").write_text("{")
    found = Page(write_report(experiment.folder).read_text(encoding="utf-8"))
    assert "4 planned: 2 failed, 2 missing" in found.text
    assert any(c[0] == experiment.rows[0].run_id and "summary.json" in c[2] for c in found.cells if len(c) > 2)


# ---- the verdict


def judged(pulls, statuses=("ok",) * 400, converged=None):
    found = ensemble_findings(statuses, [True] * len(statuses) if converged is None else converged, pulls)
    return {f.topic: f.level for f in found}


def test_unit_gaussian_errors_are_good_in_every_respect():
    pulls = np.random.RandomState(0).normal(size=400)
    assert set(judged(pulls).values()) == {"good"}


@pytest.mark.parametrize(
    ("scale", "shift", "topic", "level"),
    [(1.13, 0, "Spread", "warning"), (1.3, 0, "Spread", "bad"), (1, 0.22, "Bias", "warning"), (1, 0.4, "Bias", "bad")],
)
def test_bias_and_spread_are_judged_by_their_own_errors(scale, shift, topic, level):
    pulls = np.random.RandomState(0).normal(size=400)
    pulls = (pulls - pulls.mean()) / pulls.std(ddof=1)
    assert judged(scale * pulls + shift)[topic] == level


def test_errors_that_share_their_noise_count_once():
    pulls = np.tile([2.0, -1.5, 1.8, -2.2, 0.5, -0.4], 20)
    found = {f.topic: f for f in ensemble_findings(("ok",) * 120, [True] * 120, pulls, 6)}
    assert found["Spread"].level == "good" and "120 errors with 6 draws of noise" in found["Bias"].text
    assert judged(pulls)["Spread"] == "bad"
    rows = [row(i, [1.0, 3.0, 10.0][i % 3], i // 3) for i in range(12)]
    assert report(rows=rows).noise_draws == 4


def test_failed_runs_and_those_that_did_not_converge_are_named():
    statuses = ("ok",) * 95 + ("failed",) * 5
    assert judged(np.zeros(0), statuses, [True] * 94 + [False]) == {"Runs": "warning", "Convergence": "warning"}
    assert judged(np.zeros(0), ("failed",) * 3, [])["Runs"] == "bad"


# ---- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("with space é")
    (folder / "report.html").write_text(text, encoding="utf-8")
    found = Browser(folder / "profile")
    found.load(folder / "report.html")
    yield found
    found.close()


ROWS = "[...document.querySelector('#runs-table').tBodies[0].rows]"
ORDER = f"{ROWS}.filter(r => !r.hidden).map(r => r.cells[0].innerText)"
FOCUS = "document.activeElement"


def column(browser, heading):
    return browser.evaluate(
        f"(i => {ROWS}.map(r => r.cells[i].innerText))"
        f"([...document.querySelectorAll('#runs-table thead th')].findIndex(h => h.innerText.startsWith({heading!r})))"
    )


def focus_heading(browser, heading):
    """Walk there with the Tab key alone, from the box before the table."""
    browser.evaluate("document.querySelector('#filter-status').focus()")
    for _ in range(20):
        browser.press("Tab")
        if browser.evaluate(f"{FOCUS}.tagName + {FOCUS}.innerText").startswith(f"BUTTON{heading}"):
            return
    raise AssertionError(f"{heading} cannot be reached by Tab")


def test_the_browser_opens_it_from_disk_without_a_network_and_without_complaint(browser):
    assert browser.requests and all(url.startswith(("file:", "data:")) for url in browser.requests)
    figures = "[...document.images].map(i => i.complete && i.naturalWidth > 100)"
    assert browser.evaluate(figures) == [True] * 3
    assert browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert browser.problems == []


def test_a_heading_sorts_by_keyboard_both_ways_and_says_so(browser):
    focus_heading(browser, "error of")
    browser.press("Enter")
    values = [float(v) for v in column(browser, "error of") if v]
    assert len(values) == 22 and values == sorted(values)
    assert column(browser, "error of")[-2:] == ["", ""]  # what is not known comes last
    sort = f"{FOCUS}.closest('th').getAttribute('aria-sort')"
    assert browser.evaluate(sort) == "ascending"
    browser.press("Space")
    values = [float(v) for v in column(browser, "error of") if v]
    assert values == sorted(values, reverse=True) and column(browser, "error of")[-1] == ""
    assert browser.evaluate(sort) == "descending"
    assert browser.evaluate("document.querySelectorAll('[aria-sort]').length") == 1
    assert browser.problems == []


def test_text_sorts_as_text_and_numbers_in_it_as_numbers(browser):
    focus_heading(browser, "run")
    browser.press("Enter")
    assert browser.evaluate(ORDER) == [f"run-{i:03d}" for i in range(24)]


def test_words_and_status_filter_the_rows(browser):
    browser.evaluate("document.querySelector('#filter-text').focus()")
    browser.type("run-02 ")
    assert browser.evaluate(ORDER) == ["run-020", "run-021", "run-022", "run-023"]
    browser.type("ok")
    assert browser.evaluate(ORDER) == ["run-020", "run-021"]
    said = "document.querySelector('#rows-shown').innerText"
    assert browser.evaluate(said) == "2 of 24 runs"
    put(browser, "#filter-text", "")
    put(browser, "#filter-status", "failed")
    assert browser.evaluate(ORDER) == ["run-022"]
    put(browser, "#filter-status", "")
    assert browser.evaluate(said) == "24 of 24 runs" and browser.problems == []


def put(browser, where, value):
    """Give a control a value, as choosing it does."""
    browser.evaluate(
        f"(e => {{ e.value = {value!r}; for (const n of ['input', 'change']) e.dispatchEvent(new Event(n)) }})"
        f"(document.querySelector({where!r}))"
    )


def test_every_control_has_a_name(browser):
    labelled = "e.labels.length && e.labels[0].innerText.length > 3"
    assert browser.evaluate(f"[...document.querySelectorAll('input, select')].map(e => {labelled})") == [True, True]
    buttons = "[...document.querySelectorAll('#runs-table thead button')]"
    assert browser.evaluate(f"{buttons}.every(b => b.innerText.length > 1)")


def test_the_browser_of_these_tests_sees_what_goes_wrong(browser, tmp_path):
    (tmp_path / "bad.html").write_text("<img src='https://example.org/x.png'><script>nonsense()</script>")
    browser.load(tmp_path / "bad.html")
    assert any("nonsense" in problem for problem in browser.problems)
    assert "https://example.org/x.png" in browser.requests
