"""The benchmarks' tables at tiny sizes: their shape, and what they count. Never times."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import costs  # noqa: E402
import limit  # noqa: E402
import measuring  # noqa: E402
import scaling  # noqa: E402
import single_precision  # noqa: E402
import table  # noqa: E402

TINY = {"optics.pupil_npix": 16, "optics.psf_npix": 8, "binary.n_wavelengths": 1, "binary.separation_as": 1.0}
PROFILE = "shera_testbed"


@pytest.fixture(autouse=True)
def one_repeat(monkeypatch):
    """Every call is timed once after the first."""
    for module in (limit, scaling):
        monkeypatch.setattr(module, "steady", lambda call, repeats=1: measuring.timed(call, 1).steady)


def test_an_exponent_is_the_slope_of_the_logarithms():
    sizes = np.array([8, 16, 64])
    assert measuring.exponent(sizes, 3 * sizes**1.7) == pytest.approx(1.7)


def test_markdown_has_a_column_for_each_name():
    lines = measuring.markdown(["a", "b", "c"], [["x", 0.012345, 12345.6]])
    assert lines == ["| a | b | c |", "| --- | --- | --- |", "| x | 0.0123 | 12346 |"]


def test_a_row_of_scaling_says_what_a_doubling_costs():
    assert scaling.row("pupil", (2, 4, 8), "image", [1.0, 2.0, 8.0])[4:] == ["4.00x", "1.50"]


def test_the_machine_is_named_with_its_versions():
    text = " ".join(measuring.machine())
    assert "cores" in text and all(name in text for name in ("Python", "jaxlib", "equinox", "dLux", "numpy"))


def test_without_a_gpu_the_table_says_so(monkeypatch, capsys):
    monkeypatch.setattr(table, "has_gpu", lambda: False)
    assert table.chosen_device("gpu") == "cpu"
    assert "No GPU is present" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_costs_of_an_operation():
    found = costs.measure(PROFILE, "image", TINY)
    assert set(found) == {"compilation", "steady", "peak_mb", "parameters"}
    assert found["parameters"] == 23 and found["peak_mb"] > 50 and found["steady"] > 0


@pytest.mark.filterwarnings("ignore")
def test_scaling_along_a_grid_size():
    found = list(scaling.grids(TINY, {"image pixels": ("optics.psf_npix", (8, 16))}))
    assert [row[2] for row in found] == ["image", "value and gradient"]
    assert all(len(row) == len(scaling.HEADER) for row in found)


@pytest.mark.filterwarnings("ignore")
def test_limits_count_the_work_of_the_grids():
    found = limit.measure(PROFILE, TINY)
    assert len(found["limit"]) == len(limit.LIMIT)
    assert all(len(row) == len(limit.STAGES) for row in found["stages"])
    assert all(len(row) == len(limit.RATES) for row in found["throughput"])
    sizes = limit.sizes_of(costs.problem(PROFILE, TINY)[0].model)
    (columns, often), (rows, _) = sizes.products.values()
    assert often == 4 and columns == (sizes.band, sizes.band // 2, sizes.points // 2)
    assert rows == (sizes.points // 2, sizes.band // 2, sizes.points)


@pytest.mark.filterwarnings("ignore")
def test_the_bias_of_single_precision_is_that_of_the_image_it_is_given(monkeypatch):
    """A separation that the image has and the model has not is found by the step, with the sign of a fit's error."""
    import dluxshera as ds

    def moved(script, *arguments, double):
        path = Path(arguments[arguments.index("--image") + 1])
        shifted = ds.load_profile(PROFILE, {**TINY, "binary.separation_as": 1.0 - 1e-6})
        np.save(path, np.asarray(shifted.model()))
        return {"fit": 0.0, "result": "converged"}

    monkeypatch.setattr(single_precision, "child", moved)
    row = single_precision.bias(PROFILE, TINY, [])
    assert len(row) == len(single_precision.HEADER)
    assert row[2] == pytest.approx(1.0, rel=0.02)  # a model too small by 1 micro-arcsecond fits too large a number
