"""The Python of the documentation runs, page by page, from top to bottom.

Blocks fenced as anything but `python` are output or other languages, and are not run.
"""

import re
import sys
import types
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.S | re.M)


def python_blocks(page):
    """Line number and text of each Python block of a page."""
    text = page.read_text(encoding="utf-8")
    return [(text[: m.start(2)].count("\n"), m[2]) for m in FENCE.finditer(text) if m[1] == "python"]


PAGES = [page for page in sorted(DOCS.rglob("*.md")) if python_blocks(page)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::UserWarning")  # a page is no test of warnings
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    """In an empty folder, as one module."""
    module = types.ModuleType(f"docs_page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    for line, block in python_blocks(page):
        exec(compile("\n" * line + block, str(page), "exec"), vars(module))


def test_a_new_system_takes_less_than_sixty_lines():
    (_, block), *_ = python_blocks(DOCS / "how-to" / "add_a_system.md")
    assert "(AbstractTelescope):" in block and len(block.splitlines()) < 60


def test_lines_of_code_fit_a_page():
    for page in PAGES:
        for line, block in python_blocks(page):
            assert max(map(len, block.splitlines())) <= 120, f"{page.name}:{line}"
