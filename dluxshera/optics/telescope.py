"""What every telescope variant shares: from stars to the sampled intensity on the detector."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Inexact

from ..params import Model
from .focal import focal_field
from .mirrors import EntrancePupil, PrimaryMirror, Relay, SecondaryMirror
from .phasor import phasor, wave
from .propagation import Lattice, band_spectrum, taper, transfer_function

STOP_EDGE = 1.5  # width of a stop's soft edge, in samples


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
    mirror: SecondaryMirror | Relay


class Focus(NamedTuple):
    """Last height y, distance of the detector from the last mirror, and back focal distance (metres)."""

    height: Float[Array, ""]
    detector_distance: Float[Array, ""]
    back_focal_distance: Float[Array, ""]


class Pupil(NamedTuple):
    """Amplitude T of unit power, fraction f with the diffractive pupil's step, and wavefront (metres); (y, x) each."""

    amplitude: Float[Array, "y x"]
    fraction: Float[Array, "y x"]
    wavefront: Float[Array, "y x"]

    def padded(self, npix: int) -> "Pupil":
        """Dark beyond the last column, up to `npix` of them."""
        return jax.tree.map(lambda part: jnp.pad(part, ((0, 0), (0, npix - part.shape[1]))), self)


class AbstractTelescope(Model):
    """A chain of planes from the pupil to the focus; a variant says which planes, and what sets the focal length."""

    m1: eqx.AbstractVar[EntrancePupil | PrimaryMirror]
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
        """The telescope with focal length `value` (metres), solved for its `focal_length_primitive`."""

    @property
    @abc.abstractmethod
    def focal_length_primitive(self) -> str:
        """Name of the parameter that `with_focal_length` moves."""

    def pupil(self) -> Pupil:
        """What the entrance pupil does to light, whatever its wavelength."""
        mask = self.m1.transmission
        return Pupil(mask / jnp.sqrt(jnp.sum(mask**2)), self.diffractive_pupil_fraction, self.m1.wavefront())

    def pupil_field(self, pupil: Pupil, wavelength: Float[Array, ""]) -> Complex[Array, "y x"]:
        """Field at the entrance pupil for unit total power; T [(1 - f) + f exp(i k step)] exp(i k wavefront)."""
        wavenumber = 2 * jnp.pi / wavelength
        step = phasor(wavenumber * self.diffractive_pupil_step_m)
        pattern = jax.lax.complex(1 + pupil.fraction * (step.real - 1), pupil.fraction * step.imag)
        return pattern * wave(pupil.amplitude, wavenumber * pupil.wavefront)

    def intensity(
        self, stars: Stars, pixel_pitch: Float[Array, ""], npix: int, centre: Float[Array, "2"] | None = None
    ) -> Float[Array, "n n"]:
        """Photons per pixel-sized cell around each of `npix` x `npix` points, without pixel integration.

        Parameters
        ----------
        stars : Stars
        pixel_pitch : Array (), metres
            Spacing of the points.
        npix : int
            Points per side.
        centre : Array (2,), metres, optional
            Where the middle (x, y) of the points lies on the detector; the optical axis without it.

        Returns
        -------
        Array (npix, npix)
            |field|^2 times the cell's area; the sum over all space is the photons let through.
        """
        grid = Lattice(self.pupil_npix, self.pad_npix, self.band_npix)
        focus, surfaces = self.focus(), self.surfaces()
        pixel = self.m1.diameter / self.pupil_npix
        # Padded before the loop: numbers are evaluated in vectors where no sample is a special case.
        pupil = self.pupil().padded(self.pad_npix)
        stops, errors = self._seen_surfaces(stars, grid, surfaces)
        walk = sum(surface.distance for surface in surfaces) * stars.positions
        angles = stars.positions
        if centre is not None:
            angles = angles - focus.height * centre / focus.detector_distance
        filters = self._filters(grid, surfaces, stars.wavelengths)
        tilts = _tilts(angles, pixel * grid.steps, walk, focus, stars.wavelengths)

        def add_wavelength(image, inputs):
            wavelength, photons, filters, (rows, columns) = inputs
            entering, phases = self.pupil_field(pupil, wavelength), [2 * jnp.pi / wavelength * e for e in errors]
            field = _at_last_plane(entering, grid, filters, stops, phases)
            field = field * (rows[:, :, None] * columns[:, None, :])
            phase_step = pixel * pixel_pitch * focus.height / (wavelength * focus.detector_distance)

            def add_star(image, inputs):
                field, photons_per_cell = inputs
                focal = focal_field(field, phase_step, grid, npix)
                return image + photons_per_cell * (focal.real**2 + focal.imag**2), None

            return _over_stars(_recomputed(add_star), image, field, photons * phase_step**2)

        start = jnp.zeros((npix, npix), pupil.wavefront.dtype)
        inputs = (stars.wavelengths, stars.photons.T, filters, tilts)
        image, _ = jax.lax.scan(_recomputed(add_wavelength), start, inputs)
        return self.throughput * image

    def _seen_surfaces(self, stars: Stars, grid: Lattice, surfaces: tuple[Surface, ...]):
        """Stop and path difference of each surface for each star, achromatic.

        A star at an angle sees a surface displaced by the angle times the distance travelled.
        """
        pixel = self.m1.diameter / self.pupil_npix
        stops, errors, travelled = [], [], 0.0
        for surface in surfaces:
            travelled = travelled + surface.distance
            centres = surface.height * travelled * stars.positions
            lattice = surface.height * pixel * grid.steps
            edge = STOP_EDGE * jnp.abs(surface.height) * pixel * (grid.pad_npix / grid.band_npix)

            def seen(centre, mirror=surface.mirror, lattice=lattice, edge=edge):
                return mirror.surface(lattice + centre[0], lattice + centre[1], edge)

            stop, error = jax.vmap(seen)(centres)
            stops.append(stop)
            errors.append(error)
        return stops, errors

    def _filters(self, grid: Lattice, surfaces: tuple[Surface, ...], wavelengths) -> list[Inexact[Array, "k m"]]:
        """One axis of what multiplies the spectrum on the way to each plane; the first has the band's edge in it.

        For all wavelengths at once: within their loop the compiler would evaluate an axis anew at every sample.
        """
        edge = jnp.asarray(taper(grid), wavelengths.dtype)
        frequency = jnp.asarray(grid.harmonics / grid.pad_npix) * self.pupil_npix / self.m1.diameter
        of_each = jax.vmap(transfer_function, (None, 0, None))
        steps = [of_each(frequency, wavelengths, surface.distance) for surface in surfaces]
        first = edge * steps[0] if steps else jnp.broadcast_to(edge, (len(wavelengths), grid.band_npix))
        return [first, *steps[1:]]


def _at_last_plane(
    pupil: Complex[Array, "n pad"],
    grid: Lattice,
    filters: list[Inexact[Array, " m"]],
    stops: list[Float[Array, "s m m"]],
    phases: list[Float[Array, "s m m"]],
) -> Complex[Array, "s m m"]:
    """Field at the last plane, one for each star (a single one where no surface tells them apart)."""
    field = jnp.fft.ifft2(band_spectrum(pupil, grid, filters[0]))[None]
    for plane, (stop, phase) in enumerate(zip(stops, phases, strict=True)):
        if plane > 0:
            axis = filters[plane]
            field = jnp.fft.ifft2(jnp.fft.fft2(field) * (axis[:, None] * axis))
        field = field * wave(stop, phase)
    return field


def _recomputed(add):
    """A loop's body whose inner fields a gradient computes again and does not store, for all wavelengths at once.

    That is no slower, since what it stores goes through memory that must be mapped first, and takes a tenth of it.
    """
    return jax.checkpoint(add, prevent_cse=False)


def _over_stars(add, image, fields, photons_per_cell):
    """Scan of `add` over the stars, whose fields are first put into memory.

    XLA on a CPU would else compute each field, with the phase of the last mirror, anew at all of its uses. What goes
    into a loop is in memory, and so is what goes into a branch: one star alone makes no loop.
    """
    if len(photons_per_cell) > 1:
        return jax.lax.scan(add, image, (fields, photons_per_cell))
    star = (fields[0], photons_per_cell[0])
    without_number = lambda image, star: (image + star[1], None)  # noqa: E731
    return jax.lax.cond(jnp.isnan(star[1]), without_number, add, image, star)


def _tilts(positions, x, walk, focus: Focus, wavelengths) -> tuple[Complex[Array, "k s m"], Complex[Array, "k s m"]]:
    """Phase exp(i k (a . X)) of each star along rows and columns, with the defocus of a detector off the focus.

    The field lives in each star's own frame, so the defocus sees it displaced by the beam's `walk` (s, 2). Along axes,
    for all wavelengths, for the reason that `_filters` has.
    """
    wavenumbers = (2 * jnp.pi / wavelengths)[:, None, None]
    defocus = 0.5 * focus.height**2 * (1 / focus.detector_distance - 1 / focus.back_focal_distance)

    def axis_phase(axis):
        position, displaced = positions[:, axis, None], x + walk[:, axis, None]
        return phasor(wavenumbers * (position * x + defocus * displaced**2))

    return axis_phase(1), axis_phase(0)
