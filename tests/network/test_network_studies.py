"""The dose sweep and the debugging study, small."""

import dataclasses
import json
import types

import numpy as np
import pytest

from dluxshera import _network_sweep
from dluxshera._network_debug import COMPARISONS, debugging_study
from dluxshera._network_sweep import dose_sweep
from dluxshera.campaigns import read_table
from dluxshera.config.dose_study import DoseStudy
from dluxshera.config.strict_yaml import ConfigError
from dluxshera.ptychography import canvas_of, illumination, place_on_canvas

TINY = DoseStudy(doses=(1e6, 1e4), losses=("poisson",), train=24, test=8, npix=16, size=40, neighbours=5, epochs=1,
                 batch=8, width=0.25, sweeps=2)  # fmt: skip


def nearly_true(data, **options):
    """In place of an iterative reconstruction: the truth, off by as much as photons are few."""
    canvas = canvas_of(data.positions, data.npix)
    truth, _ = place_on_canvas(data.object, np.asarray(canvas.origin, int), canvas.shape)
    light = illumination(data.probe, canvas.corners, canvas.shape)
    off = 1 + 1 / np.sqrt(data.photons.mean())
    return types.SimpleNamespace(
        object=off * truth, positions=canvas.corners, coverage=light, history={"seconds": [0.0]}
    )


@pytest.mark.slow
def test_errors_of_a_sweep_stand_beside_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(_network_sweep, "reconstruct", nearly_true)
    facts = dose_sweep(TINY, tmp_path / "sweep")
    table = read_table(facts["sweep_table"])
    assert (tmp_path / "sweep" / "sweep.png").stat().st_size > 10_000
    bright, faint = (table["photons"].index(photons) for photons in TINY.doses)
    assert table["bound"][bright] == pytest.approx(table["bound"][faint] / 10, rel=0.05)
    assert table["iterative"][bright] == pytest.approx(table["iterative"][faint] / 10, rel=0.05)
    assert all(0 < error < 0.2 for error in table["network"])
    monkeypatch.setattr(_network_sweep, "reconstruct", None)  # what is there is not done again
    assert read_table(dose_sweep(TINY, tmp_path / "sweep")["sweep_table"]) == table


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


def test_comparisons_are_of_settings_that_there_are(tmp_path):
    for sides in COMPARISONS.values():
        assert len(sides) > 1 and any(not change for change in sides.values())
        for change in sides.values():
            dataclasses.replace(TINY, **change)
    with pytest.raises(ConfigError, match="'weather'"):
        debugging_study(TINY, tmp_path / "debug", ("weather",))
