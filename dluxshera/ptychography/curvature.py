"""Expected curvature of a scan's likelihood, each parameter by itself: what preconditions a reconstruction.

In the amplitude of a detector pixel the curvature of either likelihood is 4 where it fits. By Parseval's theorem that
of an object pixel is then 4 times its illumination, half of it for real and imaginary part each; that of a probe pixel
is the same with the object's intensity; and that of a position twice the illumination of the object's slope. Where a
background or other modes outshine a mode it is less: these are upper bounds.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..params import replace_paths
from .batches import map_batches, sum_batches
from .model import Ptychography
from .propagation import WINDOWS, windows_transposed


def illumination_sum(model: Ptychography) -> Float[Array, "h w"]:
    """Photons that fall on each pixel of the canvas, summed over patterns, (h, w)."""
    intensity, corners = probe_intensity(model), model.corners
    canvas = jnp.zeros_like(model.sample.object_real)

    def part(index, real):
        patches = jnp.where(real[:, None, None], intensity, 0.0)
        return windows_transposed(patches, corners[index], canvas.shape)

    return sum_batches(part, corners.shape[0], model.batch)


def object_sum(model: Ptychography) -> Float[Array, "N N"]:
    """Intensity of the object at each pixel of the window, summed over patterns, (N, N)."""
    canvas, corners, npix = model.sample.object, model.corners, model.probe.npix

    def part(index, real):
        windows = WINDOWS[model.interpolation](canvas, corners[index], npix)
        return jnp.sum(jnp.where(real[:, None, None], windows.real**2 + windows.imag**2, 0.0), axis=0)

    return sum_batches(part, corners.shape[0], model.batch)


def slope_sum(model: Ptychography) -> Float[Array, "n 2"]:
    """Photons times the squared slope of the object along (y, x), for each pattern, 1/pixel^2, (n, 2)."""
    canvas, corners, npix = model.sample.object, model.corners, model.probe.npix
    intensity = probe_intensity(model)
    along = [jnp.gradient(canvas, axis=axis) for axis in (0, 1)]

    def part(index):
        cut = [WINDOWS[model.interpolation](slope, corners[index], npix) for slope in along]
        return jnp.stack([jnp.sum(intensity * (w.real**2 + w.imag**2), axis=(1, 2)) for w in cut], axis=1)

    return map_batches(part, corners.shape[0], model.batch)


def probe_intensity(model: Ptychography) -> Float[Array, "N N"]:
    """Of all modes, photons per pixel."""
    return jnp.sum(model.probe.modes_real**2 + model.probe.modes_imag**2, axis=0)


def curvature_model(model: Ptychography, floor: Float[Array, ""]) -> Ptychography:
    """The model's tree with, in place of each refinable number, the curvature of the summed loss along it."""
    light, glass = 2 * illumination_sum(model), 2 * object_sum(model)
    shape = model.probe.modes_real.shape
    mean = jnp.maximum(mean_pattern(model), floor)
    background = model.corners.shape[0] / mean
    found = {
        "sample.object_real": light,
        "sample.object_imag": light,
        "probe.modes_real": jnp.broadcast_to(glass, shape),
        "probe.modes_imag": jnp.broadcast_to(glass, shape),
        "scan.positions": 2 * slope_sum(model),
        "background": background if model.background.ndim else jnp.sum(background),
    }
    return replace_paths(model, found)


def mean_pattern(model: Ptychography) -> Float[Array, "N N"]:
    """Mean of the expected counts over some patterns, (N, N)."""
    n = model.corners.shape[0]
    some = jnp.arange(0, n, max(1, n // model.batch))
    return jnp.mean(jax.lax.stop_gradient(model.patterns(some)), axis=0)


def magnitude_model(model: Ptychography) -> Ptychography:
    """The model's tree with, in place of each refinable number, its typical size.

    One for the object; the root mean square of the probe's amplitude, weighted by its light; one pixel for positions;
    the background itself.
    """
    intensity = probe_intensity(model)
    amplitude = jnp.sqrt(jnp.sum(intensity**2) / jnp.sum(intensity))
    found = {
        "sample.object_real": jnp.ones_like(model.sample.object_real),
        "sample.object_imag": jnp.ones_like(model.sample.object_imag),
        "probe.modes_real": jnp.full_like(model.probe.modes_real, 1.0) * amplitude,
        "probe.modes_imag": jnp.full_like(model.probe.modes_imag, 1.0) * amplitude,
        "scan.positions": jnp.ones_like(model.scan.positions),
    }
    return replace_paths(model, found)
