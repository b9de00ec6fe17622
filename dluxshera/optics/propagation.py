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

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .phasor import phasor

TAPER_START = 0.65  # the part of the kept band that is passed unchanged; beyond it the smooth edge begins


class Lattice(NamedTuple):
    """Samples of a field after the pupil: `band` samples across a period of `pad` pupil pixels.

    Attributes
    ----------
    x : Array (band,), metres
        Sample positions, the same along rows and columns; the period is wrapped around the pupil.
    frequency : Array (band,), 1/metres
        Their discrete frequencies, in FFT order.
    """

    x: Float[Array, " band"]
    frequency: Float[Array, " band"]


def lattice(pupil_npix: int, pad_npix: int, band_npix: int, diameter: Float[Array, ""]) -> Lattice:
    """Lattice of `band_npix` samples over `pad_npix` pupil pixels, for a pupil of `diameter` metres."""
    steps = np.arange(band_npix) * (pad_npix / band_npix)
    steps = np.where(steps > (pupil_npix + pad_npix) / 2, steps - pad_npix, steps)
    pixel = diameter / pupil_npix
    frequency = np.fft.fftfreq(band_npix, 1 / band_npix) / pad_npix
    return Lattice(pixel * (steps - (pupil_npix - 1) / 2), jnp.asarray(frequency) / pixel)


def taper(pad_npix: int, band_npix: int) -> np.ndarray:
    """Smooth edge (band_npix,) of a cropped band, in FFT order; ones where nothing is cropped."""
    if band_npix == pad_npix:
        return np.ones(band_npix)
    distance = np.abs(np.fft.fftfreq(band_npix)) * 2
    t = np.clip((distance - TAPER_START) / (1 - TAPER_START), 1e-12, 1 - 1e-12)
    rise, fall = np.exp(-1 / t), np.exp(-1 / (1 - t))
    return fall / (rise + fall)


def band_spectrum(field: Complex[Array, "n n"], pad_npix: int, band_npix: int) -> Complex[Array, "band band"]:
    """Spectrum of a pupil field padded to `pad_npix`, cropped to `band_npix` frequencies per axis, in FFT order."""
    kept = np.fft.fftfreq(band_npix, 1 / band_npix).astype(int) % pad_npix
    rows = jnp.fft.fft(field, pad_npix, axis=1)[:, kept]
    return jnp.fft.fft(rows, pad_npix, axis=0)[kept, :]


def transfer_function(
    frequency: Float[Array, " m"], wavelength: Float[Array, ""], distance: Float[Array, ""]
) -> Complex[Array, " m"]:
    """One axis of the Fresnel transfer function exp(-i pi wavelength distance f^2); the constant k z is dropped."""
    return phasor(-jnp.pi * wavelength * distance * frequency**2)


def matrix_product(a: Complex[Array, "... n k"], b: Complex[Array, "... k m"]) -> Complex[Array, "... n m"]:
    """Complex matrix product by three real ones, which a CPU runs faster than the complex one."""
    real, imag = a.real @ b.real, a.imag @ b.imag
    mixed = (a.real + a.imag) @ (b.real + b.imag)
    return jnp.asarray(real - imag + 1j * (mixed - real - imag))


def focal_kernel(
    x: Float[Array, " m"], xi: Float[Array, " n"], wavelength: Float[Array, ""], focal_length: Float[Array, ""]
) -> Complex[Array, "n m"]:
    """Kernel exp(-i k xi x / focal_length) from positions `x` to detector positions `xi` (all metres)."""
    return phasor((-2 * jnp.pi / (wavelength * focal_length)) * xi[:, None] * x[None, :])


def focal_field(field: Complex[Array, "... m m"], kernel: Complex[Array, "n m"]) -> Complex[Array, "... n n"]:
    """Matrix Fourier transform of a field to the square grid of `focal_kernel`."""
    return matrix_product(matrix_product(kernel, field), kernel.T)
