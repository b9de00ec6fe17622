"""From intensity samples, one per pixel, to pixels: integration, displacement, jitter.

The intensity of a pupil-limited image holds no frequency above D/wavelength. Where the pixels sample that finely
enough, the samples at pixel centres determine the intensity everywhere, and the sum over sub-pixel samples
(and its derivatives, for displaced pixels) is a short filter: the same numbers as transforming to a grid
`oversample` times finer, at a fraction of the cost.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..optics.sampling import FILTER_LIMIT

MARGIN_NPIX = 10  # half-width of the filters: samples needed beyond the image on each side


@functools.lru_cache(maxsize=32)
def filter_taps(oversample: int, derivative: int) -> np.ndarray:
    """Taps (2 MARGIN_NPIX + 1,) of the pixel integral, or of its first or second derivative, along one axis.

    Least squares on the response: the mean of exp(2 pi i f s) over the sub-pixel positions s, times
    (2 pi i f)^derivative, for f up to `FILTER_LIMIT`, weighted by what a circular pupil passes there.
    """
    f = np.linspace(0, 0.5, 800)
    ratio = np.clip(f / FILTER_LIMIT, 0, 1)
    weight = np.arccos(ratio) - ratio * np.sqrt(1 - ratio**2) + 1e-6
    s = (np.arange(oversample) - (oversample - 1) / 2) / oversample
    lags = np.arange(-MARGIN_NPIX, MARGIN_NPIX + 1)
    phase = 2 * np.pi * np.outer(f, lags)
    basis = np.sin(phase) if derivative == 1 else np.cos(phase)
    gain = {0: np.ones_like(f), 1: 2 * np.pi * f, 2: -((2 * np.pi * f) ** 2)}[derivative]
    target = gain * np.cos(2 * np.pi * np.outer(f, s)).mean(1)
    # The smallest solution has the symmetry of the response: even taps for a cosine, odd ones for a sine.
    taps = np.linalg.lstsq(basis * weight[:, None], target * weight, rcond=1e-13)[0]
    taps.flags.writeable = False
    return taps


def correlate(image: Float[Array, "ny nx"], taps: np.ndarray, axis: int) -> Float[Array, "my mx"]:
    """Weighted sum of shifted images along `axis`, which shortens by the number of taps less one."""
    kernel = jnp.asarray(taps, image.dtype).reshape((1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1))
    return jax.lax.conv_general_dilated(image[None, None], kernel, (1, 1), "VALID")[0, 0]


def integrate_pixels(
    samples: Float[Array, "m m"], oversample: int, offsets: Float[Array, "n n 2"]
) -> Float[Array, "n n"]:
    """Pixel-integrated image from samples with a margin of `MARGIN_NPIX` on each side.

    Parameters
    ----------
    samples : Array (n + 2 MARGIN_NPIX,) * 2
        Intensity at pixel centres, per pixel area.
    oversample : int
        Order of the pixel integral: mean of this many samples per axis.
    offsets : Array (n, n, 2), pixels
        Displacement (x, y) of each pixel's centre, small against a pixel: taken to second order.
    """
    columns = [correlate(samples, filter_taps(oversample, d), axis=1) for d in (0, 1, 2)]
    value, dx, dxx = (correlate(column, filter_taps(oversample, 0), axis=0) for column in columns)
    dy, dxy = (correlate(column, filter_taps(oversample, 1), axis=0) for column in columns[:2])
    dyy = correlate(columns[0], filter_taps(oversample, 2), axis=0)
    x, y = offsets[..., 0], offsets[..., 1]
    return value + x * dx + y * dy + x * (x / 2 * dxx + y * dxy) + y**2 / 2 * dyy


def jitter(samples: Float[Array, "m m"], sigma: Float[Array, ""]) -> Float[Array, "m m"]:
    """Blur by a Gaussian of standard deviation `sigma` (pixels), exact and differentiable at zero width.

    Multiplies the spectrum by exp(-2 (pi f sigma)^2); the window is periodic, which touches the margin only.
    """
    rows, columns = samples.shape
    weight_y = jnp.exp(-2 * (jnp.pi * jnp.fft.fftfreq(rows) * sigma) ** 2)
    weight_x = jnp.exp(-2 * (jnp.pi * jnp.fft.rfftfreq(columns) * sigma) ** 2)
    return jnp.fft.irfft2(jnp.fft.rfft2(samples) * weight_y[:, None] * weight_x[None, :], samples.shape)


def bin_samples(samples: Float[Array, "s s"], factor: int) -> Float[Array, "m m"]:
    """Sum blocks of `factor` x `factor` samples."""
    if factor == 1:
        return samples
    size = samples.shape[0] // factor
    return samples.reshape(size, factor, size, factor).sum((1, 3))
