"""A model that is linear in its parameters: its Hessian is known in closed form, for tests of curvature."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import dluxshera as ds


class Linear(ds.Model):
    """A sum of patterns."""

    weights: Float[Array, " k"] = ds.param("", "How much of each pattern.")
    patterns: Float[Array, "k n n"] = ds.buffer("Electrons per unit weight.")

    def model(self) -> Float[Array, "n n"]:
        """Expected electrons."""
        return jnp.tensordot(self.weights, self.patterns, 1)

    def variance(self, expected: Float[Array, "..."]) -> Float[Array, "..."]:
        """Photon noise."""
        return expected


def linear(n=6, k=3):
    """Patterns of very different brightness, so that curvatures differ by orders of magnitude."""
    patterns = np.random.default_rng(3).uniform(1, 5, (k, n, n)) * 10.0 ** np.arange(k)[:, None, None]
    return Linear(np.linspace(1, 2, k), patterns)


def counts(model, seed):
    """Observation drawn from a model."""
    expected = np.asarray(model.model())
    return ds.Observation(np.random.default_rng(seed).poisson(expected).astype(float), expected)
