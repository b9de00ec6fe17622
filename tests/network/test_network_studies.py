"""The dose sweep and the debugging study, small."""

import dataclasses
import json

import numpy as np
import pytest

from dluxshera import _network_debug, _network_sweep
from dluxshera._network_debug import COMPARISONS, debugging_study
from dluxshera._network_sweep import Bound, dose_sweep
from dluxshera.campaigns import read_table
from dluxshera.config.dose_study import DoseStudy
from dluxshera.config.strict_yaml import ConfigError
from dluxshera.ptychography import (
    Reconstruction,
    canvas_of,
    dose_bounds,
    illumination,
    make_scan,
    place_on_canvas,
)

TINY = DoseStudy(doses=(1e6, 1e4), losses=("poisson",), train=24, test=8, npix=16, size=40, neighbours=5, epochs=1,
                 batch=8, width=0.25, sweeps=2)  # fmt: skip


def nearly_true(data, **options):
    """In place of an iterative reconstruction: the truth, off by as much as photons are few."""
    canvas = canvas_of(data.positions, data.npix)
    truth, _ = place_on_canvas(data.object, np.asarray(canvas.origin, int), canvas.shape)
    light = illumination(data.probe, canvas.corners, canvas.shape)
    off = 1 + 1 / np.sqrt(data.photons.mean())
    history = {"seconds": np.zeros(1)}
    return Reconstruction(off * truth, data.probe[None], canvas.corners, light, np.zeros(()),
                          np.asarray(canvas.origin, int), "bilinear", 0.0, None, history, {})  # fmt: skip


@pytest.mark.slow
def test_errors_of_a_sweep_stand_beside_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(_network_sweep, "reconstruct", nearly_true)
    facts = dose_sweep(TINY, tmp_path / "sweep")
    table = read_table(facts["sweep_table"])
    assert (tmp_path / "sweep" / "sweep.png").stat().st_size > 10_000
    bright, faint = (table["photons"].index(photons) for photons in TINY.doses)
    assert table["bound"][bright] == pytest.approx(table["bound"][faint] / 10)
    assert table["iterative"][bright] == pytest.approx(table["iterative"][faint] / 10, rel=0.05)
    assert all(0 < error < 0.2 for error in table["network"])
    off = table["iterative"][faint] * np.sqrt(TINY.doses[1])  # the same pixels: the truth's own rms there
    assert 0.5 < off < 2.0 and table["pixels"][faint] == table["pixels"][bright] > 50
    monkeypatch.setattr(_network_sweep, "reconstruct", None)  # what is there is not done again
    assert read_table(dose_sweep(TINY, tmp_path / "sweep")["sweep_table"]) == table
    monkeypatch.setattr(_network_sweep, "_bound", lambda *arguments: Bound(1.0, 1e6, np.ones((2, 2)), np.zeros(2, int)))
    with pytest.raises(TypeError):  # but with other epochs it is
        dose_sweep(TINY, tmp_path / "sweep", epochs=7)


def test_a_bound_at_another_dose_is_that_dose_s_own():
    scan = make_scan("lines", size=32, npix=8, number=6, margin=12, photons=1e4, seed=0)
    canvas = canvas_of(scan.positions, scan.npix)
    truth, _ = place_on_canvas(scan.object, np.asarray(canvas.origin, int), canvas.shape)
    faint, bright = (dose_bounds(truth, scan.probe, canvas.corners, photons=dose) for dose in (1e4, 1e6))
    told = faint.covered & np.isfinite(faint.amplitude_sigma)
    scaled = Bound(faint.amplitude_sigma[told].max(), 1e4, told.astype(float), np.zeros(2, int)).at(1e6)
    assert told.sum() > 20 and scaled.error == pytest.approx(bright.amplitude_sigma[told].max(), rel=1e-6)


def test_a_sweep_is_of_one_object(tmp_path):
    with pytest.raises(ConfigError, match="objects: expected one in a sweep"):
        dose_sweep(dataclasses.replace(TINY, objects=("lines", "phase")), tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_comparison_has_its_json_and_picture(tmp_path):
    folder, said = tmp_path / "debug", []
    record = debugging_study(TINY, folder, ("probe",), say=said.append)
    assert not record["left"] and set(record["probe"]) == {"flat", "curved"} and len(said) == 2
    stored = json.loads((folder / "probe.json").read_text())
    assert stored["flat"]["test"]["ssim"] == record["probe"]["flat"]["test"]["ssim"]
    for name in ("probe", "canvas", "grouping", "normalisation"):
        assert (folder / f"{name}.png").stat().st_size > 5_000 and (folder / f"{name}.json").is_file()
    assert record["canvas"]["energy_inside"] == pytest.approx(1)
    stopped = debugging_study(TINY, tmp_path / "stopped", ("probe",), should_stop=lambda: True)
    assert stopped["left"] and "probe" not in stopped
    with pytest.raises(ConfigError, match="size 40"):  # the folder is that of another study
        debugging_study(dataclasses.replace(TINY, size=44), folder, ("probe",))


def test_comparisons_say_what_they_compare(tmp_path):
    other = dataclasses.replace(TINY, gridsizes=(1,), neighbours=7, inputs="amplitude", sweeps=0, scans=("raster",))
    for name, sides in COMPARISONS.items():
        sides = [dataclasses.replace(other, **change) for change in sides.values()]
        assert len(set(sides)) == len(sides) > 1, name
        assert len({_network_debug._home(other, tmp_path, name, change) for change in COMPARISONS[name].values()}) > 1
    with pytest.raises(ConfigError, match="'weather'"):
        debugging_study(TINY, tmp_path / "debug", ("weather",))
