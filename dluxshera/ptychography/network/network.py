"""The network: an encoder, and a decoder each for amplitude and phase."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .layers import Convolution, Stage, cropped, doubled, pooled
from .settings import Architecture

FAINT = 1e-2  # amplitude below which an estimate is raised, so that the head can start from it
HEAD = 0.1  # of the usual weights: a network begins close to the estimate


class Decoded(NamedTuple):
    """What a network makes of its inputs.

    Attributes
    ----------
    patches : complex array (b, C, s, s)
    activations : dict of arrays (b, h, w, c)
        Of every layer, in the order in which they are computed.
    """

    patches: Complex[Array, "b C s s"]
    activations: dict[str, Array]


class Decoder(eqx.Module):
    """Stages that double the size, and a last convolution.

    Attributes
    ----------
    stages : tuple of Stage
    head : Convolution
    """

    stages: tuple[Stage, ...]
    head: Convolution


class PatchNetwork(eqx.Module):
    """C patterns in, C patches of the object out.

    Attributes
    ----------
    encoder : tuple of Stage
    amplitude : Decoder
        Its head ends in a softplus: without a ceiling.
    phase : Decoder or None
        Its head ends in pi tanh.
    architecture : Architecture
    """

    encoder: tuple[Stage, ...]
    amplitude: Decoder
    phase: Decoder | None
    architecture: Architecture = eqx.field(static=True)

    @staticmethod
    def drawn(architecture: Architecture, seed: int) -> "PatchNetwork":
        """With random weights, the same for the same seed."""
        a, b, c = jax.random.split(jax.random.key(seed), 3)
        inner = {"activation": architecture.activation, "normalisation": architecture.normalisation}
        widths = (architecture.channels, *architecture.filters)
        keys = jax.random.split(a, len(architecture.filters))
        encoder = tuple(
            Stage.drawn(key, *pair, **inner) for key, pair in zip(keys, itertools.pairwise(widths), strict=True)
        )
        phase = _drawn_decoder(c, architecture, inner) if architecture.with_phase else None
        return PatchNetwork(encoder, _drawn_decoder(b, architecture, inner), phase, architecture)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(self, eqx.is_array)))

    def __call__(self, x: Float[Array, "b h w c"], start: Complex[Array, "b C s s"]) -> Decoded:
        """The patches of conditioned inputs, beginning at an estimate of them.

        Parameters
        ----------
        x : array (b, h, w, channels)
        start : complex array (b, C, s, s)
            What the heads correct: amplitude softplus(softplus^-1(|start|) + u), phase arg(start) + pi tanh(v).
        """
        seen: dict[str, Array] = {}
        across = []
        for number, stage in enumerate(self.encoder):
            seen[f"encoder.{number}.first"], seen[f"encoder.{number}.second"] = stage(x)
            across.append(seen[f"encoder.{number}.second"])
            x = pooled(across[-1])
        u = self._decoded("amplitude", self.amplitude, x, across, seen)
        patches = (jax.nn.softplus(_inverse_softplus(jnp.maximum(jnp.abs(start), FAINT)) + u)).astype(start.dtype)
        if self.phase is not None:
            v = np.float32(np.pi) * jnp.tanh(self._decoded("phase", self.phase, x, across, seen))
            patches = patches * _direction(start) * jax.lax.complex(jnp.cos(v), jnp.sin(v))
        return Decoded(patches, seen)

    def _decoded(self, name: str, decoder: Decoder, x, across, seen) -> Float[Array, "b C s s"]:
        for number, stage in enumerate(decoder.stages):
            x = doubled(x)
            x = jnp.concatenate([x, across[-1 - number]], axis=-1) if _has_skips(self.architecture) else x
            seen[f"{name}.{number}.first"], seen[f"{name}.{number}.second"] = stage(x)
            x = seen[f"{name}.{number}.second"]
        seen[f"{name}.head"] = cropped(decoder.head(x), self.architecture.side)
        return jnp.moveaxis(seen[f"{name}.head"], -1, 1)


def _drawn_decoder(key: Array, architecture: Architecture, inner: dict[str, str]) -> Decoder:
    """Mirrors the encoder, up to the size of the support."""
    filters, skips = architecture.filters, _has_skips(architecture)
    inputs = filters[-1]
    outputs = list(reversed(filters))[: _doublings(architecture)]
    outputs = outputs if skips else [max(1, number // 2) for number in outputs]
    keys = jax.random.split(key, len(outputs) + 1)
    stages = []
    for k, number in zip(keys[1:], outputs, strict=True):
        stages.append(Stage.drawn(k, inputs + (number if skips else 0), number, **inner))
        inputs = number
    return Decoder(tuple(stages), Convolution.drawn(keys[0], inputs, architecture.members, HEAD))


def _doublings(architecture: Architecture) -> int:
    """From the encoder's last size to one that holds the support."""
    if architecture.inputs == "field":
        return len(architecture.filters)
    return max(1, int(np.ceil(np.log2(architecture.side * 2 ** len(architecture.filters) / architecture.npix))))


def _has_skips(architecture: Architecture) -> bool:
    return architecture.skips and architecture.inputs == "field"


def _inverse_softplus(y: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return y + jnp.log(-jnp.expm1(-y))


def _direction(z: Complex[Array, "*s"]) -> Complex[Array, "*s"]:
    """z / |z|, or one."""
    size = jnp.abs(z)
    return jnp.where(size > 0, z / jnp.where(size > 0, size, 1), 1)
