"""The Python of the documentation runs, page by page, from top to bottom; its commands are ones that there are.

Blocks fenced as anything but `python` are output or other languages, and are not run.
"""

import ast
import re
import shlex
import sys
import types
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.S | re.M)


def blocks_of(page, *languages):
    """Line number and text of each block of a page in these languages."""
    text = page.read_text(encoding="utf-8")
    return [(text[: m.start(2)].count("\n"), m[2]) for m in FENCE.finditer(text) if m[1] in languages]


def python_blocks(page):
    """Line number and text of each Python block of a page."""
    return blocks_of(page, "python")


PAGES = [page for page in sorted(DOCS.rglob("*.md")) if python_blocks(page)]


# Long ones (the demo, a packaged campaign and scans have tests of their own), and what needs an interrupted run or a
# file of the reader's own.
NOT_FOLLOWED = (" demo", "campaign run", " ptycho ", "resume ", "raw.fits", "mine.fits --profile shera_testbed ")
FOLLOWED = [DOCS.parent / "README.md", DOCS / "getting-started.md", DOCS / "how-to" / "fit_a_fits_image.md"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::UserWarning")  # a page is no test of warnings
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    """In an empty folder, as one module; then, where they are quick, its commands in what that leaves."""
    module = types.ModuleType(f"docs_page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})  # what a page registers ends with it
    monkeypatch.chdir(tmp_path)
    for line, block in python_blocks(page):
        exec(compile("\n" * line + block, str(page), "exec"), vars(module))
    if page in FOLLOWED:
        follow(page)


@pytest.mark.slow
def test_the_commands_of_the_readme_can_be_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    follow(FOLLOWED[0])


def follow(page):
    """Run the commands of a page, one after the other; on small grids where the page has its own."""
    from command_line import TINY

    from dluxshera.cli import main

    for where, text in commands():
        if where.startswith(f"{page.name}:") and not any(part in text for part in NOT_FOLLOWED):
            words = shlex.split(text, comments=True)[1:]
            building = words[0] in ("simulate", "fit", "forecast", "sample")
            by_image = {"optics.psf_npix"} if words[0] in ("fit", "sample") else set()
            kept = [path for path in TINY if building and path not in by_image and f"{path}=" not in text]
            assert main(words + [word for path in kept for word in ("--set", f"{path}={TINY[path]}")]) == 0, where


def test_a_new_system_takes_less_than_sixty_lines():
    (_, block), *_ = python_blocks(DOCS / "how-to" / "add_a_system.md")
    assert "(AbstractTelescope):" in block and len(block.splitlines()) < 60


def test_lines_of_code_fit_a_page():
    for page in PAGES:
        for line, block in python_blocks(page):
            assert max(map(len, block.splitlines())) <= 120, f"{page.name}:{line}"


def commands():
    """Every `dluxshera ...` line of the shell blocks of README and pages, with where it is."""
    for page in (DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))):
        for line, block in blocks_of(page, "sh", "bash"):
            for number, text in enumerate(block.splitlines(), line + 1):
                if text.startswith("dluxshera "):
                    yield f"{page.name}:{number}", text


def test_the_commands_of_the_pages_are_understood():
    """Names of commands and options; nothing is run."""
    from dluxshera.cli import _parser

    found = list(commands())
    assert len(found) > 30
    for where, text in found:
        try:
            _parser().parse_args(shlex.split(text, comments=True)[1:])
        except SystemExit:
            pytest.fail(f"{where}: {text}")


def test_the_yaml_of_the_pages_describes_campaigns(tmp_path):
    """A whole description is read, and so is it with each of the parts that pages show."""
    from dluxshera.campaigns import Campaign

    texts = [text for page in sorted(DOCS.rglob("*.md")) for _, text in blocks_of(page, "yaml")]
    (whole,) = (text for text in texts if text.startswith("name: "))
    path = tmp_path / "campaign.yaml"
    for part in ("", *(text for text in texts if text is not whole)):
        path.write_text(whole + part, encoding="utf-8")
        assert len(Campaign.read(path).rows) == 60


def test_pages_show_the_figures_that_the_build_draws():
    tree = ast.parse((DOCS / "make_figures.py").read_text(encoding="utf-8"))
    drawn = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and ast.unparse(n.returns or n) == "Figure"}
    shown = {name for page in DOCS.rglob("*.md") for name in re.findall(r"figures/made/(\w+)\.png", page.read_text())}
    assert shown == drawn


def test_figures_that_are_kept_are_shown():
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert all(f"figures/{path.name}" in text for path in (DOCS / "figures").glob("*.png"))


def test_the_reference_has_every_package_and_every_name():
    import dluxshera as ds

    sys.path.insert(0, str(DOCS))
    try:
        import make_reference
    finally:
        sys.path.remove(str(DOCS))
    folders = {path.parent.name for path in make_reference.PACKAGE.glob("*/__init__.py")}
    assert folders == set(make_reference.PACKAGES)
    text = make_reference.top_page()
    exported = {name for name in vars(ds) if not name.startswith("_") and f"`ds.{name}`" in text}
    assert {"load_profile", "fit", "ThetaSpace"} <= exported
    for package in make_reference.PACKAGES:
        page = make_reference.package_page(package)
        assert page.count(":::") > 1
        for name in make_reference.public_names(make_reference.PACKAGE / package / "__init__.py"):
            assert f"::: dluxshera.{package}.{name}\n" in page
