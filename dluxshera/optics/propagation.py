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
from jaxtyping import Array, Complex, Float, Inexact

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
    def _spacing(self) -> float:
        return self.pad_npix / self.band_npix

    @property
    def _before(self) -> int:
        """Samples before the pupil's first pixel."""
        return round((self.band_npix - 1 - (self.pupil_npix - 1) / self._spacing) / 2)

    @property
    def steps(self) -> np.ndarray:
        """Sample positions (band_npix,) in pupil pixels from the axis; the pupil lies in the middle of the period."""
        return (np.arange(self.band_npix) - self._before) * self._spacing - (self.pupil_npix - 1) / 2

    @property
    def centred_steps(self) -> np.ndarray:
        """The same (band_npix,), from the middle of the samples, which is the axis or nearly so."""
        return (np.arange(self.band_npix) - (self.band_npix - 1) / 2) * self._spacing

    @property
    def origin_phases(self) -> np.ndarray:
        """Factor (band_npix,) on a spectrum taken from the pupil's first pixel, for one taken from the first sample."""
        turns = self.harmonics * self._before % self.band_npix / self.band_npix
        return np.exp(-2j * np.pi * turns)

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


def band_spectrum(
    field: Complex[Array, "n ..."], grid: Lattice, filter_axis: Inexact[Array, " m"] | float = 1.0
) -> Complex[Array, "m m"]:
    """Spectrum of a pupil field padded to the period, cropped to the band, in FFT order.

    Its inverse transform is the field at the lattice's `steps`, up to the change of scale of a cropped band.
    Rows of the field may be padded already. `filter_axis` multiplies the spectrum along both axes.
    """
    rows = _kept(jnp.fft.fft(field, grid.pad_npix), grid)
    axis = jnp.asarray(grid.origin_phases, field.dtype) * filter_axis
    return _kept(jnp.fft.fft(rows.T, grid.pad_npix), grid).T * (axis[:, None] * axis)


def _kept(spectra: Complex[Array, "y pad"], grid: Lattice) -> Complex[Array, "y m"]:
    """The band of spectra along the last axis, in FFT order."""
    if grid.band_npix == grid.pad_npix:
        return spectra
    negative = grid.band_npix // 2
    return jnp.concatenate([spectra[:, : grid.band_npix - negative], spectra[:, grid.pad_npix - negative :]], axis=1)


def transfer_function(
    frequency: Float[Array, " m"], wavelength: Float[Array, ""], distance: Float[Array, ""]
) -> Complex[Array, " m"]:
    """One axis of the Fresnel transfer function exp(-i pi wavelength distance f^2); the constant k z is dropped."""
    return phasor(-jnp.pi * wavelength * distance * frequency**2)
