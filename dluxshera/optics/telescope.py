"""What every telescope variant shares: from stars to the sampled intensity on the detector."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from ..params import Model
from .mirrors import PrimaryMirror, SecondaryMirror
from .phasor import phasor
from .propagation import Lattice, band_spectrum, focal_field, focal_kernel, lattice, taper, transfer_function


class Stars(NamedTuple):
    """Point sources, as the optics see them.

    Attributes
    ----------
    positions : Array (s, 2), radians
        Field angles (x, y); +x is +column, +y is +row.
    photons : Array (s, k)
        Photons of each star at each wavelength, through the clear aperture.
    wavelengths : Array (k,), metres
    """

    positions: Float[Array, "s 2"]
    photons: Float[Array, "s k"]
    wavelengths: Float[Array, " k"]


class Surface(NamedTuple):
    """A mirror after the pupil: collimated-equivalent distance from the plane before (metres), height y, mirror."""

    distance: Float[Array, ""]
    height: Float[Array, ""]
    mirror: SecondaryMirror


class Focus(NamedTuple):
    """Last height y, distance of the detector from the last mirror, and back focal distance (metres)."""

    height: Float[Array, ""]
    detector_distance: Float[Array, ""]
    back_focal_distance: Float[Array, ""]


class _Surfaces(NamedTuple):
    """Stop and optical path difference of each surface, as seen by each star."""

    stops: list[Float[Array, "s m m"]]
    errors: list[Float[Array, "s m m"]]


class AbstractTelescope(Model):
    """A chain of planes from the pupil to the focus; a variant says which planes, and what sets the focal length."""

    m1: eqx.AbstractVar[PrimaryMirror]
    diffractive_pupil_fraction: eqx.AbstractVar[Float[Array, "n n"]]
    diffractive_pupil_step_m: eqx.AbstractVar[Float[Array, ""]]
    focal_length: eqx.AbstractVar[Float[Array, ""]]
    focus_shift: eqx.AbstractVar[Float[Array, ""]]
    throughput: eqx.AbstractVar[Float[Array, ""]]
    pupil_npix: eqx.AbstractVar[int]
    psf_npix: eqx.AbstractVar[int]
    oversample: eqx.AbstractVar[int]
    pad_npix: eqx.AbstractVar[int]
    band_npix: eqx.AbstractVar[int]
    focal_samples: eqx.AbstractVar[int]

    @abc.abstractmethod
    def surfaces(self) -> tuple[Surface, ...]:
        """The mirrors after the pupil, in order."""

    @abc.abstractmethod
    def focus(self) -> Focus:
        """Where the detector stands."""

    @abc.abstractmethod
    def with_focal_length(self, value: Float[Array, ""]) -> "AbstractTelescope":
        """The telescope whose focal length (metres) is `value`, solved for the primitive of `focal_length_primitive`."""

    @property
    @abc.abstractmethod
    def focal_length_primitive(self) -> str:
        """Name of the parameter that `with_focal_length` moves."""

    def pupil_field(self, wavelength: Float[Array, ""], wavefront: Float[Array, "n n"]) -> Complex[Array, "n n"]:
        """Field at the entrance pupil for unit total power; T [(1 - f) + f exp(i k step)] exp(i k wavefront)."""
        wavenumber = 2 * jnp.pi / wavelength
        mask, fraction = self.m1.transmission, self.diffractive_pupil_fraction
        step = phasor(wavenumber * self.diffractive_pupil_step_m)
        amplitude = mask / jnp.sqrt(jnp.sum(mask**2))
        return amplitude * (1 + fraction * (step - 1)) * phasor(wavenumber * wavefront)

    def intensity(self, stars: Stars, pixel_pitch: Float[Array, ""], npix: int) -> Float[Array, "n n"]:
        """Photons per pixel-sized cell around each of `npix` x `npix` points, without pixel integration.

        Parameters
        ----------
        stars : Stars
        pixel_pitch : Array (), metres
            Spacing of the points, centred on the optical axis.
        npix : int
            Points per side.

        Returns
        -------
        Array (npix, npix)
            |field|^2 times the cell's area; the sum over all space is the photons let through.
        """
        grid = lattice(self.pupil_npix, self.pad_npix, self.band_npix, self.m1.diameter)
        focus, surfaces = self.focus(), self.surfaces()
        wavefront = self.m1.wavefront()
        achromatic = self._achromatic(stars, grid, surfaces)
        xi = pixel_pitch * (jnp.arange(npix) - (npix - 1) / 2)

        def add_wavelength(image, inputs):
            wavelength, photons = inputs
            field = self._at_last_plane(wavelength, wavefront, grid, surfaces, achromatic)
            field = field * _tilts(stars.positions, grid.x, focus, wavelength)
            focal_length = focus.detector_distance / focus.height
            focal = focal_field(field, focal_kernel(grid.x, xi, wavelength, focal_length))
            scale = (pixel_pitch * self.m1.diameter / (self.pupil_npix * wavelength * focal_length)) ** 2
            return image + scale * jnp.tensordot(photons, focal.real**2 + focal.imag**2, 1), None

        start = jnp.zeros((npix, npix), xi.dtype)
        image, _ = jax.lax.scan(add_wavelength, start, (stars.wavelengths, stars.photons.T))
        return self.throughput * image

    def _achromatic(self, stars: Stars, grid: Lattice, surfaces: tuple[Surface, ...]) -> _Surfaces:
        """Surfaces seen by each star: their coordinates move by the star's angle times the distance travelled."""
        stops, errors, travelled = [], [], 0.0
        for surface in surfaces:
            travelled = travelled + surface.distance
            edge = 1.5 * jnp.abs(surface.height) * self.m1.diameter * self.pad_npix / (self.pupil_npix * self.band_npix)

            def seen(angle, surface=surface, travelled=travelled, edge=edge):
                x, y = (surface.height * (grid.x + travelled * angle[axis]) for axis in (0, 1))
                return surface.mirror.surface(x, y, edge)

            stop, error = jax.vmap(seen)(stars.positions)
            stops.append(stop)
            errors.append(error)
        return _Surfaces(stops, errors)

    def _at_last_plane(self, wavelength, wavefront, grid, surfaces, achromatic) -> Complex[Array, "s m m"]:
        """Field at the last mirror, one for each star (one for all of them where no surface tells them apart)."""
        spectrum = band_spectrum(self.pupil_field(wavelength, wavefront), self.pad_npix, self.band_npix)
        edge = jnp.asarray(taper(self.pad_npix, self.band_npix), wavefront.dtype)
        field = jnp.fft.ifft2(spectrum * edge[:, None] * edge[None, :])[None] if not surfaces else None
        for index, surface in enumerate(surfaces):
            step = transfer_function(grid.frequency, wavelength, surface.distance) * (edge if index == 0 else 1.0)
            field = jnp.fft.ifft2(spectrum * step[:, None] * step[None, :])
            field = achromatic.stops[index] * phasor(2 * jnp.pi / wavelength * achromatic.errors[index]) * field
            spectrum = jnp.fft.fft2(field) if index + 1 < len(surfaces) else None
        return field


def _tilts(positions, x, focus: Focus, wavelength) -> Complex[Array, "s m m"]:
    """Phase exp(i k (a . X)) of each star, with the defocus of a detector away from the paraxial focus."""
    wavenumber = 2 * jnp.pi / wavelength
    defocus = 0.5 * focus.height**2 * (1 / focus.detector_distance - 1 / focus.back_focal_distance)
    axes = [phasor(wavenumber * (positions[:, axis, None] * x + defocus * x**2)) for axis in (0, 1)]
    return axes[1][:, :, None] * axes[0][:, None, :]

