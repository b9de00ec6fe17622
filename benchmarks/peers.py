"""The same telescopes in dLux, HCIPy and POPPY: images of a star of one photon, (npix, npix)."""

import functools
import warnings

import jax.numpy as jnp
import numpy as np


def pupil(model):
    """Transmission and path difference (metres) of the entrance pupil, (N, N) each."""
    optics = model.optics
    step = optics.diffractive_pupil_fraction * optics.diffractive_pupil_step_m
    return np.asarray(optics.m1.transmission), np.asarray(optics.m1.wavefront() + step)


def dlux_system(model, npix, layer=None):
    """dLux's two-plane system with the model's pupil, or with a layer in its place."""
    import dLux as dl

    transmission, opd = map(jnp.asarray, pupil(model))
    layer = dl.Optic(transmission=transmission, opd=opd, normalise=True) if layer is None else layer
    diameter, scale = float(model.optics.m1.diameter), float(model.plate_scale_as)
    return dl.AngularOpticalSystem(model.optics.pupil_npix, diameter, [("pupil", layer)], npix, scale, 1)


def dlux_two_planes(model, wavelength, angle, npix):
    """Fraunhofer, by a matrix Fourier transform."""
    return np.asarray(dlux_system(model, npix).propagate_mono(wavelength, offset=jnp.asarray(angle)))


def _hcipy_pupil_field(model, wavelength, angle, padded=None):
    """Grid and field of unit power with a star's tilt; on a larger grid of the same spacing if asked."""
    import hcipy

    npix, diameter = model.optics.pupil_npix, float(model.optics.m1.diameter)
    padded = padded or npix
    grid = hcipy.make_pupil_grid(padded, diameter * padded / npix)
    transmission, opd = (np.pad(part, (padded - npix) // 2) for part in pupil(model))
    phase = opd.ravel() + angle[0] * grid.x + angle[1] * grid.y
    amplitude = transmission.ravel() / np.sqrt(np.sum(transmission**2))
    return grid, hcipy.Field(amplitude * np.exp(2j * np.pi / wavelength * phase), grid)


def _hcipy_focus(model, grid, npix):
    """Propagator to the detector's pixels, and what turns its intensity into photons."""
    import hcipy

    pitch = float(model.detector.pixel_pitch)
    focal = hcipy.make_uniform_grid([npix, npix], [npix * pitch] * 2)
    return hcipy.FraunhoferPropagator(grid, focal, float(model.optics.focal_length)), pitch**2 / grid.delta[0] ** 2


def hcipy_two_planes(model, wavelength, angle, npix):
    """Fraunhofer, by a matrix Fourier transform."""
    import hcipy

    grid, field = _hcipy_pupil_field(model, wavelength, angle)
    focus, photons = _hcipy_focus(model, grid, npix)
    return np.asarray(focus(hcipy.Wavefront(field, wavelength)).intensity).reshape(npix, npix) * photons


def hcipy_three_planes(model, wavelength, angle, npix, padded=1024):
    """Fresnel propagation to M2 in collimated-equivalent coordinates, M2's stop and error, Fraunhofer."""
    _, field = _hcipy_pupil_field(model, wavelength, angle, padded)
    return hcipy_three_plane_propagation(model, wavelength, npix, padded)(field)


def hcipy_three_plane_propagation(model, wavelength, npix, padded):
    """Function of the pupil's field (padded^2,) that gives the image."""
    import hcipy

    grid, _ = _hcipy_pupil_field(model, wavelength, (0.0, 0.0), padded)
    surface = model.optics.surfaces()[0]
    x = np.asarray(surface.height) * grid.separated_coords[0]
    stop, opd = (np.asarray(part).ravel() for part in surface.mirror.surface(x, x, 1.5 * float(x[1] - x[0])))
    at_m2 = hcipy.Field(stop * np.exp(2j * np.pi / wavelength * opd), grid)
    # The grid is padded already; without smoothing the transfer function is that of Fresnel at each frequency.
    to_m2 = hcipy.FresnelPropagator(grid, float(surface.distance), num_oversampling=1, zero_padding=1)
    focus, photons = _hcipy_focus(model, grid, npix)

    def propagate(field):
        wavefront = to_m2(hcipy.Wavefront(field, wavelength))
        wavefront.electric_field = wavefront.electric_field * at_m2
        return np.asarray(focus(wavefront).intensity).reshape(npix, npix) * photons

    return propagate


def _poppy_pupil(model):
    import astropy.units as u
    import poppy

    transmission, opd = pupil(model)
    pixel = model.optics.m1.diameter.item() / model.optics.pupil_npix * u.m / u.pixel
    return poppy.ArrayOpticalElement(transmission=transmission, opd=opd, pixelscale=pixel, name="pupil")


def poppy_two_planes(model, wavelength, npix):
    """Fraunhofer, by a matrix Fourier transform; POPPY's image is turned by half a turn."""
    import astropy.units as u
    import poppy

    system = poppy.OpticalSystem(
        oversample=1, npix=model.optics.pupil_npix, pupil_diameter=model.optics.m1.diameter.item() * u.m
    )
    system.add_pupil(_poppy_pupil(model))
    system.add_detector(pixelscale=float(model.plate_scale_as), fov_pixels=npix)
    return system.calc_psf(wavelength=wavelength, normalize="first")[0].data[::-1, ::-1]


@functools.cache
def _poppy_lens(focal_length, name):
    import astropy.units as u
    import poppy

    return poppy.QuadraticLens(focal_length * u.m, name=name)


def poppy_three_plane_system(model, beam_ratio):
    """Two lenses and the space between and behind them, as they stand; the optics beyond the pupil are clear."""
    import astropy.units as u
    import poppy

    optics = model.optics
    system = poppy.FresnelOpticalSystem(
        pupil_diameter=optics.m1.diameter.item() * u.m, npix=optics.pupil_npix, beam_ratio=beam_ratio
    )
    system.add_optic(_poppy_pupil(model))
    system.add_optic(_poppy_lens(optics.m1.focal_length.item(), "M1"))
    system.add_optic(_poppy_lens(optics.m2.focal_length.item(), "M2"), distance=optics.plane_separation.item() * u.m)
    focus = poppy.ScalarTransmission(planetype=poppy.poppy_core.PlaneType.intermediate, name="focus")
    system.add_optic(focus, distance=optics.focus().back_focal_distance.item() * u.m)
    return system


def poppy_three_planes(model, wavelength, npix, beam_ratio=0.25):
    """Fresnel propagation through real lenses, and the pitch of its image (metres); turned by half a turn."""
    import astropy.units as u

    system = poppy_three_plane_system(model, beam_ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, waves = system.calc_psf(wavelength=wavelength, return_final=True)
    whole = np.asarray(waves[-1].intensity)
    middle = whole.shape[0] // 2
    cut = whole[middle - npix // 2 : middle + npix // 2, middle - npix // 2 : middle + npix // 2] / whole.sum()
    return np.roll(cut[::-1, ::-1], 1, (0, 1)), waves[-1].pixelscale.to_value(u.m / u.pixel)
