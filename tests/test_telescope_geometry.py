"""What the geometry of a telescope does: plate scale, defocus, despace, stops, beam walk."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import ARCSEC, CLEAR, edit, intensity, one_star, relative, tiny, whole_plane, without_step

import dluxshera as ds


def centroid(image):
    """(x, y) in pixels from the middle."""
    image, at = np.asarray(image), np.arange(image.shape[0]) - (image.shape[0] - 1) / 2
    return np.array([(image * at).sum(), (image * at[:, None]).sum()]) / image.sum()


def test_scaling_every_length_changes_nothing(three):
    lengths = ["optics.m1.diameter", "optics.m1.focal_length", "optics.m2.diameter", "optics.m2.focal_length"]
    lengths += [
        "optics.plane_separation",
        "optics.focus_shift",
        "optics.diffractive_pupil_step_m",
        "detector.pixel_pitch",
    ]
    lengths += ["binary.wavelengths_m", "optics.m1.zernike_coeffs_nm", "optics.m2.zernike_coeffs_nm"]
    start = edit(three, {"optics.focus_shift": 1e-3})
    larger = edit(start, {path: 3 * ds.get_value(start, path) for path in lengths})
    np.testing.assert_allclose(larger.model(), start.model(), rtol=1e-7)
    assert relative(start.model(), three.model()) > 1e-3


@pytest.mark.parametrize("diameter", [0.008, 0.012, 0.016])
def test_an_undersized_second_mirror_stops_the_light_outside_it(diameter):
    optics = tiny(optics__pupil_npix=96, optics__diffractive_pupil="none").optics
    small = dataclasses.replace(optics, m2=dataclasses.replace(optics.m2, diameter=diameter))
    u = (np.arange(96) - 47.5) / 96 * float(optics.m1.diameter / optics.magnification)
    mask = np.asarray(optics.m1.transmission) ** 2
    expected = mask[np.hypot(u[:, None], u) < diameter / 2].sum() / mask.sum()
    passed = float(whole_plane(small, one_star()).sum())
    assert passed == pytest.approx(expected, abs=0.02) and passed < 0.95


def test_an_off_axis_star_walks_over_the_second_mirror():
    """A mirror one beam wide loses light on one side only, and more of it the further off axis the star is."""
    optics = tiny(optics__pupil_npix=96, optics__diffractive_pupil="none").optics
    small = dataclasses.replace(optics, m2=dataclasses.replace(optics.m2, diameter=0.0183))
    passed = [float(whole_plane(small, one_star(x=angle * ARCSEC)).sum()) for angle in (0, 300, 600)]
    assert passed[0] > passed[1] + 0.005 and passed[1] > passed[2] + 0.005


def test_the_plate_scale_follows_the_separation_of_the_mirrors(three):
    moved = edit(three, {"optics.plane_separation": three.optics.plane_separation + 0.5e-3})
    assert float(moved.plate_scale_as / three.plate_scale_as) - 1 == pytest.approx(0.117, abs=0.002)
    micrometre = edit(three, {"optics.plane_separation": three.optics.plane_separation + 1e-6})
    assert float(micrometre.plate_scale_as / three.plate_scale_as) - 1 == pytest.approx(234e-6, rel=5e-3)
    wide = [
        dataclasses.replace(without_step(m.optics), m2=dataclasses.replace(m.optics.m2, diameter=0.1))
        for m in (three, moved)
    ]
    assert image_scale(wide[1]) / image_scale(wide[0]) == pytest.approx(1 / 1.117, abs=0.002)


def chief_ray_scale(optics):
    """Metres on the detector per radian on the sky, of the ray through the middle of M1."""
    separation, distance = float(optics.plane_separation), float(optics.focus().detector_distance)
    return separation + distance * (1 - separation / float(optics.m2.focal_length))


def image_scale(optics, angle=2e-5):
    """The same from the position of a star's image, by its point symmetry about the chief ray."""
    scale = chief_ray_scale(optics)
    wavelength = 550e-9
    pitch = jnp.asarray(wavelength * scale / 0.22 / 4)
    pixels = round(angle * scale / float(pitch))
    angle = pixels * float(pitch) / scale  # the chief ray hits a pixel's centre
    npix = 2 * pixels + 41
    image = intensity(optics, one_star(x=angle, wavelength=wavelength), pitch, npix)[:, -41:]
    image = np.asarray(image)[npix // 2 - 20 : npix // 2 + 21]
    return scale * (1 + centroid(image)[0] / pixels)


@pytest.mark.parametrize("shift", [0.0, 1e-3, -2e-3])
def test_a_defocused_star_lies_where_its_chief_ray_does(shift):
    optics = tiny(optics__pupil_npix=64, **CLEAR).optics
    moved = dataclasses.replace(optics, focus_shift=shift, m2=dataclasses.replace(optics.m2, diameter=0.1))
    assert image_scale(moved) == pytest.approx(chief_ray_scale(moved), rel=2e-5)


def test_a_real_despace_defocuses_and_barely_changes_the_scale(three):
    """The detector is behind M1: light folds at M2, so that it travels further after it, too."""
    moved = three.optics.despace(jnp.asarray(1e-6))
    assert float(moved.plane_separation - three.optics.plane_separation) == pytest.approx(1e-6)
    travelled = moved.focus().detector_distance - three.optics.focus().detector_distance
    assert float(travelled) == pytest.approx(1e-6, rel=1e-6)
    assert chief_ray_scale(three.optics) / chief_ray_scale(moved) - 1 == pytest.approx(-3.1e-6, rel=0.02)
    focus = moved.focus()
    curvature = float(focus.height**2 * (1 / focus.detector_distance - 1 / focus.back_focal_distance))
    edge = 0.5 * curvature * float(three.optics.m1.diameter / 2) ** 2
    assert abs(edge) / (2 * np.sqrt(3)) == pytest.approx(4.8e-9, rel=0.02)


def test_defocus_is_a_curved_wavefront(two):
    """focus_shift against a map of the same sag, for the two-plane."""
    shift = 2e-3
    length, radius = float(two.optics.focal_length), float(two.optics.m1.diameter) / 2
    u = radius * (np.arange(32) - 15.5) / 16
    sag = 0.5 * (u[:, None] ** 2 + u**2) * (1 / (length + shift) - 1 / length)
    curved = {"optics.focal_length": length + shift, "optics.m1.wavefront_error_m": sag}
    shifted = edit(two, {"optics.focus_shift": shift})
    np.testing.assert_allclose(edit(two, curved).model(), shifted.model(), rtol=1e-9)
    assert relative(two.model(), shifted.model()) > 0.05
