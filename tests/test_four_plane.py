"""The four-plane telescope against the other variants, its limits, and Collins integrals between its planes."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny import ABERRATED, edit, relative, tiny

import dluxshera as ds
from dluxshera.optics import FourPlaneTelescope, Stars, telescope
from dluxshera.optics.sampling import spread_npix
from dluxshera.optics.zernikes import zernike_sum

ARCSEC = np.pi / (180 * 3600)
MIRRORS_BACK_FOCUS = 0.6399705  # flight, from M2
ONE_TO_ONE = {"optics__relay__power": 20.0, "optics__relay__separation": MIRRORS_BACK_FOCUS + 0.1}
RELAY_ZERNIKES = {"optics.relay.zernike_coeffs_nm": [1.0, 3.0, -2.0, 1.5, -2.5, 2.0, -1.0, 2.5]}
NEUTRAL = {"optics.relay.power": 0.0, "optics.relay.diameter": 1.0}


def named(values):
    return {key.replace(".", "__"): value for key, value in values.items()}


def four(**overrides):
    return tiny("shera_flight_four_plane", **overrides)


def with_grid(model, **sizes):
    return dataclasses.replace(model, optics=dataclasses.replace(model.optics, **sizes))


def padded(model, pad):
    return with_grid(model, pad_npix=pad, band_npix=pad)


# Geometry


def test_the_worked_example():
    surfaces, optics = four().optics.surfaces(), four().optics
    assert float(surfaces[1].height) == pytest.approx(0.0441, abs=5e-5)
    assert float(surfaces[1].distance) == pytest.approx(81.8, abs=0.05)
    assert float(optics.focal_length) == pytest.approx(6.582, abs=5e-4)
    assert float(optics.relay.focal_length) == pytest.approx(2.0)
    assert float(optics.magnification) == pytest.approx(12.0334, rel=1e-5)


def test_the_worked_example_of_a_one_to_one_relay():
    optics = four(**ONE_TO_ONE).optics
    assert float(optics.surfaces()[1].height) == pytest.approx(-0.0130, abs=5e-5)
    assert float(1 / optics.relay_magnification) == pytest.approx(-0.0130, abs=5e-5)
    assert float(optics.surfaces()[1].distance) == pytest.approx(-686, abs=0.5)
    assert float(optics.focal_length) == pytest.approx(-7.70101, rel=1e-5)
    assert float(optics.focus().back_focal_distance) == pytest.approx(0.1, rel=1e-5)


lengths = st.tuples(st.floats(0.1, 2), st.floats(-1, -0.01), st.floats(-30, 30), st.floats(0.0, 2))


@settings(max_examples=40, deadline=None)
@given(lengths, st.floats(0.01, 2.0))
def test_the_separation_is_found_back_from_the_focal_length(relayed, separation):
    f1, f2, power, relay_separation = relayed
    assume(min(abs(separation - f1), abs(1 - relay_separation * power + f2 * power)) > 1e-2)
    relay = {"optics.relay.power": power, "optics.relay.separation": relay_separation}
    mirrors = {"optics.m1.focal_length": f1, "optics.m2.focal_length": f2}
    model = edit(BASE, relay | mirrors | {"optics.plane_separation": separation})
    value = model.optics.focal_length
    assume(1e-2 < abs(float(value)) < 1e3)
    found = edit(model, {"optics.plane_separation": 0.05}).optics.with_focal_length(value)
    assert float(found.focal_length) == pytest.approx(float(value), rel=1e-6)
    assert float(found.plane_separation) == pytest.approx(separation, rel=1e-7)


BASE = four()


@pytest.mark.parametrize("geometry", [{}, ONE_TO_ONE])
def test_the_plate_scale_is_an_alias_upright_and_inverted(geometry):
    model = four(**geometry)
    scaled = ds.set_values(model, {"plate_scale_as": model.plate_scale_as * 1.01})
    assert float(scaled.plate_scale_as / model.plate_scale_as) == pytest.approx(1.01, rel=1e-12)
    assert float(scaled.optics.focal_length / model.optics.focal_length) == pytest.approx(1 / 1.01, rel=1e-12)
    assert float(scaled.optics.relay.separation) == float(model.optics.relay.separation)
    back = ds.set_values(scaled, {"plate_scale_as": model.plate_scale_as})
    assert float(back.optics.plane_separation) == pytest.approx(float(model.optics.plane_separation), rel=1e-12)


def test_the_relays_focal_length_sets_its_power():
    model = ds.set_values(BASE, {"optics.relay.focal_length": -4.0})
    assert float(model.optics.relay.power) == -0.25
    assert np.isinf(ds.get_value(edit(model, NEUTRAL), "optics.relay.focal_length"))


# Refused


@pytest.mark.parametrize("miss", [0.0, 1e-4, -1e-4])
def test_a_relay_in_the_focus_is_refused(miss):
    with pytest.raises(ds.ConfigError, match=r"optics\.relay\.separation .* optics\.plane_separation"):
        four(optics__relay__separation=MIRRORS_BACK_FOCUS + miss)


def test_a_second_mirror_in_the_focus_is_refused():
    with pytest.raises(ds.ConfigError, match=r"M2 .* optics\.plane_separation .* optics\.m1\.focal_length"):
        four(optics__plane_separation=0.604353)


def test_construction_under_a_transformation_is_not_judged():
    relay, optics = BASE.optics.relay, BASE.optics

    def length(separation):
        moved = dataclasses.replace(relay, separation=separation)
        return dataclasses.replace(optics, relay=moved).focal_length

    both = jax.jit(jax.vmap(length))(jnp.asarray([0.3, MIRRORS_BACK_FOCUS]))
    assert float(both[0]) == pytest.approx(float(optics.focal_length), rel=1e-12)


def test_what_is_known_is_judged_under_a_transformation_too():
    optics, relay = BASE.optics, dataclasses.replace(BASE.optics.relay, separation=MIRRORS_BACK_FOCUS)
    fainter = jax.jit(lambda factor: dataclasses.replace(optics, throughput=factor).throughput)
    assert float(fainter(0.5)) == 0.5
    with pytest.raises(ds.ParameterError, match=r"optics\.relay\.separation"):
        jax.jit(lambda factor: dataclasses.replace(optics, throughput=factor, relay=relay).throughput)(0.5)


def test_a_wrong_value_is_named_all_the_same():
    with pytest.raises(TypeError, match="FourPlaneTelescope.plane_separation"):
        dataclasses.replace(BASE.optics, plane_separation="far")
    with pytest.raises(ds.ConfigError, match="optics.relay.separation"):
        four(optics__relay__separation=-0.1)


# Limits


def folded(model, focal_length):
    """All planes at the pupil, with stops wide open."""
    f2 = 1 / (1 / focal_length - 1 / float(model.optics.m1.focal_length))
    at_the_pupil = {"optics.plane_separation": 0.0, "optics.m2.diameter": 2.0, "optics.m2.focal_length": f2}
    return edit(model, at_the_pupil)


def test_without_distances_every_variant_is_the_two_plane_one():
    zernikes = {"optics.m1.zernike_coeffs_nm": ABERRATED["optics.m1.zernike_coeffs_nm"]}
    two = tiny("shera_flight_two_plane", **named(zernikes))
    grid = {"pad_npix": two.optics.pad_npix, "band_npix": two.optics.band_npix}
    power, length = 0.05, float(two.optics.focal_length)
    three = with_grid(edit(folded(tiny(), length), zernikes), **grid)
    relay = {"optics.relay.power": power, "optics.relay.separation": 0.0, "optics.relay.diameter": 2.0}
    split = edit(folded(BASE, 1 / (1 / length - power)), zernikes | relay)
    assert relative(three.model(), two.model()) < 1e-12
    assert relative(with_grid(split, **grid).model(), two.model()) < 1e-12


@pytest.fixture(scope="module")
def three():
    return padded(tiny(**named(ABERRATED | {"optics.m2.diameter": 0.0175})), 96)


def relayed(three, separation):
    """The same telescope with a neutral relay."""
    model = four(**named(ABERRATED | {"optics.m2.diameter": 0.0175}))
    return padded(edit(model, NEUTRAL | {"optics.relay.separation": separation}), three.optics.pad_npix)


def test_a_neutral_relay_at_the_second_mirror_is_exact(three):
    np.testing.assert_allclose(relayed(three, 0.0).model(), three.model(), rtol=1e-11)


@pytest.mark.parametrize("separation", [0.1, 0.3, 0.5, 0.9, 2.0])  # the last two lie behind the focus
def test_a_neutral_relay_changes_nothing_wherever_it_is(three, separation):
    """To what a finite grid allows: all light of the edge that M2 cuts has to stay on it."""
    assert float(relayed(three, separation).optics.focal_length) == float(three.optics.focal_length)
    errors = [relative(relayed(padded(three, pad), separation).model(), padded(three, pad).model()) for pad in (48, 96)]
    assert errors[1] < 1e-4 and errors[1] < errors[0] / 3


def test_a_wide_relay_is_no_stop_at_all():
    narrower, wider = (edit(BASE, {"optics.relay.diameter": diameter}) for diameter in (0.1, 10.0))
    np.testing.assert_array_equal(narrower.model(), wider.model())
    x = jnp.linspace(-0.01, 0.01, 8)
    stop = jax.grad(lambda diameter: dataclasses.replace(relay, diameter=diameter).surface(x, x, x[-1])[0].sum())
    relay = BASE.optics.relay
    assert float(stop(jnp.asarray(0.1))) == 0 < float(stop(jnp.asarray(0.015)))


def test_a_relay_without_zernikes():
    np.testing.assert_allclose(four(optics__relay__noll_indices=[]).model(), BASE.model(), rtol=1e-12)


def test_an_inverted_image_is_the_point_inverted_one():
    """A 1:1 relay against the single lens of the same focal length, in the geometric limit of aligned mirrors."""
    two = tiny("shera_flight_two_plane", **named({"optics.pupil_npix": 64}))
    turned = padded(edit(four(**ONE_TO_ONE, optics__pupil_npix=64), {"optics.m2.diameter": 1.0}), 512)
    assert float(turned.plate_scale_as) == pytest.approx(float(two.plate_scale_as), rel=1e-5)
    image, expected = turned.model(), np.asarray(two.model())
    assert relative(image, expected[::-1, ::-1]) < 1e-4
    assert relative(image, expected) > 0.1


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_star_moves_the_other_way_in_an_inverted_image(axis):
    model = four(**ONE_TO_ONE)
    path = f"binary.{axis}_position_as"
    moved = edit(model, {path: ds.get_value(model, path) + model.plate_scale_as}).model()
    direction = 1 if axis == "x" else 0
    expected, got = (np.moveaxis(np.asarray(image), direction, 0) for image in (model.model(), moved))
    assert relative(got[:-1], expected[1:]) < 5e-3


def test_a_despace_holds_the_relay_and_the_detector(three):
    """With a neutral relay that is the despace of the two mirrors."""
    delta, model = jnp.asarray(20e-6), relayed(three, 0.3)
    moved, expected = model.optics.despace(delta), three.optics.despace(delta)
    assert float(moved.focus().detector_distance) == pytest.approx(float(model.optics.focus().detector_distance))
    assert float(moved.relay.separation) == pytest.approx(0.3 + 20e-6, rel=1e-12)
    images = [dataclasses.replace(m, optics=o).model() for m, o in ((model, moved), (three, expected))]
    assert relative(*images) < 1e-4 < relative(images[1], three.model())


def test_a_map_of_the_relay_is_what_its_zernikes_are():
    u = (np.arange(128) - 63.5) / 64
    error = zernike_sum(40e-9 * jnp.ones(2), (5, 7), jnp.asarray(u), jnp.asarray(u))
    mapped = edit(BASE, {"optics.relay.wavefront_error_m": error})
    expected = edit(BASE, {"optics.relay.zernike_coeffs_nm": [0, 40, 0, 40, 0, 0, 0, 0]})
    assert relative(mapped.model(), expected.model()) < 3e-4 < 0.01 < relative(expected.model(), BASE.model())


# Against integrals between the planes

WAVELENGTH, ANGLE, DIAMETER, WIDTH = 550e-9, (5 * ARCSEC, -3 * ARCSEC), 0.05, 0.05 / 11
COEFFICIENTS = {
    "optics.m1.zernike_coeffs_nm": [60.0, -30, 25, -20, 30, -15, 10, -25],
    "optics.m2.zernike_coeffs_nm": [100.0, -80, 60, -50, 80, -60, 40, -30],
    "optics.relay.zernike_coeffs_nm": [60.0, 80, -70, 50, 60, 40, -30, 30],
}


def star(angle=(0.0, 0.0)):
    return Stars(jnp.asarray([angle]), jnp.ones((1, 1)), jnp.asarray([WAVELENGTH]))


def gaussian_telescope(npix, pad, m2_diameter, relay_diameter, geometry):
    """A narrow beam through the flight mirrors, so that direct integrals need few points; out of focus by 2 mm."""
    sizes = {"optics__pupil_npix": npix, "optics__pad_npix": pad, "optics__m1__diameter": DIAMETER}
    stops = {"optics__m2__diameter": m2_diameter, "optics__relay__diameter": relay_diameter}
    rest = {"optics__diffractive_pupil": "none", "optics__focus_shift": 2e-3}
    model = four(**sizes, **stops, **rest, **named(COEFFICIENTS), **geometry)
    profile = np.exp(-((points(npix, DIAMETER) / WIDTH) ** 2))
    return edit(model, {"optics.m1.transmission": np.outer(profile, profile)}).optics


def points(count, width):
    return (np.arange(count) - (count - 1) / 2) / count * width


def collins(field, x, to, a, b):
    """Field on the points `to`, through a lens and then `b` metres (ray matrix elements a, b), but for a phase."""
    chirp = a * x**2 - 2 * to[:, None] * x + to[:, None] ** 2
    kernel = np.exp(1j * np.pi / (WAVELENGTH * b) * chirp) * (x[1] - x[0]) / np.sqrt(WAVELENGTH * abs(b))
    return kernel @ field @ kernel.T


def surface(mirror, x, edge):
    radius = float(mirror.diameter) / 2
    ramp = np.clip(0.5 + (radius**2 - x[:, None] ** 2 - x**2) / (2 * radius * edge), 0, 1)
    return ramp**2 * (3 - 2 * ramp) * waves(mirror, x / radius)


def waves(mirror, u):
    error = zernike_sum(mirror.zernike_coeffs_nm * 1e-9, mirror.noll_indices, jnp.asarray(u), jnp.asarray(u))
    return np.exp(2j * np.pi / WAVELENGTH * np.asarray(error))


def direct_image(optics, pitch, npix, edge, windows):
    """Intensity by three integrals in real coordinates, from plane to plane."""
    f1, f2, power = float(optics.m1.focal_length), float(optics.m2.focal_length), float(optics.relay.power)
    d12, d23 = float(optics.plane_separation), float(optics.relay.separation)
    mirrors = 1 / f1 + 1 / f2 - d12 / (f1 * f2)
    y2 = 1 - d12 / f1
    y3 = y2 - d23 * mirrors
    detector = y3 / (mirrors + y3 * power) + float(optics.focus_shift)

    x1, x2, x3 = points(800, DIAMETER), points(500, windows[0]), points(500, windows[1])
    beam = np.exp(-((x1 / WIDTH) ** 2))
    columns, rows = (beam * np.exp(2j * np.pi / WAVELENGTH * angle * x1) for angle in ANGLE)
    field = np.outer(rows, columns) * waves(optics.m1, 2 * x1 / DIAMETER) / (np.sum(beam**2) * (x1[1] - x1[0]))
    field = collins(field, x1, x2, y2, d12) * surface(optics.m2, x2, edge * y2)
    field = collins(field, x2, x3, 1 - d23 / f2, d23) * surface(optics.relay, x3, edge * abs(y3))
    field = collins(field, x3, points(npix, npix * pitch), 1 - detector * power, detector)
    return np.abs(field) ** 2 * pitch**2


@pytest.mark.parametrize("geometry", [{}, ONE_TO_ONE], ids=["upright", "inverted"])
def test_aberrations_defocus_and_a_star_off_axis(geometry):
    """No stop reaches into the beam, so that both are spectrally exact."""
    widths = (0.010, 0.012) if geometry else (0.007, 0.005)
    optics = gaussian_telescope(64, 512 if geometry else 256, *widths, geometry)
    windows = (0.0046, 0.004) if geometry else (0.0046, 0.0033)
    image = optics.intensity(star(ANGLE), jnp.asarray(1e-4), 21)
    expected = direct_image(optics, 1e-4, 21, telescope.STOP_EDGE * DIAMETER / 64, windows)
    assert expected.sum() == pytest.approx(1, abs=2e-3)
    assert relative(image, expected) < 1e-11
    centred = optics.intensity(star(), jnp.asarray(1e-4), 21)
    assert relative(centred, expected) > 0.1


@pytest.mark.parametrize(("edge", "allowed"), [(1.5, 3e-3), (16, 1e-4)])
def test_stops_at_both_planes(edge, allowed, monkeypatch):
    """As wide as the beam; the softer the edges, the better a grid holds them."""
    monkeypatch.setattr(telescope, "STOP_EDGE", edge)
    widths, height = (0.0012, 0.0008), (0.0831021, 0.0441462)
    optics = gaussian_telescope(128, 256, *widths, {})
    edge_width = edge * DIAMETER / 128
    windows = [w + 3 * edge_width * y for w, y in zip(widths, height, strict=True)]
    image = optics.intensity(star(ANGLE), jnp.asarray(1e-4), 21)
    expected = direct_image(optics, 1e-4, 21, edge_width, windows)
    assert expected.sum() < 0.6
    assert relative(image, expected) < allowed


# Gradients

WEIGHT = np.random.default_rng(3).normal(size=(16, 16))
STEPS = {
    "optics.m1.diameter": 1e-6,
    "optics.m1.focal_length": 3e-8,
    "optics.m2.diameter": 1e-7,
    "optics.m2.focal_length": 3e-9,
    "optics.plane_separation": 3e-8,
    "optics.relay.power": 1e-5,
    "optics.relay.separation": 1e-6,
    "optics.relay.diameter": 1e-7,
    "optics.focus_shift": 1e-6,
    "optics.diffractive_pupil_step_m": 1e-12,
}


@eqx.filter_jit
def score(parameters, rest):
    return jnp.sum(WEIGHT * jnp.sqrt(eqx.combine(parameters, rest).model() + 1))


slope = eqx.filter_jit(eqx.filter_grad(score))


@pytest.mark.parametrize("geometry", [{}, ONE_TO_ONE], ids=["upright", "inverted"])
def test_every_gradient_is_that_of_finite_differences(geometry):
    """Both mirrors' stops cut into the beam, the detector is out of focus."""
    beam = 0.22 * (0.013 if geometry else 0.0441)
    cut = {"optics.m2.diameter": 0.0175, "optics.relay.diameter": 0.95 * beam, "optics.focus_shift": 4e-4}
    model = edit(padded(four(**geometry), 60), ABERRATED | RELAY_ZERNIKES | cut | {"optics.throughput": 0.7})
    parameters, rest = eqx.partition(model, ds.parameter_mask(model))
    gradient = slope(parameters, rest)
    paths = [path for path in ds.params.parameter_paths(model) if path.startswith("optics.")]
    assert {path.rpartition(".")[2] for path in paths if "relay" in path} == {
        "power",
        "separation",
        "diameter",
        "zernike_coeffs_nm",
    }
    for path in paths:
        value, step = ds.get_value(model, path), STEPS.get(path, 1e-4)
        direction = jnp.asarray(np.random.default_rng(2).normal(size=value.shape)) if value.ndim else jnp.ones(())
        moved = [edit(parameters, {path: value + n * step * direction}) for n in (2, 1, -1, -2)]
        far, near, low, lowest = (float(score(m, rest)) for m in moved)
        numeric = (8 * (near - low) - (far - lowest)) / (12 * step)
        exact = float(jnp.sum(ds.get_value(gradient, path) * direction))
        assert exact != 0, path
        assert abs(numeric - exact) < 1e-5 * abs(exact), f"{path}: gradient {exact}, differences {numeric}"


# Sampling and profiles


def test_the_period_grows_with_the_diffraction_to_the_relay():
    """optics.md: 30 and 255 pixels for the two examples, at 256 pupil pixels."""
    models = [four(**geometry, optics__pupil_npix=256, optics__psf_npix=64) for geometry in ({}, ONE_TO_ONE)]
    pixel, distances = 0.22 / 256, [float(m.optics.surfaces()[1].distance) for m in models]
    spreads = [spread_npix(550e-9, z, pixel) for z in distances]
    assert spreads == pytest.approx([30, 255], rel=0.02)
    for model, spread in zip(models, spreads, strict=True):
        assert model.optics.pad_npix >= 256 + 4 * spread
        assert not [p for p in model.sampling_problems() if "diffraction" in p]
        small = with_grid(model, pad_npix=320, band_npix=320)
        assert "optics.pad_npix" in " ".join(small.sampling_problems())


def test_the_planned_period_is_long_enough():
    """Where the diffraction to the relay makes it nearly three times the pupil."""
    model = four(**ONE_TO_ONE, optics__pupil_npix=64, **named(ABERRATED | RELAY_ZERNIKES))
    assert model.optics.pad_npix > 2.5 * 64
    assert relative(model.model(), padded(model, 2 * model.optics.pad_npix).model()) < 1e-4


@pytest.mark.parametrize("name", ["shera_flight", "shera_testbed"])
def test_the_profiles(name):
    small = {"optics.pupil_npix": 64, "optics.psf_npix": 32, "binary.separation_as": 1.0}
    model = ds.load_profile(f"{name}_four_plane", overrides=small)
    assert isinstance(model.optics, FourPlaneTelescope)
    assert model.sampling_problems() == []
    image = np.asarray(ds.validate(model).model())
    assert np.isfinite(image).all() and image.sum() > 0
    ratio = float(model.optics.focal_length / ds.load_profile(name, overrides=small).optics.focal_length)
    assert 0.5 < ratio < 2
    assert float(model.optics.surfaces()[1].height) > 0.04
    assert "optics.relay.power" in str(ds.describe(model))
    assert ds.default_space(model, ds.read_profile(f"{name}_four_plane")).dim == 23


@pytest.mark.parametrize("name", ["shera_flight_four_plane", "shera_testbed_four_plane"])
def test_the_full_profiles_are_well_sampled(name):
    assert ds.load_profile(name).sampling_problems() == []


def test_the_relay_is_a_part_of_the_profile():
    drawn = {"rms_nm": 5.0, "alpha": 2.5}
    model = four(optics__relay__wavefront_error=drawn, optics__relay__noll_indices=[4, 6])
    assert model.optics.relay.wavefront_error_m.shape == (32, 32)
    assert model.optics.relay.zernike_coeffs_nm.shape == (2,)
    with pytest.raises(ds.ConfigError, match="unknown path 'optics.relay.powr'"):
        four(optics__relay__powr=1.0)
