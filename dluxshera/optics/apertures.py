"""Pupil masks: the fixed shape of the entrance pupil, and the soft circle of a stop that may move."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class ApertureShape:
    """What only building anew can change in the entrance pupil; lengths are fractions of its diameter.

    Parameters
    ----------
    secondary_ratio : float
        Diameter of the central obscuration.
    strut_count : int
        Number of struts, evenly spaced.
    strut_width_ratio : float
        Width of a strut.
    strut_rotation_deg : float, degrees
        Angle of the first strut, in dLux's spider convention (from -row, towards -column).
    """

    secondary_ratio: float | int = 0.0
    strut_count: int = 0
    strut_width_ratio: float | int = 0.0
    strut_rotation_deg: float | int = 0.0

    def __post_init__(self):
        if not 0 <= self.secondary_ratio < 1:
            raise ValueError(f"Expected 0 <= secondary_ratio < 1, got {self.secondary_ratio}.")
        if self.strut_count < 0 or not 0 <= self.strut_width_ratio < 1:
            raise ValueError(
                f"Expected strut_count >= 0 and 0 <= strut_width_ratio < 1, got {self.strut_count} and "
                f"{self.strut_width_ratio}."
            )


def pixel_centres(npix: int) -> np.ndarray:
    """Pixel centres of a grid that spans the pupil, in units of its diameter: (i - (n-1)/2)/n."""
    return (np.arange(npix) - (npix - 1) / 2) / npix


def _struts(shape: ApertureShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    blocked = np.zeros(x.shape, bool)
    for index in range(shape.strut_count):
        angle = np.deg2rad(shape.strut_rotation_deg + 360 * index / shape.strut_count)
        across, along = x * np.cos(angle) - y * np.sin(angle), y * np.cos(angle) + x * np.sin(angle)
        blocked |= (np.abs(across) < shape.strut_width_ratio / 2) & (along < 0)
    return blocked


@functools.lru_cache(maxsize=16)
def pupil_transmission(shape: ApertureShape, npix: int, oversample: int = 5) -> np.ndarray:
    """Amplitude transmission (npix, npix) of the pupil: the clear area fraction of each pixel.

    The average of `oversample`^2 samples per pixel, which gives soft edges (dLux does the same).
    """
    centres = pixel_centres(npix * oversample)
    x, y = np.meshgrid(centres, centres)
    radius = np.hypot(x, y)
    clear = (radius < 0.5) & (radius > shape.secondary_ratio / 2) & ~_struts(shape, x, y)
    mask = clear.reshape(npix, oversample, npix, oversample).mean((1, 3))
    mask.flags.writeable = False
    return mask


def soft_circle(
    x: Float[Array, " nx"], y: Float[Array, " ny"], radius: Float[Array, ""], edge: Float[Array, ""]
) -> Float[Array, "ny nx"]:
    """Transmission of a circular stop with a smooth edge of width `edge`, differentiable in every argument.

    Uses (R^2 - r^2)/2R for the distance from the edge: exact there, and without a square root at the centre.
    """
    distance = (radius**2 - (x[None, :] ** 2 + y[:, None] ** 2)) / (2 * radius)
    ramp = jnp.clip(0.5 + distance / edge, 0.0, 1.0)
    return ramp * ramp * (3 - 2 * ramp)
