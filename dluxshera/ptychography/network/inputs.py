"""What a network is given: amplitudes of the counts, or fields in real space made of them; found once for a scan."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from ..batches import split_evenly
from .group_sets import GroupSet, ScanArrays
from .patches import windows
from .settings import Architecture
from .sweeps import estimated

TOGETHER = 32  # groups


class Conditioning(eqx.Module):
    """The constants of a training set that bring a network's inputs to order one; the physics never sees them.

    Attributes
    ----------
    offset, gain : array (channels,)
        Inputs are taken as gain (x - offset). For amplitudes the offset is zero and the gain one number g.
    """

    offset: Float[Array, " c"]
    gain: Float[Array, " c"]

    @staticmethod
    def of(architecture: Architecture, x: Float[Array, "b h w c"]) -> "Conditioning":
        """The constants of a set of inputs: patterns are alike, so that each kind of channel has one mean and gain."""
        kinds = np.asarray(x, np.float32).reshape(-1, architecture.channels // architecture.members,
                                                  architecture.members)  # fmt: skip
        if architecture.inputs == "amplitude":
            offset, size = np.zeros(1), np.sqrt(np.mean(kinds.astype(float) ** 2, axis=(0, 2)))
        else:
            offset, size = kinds.mean((0, 2), dtype=float), kinds.std((0, 2), dtype=float)
        gain = 1 / np.where(size > 1e-6 * size.max(), size, size.max() or 1.0)
        both = (np.repeat(values, architecture.members).astype(np.float32) for values in (offset, gain))
        return Conditioning(*(jnp.asarray(values) for values in both))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """The conditioned inputs."""
        return self.gain * (x - self.offset)


def raw_inputs(
    architecture: Architecture, scan: ScanArrays, index: Int[Array, "b C"], corners: Float[Array, "b C 2"], side: int
) -> Float[Array, "b h w c"]:
    """The inputs of a network for some groups, before conditioning.

    Parameters
    ----------
    architecture : Architecture
    scan : ScanArrays
    index : array of int (b, C)
        Patterns of each group.
    corners : array (b, C, 2), pixels
        On the groups' canvases.
    side : int, pixels
        Of the canvases.

    Returns
    -------
    x : array (b, h, w, channels)
        Amplitudes (N x N); or, over the support, real and imaginary parts of the estimated object's windows, then of
        what is left to correct.
    """
    counts, used = scan.counts[index], scan.used_in(index)
    if architecture.inputs == "amplitude":
        return jnp.moveaxis(jnp.sqrt(counts if used is None else jnp.where(used, counts, 0)), 1, -1)
    is_real = not architecture.with_phase

    def one(counts, used, corners):
        shape = (side, side)
        return estimated(counts, used, scan.probe, corners, scan.background, shape, architecture.sweeps, is_real)

    per_group = 0 if used is not None and used.ndim == 4 else None
    estimate = jax.vmap(one, in_axes=(0, per_group, 0))(counts, used, corners)
    first = (architecture.npix - architecture.side) // 2
    inside = slice(first, first + architecture.side)
    start = windows(estimate.object, placed(architecture, corners), architecture.side)
    left = estimate.left[:, :, inside, inside]
    return jnp.moveaxis(jnp.concatenate([start.real, start.imag, left.real, left.imag], axis=1), 1, -1)


def start_of(architecture: Architecture, x: Float[Array, "b h w c"]) -> Complex[Array, "b C s s"]:
    """The patches that a network begins with: the estimated windows, or ones."""
    members, side = architecture.members, architecture.side
    if architecture.inputs == "amplitude":
        return jnp.ones((x.shape[0], members, side, side), jnp.complex64)
    return jnp.moveaxis(jax.lax.complex(x[..., :members], x[..., members : 2 * members]), -1, 1)


def placed(architecture: Architecture, corners: Float[Array, "b C 2"]) -> Float[Array, "b C 2"]:
    """Corners of the patches: those of the windows' central part; on whole pixels where inputs are fields.

    Amplitudes do not tell where between pixels a pattern was taken, so that their patches are moved there.
    """
    inner = corners + np.float32((architecture.npix - architecture.side) // 2)
    return jnp.floor(inner) if architecture.inputs == "field" else inner


def all_inputs(architecture: Architecture, scan: ScanArrays, groups: GroupSet) -> Float[Array, "B h w c"]:
    """The inputs of all groups, before conditioning, some at a time."""
    parts = []
    for index, real in zip(*split_evenly(len(groups), TOGETHER), strict=True):
        found = _compiled(
            architecture, scan, jnp.asarray(groups.index[index]), jnp.asarray(groups.corners[index]), groups.side
        )
        parts.append(np.asarray(found)[real])
    return jnp.asarray(np.concatenate(parts))


_compiled = eqx.filter_jit(raw_inputs)
