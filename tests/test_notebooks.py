"""The notebooks run at small size, from top to bottom, and hold no output."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    """As a script of its own, in its own folder."""
    environment = os.environ | {
        "DLUXSHERA_SMALL": "1",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")])),
    }
    found = subprocess.run(
        [sys.executable, path.name], cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=600
    )
    assert found.returncode == 0, found.stderr[-3000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_and_its_script_have_the_same_cells(path):
    """Without jupytext: cells of the script, split at its marks, against those of the notebook, which has no output."""
    cells = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
    script = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    assert len(script) == len(cells)
    for part, cell in zip(script, cells, strict=True):
        mark, _, text = part.partition("\n")
        is_text = mark.strip() == "[markdown]"
        assert cell["cell_type"] == ("markdown" if is_text else "code")
        lines = [re.sub(r"^# ?", "", line) for line in text.splitlines()] if is_text else text.splitlines()
        assert "\n".join(lines).strip() == "".join(cell["source"]).strip()
