"""Freedoms that no diffraction pattern can tell, and the choice made among them.

Expected counts stay the same when
  * the object is multiplied by a number and the probe divided by it (scale and global phase);
  * the modes of the probe are mixed by a unitary matrix;
  * a phase ramp across the object is taken up by the opposite ramp across the probe (exactly, up to a phase per
    pattern, for whole-pixel positions; bilinear windows resist it a little);
  * object, probe and positions shift together (free only where positions or probe are refined).
The first two are fixed by `fix_gauge`, the third if asked; the shift by `Regularisers(centre=)`.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .curvature import illumination_sum
from .model import Probe, Ptychography, Sample


@eqx.filter_jit
def fix_gauge(model: Ptychography, ramp: bool = False) -> Ptychography:
    """Return an equivalent model in the standard gauge.

    The mean of the object, weighted by its light, has the phase zero; its mean square, weighted the same way, is one;
    modes are orthogonal, the brightest first. Only for reconstructions that refine the probe: one that is known has
    fixed the gauge.

    Parameters
    ----------
    model : Ptychography
    ramp : bool
        Whether to move the object's mean phase ramp to the probe too, which is exact up to interpolation.
    """
    light = illumination_sum(model)
    model = _without_ramp(model, light) if ramp else model
    object, modes = model.sample.object, model.probe.modes
    size = jnp.sqrt(jnp.sum(light * jnp.abs(object) ** 2) / jnp.sum(light))
    mean = jnp.sum(light * object)
    factor = jnp.conj(mean) / jnp.where(jnp.abs(mean) > 0, jnp.abs(mean), 1.0) / size
    factor = jnp.where(jnp.abs(mean) > 0, factor, 1 / size)
    return _with(model, object * factor, orthogonal_modes(modes / factor))


def probe_centre(model: Ptychography) -> Float[Array, "2"]:
    """Centre (y, x) of the light of all modes, pixels of the window."""
    light = jnp.sum(model.probe.modes_real**2 + model.probe.modes_imag**2, axis=0)
    pixel = jnp.arange(model.probe.npix)
    moments = [jnp.sum(light * pixel[:, None]), jnp.sum(light * pixel)]
    return jnp.stack(moments) / jnp.sum(light)


def orthogonal_modes(modes: Complex[Array, "m N N"]) -> Complex[Array, "m N N"]:
    """Mix modes so that they are orthogonal, the one with most photons first; the sum of intensities stays."""
    flat = modes.reshape(modes.shape[0], -1)
    _, vectors = jnp.linalg.eigh(flat @ jnp.conj(flat.T))
    mixed = jnp.conj(vectors.T)[::-1] @ flat
    turn = jnp.sum(mixed[0] * jnp.conj(flat[0]))  # keeps the phase of the first
    mixed = mixed * jnp.where(jnp.abs(turn) > 0, jnp.conj(turn) / jnp.abs(turn), 1.0)
    return mixed.reshape(modes.shape)


def mean_ramp(object: Complex[Array, "h w"], light: Float[Array, "h w"]) -> Float[Array, "2"]:
    """Mean slope of the phase along (y, x), radians per pixel, weighted by light."""
    weight = light * jnp.where(jnp.abs(object) > 0, 1.0, 0.0)
    down = jnp.sum(weight[1:] * object[1:] * jnp.conj(object[:-1]))
    right = jnp.sum(weight[:, 1:] * object[:, 1:] * jnp.conj(object[:, :-1]))
    return jnp.stack([jnp.angle(down), jnp.angle(right)])


def _without_ramp(model: Ptychography, light: Float[Array, "h w"]) -> Ptychography:
    slope = mean_ramp(model.sample.object, light)
    object = model.sample.object * _plane(model.sample.object_real.shape, -slope)
    return _with(model, object, model.probe.modes * _plane(model.probe.modes_real.shape[1:], slope))


def _plane(shape: tuple[int, ...], slope: Float[Array, "2"]) -> Complex[Array, "h w"]:
    return jnp.exp(1j * (slope[0] * jnp.arange(shape[0])[:, None] + slope[1] * jnp.arange(shape[1])))


def _with(model: Ptychography, object: Complex[Array, "h w"], modes: Complex[Array, "m N N"]) -> Ptychography:
    like = model.sample.object_real.dtype
    sample = Sample(object.real.astype(like), object.imag.astype(like))
    probe = Probe(modes.real.astype(like), modes.imag.astype(like))
    return eqx.tree_at(lambda m: (m.sample, m.probe), model, (sample, probe))
