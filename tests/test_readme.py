"""The example of the README runs as it stands and leaves what it says."""

import re
from pathlib import Path

import jax
import pytest

import dluxshera as ds

README = Path(__file__).resolve().parents[1] / "README.md"


def python_block():
    """The first Python block of the README."""
    return re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)[1]


def test_the_example_is_short():
    lines = [line for line in python_block().splitlines() if line.strip()]
    assert len(lines) <= 12 and max(map(len, lines)) <= 120


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::dluxshera.SaturationWarning")  # the flight detector saturates on Alpha Centauri
def test_the_example_runs(capsys):
    left = {}
    exec(compile(python_block(), str(README), "exec"), left)
    assert jax.config.jax_enable_x64
    solution, separation, sigma = left["solution"], float(left["separation"]), float(left["sigma"])
    assert solution.converged and abs(solution.stats["reduced_chi_square"] - 1) < 0.05
    assert abs(separation - 10.0003) < 4 * sigma and 5e-7 < sigma < 5e-6  # micro-arcseconds
    secondary = solution.model.optics.m2.zernike_coeffs_nm
    assert abs(float(secondary[0]) - 3.0) < 4 * float(solution.sigma("optics.m2.zernike_coeffs_nm")[0])
    assert isinstance(left["observation"], ds.Observation) and left["observation"].exposures == 36_000
    assert f"{separation:.7f} +- {1e6 * sigma:.2f} micro-arcsec" in capsys.readouterr().out
