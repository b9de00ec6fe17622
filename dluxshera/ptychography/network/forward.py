"""From inputs to patches, and from patches back to expected counts: network and physics in one."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .group_sets import ScanArrays
from .inputs import Conditioning, placed, start_of
from .network import Decoded, PatchNetwork
from .patches import counts_of, merged

EDGE = np.float32(0.02)  # weight of a patch where the probe is dark, of that where it is brightest


class Predicted(NamedTuple):
    """What a network and the physics make of groups.

    Attributes
    ----------
    decoded : Decoded
        Patches and activations.
    canvas : complex array (b, h, w)
        Each group's object.
    expected : array (b, C, N, N), photons
    """

    decoded: Decoded
    canvas: Complex[Array, "b h w"]
    expected: Float[Array, "b C N N"]


class PhysicsNetwork(eqx.Module):
    """A network with the constants of its training set, and what the physics makes of its patches.

    Attributes
    ----------
    network : PatchNetwork
        What is trained.
    conditioning : Conditioning
    """

    network: PatchNetwork
    conditioning: Conditioning

    def __call__(self, x: Float[Array, "b h w c"]) -> Decoded:
        """Patches (b, C, s, s) of inputs that are not yet conditioned."""
        return self.network(self.conditioning(x), start_of(self.network.architecture, x))

    def predict(
        self, x: Float[Array, "b h w c"], scan: ScanArrays, corners: Float[Array, "b C 2"], side: int
    ) -> Predicted:
        """Patches, merged objects and expected counts of groups.

        Parameters
        ----------
        x : array (b, h, w, channels)
            See `raw_inputs`.
        scan : ScanArrays
        corners : array (b, C, 2), pixels
            On the groups' canvases.
        side : int, pixels
            Of the canvases.
        """
        architecture, decoded = self.network.architecture, self(x)
        weight = patch_weight(scan.probe, architecture.side)
        canvas = merged(decoded.patches, placed(architecture, corners), weight, (side, side))
        return Predicted(decoded, canvas, counts_of(canvas, scan.probe, corners, scan.background))


def patch_weight(probe: Complex[Array, "M N N"], side: int) -> Float[Array, "s s"]:
    """Weight of each pixel of a patch: the light on it, and a little everywhere."""
    first = (probe.shape[-1] - side) // 2
    inside = slice(first, first + side)
    light = jnp.sum(probe.real**2 + probe.imag**2, axis=0)[inside, inside]
    return light / jnp.max(light) + EDGE
