"""The report page: what it says, that it is self-contained and accessible, and that a browser draws it."""

import base64
import dataclasses
import math
import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from dluxshera.inference.signals import Signal
from dluxshera.inference.verdict import findings, headline
from dluxshera.plotting import FitReport, fit_report
from dluxshera.plotting import _sections as sections
from dluxshera.plotting._html import PIXELS_PER_INCH, align_decimals
from dluxshera.plotting.report import page as page_of

LABELS = ("binary.separation_as", "binary.contrast", "optics.m1.zernike_coeffs_nm[Z4]", "plate_scale_as")
UNITS = ("arcsec", "", "nm", "arcsec/pixel")
SIGMA = (1.03e-6, 0.00045, 6.2, 2.9e-5)
ESTIMATE = (10.000000123, 0.30026, 12.3, 0.355016)
TRUTH = (10.0, 0.3, 4.0, 0.35503)
HOSTILE = '"><script>alert("x")</script><img src=https://example.org/x.png onerror=alert(1)>'


def report(**changes) -> FitReport:
    random = np.random.default_rng(5)
    y, x = np.indices((20, 20)) - 9.5
    model = 3000 * np.exp(-(x**2 + y**2) / 15) + 5
    mask = np.ones((20, 20), bool)
    mask[2, 2:5] = False
    data = random.poisson(model).astype(float)
    columns = zip(LABELS, UNITS, ESTIMATE, SIGMA, TRUTH, strict=True)
    names = ("label", "unit", "estimate", "sigma", "truth")
    rows = [dict(zip(names, c, strict=True)) | {"cramer_rao": c[3], "start": c[2] + 2 * c[3]} for c in columns]
    factor = random.normal(size=(4, 6))
    information = factor @ factor.T / np.outer(SIGMA, SIGMA)
    base = FitReport(
        title="Fit of shera_testbed",
        run_id="night-3",
        status="ok",
        summary={"converged": True, "message": "converged", "num_steps_completed": 3, "runtime_total_s": 14.6},
        rows=rows,
        image=data,
        model=model,
        residuals=np.where(mask, (data - model) / np.sqrt(model), 0.0),
        mask=mask,
        plate_scale_as=0.355,
        loss=np.array([900.0, 210.0, 200.5, 200.25]),
        values=np.array(ESTIMATE) + np.array(SIGMA) * np.array([[30.0], [3.0], [0.1], [0.0]]),
        labels=LABELS,
        units=UNITS,
        information=information,
        covariance=np.linalg.inv(information),
        settings={
            "likelihood": "poisson",
            "engine": {"name": "LevenbergMarquardt", "max_steps": 100},
            "overrides": {},
            "profile": {"values": {"optics": {"mask": list(range(40))}}},
            "git": {"commit": "dbd7b2c", "dirty": True},
        },
    )
    return dataclasses.replace(base, **changes)


class Page(HTMLParser):
    """What the tests ask of a page: its tags with their attributes, its text, its tables."""

    def __init__(self, text: str):
        HTMLParser.__init__(self)
        self.tags: list[tuple[str, dict]] = []
        self.pieces: list[str] = []
        self.cells: list[list[str]] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.pieces.append(data)
        if self.in_cell:
            self.cells[-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ").strip()

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())


@pytest.fixture(scope="module")
def text() -> str:
    return fit_report(report())


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_the_page_asks_nothing_of_a_network(page, text):
    links = [a[key] for _, a in page.tags for key in ("src", "href", "action", "data", "poster") if key in a]
    assert links
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert "url(" not in text and "@import" not in text
    policies = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_figures_inside_ask_nothing_of_a_network_either(page):
    for image in page.all("img"):
        kind, _, payload = image["src"].partition(";base64,")
        content = base64.b64decode(payload)
        if kind == "data:image/svg+xml":
            assert b'href="http' not in content and b"<script" not in content
        else:
            assert content.startswith(b"\x89PNG")


def natural_inches(image: dict[str, str]) -> float:
    """How wide a figure was drawn."""
    kind, _, payload = image["src"].partition(";base64,")
    content = base64.b64decode(payload)
    if kind == "data:image/svg+xml":
        return float(re.search(rb'<svg[^>]* width="([0-9.]+)pt"', content)[1]) / 72
    return struct.unpack(">I", content[16:20])[0] / 220


def test_type_has_one_size_in_all_figures(page):
    widths = [natural_inches(image) for image in page.all("img")]
    assert max(widths) > 2 * min(widths)
    for image, inches in zip(page.all("img"), widths, strict=True):
        assert float(image["width"]) == pytest.approx(PIXELS_PER_INCH * inches, abs=1.0)
        assert float(image["width"]) <= 1064


def test_every_image_has_words_with_its_numbers(page):
    alternatives = [image["alt"] for image in page.all("img")]
    assert len(alternatives) == 6
    assert all(len(alt) > 40 for alt in alternatives)
    context = report()
    assert f"chi-square {context.chi_square:.0f} for 393 degrees" in alternatives[1]


def test_the_page_is_navigable_by_keyboard_and_by_headings(page):
    anchors = [a["href"][1:] for a in page.all("a")]
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert anchors[0] == "content" and set(anchors) <= targets
    assert len(page.all("h1")) == 1 and len(page.all("h2")) == len(page.all("section")) == 8
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in page.all("div") if box.get("role") == "region")
    assert page.all("html")[0]["lang"] == "en"


def test_every_heading_cell_has_a_scope_and_every_table_a_caption(page):
    assert {cell["scope"] for cell in page.all("th")} == {"col", "row"}
    assert len(page.all("caption")) == len(page.all("table"))


def test_the_table_shows_each_estimate_down_to_its_sigma(page):
    row = next(cells for cells in page.cells if cells[0] == "binary.separation_as")
    assert row[1:6] == ["arcsec", "10.0000001", "0.0000010", "1.0 µas", "0.0000010"]
    assert row[-1] == "+0.12"
    assert [cells[0] for cells in page.cells if cells[0] in LABELS] == list(LABELS)


def test_truth_and_pull_are_left_out_where_there_is_none():
    rows = [row | {"truth": None} for row in report().rows]
    table = Page(sections.parameters(report(rows=rows)))
    assert table.cells[0] == ["parameter", "unit", "estimate", "sigma", "sigma as angle", "Cramér-Rao", "start"]
    assert "The truth is not known." in table.text
    assert "Against the truth" not in judged(rows=rows)


def test_the_settings_are_all_on_the_page(page):
    for setting in (["likelihood", "poisson"], ["name", "LevenbergMarquardt"], ["dirty", "true"]):
        assert setting in page.cells
    assert ["values.optics.mask", "[0, 1, 2, 3, …] (40 values)"] in page.cells
    assert "overrides : none" in page.text


def test_hostile_text_stays_text():
    settings = {HOSTILE: HOSTILE, "engine": {HOSTILE: {HOSTILE: [HOSTILE]}}}
    rows = [row | {"label": HOSTILE + str(i), "unit": HOSTILE} for i, row in enumerate(report().rows)]
    labels, units = [row["label"] for row in rows], [HOSTILE] * 4
    summary = {"converged": False, "message": HOSTILE, "dead": [HOSTILE], "at_bounds": [HOSTILE], "created_at": HOSTILE}
    context = report(
        run_id=HOSTILE,
        title=HOSTILE,
        status=HOSTILE,
        summary=summary,
        rows=rows,
        labels=labels,
        units=units,
        settings=settings,
    )
    text = fit_report(context)
    hostile = Page(text)
    assert "<script" not in text and "onerror=alert" not in text.replace("onerror=alert(1)&gt;", "")
    assert not hostile.all("script") and len(hostile.all("img")) == 6
    assert HOSTILE in hostile.text


def test_the_page_changes_with_the_data(page):
    after = Page(fit_report(report(residuals=2 * report().residuals)))
    assert "explains the data to the noise" in page.text
    assert "Not to be relied on as it is: see fit to the data." in after.text
    changed = [a["src"] != b["src"] for a, b in zip(page.all("img"), after.all("img"), strict=True)]
    assert changed == [True, True, False, False, False, False]


def test_the_signals_of_a_fit_have_a_section_with_where_they_end_in_words():
    fall = np.array([900.0, 30.0, 2.0, 0.5])
    found = Page(
        fit_report(
            report(
                signals={
                    "binary.x_error_uas": Signal("binary.x_error_uas", fall, truth=np.zeros(())),
                    "binary.y_error_uas": Signal("binary.y_error_uas", 0 * fall, truth=np.zeros(())),
                }
            )
        )
    )
    assert len(found.all("section")) == 9 and len(found.all("img")) == 7
    assert "Centre: final x 0.5, y 0 µas" in found.all("img")[4]["alt"]
    silent = {"binary.y_error_uas": Signal("binary.y_error_uas", 0 * fall, truth=np.zeros(()))}
    assert len(Page(fit_report(report(signals=silent))).all("section")) == 8


def test_the_same_fit_gives_the_same_page(text):
    assert fit_report(report()) == text


def test_a_fit_that_determines_nothing_is_still_reported():
    context = report()
    rows = [r | {"sigma": math.inf, "cramer_rao": math.inf, "truth": None} for r in context.rows]
    nothing = np.zeros((4, 4))
    blank = dataclasses.replace(
        context,
        rows=rows,
        information=nothing,
        covariance=np.diag([np.inf] * 4),
        loss=np.array([5.0]),
        values=np.array([ESTIMATE]),
        status="failed",
        summary={"dead": LABELS, "message": "loss is NaN"},
    )
    text = Page(fit_report(blank)).text
    assert "No parameter has a finite sigma" in text
    assert "The fit failed: loss is NaN." in text


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", np.ones((3, 3))), ("values", np.ones((4, 3))), ("covariance", np.eye(3)), ("rows", []), ("units", ())],
)
def test_arrays_that_do_not_belong_together_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"FitReport\.{field}"):
        report(**{field: value})


def test_labels_in_another_order_than_the_rows_are_refused():
    with pytest.raises(ValueError, match="labels"):
        report(labels=LABELS[::-1])


def test_a_long_history_keeps_the_page_small():
    steps = np.arange(6000)
    noise = np.random.default_rng(1).normal(size=(6000, 4))
    text = fit_report(report(loss=1 / (steps + 1.0), values=np.array(ESTIMATE) + noise * SIGMA))
    assert len(text) < 1_500_000


def judged(summary=None, chi_square=1000.0, freedom=1000, rows=None):
    summary = {"status": "ok", "converged": True, "num_steps_completed": 9} | (summary or {})
    found = findings(summary, report().rows if rows is None else rows, chi_square, freedom)
    return {f.topic: f for f in found} | {"headline": headline(found)}


def test_a_sound_fit_is_good_in_every_respect():
    assert {f.level for f in judged().values()} == {"good"}


@pytest.mark.parametrize(("sigmas", "level"), [(2.9, "good"), (3.1, "bad"), (-2.9, "good"), (-3.1, "warning")])
def test_reduced_chi_square_is_judged_by_its_expected_scatter(sigmas, level):
    finding = judged(chi_square=1000 * (1 + sigmas * math.sqrt(2 / 1000)))["Fit to the data"]
    assert finding.level == level
    assert f"{abs(sigmas)} standard deviations" in finding.text and "0.0447" in finding.text


def test_a_fit_that_stopped_early_says_why():
    finding = judged({"converged": False, "message": "step limit reached"})["Convergence"]
    assert finding == ("warning", "Convergence", "Not converged after 9 steps: step limit reached.")
    assert judged({"status": "failed", "message": "NaN in binary.contrast"})["Convergence"].level == "bad"


def test_parameters_at_a_bound_and_dead_ones_are_named():
    found = judged({"at_bounds": ["binary.contrast"], "dead": ["optics.focus_shift"]})
    assert "binary.contrast" in found["Bounds"].text
    assert "optics.focus_shift" in found["Dead parameters"].text
    assert found["headline"].text == "Usable with care: see bounds, dead parameters."


def test_parameters_seen_only_in_combination_are_named():
    rows = [row | {"sigma": math.inf} for row in report().rows[:2]]
    assert f"Only combinations of these are seen: {LABELS[0]}, {LABELS[1]}" in judged(rows=rows)["Dead parameters"].text


def test_a_pull_beyond_four_sigma_is_bad():
    rows = [row | {"truth": row["estimate"] - 5 * row["sigma"]} for row in report().rows]
    finding = judged(rows=rows)["Against the truth"]
    assert finding.level == "bad" and "+5.00 σ" in finding.text


def test_decimal_points_stand_in_line():
    padded = align_decimals(["10.0028", "420", "-0.3", "∞"])
    pad = "\N{NO-BREAK SPACE}"
    assert padded == ["10.0028", f"420{5 * pad}", f"-0.3{3 * pad}", f"∞{5 * pad}"]


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium or chromium-browser is needed on PATH to draw the page")
    return found


def chromium(folder, *arguments: str) -> subprocess.CompletedProcess:
    switches = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
    command = [browser(), *switches, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def test_a_browser_loads_every_image_and_fits_the_page_to_a_laptop(tmp_path, text):
    measure = (
        "<script>addEventListener('load', () => { const d = document.documentElement, i = [...document.images];"
        "d.dataset.drawn = i.filter(x => x.complete && x.naturalWidth > 100).length;"
        "d.dataset.shrunk = i.filter(x => x.width < x.getAttribute('width')).length;"
        "d.dataset.overflow = d.scrollWidth - d.clientWidth; })</script>"
    )
    text = text.replace("style-src", "script-src 'unsafe-inline'; style-src", 1).replace("night-3", "x" * 100)
    (tmp_path / "report.html").write_text(text.replace("</body>", measure + "</body>"), encoding="utf-8")
    dom = chromium(tmp_path, "--window-size=1200,900", "--dump-dom", f"file://{tmp_path}/report.html").stdout
    root = Page(dom).all("html")[0]
    assert (root["data-drawn"], root["data-shrunk"], root["data-overflow"]) == ("6", "0", "0")


def test_a_browser_draws_the_page(tmp_path, text):
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    picture = tmp_path / "page.png"
    chromium(tmp_path, f"--screenshot={picture}", "--window-size=1200,4000", f"file://{tmp_path}/report.html")
    content = picture.read_bytes()
    assert struct.unpack(">II", content[16:24]) == (1200, 4000)
    assert len(content) > 100_000


def test_what_a_reader_must_know_first_stands_above_everything():
    text = page_of("Fit", "run", None, {"Result": "<p>fine</p>"}, notice=HOSTILE)
    assert "<script>alert" not in text and text.index("verdict warning") < text.index("fine")
    assert "verdict" not in page_of("Fit", "run", None, {"Result": "<p>fine</p>"}).partition("<body>")[2]
