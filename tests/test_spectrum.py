"""Band quadrature, blackbodies, spectral tables and the weights made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dluxshera.instrument import blackbody_photons, gauss_legendre_band, read_table, spectral_weights

BAND = (550e-9, 110e-9)


def write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@given(count=st.integers(1, 12), width=st.floats(1e-9, 300e-9), power=st.integers(0, 23))
def test_quadrature_is_exact_for_polynomials_over_the_band(count, width, power):
    wavelengths, weights = gauss_legendre_band(550e-9, width, count)
    assert wavelengths.shape == weights.shape == (count,)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert np.all(np.abs(wavelengths - 550e-9) < width / 2)  # the band's edges are no nodes
    degree = min(power, 2 * count - 1)
    offset = (wavelengths - 550e-9) / (width / 2)
    mean = 1 / (degree + 1) if degree % 2 == 0 else 0.0
    assert weights @ offset**degree == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("band", [(0.0, 1e-9, 3), (500e-9, 1000e-9, 3), (500e-9, -1e-9, 3), (500e-9, 1e-9, 0)])
def test_an_impossible_band_is_refused(band):
    with pytest.raises(ValueError, match="Expected"):
        gauss_legendre_band(*band)


def test_blackbody_photons_peak_where_wien_says():
    wavelengths = np.linspace(300e-9, 2000e-9, 20001)
    peak = wavelengths[np.argmax(blackbody_photons(wavelengths, 5800.0))]
    assert peak * 5800 == pytest.approx(3.66970e-3, rel=1e-4)  # metre kelvin, of the photon radiance per wavelength


def test_blackbody_photons_approach_rayleigh_jeans_and_stay_finite_when_cold():
    wavelength, temperature = np.array([1e-6]), 1e9
    expected = 2 * 1.380649e-23 * temperature / (6.62607015e-34 * wavelength**3)
    np.testing.assert_allclose(blackbody_photons(wavelength, temperature), expected, rtol=1e-4)
    assert blackbody_photons(wavelength, 5.0)[0] == 0
    with pytest.raises(ValueError, match="temperature"):
        blackbody_photons(wavelength, 0.0)


@pytest.mark.parametrize(("unit", "scale"), [("nm", 1e-9), ("um", 1e-6), ("m", 1.0)])
def test_units_come_from_the_header(tmp_path, unit, scale):
    rows = "\n".join(f"{w / scale!r},{v}" for w, v in ((500e-9, 0.5), (600e-9, 0.75)))
    table = read_table(write(tmp_path, f"# a filter\n\nWavelength_{unit} , transmission\n{rows}\n"))
    np.testing.assert_allclose(table.wavelengths, [500e-9, 600e-9], rtol=1e-14)
    np.testing.assert_allclose(table.at(np.array([520e-9, 600e-9])), [0.55, 0.75], rtol=1e-12)


def test_energy_becomes_photons(tmp_path):
    wavelengths, weights = gauss_legendre_band(*BAND, 5)
    rows = "450,1\n700,1\n"
    energy = read_table(write(tmp_path, "wavelength_nm,flux_energy\n" + rows, "energy.csv"))
    photon = read_table(write(tmp_path, "wavelength_nm,flux_photon\n" + rows, "photon.csv"))
    by_energy = spectral_weights(wavelengths, weights, seds=energy)
    np.testing.assert_allclose(by_energy, weights * wavelengths / (weights @ wavelengths), rtol=1e-12)
    np.testing.assert_allclose(spectral_weights(wavelengths, weights, seds=photon), weights, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header line and at least two rows"),
        ("wavelength_nm,transmission\n500,0.1\n", "at least two rows"),
        ("500,0.1\n600,0.2\n700,0.2\n", "line 1, column 1: .*wavelength_nm"),
        ("wavelength_nm,flux\n500,0.1\n600,0.2\n", "line 1, column 2: .*flux_photon.*'flux'"),
        ("wavelength_nm\n500\n600\n", "line 1, column 2"),
        ("wavelength_nm,transmission,x\n500,0.1,1\n600,0.2,1\n", "line 1: Expected two columns"),
        ("wavelength_nm,transmission\n500,0.1\n\n600,much\n", "line 4, column transmission: .*'much'"),
        ("wavelength_nm,transmission\n500,0.1\n600,93\n", r"line 3, column transmission: .*\[0, 1\]"),
        ("wavelength_nm,flux_photon\n500,-1\n600,93\n", "line 2, column flux_photon"),
        ("wavelength_nm,flux_photon\n500,inf\n600,93\n", "line 2, column flux_photon"),
        ("wavelength_nm,flux_photon\nnan,1\n600,93\n", "line 2, column wavelength_nm"),
        ("wavelength_nm,flux_photon\n0,1\n600,93\n", "line 2, column wavelength_nm"),
        ("wavelength_nm,flux_photon\n500,1,2\n600,93\n", "line 2: Expected two columns"),
        ("wavelength_nm,flux_photon\n600,1\n# note\n500,1\n", "line 4, column wavelength_nm: .*increasing"),
    ],
)
def test_a_bad_table_is_named_with_line_and_column(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))


def test_a_missing_or_binary_table_is_named(tmp_path):
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x93")
    for path in (tmp_path / "none.csv", binary, tmp_path):
        with pytest.raises(ValueError, match="readable CSV") as caught:
            read_table(path)
        assert str(path) in str(caught.value)


@given(temperatures=st.tuples(st.floats(1000, 40000), st.floats(1000, 40000)), count=st.integers(1, 9))
def test_each_star_has_its_own_normalised_row(temperatures, count):
    wavelengths, weights = gauss_legendre_band(*BAND, count)
    rows = spectral_weights(wavelengths, weights, seds=temperatures)
    assert rows.shape == (2, count)
    np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-12)
    ratio = rows[0] / weights / blackbody_photons(wavelengths, temperatures[0])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)


def test_one_spectrum_serves_both_stars_and_none_is_flat():
    wavelengths, weights = gauss_legendre_band(*BAND, 4)
    np.testing.assert_array_equal(spectral_weights(wavelengths, weights), weights / weights.sum())
    one = spectral_weights(wavelengths, weights, seds=5790.0)
    assert one.shape == (4,)
    np.testing.assert_array_equal(spectral_weights(wavelengths, weights, seds=(5790.0, 5790.0))[1], one)


def test_a_filter_multiplies(tmp_path):
    wavelengths, weights = gauss_legendre_band(*BAND, 6)
    ramp = read_table(write(tmp_path, "wavelength_nm,transmission\n400,0\n800,1\n"))
    got = spectral_weights(wavelengths, weights, filter_table=ramp, seds=5000.0)
    expected = weights * (wavelengths - 400e-9) * blackbody_photons(wavelengths, 5000.0)
    np.testing.assert_allclose(got, expected / expected.sum(), rtol=1e-10)


def test_tables_that_do_not_fit_are_refused(tmp_path):
    wavelengths, weights = gauss_legendre_band(*BAND, 3)
    narrow = read_table(write(tmp_path, "wavelength_nm,transmission\n540,1\n560,1\n", "narrow.csv"))
    dark = read_table(write(tmp_path, "wavelength_nm,transmission\n400,0\n700,0\n", "dark.csv"))
    with pytest.raises(ValueError, match="narrow.csv: .*540 to 560 nm"):
        spectral_weights(wavelengths, weights, filter_table=narrow)
    with pytest.raises(ValueError, match="light in the band"):
        spectral_weights(wavelengths, weights, filter_table=dark)
    with pytest.raises(ValueError, match="dark.csv: .*flux_photon"):
        spectral_weights(wavelengths, weights, seds=dark)
    with pytest.raises(ValueError, match="two stars, got 3"):
        spectral_weights(wavelengths, weights, seds=(5000.0, 5000.0, 5000.0))
    with pytest.raises(ValueError, match="one weight per wavelength"):
        spectral_weights(wavelengths, weights[:2])
