"""Wave propagation from the entrance pupil to the focal plane, in collimated-equivalent coordinates.

Coordinates at every plane are divided by its marginal-ray height, so lens powers vanish and one transfer function
joins two planes. Three facts make the chain cheap:

* A star off axis by `a` tilts the pupil field, and a tilted field propagates like the untilted one shifted by
  `z a`. So all stars share one propagation, and the *surfaces* are evaluated at shifted coordinates instead.
* Only the frequencies that reach the image matter. The spectrum is cropped (with a smooth edge) to that band, so
  that everything after the first transform lives on a coarser grid; the smooth edge also removes most of
  the wrap-around error of a discrete propagation.
* The transfer function has modulus one, so the field of the last mirror is transformed to focus directly.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .phasor import phasor

TAPER_START = 0.65  # the part of the kept band that is passed unchanged; beyond it the smooth edge begins


class Lattice(NamedTuple):
    """Samples of a field after the pupil: `band_npix` samples across a period of `pad_npix` pupil pixels.

    With `band_npix` equal to `pad_npix` the samples are pupil pixels, and the whole band is kept.
    """

    pupil_npix: int
    pad_npix: int
    band_npix: int

    @property
    def steps(self) -> np.ndarray:
        """Sample positions (band_npix,) in pupil pixels from the axis; the period is wrapped around the pupil."""
        steps = np.arange(self.band_npix) * (self.pad_npix / self.band_npix)
        wrapped = np.where(steps > (self.pupil_npix + self.pad_npix) / 2, steps - self.pad_npix, steps)
        return wrapped - (self.pupil_npix - 1) / 2

    @property
    def harmonics(self) -> np.ndarray:
        """Integer frequencies (band_npix,) in cycles per period, in FFT order."""
        return np.fft.fftfreq(self.band_npix, 1 / self.band_npix).astype(int)


def taper(grid: Lattice) -> np.ndarray:
    """Smooth edge (band_npix,) of a cropped band, in FFT order; ones where nothing is cropped."""
    if grid.band_npix == grid.pad_npix:
        return np.ones(grid.band_npix)
    distance = np.abs(grid.harmonics) * 2 / grid.band_npix
    t = np.clip((distance - TAPER_START) / (1 - TAPER_START), 1e-12, 1 - 1e-12)
    rise, fall = np.exp(-1 / t), np.exp(-1 / (1 - t))
    return fall / (rise + fall)


def band_spectrum(field: Complex[Array, "n n"], grid: Lattice) -> Complex[Array, "m m"]:
    """Spectrum of a pupil field padded to the period, cropped to the band, in FFT order."""
    kept = grid.harmonics % grid.pad_npix
    rows = jnp.fft.fft(field, grid.pad_npix, axis=1)[:, kept]
    return jnp.fft.fft(rows, grid.pad_npix, axis=0)[kept, :]


def transfer_function(
    frequency: Float[Array, " m"], wavelength: Float[Array, ""], distance: Float[Array, ""]
) -> Complex[Array, " m"]:
    """One axis of the Fresnel transfer function exp(-i pi wavelength distance f^2); the constant k z is dropped."""
    return phasor(-jnp.pi * wavelength * distance * frequency**2)


def matrix_product(a: Complex[Array, "... n k"], b: Complex[Array, "... k m"]) -> Complex[Array, "... n m"]:
    """Complex matrix product by three real ones, which a CPU runs faster than the complex one."""
    real, imag = a.real @ b.real, a.imag @ b.imag
    mixed = (a.real + a.imag) @ (b.real + b.imag)
    return jax.lax.complex(real - imag, mixed - real - imag)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def focal_field(
    field: Complex[Array, "s m m"], phase_step: Float[Array, ""], grid: Lattice, npix: int
) -> Complex[Array, "s n n"]:
    """Matrix Fourier transform to `npix` x `npix` focal points: sum of field exp(-2 pi i phase_step xi x).

    Parameters
    ----------
    field : Array (s, band_npix, band_npix)
        On the lattice `grid`.
    phase_step : Array ()
        Cycles per pupil pixel and focal point: pixel * pitch / (wavelength * focal length).
    grid : Lattice
    npix : int
        Focal points per side, centred on the axis.
    """
    kernel = _focal_kernel(phase_step, grid, npix)
    return matrix_product(matrix_product(kernel, field), kernel.T)


@focal_field.defjvp
def _focal_field_jvp(grid, npix, primals, tangents):
    """The step is one number, so its derivative costs three products once, however many tangents there are."""
    (field, phase_step), (field_dot, step_dot) = primals, tangents
    kernel, steps = _focal_kernel(phase_step, grid, npix), jnp.asarray(grid.steps, phase_step.dtype)
    points = jnp.asarray(_centred(npix), phase_step.dtype)
    half = matrix_product(kernel, field)
    by_rows = points[:, None] * matrix_product(matrix_product(kernel, field * steps[:, None]), kernel.T)
    by_columns = matrix_product(half * steps, kernel.T) * points
    slope = -2j * jnp.pi * (by_rows + by_columns)
    moved = matrix_product(matrix_product(kernel, field_dot), kernel.T)
    return matrix_product(half, kernel.T), moved + step_dot * slope


def _focal_kernel(phase_step: Float[Array, ""], grid: Lattice, npix: int) -> Complex[Array, "n m"]:
    cycles = jnp.asarray(np.outer(_centred(npix), grid.steps), phase_step.dtype)
    return phasor(-2 * jnp.pi * phase_step * cycles)


def _centred(npix: int) -> np.ndarray:
    return np.arange(npix) - (npix - 1) / 2
