"""The code of README and pages runs, page by page, from top to bottom; what else a page shows there is.

Blocks fenced as anything but Python, shell or YAML are output, and are not run.
"""

import ast
import re
import sys
import types
from pathlib import Path

import pytest
from page_commands import ELSEWHERE, blocks_of, commands_of, follow, small_studies

DOCS = Path(__file__).resolve().parents[1] / "docs"
README = DOCS.parent / "README.md"
SHELL = ("sh", "bash")
PAGES = [page for page in (README, *sorted(DOCS.rglob("*.md"))) if blocks_of(page, "python", *SHELL)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::UserWarning")  # a page is no test of warnings
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    """In an empty folder, from top to bottom: the Python as one module, the commands in what it leaves."""
    module = types.ModuleType(f"docs_page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("dluxshera.inference.signals._REGISTERED", {})  # what a page registers ends with it
    monkeypatch.chdir(tmp_path)
    small_studies(monkeypatch)
    for language, line, block in blocks_of(page, "python", *SHELL):
        if language in SHELL:
            follow(block, page.name)
        elif page != README:  # its Python has a test of its own
            exec(compile("\n" * line + block, str(page), "exec"), vars(module))


def test_a_new_system_takes_less_than_sixty_lines():
    (*_, block), *_ = blocks_of(DOCS / "how-to" / "add_a_system.md", "python")
    assert "(AbstractTelescope):" in block and len(block.splitlines()) < 60


def test_lines_of_code_fit_a_page():
    for page in PAGES:
        for _, line, block in blocks_of(page, "python"):
            assert max(map(len, block.splitlines())) <= 120, f"{page.name}:{line}"


def test_the_commands_of_the_pages_are_understood():
    """Names of commands and options, those too that are not followed."""
    from dluxshera.cli import _parser

    found = [words for page in PAGES for *_, block in blocks_of(page, *SHELL) for words in commands_of(block)]
    assert len(found) > 30 and all(sum(part in " ".join(words) for words in found) == 1 for part in ELSEWHERE)
    for words in found:
        try:
            _parser().parse_args(words)
        except SystemExit:
            pytest.fail(" ".join(words))


def test_the_yaml_of_the_pages_describes_campaigns(tmp_path):
    """A whole description is read, and so is it with each of the parts that pages show."""
    from dluxshera.campaigns import Campaign

    texts = [text for page in sorted(DOCS.rglob("*.md")) for *_, text in blocks_of(page, "yaml")]
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
