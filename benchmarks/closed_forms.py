"""Free-space propagation and Zernike polynomials against closed forms: (name, against, difference, tolerance)."""

import jax.numpy as jnp
import numpy as np

from dluxshera.optics.propagation import Lattice, band_spectrum, transfer_function
from dluxshera.optics.zernikes import zernike_sum

WAVELENGTH = jnp.asarray(550e-9)


def propagated(field, width, distance, pad):
    """A square field of some width (metres), after a distance (metres); on its own samples."""
    npix = field.shape[0]
    grid = Lattice(npix, pad, pad)
    frequency = jnp.asarray(grid.harmonics / pad) * npix / width
    step = transfer_function(frequency, WAVELENGTH, jnp.asarray(distance))
    there = jnp.fft.ifft2(band_spectrum(jnp.asarray(field, complex), grid) * (step[:, None] * step))
    first = int(np.argmin(np.abs(grid.steps + (npix - 1) / 2)))  # the pupil lies in the middle of the period
    return np.asarray(there[first : first + npix, first : first + npix])


def coordinates(npix, width):
    """(npix,), metres from the axis."""
    return (np.arange(npix) - (npix - 1) / 2) * width / npix


def gaussian_beam():
    """Intensity (w0/w)^2 exp(-2 r^2/w^2) with w = w0 sqrt(1 + (z/z_R)^2), z_R = pi w0^2 / lambda (Siegman, 1986)."""
    width, waist = 0.02, 1.2e-3
    x = coordinates(256, width)
    radius2 = x**2 + x[:, None] ** 2
    rayleigh = np.pi * waist**2 / float(WAVELENGTH)
    for ratio in (0.5, 2.0):
        wide = waist * np.sqrt(1 + ratio**2)
        exact = (waist / wide) ** 2 * np.exp(-2 * radius2 / wide**2)
        found = np.abs(propagated(np.exp(-radius2 / waist**2), width, ratio * rayleigh, 512)) ** 2
        yield (f"Gaussian beam after {ratio:g} Rayleigh lengths", "closed form", np.abs(found - exact).max(), 1e-9)


def talbot_image():
    """A grating images itself after 2 p^2 / lambda, and shifted by half a period at half of that."""
    npix, width, periods = 256, 0.01, 8
    period = width / periods
    field = (1 + 0.5 * np.cos(2 * np.pi * coordinates(npix, width) / period)) * np.ones((npix, 1))
    length = 2 * period**2 / float(WAVELENGTH)
    half = npix // periods // 2
    for share, expected, name in ((1.0, field, ""), (0.5, np.roll(field, half, axis=1), "half ")):
        found = np.abs(propagated(field, width, share * length, npix)) ** 2
        yield (f"grating after {name}a Talbot length", "closed form", np.abs(found - expected**2).max(), 1e-10)


def aperture_on_axis():
    """4 sin^2(pi a^2 / (2 lambda z)) behind a circular aperture (Goodman, Introduction to Fourier Optics, ch. 4)."""
    npix, width, radius = 257, 4e-3, 1e-3
    x = coordinates(npix, width)
    edge = width / npix
    disc = np.clip((radius - np.sqrt(x**2 + x[:, None] ** 2)) / edge + 0.5, 0, 1)
    for number in (3.0, 4.5, 5.0):  # Fresnel numbers a^2 / (lambda z): bright, in between, bright
        found = np.abs(propagated(disc, width, radius**2 / (float(WAVELENGTH) * number), 2048)) ** 2
        exact = 4 * np.sin(np.pi * number / 2) ** 2
        difference = abs(found[npix // 2, npix // 2] - exact) / 4
        yield (f"on axis behind a circular aperture, Fresnel number {number:g}", "closed form", difference, 2e-2)


def zernikes(npix=2000, terms=36):
    """Noll's polynomials have unit RMS over the disc and are orthogonal there (Noll, JOSA 66, 207, 1976)."""
    x = jnp.asarray(coordinates(npix, 2.0))
    inside = np.asarray(x**2 + x[:, None] ** 2 <= 1)
    indices = tuple(range(1, terms + 1))
    modes = [np.asarray(zernike_sum(jnp.eye(terms)[i], indices, x, x))[inside] for i in range(terms)]
    gram = np.array([[np.mean(a * b) for b in modes] for a in modes])
    yield (f"mean products of the first {terms} Zernikes", "the unit matrix", np.abs(gram - np.eye(terms)).max(), 1e-3)


def all_of_them():
    """Every comparison."""
    for part in (gaussian_beam, talbot_image, aperture_on_axis, zernikes):
        yield from part()
