"""The instrument of scanning coherent diffraction: sample, probe and scan, joined into expected counts."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float, Num

from ..params import Model, ParameterError, Softplus, derived, param, static
from .batches import map_batches
from .propagation import WINDOWS, expected_counts

BATCH = 32  # patterns that are computed together
EV_METRES = 1.2398419843320026e-6  # photon energy times wavelength, CODATA 2018


class Sample(Model):
    """The complex transmission of the sample, on the canvas."""

    object_real: Float[Array, "h w"] = param("", "Real part of the transmission.", symbol=r"\Re O")
    object_imag: Float[Array, "h w"] = param("", "Imaginary part of the transmission.", symbol=r"\Im O")

    def __check_init__(self):
        if jnp.shape(self.object_real) != jnp.shape(self.object_imag):
            raise ParameterError(
                f"Sample: Expected object_real and object_imag of one shape, got {jnp.shape(self.object_real)} "
                f"and {jnp.shape(self.object_imag)}."
            )

    @property
    def object(self) -> Complex[Array, "h w"]:
        """The transmission, (h, w)."""
        return self.object_real + 1j * self.object_imag

    @derived("", "Amplitude of the transmission.", symbol="|O|")
    def amplitude(self) -> Float[Array, "h w"]:
        """Shape (h, w)."""
        return jnp.abs(self.object)

    @derived("rad", "Phase of the transmission.", symbol=r"\arg O")
    def phase(self) -> Float[Array, "h w"]:
        """Shape (h, w)."""
        return jnp.angle(self.object)


class Probe(Model):
    """The illumination: incoherent modes, scaled so that their orthonormal far field squared is photons."""

    modes_real: Float[Array, "m N N"] = param("ph(1/2)", "Real part of the modes.", symbol=r"\Re P")
    modes_imag: Float[Array, "m N N"] = param("ph(1/2)", "Imaginary part of the modes.", symbol=r"\Im P")

    def __check_init__(self):
        shapes = jnp.shape(self.modes_real), jnp.shape(self.modes_imag)
        if shapes[0] != shapes[1] or len(shapes[0]) != 3 or shapes[0][1] != shapes[0][2]:
            raise ParameterError(f"Probe: Expected modes_real and modes_imag of one shape (m, N, N), got {shapes}.")

    @property
    def modes(self) -> Complex[Array, "m N N"]:
        """The modes, (m, N, N)."""
        return self.modes_real + 1j * self.modes_imag

    @property
    def npix(self) -> int:
        """N."""
        return self.modes_real.shape[-1]

    @derived("ph", "Photons in each mode.", symbol=r"\Phi_m")
    def mode_photons(self) -> Float[Array, " m"]:
        """Shape (m,)."""
        return jnp.sum(self.modes_real**2 + self.modes_imag**2, axis=(1, 2))

    @derived("pix", "Diameter of the disk of even light with the same participation area.", symbol="d_P")
    def diameter(self) -> Float[Array, ""]:
        """Of the area (sum I)^2 / sum I^2."""
        intensity = jnp.sum(self.modes_real**2 + self.modes_imag**2, axis=0)
        return 2 * jnp.sqrt(jnp.sum(intensity) ** 2 / jnp.sum(intensity**2) / jnp.pi)


class Scan(Model):
    """Where the patterns were taken, on the canvas."""

    positions: Float[Array, "n 2"] = param("pix", "(y, x) on the canvas of each window's pixel [N//2, N//2].")

    @derived("pix", "Median distance of a position to its nearest neighbour.", symbol="s")
    def spacing(self) -> Float[Array, ""]:
        """Zero for a single position."""
        distance = jnp.sqrt(jnp.sum((self.positions[:, None] - self.positions) ** 2, axis=-1))
        itself = jnp.eye(self.positions.shape[0], dtype=bool)
        nearest = jnp.min(jnp.where(itself, jnp.inf, distance), axis=1)
        return jnp.median(jnp.where(jnp.isfinite(nearest), nearest, 0.0))


def _optional(unit: str, doc: str, symbol: str):
    return param(unit, doc, symbol=symbol, bounds=(0.0, None), default=None)


class Ptychography(Model):
    """Sample, probe and scan: the expected counts of every pattern.

    Energy, distance and detector pixel only turn pixels into metres; they may be absent (None).
    """

    sample: Sample
    probe: Probe
    scan: Scan
    background: Float[Array, "..."] = param(
        "ph", "Counts without the beam, () or (N, N) per pixel.", bounds=(0.0, None), bijector=Softplus(), default=0.0
    )
    energy_ev: Float[Array, ""] | None = _optional("eV", "Photon energy.", "E")
    distance: Float[Array, ""] | None = _optional("m", "From the sample to the detector.", "z")
    detector_pixel: Float[Array, ""] | None = _optional("m", "Pixel of the detector.", "p")
    interpolation: str = static("Windows between pixels: bilinear or fourier.", default="bilinear")
    batch: int = static("Patterns that are computed together.", default=BATCH)

    def __check_init__(self):
        npix, canvas = self.probe.npix, jnp.shape(self.sample.object_real)
        if min(canvas) <= npix:
            raise ParameterError(
                f"Ptychography: Expected a canvas larger than the windows of {npix} x {npix}, got {canvas}."
            )
        if jnp.shape(self.background) not in ((), (npix, npix)):
            raise ParameterError(
                f"Ptychography.background: Expected shape () or {(npix, npix)}, got {jnp.shape(self.background)}."
            )
        if self.interpolation not in WINDOWS:
            raise ParameterError(
                f"Ptychography.interpolation: Expected one of {', '.join(WINDOWS)}, got {self.interpolation!r}."
            )

    @property
    def corners(self) -> Float[Array, "n 2"]:
        """Corner (y, x) of each window on the canvas, pixels, (n, 2)."""
        return self.scan.positions - self.probe.npix // 2

    def model(self) -> Float[Array, "n N N"]:
        """Expected counts of every pattern, photons, (n, N, N)."""
        corners = self.corners
        return map_batches(lambda index: self._counts(corners[index]), corners.shape[0], self.batch)

    def patterns(self, index: Num[ArrayLike, " b"]) -> Float[Array, "b N N"]:
        """Expected counts of some patterns, photons, (b, N, N)."""
        return self._counts(self.corners[jnp.asarray(index)])

    def variance(self, expected: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Variance of counts whose mean is `expected`: photon noise."""
        return expected

    def _counts(self, corners: Float[Array, "b 2"]) -> Float[Array, "b N N"]:
        return expected_counts(self.sample.object, self.probe.modes, corners, self.background, self.interpolation)

    @derived("m", "Wavelength; NaN where the energy is not known.", symbol=r"\lambda")
    def wavelength(self) -> Float[Array, ""]:
        """h c / energy."""
        return jnp.asarray(jnp.nan) if self.energy_ev is None else EV_METRES / self.energy_ev

    @derived("m", "Pixel of the object; NaN where the geometry is not known.", symbol=r"\Delta")
    def object_pixel_size(self) -> Float[Array, ""]:
        """wavelength distance / (N detector_pixel)."""
        if self.distance is None or self.detector_pixel is None:
            return jnp.asarray(jnp.nan)
        return self.wavelength * self.distance / (self.probe.npix * self.detector_pixel)

    @derived("m", "Height and width that the windows span; NaN where the geometry is not known.", symbol="L")
    def field_of_view(self) -> Float[Array, "2"]:
        """Shape (2,)."""
        return (jnp.ptp(self.scan.positions, axis=0) + self.probe.npix) * self.object_pixel_size

    @derived("", "Overlap of neighbouring patterns, 1 - spacing / diameter.", symbol="o")
    def overlap_ratio(self) -> Float[Array, ""]:
        """Negative where the probes do not touch."""
        return 1 - self.scan.spacing / self.probe.diameter

    @derived("ph", "Mean photons per pattern, without the background.", symbol=r"\bar n")
    def dose(self) -> Float[Array, ""]:
        """Behind the sample, by Parseval's theorem: no Fourier transform is needed."""
        intensity = jnp.sum(self.probe.modes_real**2 + self.probe.modes_imag**2, axis=0)
        corners, npix, canvas = self.corners, self.probe.npix, self.sample.object

        def photons(index):
            windows = WINDOWS[self.interpolation](canvas, corners[index], npix)
            return jnp.sum(intensity * (windows.real**2 + windows.imag**2), axis=(1, 2))

        return jnp.mean(map_batches(photons, corners.shape[0], self.batch))


def build_model(
    object: ArrayLike,
    probe: ArrayLike,
    positions: ArrayLike,
    background: ArrayLike = 0.0,
    **options: Any,
) -> Ptychography:
    """Join arrays into a model.

    Parameters
    ----------
    object : complex array (h, w)
        On the canvas.
    probe : complex array (N, N) or (M, N, N), sqrt(photons)
    positions : array (n, 2), pixels
        (y, x) on the canvas of each window's pixel [N//2, N//2].
    background : float or array (N, N), photons per pixel
    **options
        Other fields of `Ptychography`.
    """
    object, modes = np.asarray(object), np.asarray(probe)
    modes = modes[None] if modes.ndim == 2 else modes
    sample = Sample(object.real, object.imag)
    return Ptychography(sample, Probe(modes.real, modes.imag), Scan(positions), background=background, **options)
