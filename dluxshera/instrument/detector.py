"""The detector: what it adds to an expected image, and its noise."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..params import Model, buffer, param, static
from .pixels import MARGIN_NPIX, integrate_pixels, jitter


class Detector(Model):
    """Pixels, their response, and the numbers of the read-out. Signals are photo-electrons per exposure."""

    pixel_pitch: Float[Array, ""] = param("m", "Distance between pixel centres.", symbol="p", bounds=(1e-8, 1e-3))
    exposure_time_s: Float[Array, ""] = param("s", "Length of one exposure.", symbol="t", bounds=(0.0, 1e7))
    jitter_sigma_as: Float[Array, ""] = param(
        "arcsec",
        "Standard deviation of the pointing within an exposure, per axis.",
        symbol=r"\sigma_j",
        bounds=(0.0, 1e3),
    )
    read_noise_e: Float[Array, ""] = param("electron", "Read noise, RMS.", symbol=r"\sigma_r", bounds=(0.0, 1e6))
    dark_current_e: Float[Array, ""] = param("electron/s", "Dark current per pixel.", symbol="D", bounds=(0.0, 1e9))
    gain_e_per_adu: Float[Array, ""] = param(
        "electron/adu",
        "Electrons per digital unit; zero stands for no digitisation.",
        symbol="g",
        bounds=(0.0, 1e6),
    )
    full_well_e: Float[Array, ""] = param(
        "electron", "Charge at which a pixel saturates.", symbol="W", bounds=(1.0, 1e12)
    )
    quantum_efficiency: Float[Array, ""] = param(
        "", "Photo-electrons per photon that reaches the detector.", symbol=r"\eta", bounds=(0.0, 1.0)
    )
    background_e: Float[Array, ""] = param(
        "electron", "Background per pixel and exposure.", symbol="b", bounds=(0.0, 1e9)
    )
    pixel_response: Float[Array, "n n"] = buffer("Relative response of each pixel.")
    pixel_offsets: Float[Array, "n n 2"] = buffer("Displacement (x, y) of each pixel's centre.", unit="pixel")
    bit_depth: int = static("Bits of the analogue-to-digital converter.")
    sky_roll_deg: Float[Array, ""] | None = param(
        "deg",
        "Direction of +row on the sky, from north through east; absent where it is not known.",
        symbol=r"\rho",
        default=None,
    )
    parity: Literal[1, -1] = static(
        "1 where the turn from +row to +column is the one from north to east, -1 where it is the other.", default=1
    )

    def __check_init__(self):
        if self.parity not in (1, -1):
            raise ValueError(f"Expected detector.parity 1 or -1, got {self.parity}. It is -1 where +column is west.")

    def expected(
        self, samples: Float[Array, "m m"], plate_scale_as: Float[Array, ""], oversample: int
    ) -> Float[Array, "n n"]:
        """Expected photo-electrons per pixel and exposure, dark and background included, nothing clipped.

        Parameters
        ----------
        samples : Array (n + 2 MARGIN_NPIX,) * 2
            Photons per pixel area at pixel centres, with the margin that the pixel filters need.
        plate_scale_as : Array (), arcsec/pixel
        oversample : int
            Order of the pixel integral.
        """
        blurred = jitter(samples, self.jitter_sigma_as / plate_scale_as)
        photons = integrate_pixels(blurred, oversample, self.pixel_offsets)
        floor = self.dark_current_e * self.exposure_time_s + self.background_e
        return self.quantum_efficiency * self.pixel_response * photons + floor

    @property
    def npix(self) -> int:
        """Pixels across."""
        return self.pixel_response.shape[0]

    @property
    def sample_npix(self) -> int:
        """Samples across that `expected` takes."""
        return self.npix + 2 * MARGIN_NPIX

    @property
    def read_variance(self) -> Float[Array, ""]:
        """Variance of one read: read noise and quantisation, electron^2."""
        return self.read_noise_e**2 + self.gain_e_per_adu**2 / 12

    @property
    def adc_limit_e(self) -> Float[Array, ""]:
        """Largest signal that the converter can hold, electrons; infinite without digitisation."""
        return jnp.where(self.gain_e_per_adu > 0, self.gain_e_per_adu * (2**self.bit_depth - 1), jnp.inf)
