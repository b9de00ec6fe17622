"""The data door: files of scans, written and read, and what is refused."""

import io
import os
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dluxshera.ptychography import ScanData, ScanError, StoredPatterns, UncalibratedWarning, read_scan, write_scan
from dluxshera.ptychography import data as data_module
from dluxshera.ptychography.bad_pixels import find_bad_pixels
from dluxshera.ptychography.extras import extra
from dluxshera.ptychography.probes import disc_probe
from dluxshera.ptychography.scan_info import info
from dluxshera.ptychography.simulate import counts_at, fit_object, make_scan
from dluxshera.ptychography.stitching import canvas_of, energy_inside

STAR = Path(__file__).parents[3] / "shared" / "data" / "siemens_star.npz"
FIELDS = data_module.FIELDS


@pytest.fixture(scope="module")
def scan():
    """A small simulated scan with everything that a file can hold."""
    simulated = make_scan("mixed", size=40, npix=16, number=20, margin=8, photons=1e4, seed=3)
    mask = np.ones((16, 16), bool)
    mask[2:4, 5] = False
    more = {"mask": mask, "background": np.full((16, 16), 0.25), "scan_index": np.arange(20) // 10}
    detector = {"energy_ev": 8000.0, "distance": 2.5, "detector_pixel": 75e-6}
    modes = np.stack([simulated.probe[0], 0.1j * simulated.probe[0]])
    fields = {name: getattr(simulated, name) for name in FIELDS}
    return ScanData(**fields | more | detector | {"probe": modes})


@pytest.fixture
def arrays(scan):
    """Arrays of a sound NPZ file."""
    return {
        "counts": np.array(scan.counts),
        "xcoords": scan.positions[:, 1].copy(),
        "ycoords": scan.positions[:, 0].copy(),
        "probeGuess": scan.probe[0].copy(),
        "objectGuess": scan.object.copy(),
    }


def saved(path, arrays):
    np.savez(path, **arrays)
    return path


def assert_same(a, b, rtol=0.0):
    for name in FIELDS:
        if name != "source":
            x, y = getattr(a, name), getattr(b, name)
            if x is None or isinstance(x, str):
                assert x == y, name
            else:
                np.testing.assert_allclose(np.asarray(y), np.asarray(x), rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.parametrize("suffix", [".npz", ".cxi", ".h5"])
def test_a_scan_survives_its_file(scan, tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    write_scan(path, scan)
    assert_same(scan, read_scan(path), rtol=1e-12)
    assert os.listdir(tmp_path) == [path.name]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([1, 3]),
    st.sampled_from([4, 5]),
    st.sampled_from([".npz", ".cxi"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.02, 20.0, 1e12]),
    st.sampled_from([1e-14, 1.0, 1e8]),
    st.sampled_from([0.0, 30.0]),
)
def test_any_scan_survives_and_gives_finite_numbers(tmp_path_factory, n, npix, suffix, seed, dose, power, span):
    """What the door lets through has a finite model, a finite description, and a canvas that holds it."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(dose, (n, npix, npix))
    counts[:, npix // 2, npix // 2] += 1
    positions = rng.uniform(-span, span, (n, 2))
    probe = power * (rng.uniform(-5, 5, (2, npix, npix)) + 1j * rng.uniform(-5, 5, (2, npix, npix)))
    mask = None if seed % 2 else rng.random((npix, npix)) < 0.9
    if mask is not None:
        mask[npix // 2, npix // 2] = True
    first = ScanData(counts, positions, probe, mask=mask)
    path = tmp_path_factory.mktemp("any") / f"scan{suffix}"
    write_scan(path, first)
    scan = read_scan(path)
    assert_same(first, scan)
    canvas = canvas_of(scan.positions, npix)
    assert max(canvas.shape) <= 70
    flat = np.ones((70, 70), complex)  # of one shape, for one compilation
    model = np.asarray(counts_at(flat, scan.probe, canvas.corners + npix // 2, "bilinear"))
    assert np.isfinite(model).all() and (model >= 0).all()
    np.testing.assert_allclose(model.sum((1, 2)), (np.abs(scan.probe) ** 2).sum(), rtol=1e-10)
    assert energy_inside(scan.probe, canvas.corners, canvas.shape) == pytest.approx(1, abs=1e-6)
    arguments = flat.astype("c8"), scan.probe.astype("c8"), (canvas.corners + npix // 2).astype("f4")
    single = np.asarray(counts_at(*arguments, "bilinear"))
    assert np.isfinite(single).all()
    record = info(scan)
    assert np.isfinite([v for v in record["counts"].values() if isinstance(v, float)]).all()
    assert np.isfinite(scan.photons).all() and (scan.photons > 0).all()


def test_patterns_of_an_hdf5_file_are_read_in_blocks(scan, tmp_path, monkeypatch):
    path = tmp_path / "scan.cxi"
    write_scan(path, scan)
    monkeypatch.setattr(data_module, "BLOCK_PIXELS", 3 * 16 * 16)
    read = []
    plain = StoredPatterns._read

    def watched(self, rows):
        read.append(len(rows))
        return plain(self, rows)

    monkeypatch.setattr(StoredPatterns, "_read", watched)
    lazy = read_scan(path)
    assert isinstance(lazy.counts, StoredPatterns) and max(read) == 3 and sum(read) == len(scan)
    np.testing.assert_array_equal(lazy.counts[4], scan.counts[4])
    np.testing.assert_array_equal(lazy.counts[[7, 2, 7]], scan.counts[[7, 2, 7]])
    np.testing.assert_array_equal(lazy.counts[5:9, 3], scan.counts[5:9, 3])
    assert isinstance(lazy.select([3, 1]).counts, StoredPatterns)
    np.testing.assert_array_equal(np.asarray(lazy.select([3, 1]).counts), scan.counts[[3, 1]])
    assert_same(scan, lazy.load(), rtol=1e-12)


def test_positions_without_a_pixel_size_are_stored_in_pixels(scan, tmp_path):
    plain = ScanData(scan.counts, scan.positions, scan.probe)
    write_scan(tmp_path / "scan.cxi", plain)
    with h5py.File(tmp_path / "scan.cxi") as file:
        assert file["entry_1/data_1/translation"].attrs["units"] == "pixel"
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.cxi").positions, scan.positions)


def test_translations_in_metres_become_pixels(scan, tmp_path):
    """By the formula: one object pixel is wavelength distance / (N detector pixel)."""
    path = tmp_path / "scan.cxi"
    write_scan(path, scan)
    wavelength = 6.62607015e-34 * 299792458 / (8000 * 1.602176634e-19)
    pixel = wavelength * 2.5 / (16 * 75e-6)
    with h5py.File(path) as file:
        np.testing.assert_allclose(file["entry_1/sample_1/geometry_1/translation"][:, 0], scan.positions[:, 1] * pixel)
        np.testing.assert_allclose(file["entry_1/sample_1/geometry_1/translation"][:, 1], scan.positions[:, 0] * pixel)
    assert scan.pixel_size == pytest.approx(pixel, rel=1e-12)


@pytest.mark.parametrize("unit, factor", [("keV", 1e-3), ("eV", 1.0), (b"J", 1.602176634e-19)])
def test_units_of_the_energy(scan, tmp_path, unit, factor):
    path = tmp_path / "scan.cxi"
    write_scan(path, scan)
    with h5py.File(path, "a") as file:
        file["entry_1/instrument_1/source_1/energy"][...] = 8000 * factor
        file["entry_1/instrument_1/source_1/energy"].attrs["units"] = unit
    assert read_scan(path).energy_ev == pytest.approx(8000)


def test_amplitudes_tell_their_dose(scan, tmp_path):
    """Squares of dose-normalised amplitudes are multiples of one count; the scale is found, or read."""
    plain = ScanData(scan.counts, scan.positions, scan.probe)
    write_scan(tmp_path / "a.npz", plain, amplitudes=True)
    with np.load(tmp_path / "a.npz") as file:
        stored = dict(file)
    assert stored["diff3d"].dtype == np.float32 and "counts" not in stored
    for path in (
        tmp_path / "a.npz",
        saved(tmp_path / "b.npz", {k: stored[k] for k in stored if k != "intensity_scale"}),
    ):
        found = read_scan(path)
        np.testing.assert_array_equal(found.counts, scan.counts)
        np.testing.assert_allclose(found.probe, scan.probe, rtol=1e-6)


def test_amplitudes_without_a_quantum_are_relative_or_need_the_dose(arrays, tmp_path):
    rng = np.random.default_rng(0)
    del arrays["counts"]
    arrays["diff3d"] = rng.random((20, 16, 16))
    with pytest.raises(ScanError, match="photons only for a file of amplitudes"):
        read_scan(
            saved(tmp_path / "counts.npz", changed(arrays, diff3d=None, counts=np.ones((20, 16, 16)))), photons=1e6
        )
    path = saved(tmp_path / "a.npz", arrays)
    with pytest.warns(UncalibratedWarning, match="diff3d does not tell its dose"):
        relative = read_scan(path)
    np.testing.assert_allclose(relative.counts, arrays["diff3d"] ** 2)
    scaled = read_scan(path, photons=1e6)
    assert scaled.photons.mean() == pytest.approx(1e6)
    assert (np.abs(scaled.probe) ** 2).sum() / scaled.photons.mean() == pytest.approx(
        (np.abs(relative.probe) ** 2).sum() / relative.photons.mean()
    )


def test_patterns_with_the_zero_frequency_at_the_corner(arrays, scan, tmp_path):
    moved = arrays | {"counts": np.fft.ifftshift(arrays["counts"], axes=(1, 2)), "mask": np.fft.ifftshift(scan.mask)}
    path = saved(tmp_path / "a.npz", moved)
    with pytest.raises(ScanError, match=r"a\.npz: counts: Expected the zero frequency at .*dc=\"corner\""):
        read_scan(path)
    found = read_scan(path, dc="corner")
    np.testing.assert_array_equal(found.counts, scan.counts * scan.mask)
    np.testing.assert_array_equal(found.mask, scan.mask)
    write_scan(tmp_path / "a.cxi", scan)
    with h5py.File(tmp_path / "a.cxi", "a") as file:
        patterns = file["entry_1/data_1/data"]
        patterns[...] = np.fft.ifftshift(patterns[...], axes=(1, 2))
        patterns.attrs["is_fft_shifted"] = True
        mask = file["entry_1/instrument_1/detector_1/mask"]
        mask[...] = np.fft.ifftshift(mask[...])
    np.testing.assert_array_equal(np.asarray(read_scan(tmp_path / "a.cxi").counts), scan.counts)


def changed(arrays, **values):
    return {k: v for k, v in (arrays | values).items() if v is not None}


def with_value(array, index, value):
    array = np.array(array, dtype=np.result_type(array, type(value)))
    array[index] = value
    return array


BAD = {
    "no probe": (lambda a: changed(a, probeGuess=None), "got no probeGuess"),
    "no positions": (lambda a: changed(a, xcoords=None, ycoords=None), "got no xcoords, no ycoords"),
    "no patterns": (lambda a: changed(a, counts=None), r"got no counts \(or diff3d\)"),
    "flat patterns": (lambda a: changed(a, counts=a["counts"][0]), "xcoords: Expected 16 numbers"),
    "oblong": (lambda a: changed(a, counts=a["counts"][:, :12]), r"counts: Expected patterns of shape \(n, N, N\)"),
    "turned": (
        lambda a: changed(a, counts=np.moveaxis(a["counts"], 0, 2), xcoords=np.zeros(16), ycoords=np.zeros(16)),
        "Move the last axis to the front",
    ),
    "short coordinates": (lambda a: changed(a, ycoords=a["ycoords"][:-1]), "ycoords: Expected 20 numbers"),
    "probe of another size": (lambda a: changed(a, probeGuess=a["probeGuess"][1:, 1:]), "probe: Expected shape"),
    "object in 3-D": (lambda a: changed(a, objectGuess=a["objectGuess"][None]), "object: Expected shape"),
    "negative": (lambda a: changed(a, counts=with_value(a["counts"], (2, 3, 4), -1)), "pattern 2 at pixel .3, 4"),
    "nan": (
        lambda a: changed(a, counts=with_value(a["counts"], (7, 0, 1), np.nan)),
        "finite counts, got nan in pattern 7",
    ),
    "infinite": (lambda a: changed(a, counts=with_value(a["counts"], (0, 0, 1), np.inf)), "finite counts"),
    "absurd": (lambda a: changed(a, counts=with_value(a["counts"], (0, 0, 1), 1e300)), "counts of at most 1e.15"),
    "text": (lambda a: changed(a, counts=a["counts"].astype("U8")), "counts: Expected real numbers"),
    "complex counts": (lambda a: changed(a, counts=a["counts"] + 0j), "counts: Expected real numbers"),
    "empty pattern": (lambda a: changed(a, counts=with_value(a["counts"], 5, 0)), "got none in pattern 5.*drop_empty"),
    "nan position": (lambda a: changed(a, xcoords=with_value(a["xcoords"], 3, np.nan)), "xcoords: .*nan for pattern 3"),
    "outside": (lambda a: changed(a, xcoords=with_value(a["xcoords"], 3, 500.0)), "positions: .*on the object"),
    "far away": (
        lambda a: changed(a, objectGuess=None, ycoords=with_value(a["ycoords"], 3, 1e6)),
        "positions: .*within 16384",
    ),
    "metres": (
        lambda a: changed(a, objectGuess=None, xcoords=1e-9 * a["xcoords"], ycoords=1e-9 * a["ycoords"]),
        "positions: .*as of metres",
    ),
    "zero probe": (
        lambda a: changed(a, probeGuess=0 * a["probeGuess"]),
        "probe: Expected a probe with power, got zeros",
    ),
    "nan probe": (lambda a: changed(a, probeGuess=np.nan * a["probeGuess"]), "probe: Expected finite values"),
    "zero object": (lambda a: changed(a, objectGuess=0 * a["objectGuess"]), "object: .* that light passes, got zeros"),
    "huge probe": (lambda a: changed(a, probeGuess=1e200 * a["probeGuess"]), "probe: Expected values of at most 1e.09"),
    "huge object": (lambda a: changed(a, objectGuess=1e200 * a["objectGuess"]), "object: Expected values of at most"),
    "nan object": (lambda a: changed(a, objectGuess=np.nan * a["objectGuess"]), "object: Expected finite values"),
    "pickled": (lambda a: changed(a, counts=a["counts"].astype(object)), "counts: Expected a plain, sound array"),
    "nothing used": (lambda a: changed(a, mask=np.zeros((16, 16), bool)), "mask: Expected used pixels, got none"),
    "mask of another size": (lambda a: changed(a, mask=np.ones((8, 8), bool)), "mask: Expected shape"),
    "mask of weights": (lambda a: changed(a, mask=np.full((16, 16), 0.5)), "mask: Expected booleans"),
    "negative background": (lambda a: changed(a, background=-1.0), "background: Expected zero or more"),
    "bad index": (lambda a: changed(a, scan_index=np.zeros(3)), "scan_index: Expected 20 whole numbers"),
    "infinite index": (lambda a: changed(a, scan_index=np.full(20, np.inf)), "scan_index: Expected 20 whole numbers"),
    "no energy": (lambda a: changed(a, energy_ev=0.0), "energy_ev: Expected a number above zero"),
    "unknown interpolation": (lambda a: changed(a, interpolation="cubic"), 'interpolation "bilinear" or "fourier"'),
    "negative amplitude": (lambda a: changed(a, counts=None, diff3d=-1.0 * a["counts"]), "diff3d: Expected finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_npz_files_are_refused(case, arrays, tmp_path):
    change, message = BAD[case]
    path = saved(tmp_path / "bad.npz", change(arrays))
    with pytest.raises(ScanError, match=message) as caught:
        read_scan(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["find_bad", "drop_empty"])
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mask", np.ones((3, 3), bool), "mask: Expected shape"),
        ("mask", np.full((16, 16), np.nan), "mask: Expected booleans"),
        ("counts", "complex", "counts: Expected real numbers"),
        ("counts", "str", "counts: Expected real numbers"),
        ("counts", "bool", "counts: Expected real numbers"),
    ],
)
def test_what_is_looked_at_first_is_checked_first(arrays, tmp_path, option, key, value, message):
    value = arrays["counts"].astype(value) if isinstance(value, str) else value
    np.savez(tmp_path / "scan.npz", **arrays | {key: value})
    with pytest.raises(ScanError, match=f"scan.npz: {message}"):
        read_scan(tmp_path / "scan.npz", **{option: True})


def test_truncated_files_are_refused(scan, tmp_path):
    for suffix in (".npz", ".cxi"):
        whole = tmp_path / f"whole{suffix}"
        write_scan(whole, scan)
        content = whole.read_bytes()
        for part in (0, 3, len(content) // 2, len(content) - 30):
            cut = tmp_path / f"cut{suffix}"
            cut.write_bytes(content[:part])
            with pytest.raises(ScanError, match="cut") as caught:
                read_scan(cut).load()
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".cxi"])
def test_damage_anywhere_is_refused_or_harmless(scan, tmp_path, suffix):
    """No damage ends in anything but a clear refusal, or in a scan that is finite."""
    path, rng = tmp_path / f"scan{suffix}", np.random.default_rng(0)
    write_scan(path, scan)
    whole, refused = path.read_bytes(), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert np.isfinite(read_scan(path).load().photons).all()
        except ScanError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 10


def test_damaged_patterns_of_an_hdf5_file_are_named(scan, tmp_path):
    path = tmp_path / "scan.cxi"
    write_scan(path, scan)
    with h5py.File(path) as file:
        chunk = file["entry_1/data_1/data"].id.get_chunk_info(3)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    with pytest.raises(ScanError, match=r"scan\.cxi: /entry_1/data_1/data: Expected patterns that can be read"):
        read_scan(path)


def test_sizes_beyond_the_file_are_refused(arrays, tmp_path):
    path = tmp_path / "bomb.npz"
    saved(path, changed(arrays, counts=None))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<u4", "fortran_order": False, "shape": (20, 4096, 4096)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("counts.npy", header.getvalue())
    with pytest.raises(ScanError, match="bomb.npz: counts: "):
        read_scan(path)
    with h5py.File(tmp_path / "bomb.cxi", "w") as file:
        file.create_dataset("entry_1/data_1/data", (100000, 4096, 4096), "u4", chunks=(1, 4096, 4096))
    with pytest.raises(ScanError, match="fits its file"):
        read_scan(tmp_path / "bomb.cxi")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f.__delitem__("entry_1/data_1"), "Expected a dataset entry_1/data_1/data"),
        (lambda f: f.__delitem__("entry_1/instrument_1/detector_1/distance"), "got no distance"),
        (lambda f: f.__delitem__("entry_1/sample_1/geometry_1"), "Expected a dataset entry_1/sample_1/geometry_1"),
        (lambda f: f["entry_1/sample_1/geometry_1/translation"].attrs.__setitem__("units", "inch"), "got 'inch'"),
        (lambda f: f["entry_1/instrument_1/detector_1/y_pixel_size"].__setitem__((), 1e-3), "Expected square pixels"),
        (lambda f: f["entry_1/instrument_1/detector_1/distance"].__setitem__((), np.nan), "distance"),
        (lambda f: f["entry_1/instrument_1/detector_1/distance"].__setitem__((), 0.0), "above zero"),
    ],
)
def test_bad_hdf5_files_are_refused(scan, tmp_path, change, message):
    path = tmp_path / "scan.cxi"
    write_scan(path, scan)
    with h5py.File(path, "a") as file:
        if message.startswith("Expected a dataset entry_1/data_1"):
            del file["entry_1/instrument_1/detector_1/data"]
        if message.startswith("Expected a dataset entry_1/sample"):
            del file["entry_1/data_1/translation"]
        change(file)
    with pytest.raises(ScanError, match=message) as caught:
        read_scan(path)
    assert str(path) in str(caught.value)


def test_names_and_folders_are_checked(scan, tmp_path):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "scan.mat").touch()
    for path, message in (
        (tmp_path / "scan.mat", "ends in .npz"),
        (tmp_path / "none.npz", "got none. Check the path"),
        (tmp_path / "none", "Expected a file of a scan, got none"),
        (tmp_path / "folder.npz", "got a folder"),
    ):
        with pytest.raises(ScanError, match=message):
            read_scan(path)
    with pytest.raises(ScanError, match="existing folder"):
        write_scan(tmp_path / "no" / "scan.npz", scan)
    write_scan(tmp_path / "scan.npz", scan)
    with pytest.raises(ScanError, match="a new file"):
        write_scan(tmp_path / "scan.npz", scan)
    write_scan(tmp_path / "scan.npz", scan, overwrite=True)
    with pytest.raises(ScanError, match="probe"):
        write_scan(tmp_path / "other.npz", ScanData(scan.counts, scan.positions))
    assert sorted(os.listdir(tmp_path)) == ["folder.npz", "scan.mat", "scan.npz"]


@pytest.mark.parametrize("place", [1.1e9, -1e15, 1e30])
def test_positions_without_fractions_of_a_pixel_are_refused(scan, place):
    """From about 1e15 on they are all equal, and their span says nothing."""
    with pytest.raises(ScanError, match="scan: positions: Expected pixels of the object grid, of at most 1e.09"):
        ScanData(scan.counts, scan.positions + place)


def test_positions_may_count_from_far_away(scan):
    moved = ScanData(scan.counts, scan.positions + 9e8)
    np.testing.assert_allclose(np.diff(moved.positions, axis=0), np.diff(scan.positions, axis=0), atol=1e-6)
    assert canvas_of(moved.positions, 16).shape == canvas_of(scan.positions, 16).shape


def test_positions_further_apart_than_any_canvas_are_refused(scan):
    positions = scan.positions.copy()
    positions[3, 1] = 2e4
    with pytest.raises(ScanError, match=r"positions: Expected pixels .* within 16384 of each other, got a span of"):
        ScanData(scan.counts, positions)


def test_masked_pixels_may_hold_anything_and_are_zero(scan):
    counts = np.array(scan.counts, float)
    counts[:, 2, 5], counts[:, 3, 5] = np.nan, -7
    masked = ScanData(counts, scan.positions, mask=scan.mask)
    assert np.isfinite(masked.counts).all() and not masked.counts[:, 2:4, 5].any()
    assert np.isnan(counts[:, 2, 5]).all()  # what was passed is as it was
    assert np.isnan(masked.mean_pattern[2, 5]) and np.isfinite(masked.mean_pattern[0]).all()
    each = np.broadcast_to(scan.mask, scan.counts.shape).copy()
    each[0, 8, 8] = False
    assert ScanData(counts, scan.positions, mask=each).photons[0] == masked.photons[0] - counts[0, 8, 8]


def test_bad_pixels_are_found_masked_and_counted(tmp_path):
    good = make_scan(size=64, npix=32, number=40, photons=1e5, seed=1)
    assert find_bad_pixels(good.counts)[1:] == (0, 0, 0)
    counts = np.array(good.counts)
    counts[:, :, 20] = np.iinfo(counts.dtype).max
    counts[:, 15, 15] = 0
    counts[:, 5, 6] += 500
    found = find_bad_pixels(counts)
    assert (found.gaps, found.dead, found.hot) == (32, 1, 1)
    assert (~found.mask).sum() == 34 and not found.mask[5, 6] and not found.mask[15, 15]
    path = saved(
        tmp_path / "bad.npz",
        {
            "counts": counts,
            "xcoords": good.positions[:, 1],
            "ycoords": good.positions[:, 0],
            "probeGuess": good.probe[0],
        },
    )
    read = read_scan(path, find_bad=True)
    np.testing.assert_array_equal(read.mask, found.mask)
    assert info(read)["counts"]["masked_pixels"] == 34 and read.counts.max() == good.counts.max()


def test_empty_patterns_can_be_left_out(arrays, tmp_path):
    arrays["counts"][[0, 5]] = 0
    for suffix in (".npz", ".cxi"):
        path = tmp_path / f"scan{suffix}"
        if suffix == ".npz":
            saved(path, arrays)
        else:
            whole = ScanData(np.maximum(arrays["counts"], 1), np.zeros((20, 2)))
            write_scan(path, whole)
            with h5py.File(path, "a") as file:
                file["entry_1/data_1/data"][...] = arrays["counts"]
        scan = read_scan(path, drop_empty=True)
        assert len(scan) == 18 and scan.photons.min() > 0
        np.testing.assert_array_equal(np.asarray(scan.counts), np.delete(arrays["counts"], [0, 5], axis=0))


def test_info_in_numbers(scan):
    record = info(scan)
    assert record["counts"]["counts_shape"] == [20, 16, 16] and record["counts"]["scans"] == 2
    assert record["counts"]["masked_pixels"] == 2
    assert record["counts"]["mean_photons"] == pytest.approx(float(np.asarray(scan.counts).sum((1, 2)).mean()))
    assert record["probe"]["modes"] == 2 and record["probe"]["mode_fractions"][1] == pytest.approx(0.01 / 1.01)
    assert record["detector"]["pixel_size"] == scan.pixel_size
    distances = np.linalg.norm(scan.positions[:, None] - scan.positions, axis=-1) + 1e9 * np.eye(20)
    assert record["positions"]["nearest_median"] == pytest.approx(np.median(distances.min(0)))
    single = info(scan.select([0]))
    assert single["positions"]["nearest_median"] is None and single["probe"]["overlap"] is None


def test_the_measured_star():
    if not STAR.is_file():
        pytest.skip("the measured scan is not here")
    scan = read_scan(STAR)
    assert scan.counts.shape == (516, 128, 128) and scan.counts.max() == 963
    record = info(scan)
    assert record["counts"]["mean_photons"] == pytest.approx(461212.9, abs=0.1)
    assert record["probe"]["power_over_photons"] == pytest.approx(1.0, abs=1e-6)
    assert find_bad_pixels(scan.counts)[1:] == (0, 0, 0)


def test_a_larger_object_holds_every_window():
    probe = disc_probe(16, 4)
    object, positions = fit_object(np.ones((20, 20)), np.array([[0.0, 0.0], [19.0, 19.0]]), len(probe))
    corners = positions - 8
    assert (corners >= 0).all() and (corners + 17 <= object.shape).all()
    np.testing.assert_array_equal(positions - np.floor(positions), 0)


@pytest.mark.parametrize(
    "name, project", [("skimage.draw", "scikit-image"), ("scipy.spatial", "scipy"), ("h5py", "h5py")]
)
def test_a_missing_extra_says_how_to_install_it(monkeypatch, name, project):
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    with pytest.raises(ImportError, match=rf"This needs {project}\. Install it: pip install 'dluxshera\[ptycho\]'"):
        extra(name)
