"""Layers of the network over images (b, h, w, channels), in float32 whatever the settings."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

FLOAT = jnp.float32
GROUPS, TINY = 8, 1e-5
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
}


class Convolution(eqx.Module):
    """A convolution by 3 x 3 pixels, of zeros beyond the edge.

    Attributes
    ----------
    weight : array (3, 3, i, o)
    bias : array (o,)
    """

    weight: Float[Array, "3 3 i o"]
    bias: Float[Array, " o"]

    @staticmethod
    def drawn(key: Array, inputs: int, outputs: int, scale: float = 1.0) -> "Convolution":
        """With weights of variance 2 / (9 i), times `scale` squared (He et al., arXiv:1502.01852)."""
        deviation = scale * np.sqrt(2 / (9 * inputs))
        weight = np.float32(deviation) * jax.random.normal(key, (3, 3, inputs, outputs), FLOAT)
        return Convolution(weight, jnp.zeros(outputs, FLOAT))

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        """The convolved images."""
        form = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, self.weight, (1, 1), "SAME", dimension_numbers=form) + self.bias


class Stage(eqx.Module):
    """Two convolutions, each normalised and activated.

    Attributes
    ----------
    first, second : Convolution
    activation, normalisation : str
    """

    first: Convolution
    second: Convolution
    activation: str = eqx.field(static=True)
    normalisation: str = eqx.field(static=True)

    @staticmethod
    def drawn(key: Array, inputs: int, outputs: int, activation: str, normalisation: str) -> "Stage":
        """With random weights."""
        a, b = jax.random.split(key)
        both = Convolution.drawn(a, inputs, outputs), Convolution.drawn(b, outputs, outputs)
        return Stage(*both, activation, normalisation)

    def __call__(self, x: Float[Array, "b h w i"]) -> tuple[Float[Array, "b h w o"], Float[Array, "b h w o"]]:
        """What each convolution gives; the second is the stage's result."""
        act = ACTIVATIONS[self.activation]
        one = act(normalised(self.first(x), self.normalisation))
        return one, act(normalised(self.second(one), self.normalisation))


def normalised(x: Float[Array, "b h w c"], how: str) -> Float[Array, "b h w c"]:
    """Brought to mean zero and variance one, each image by itself: "channel" or "group", or left as it is."""
    if how == "none":
        return x
    if how == "channel":
        return _standard(x, (3,))
    b, h, w, c = x.shape
    groups = np.gcd(GROUPS, c)
    return _standard(x.reshape(b, h, w, groups, c // groups), (1, 2, 4)).reshape(x.shape)


def pooled(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """The largest of each 2 x 2 pixels."""
    b, h, w, c = x.shape
    return jnp.max(x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def doubled(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Each pixel as 2 x 2."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def cropped(x: Float[Array, "b h w c"], side: int) -> Float[Array, "b s s c"]:
    """The central part."""
    start = (x.shape[1] - side) // 2
    return x[:, start : start + side, start : start + side]


def _standard(x: Array, axes: tuple[int, ...]) -> Array:
    mean = jnp.mean(x, axis=axes, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axis=axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + TINY)
