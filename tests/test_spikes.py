"""The grating and its spikes: efficiencies, places, dLuxToliman's angles and images, and what the main image loses."""

import types
import warnings

import dLux.utils as dlu
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from tiny import ARCSEC, TINY, load, relative

import dluxshera as ds
from dluxshera.instrument.spikes import CORNERS, spike_centres, spike_problems
from dluxshera.optics.grating import bessel

toliman = pytest.importorskip("dLuxToliman")

PUPIL_NPIX, NPIX, WAVELENGTHS, PERIOD = 64, 24, np.array([560e-9, 610e-9]), 6e-3
MODEL = TINY | {
    "optics.pupil_npix": PUPIL_NPIX,
    "binary.n_wavelengths": 2,
    "binary.wavelengths_m": WAVELENGTHS,
    "grating.depth_nm": 100.0,
    "grating.period": PERIOD,
}


@pytest.fixture(scope="module")
def model():
    return load("toliman", MODEL)


def quiet(model, npix=NPIX):
    """Spikes without the remark that two wavelengths make no continuous spectrum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        return np.asarray(ds.spikes(model, npix))


@pytest.fixture(scope="module")
def windows(model):
    return quiet(model)


def grating(depth_nm=100.0, period=300e-6):
    return ds.Grating(depth_nm, period)


@pytest.mark.parametrize("order", [0, 1])
def test_bessel_functions_are_scipys(order):
    x = jnp.linspace(0, 30, 61)
    np.testing.assert_allclose(bessel(order, x), special.jv(order, np.asarray(x)), atol=1e-13)
    slope = jax.vmap(jax.grad(lambda x: bessel(order, x)))(x)
    np.testing.assert_allclose(slope, special.jvp(order, np.asarray(x)), atol=1e-13)


def test_efficiencies_are_those_of_the_orders_of_such_a_surface():
    """The Fourier series of exp(i phase) over one period of both sinusoids, taken by FFT."""
    wavelength, n = 585e-9, 64
    t = 2 * np.pi * np.arange(n) / n
    opd = 50e-9 * (np.sin(t)[:, None] + np.sin(t)[None, :])  # 100 nm from valley to crest
    orders = np.abs(np.fft.fft2(np.exp(2j * np.pi * opd / wavelength)) / n**2) ** 2
    weak, wavelengths = grating(), jnp.asarray([wavelength])
    assert weak.central_efficiency(wavelengths)[0] == pytest.approx(orders[0, 0], rel=1e-12)
    corners = [orders[1, 0], orders[-1, 0], orders[0, 1], orders[0, -1]]
    np.testing.assert_allclose(corners, weak.corner_efficiency(wavelengths)[0], rtol=1e-12)
    assert sum(corners) == pytest.approx(0.23, abs=0.01)  # dLuxToliman takes 0.2 for this depth


def test_a_grating_without_depth_does_nothing():
    wavelengths, flat = jnp.asarray(WAVELENGTHS), grating(0.0)
    np.testing.assert_array_equal(flat.central_efficiency(wavelengths), [1.0, 1.0])
    np.testing.assert_allclose(flat.corner_efficiency(wavelengths), [0.0, 0.0], atol=1e-30)
    assert np.isfinite(jax.grad(lambda d: grating(d).central_efficiency(wavelengths).sum())(0.0))


def test_the_angles_are_dlux_tolimans():
    """They take the arcsine of wavelength / period, we the tilt itself: 0.3 mas of 284 arcsec apart."""
    theirs = toliman.optical_systems.TolimanSpikes.get_diffraction_angles(
        types.SimpleNamespace(grating_period=300), WAVELENGTHS
    )
    ours = np.asarray(grating().deflection(jnp.asarray(WAVELENGTHS))) / ARCSEC
    np.testing.assert_allclose(ours, theirs, atol=5e-4)
    assert ours[0] == pytest.approx(272.3, abs=0.1)


def test_the_windows_are_the_corners_of_dlux_tolimans_image(model, windows):
    """dLuxToliman's optics, given the tilts of the four orders, on one detector that holds all corners.

    Its own spike model does not run with the installed dLux, so its working optical system stands in. Every window
    holds the light of its own order; the wings of the others, here 3 %, are far away with the mission's grating.
    """
    half = int(np.abs(spike_centres(model)).max()) + NPIX
    binary_map = (model.optics.diffractive_pupil_fraction > 0.5).astype(float)
    plain = eqx.tree_at(lambda m: m.optics.diffractive_pupil_fraction, model, binary_map)
    where = lambda s: (s.layers["aperture"].transmission, s.layers["pupil"].opd)  # noqa: E731
    pupil = model.optics.m1.transmission, binary_map * model.optics.diffractive_pupil_step_m
    system = eqx.tree_at(where, toliman.TolimanOpticalSystem(PUPIL_NPIX, 2 * half, 1), pupil)
    stars, images = plain.binary.stars(), dict.fromkeys(CORNERS, 0.0)
    propagate = eqx.filter_jit(lambda wavelength, angle: system.propagate_mono(wavelength, angle))
    for wavelength, photons in zip(WAVELENGTHS, stars.photons.T, strict=True):
        efficiency = float(plain.grating.corner_efficiency(jnp.asarray([wavelength]))[0])
        tilt = wavelength / PERIOD / np.sqrt(2)
        for corner in CORNERS:
            for star, flux in zip(stars.positions, photons, strict=True):
                order = propagate(wavelength, star + tilt * np.asarray(corner))
                images[corner] = images[corner] + flux * efficiency * np.asarray(order)
    found = quiet(plain)
    centres = np.asarray(spike_centres(plain), int)
    for window, (x, y), image in zip(found, centres, images.values(), strict=True):
        top, left = half + y - NPIX // 2, half + x - NPIX // 2
        cut = image[top : top + NPIX, left : left + NPIX]
        assert relative(window, cut) < 1e-12  # measured 8e-15
    assert windows.shape == found.shape == (4, NPIX, NPIX)


def test_the_light_of_the_orders_is_where_the_grating_sends_it(model, windows):
    """Each window's light lies along its diagonal, long wavelengths further out, and adds up to the efficiency."""
    photons = np.asarray(model.binary.stars().photons)
    efficiency = np.asarray(model.grating.corner_efficiency(model.binary.wavelengths_m))
    large = quiet(model, 96)
    for window, (sx, sy) in zip(large, CORNERS, strict=True):
        assert 0.8 < window.sum() / (photons.sum(0) @ efficiency) < 1.0
        rows, columns = np.indices(window.shape) - 47.5
        red = eqx.tree_at(lambda m: m.binary.spectral_weights, model, jnp.asarray([0.0, 1.0]))
        outward = (sx * columns + sy * rows) * (quiet(red, 96)[CORNERS.index((sx, sy))])
        assert outward.sum() > 0


def test_the_main_image_loses_what_the_grating_takes(model):
    plain = load("toliman", {key: value for key, value in MODEL.items() if not key.startswith("grating")})
    assert plain.grating is None
    one = eqx.tree_at(lambda m: m.binary.spectral_weights, model, jnp.asarray([1.0, 0.0]))
    bare = eqx.tree_at(lambda m: m.binary.spectral_weights, plain, jnp.asarray([1.0, 0.0]))
    share = float(model.grating.central_efficiency(jnp.asarray(WAVELENGTHS))[0])
    assert 0.6 < share < 0.8
    np.testing.assert_allclose(one.model(), share * bare.model(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::dluxshera.optics.sampling.SamplingWarning")
def test_depth_and_period_have_gradients(model):
    where = lambda m: (m.grating.depth_nm, m.grating.period)  # noqa: E731

    def image(depth, period):
        return ds.spikes(eqx.tree_at(where, model, (depth, period)), 8)

    at, steps = (jnp.asarray(100.0), jnp.asarray(PERIOD)), (1e-3, 1e-9)
    slopes = jax.jacfwd(image, argnums=(0, 1))(*at)
    for i, (slope, step) in enumerate(zip(slopes, steps, strict=True)):
        ends = [image(*(value + sign * step * (i == j) for j, value in enumerate(at))) for sign in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(slope, numeric, atol=1e-5 * float(jnp.abs(numeric).max()))


def test_an_inverted_image_has_its_spikes_where_they_land(model, windows):
    """A negative focal length turns image and corners alike; windows go by where the light lands."""
    where = lambda m: m.optics.focal_length  # noqa: E731
    turned = quiet(eqx.tree_at(where, model, -model.optics.focal_length))
    for i, (x, y) in enumerate(CORNERS):
        np.testing.assert_allclose(turned[i], windows[CORNERS.index((-x, -y))][::-1, ::-1], rtol=1e-8, atol=1e-6)


def test_spikes_of_a_train_of_mirrors_are_those_of_a_lens():
    """Orders cross M2 away from its middle, and reach the focus where a lens would send them."""
    train = load("shera_flight", MODEL | {"grating.period": 2e-2})
    single = load("shera_flight_two_plane", MODEL | {"grating.period": 2e-2})
    single = ds.set_values(single, {"optics.focal_length": float(train.optics.focal_length)})
    assert relative(quiet(train), quiet(single)) < 1e-5  # measured 1.7e-6: what the band's edge and M2's stop do


def test_what_is_wrong_is_said(model):
    bare = eqx.tree_at(lambda m: m.grating, model, None)
    with pytest.raises(ValueError, match=r"Expected an instrument with a grating.*grating\.depth_nm"):
        ds.spikes(bare)
    found = spike_problems(model, 4096)
    assert any("wavelengths; continuous spectra" in problem for problem in found)
    assert any("larger `optics.pupil_npix`" in problem for problem in found)
    with pytest.warns(ds.SamplingWarning, match="Spikes: 2 wavelengths"):
        ds.spikes(model, NPIX)
    with pytest.raises(ds.ConfigError, match=r"grating\.period \(needed by Grating\)"):
        ds.load_profile("toliman", overrides={"grating.depth_nm": 100.0})
    with pytest.raises(ds.ConfigError, match="grating.*perod"):
        ds.load_profile("toliman", overrides={"grating.perod": 100.0})


@pytest.mark.filterwarnings("ignore::dluxshera.optics.sampling.SamplingWarning")
def test_the_grating_is_a_part_of_the_tree_like_any_other(model, tmp_path):
    assert ds.get_value(model, "grating.period") == PERIOD
    assert {"grating.depth_nm", "grating.period"} <= {row["path"] for row in ds.describe(model).rows}
    space = ds.ThetaSpace(model, ["grating.depth_nm", "binary.separation_as"])
    moved = space.unpack(space.pack(model), model)
    assert moved.grating.depth_nm == pytest.approx(100.0)
    ds.save_values(ds.set_values(model, {"grating.depth_nm": 120.0}), tmp_path / "values.npz")
    deeper = ds.load_values(model, tmp_path / "values.npz")
    assert deeper.grating.depth_nm == 120.0
    again = ds.set_values(deeper, {"detector.sky_roll_deg": 7.0}).rebuild(**{"optics.psf_npix": 20})
    assert (again.grating.depth_nm, again.detector.sky_roll_deg, again.optics.psf_npix) == (120.0, 7.0, 20)


def test_the_spacing_of_the_missions_grating_needs_many_wavelengths():
    whole = load("toliman", {"grating.depth_nm": 100.0, "grating.period": 300e-6})
    assert any("need 1" in problem for problem in spike_problems(whole, 256))
    np.testing.assert_array_equal(np.abs(spike_centres(whole)), np.full((4, 2), 758.0))
    assert dlu.rad2arcsec(whole.grating.deflection(jnp.asarray(585e-9))) / 0.375 == pytest.approx(758.4, abs=0.1)
