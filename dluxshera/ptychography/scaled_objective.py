"""An objective in coordinates of one's choice: how an engine that knows no scales is preconditioned."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..inference import AbstractObjective

LEAST = 1e-2  # of a part's largest curvature, to which smaller ones are raised: dim pixels do not run away


class ScaledObjective(AbstractObjective):
    """The loss of u, where theta = origin + scale * u.

    Parameters
    ----------
    objective : AbstractObjective
    origin, scale : Array (D,)
    """

    objective: Any
    origin: Float[Array, " D"]
    scale: Float[Array, " D"]

    @property
    def space(self) -> Any:
        """That of the objective, for names."""
        return self.objective.space

    def theta(self, u: Float[Array, " D"]) -> Float[Array, " D"]:
        """θ at u."""
        return self.origin + self.scale * u

    def loss(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """The objective's loss at the θ of these coordinates."""
        return self.objective.loss(self.theta(theta))


@eqx.filter_jit
def preconditioned(objective: Any, theta: Float[Array, " D"], least: float = LEAST) -> ScaledObjective:
    """An objective in coordinates of unit curvature, element by element, around a θ.

    For a scan that is preconditioning by illumination: an object pixel moves by one over the root of its light.

    Parameters
    ----------
    objective : ScanObjective
    theta : Array (D,)
    least : float, fraction
        Of the largest curvature of a part (object, probe, positions, background).
    """
    return ScaledObjective(objective, theta, 1 / jnp.sqrt(raised_curvature(objective, theta, least)))


def raised_curvature(objective: Any, theta: Float[Array, " D"], least: float = LEAST) -> Float[Array, " D"]:
    """Diagonal of the curvature, no smaller than a fraction of the largest of its part; one where a part has none."""
    curvature = objective.curvature(theta)
    parts = [curvature[e.start : e.stop] for e in objective.space.index_map.entries]
    return jnp.concatenate([_raised(part, least) for part in parts])


def _raised(curvature: Float[Array, " d"], least: float) -> Float[Array, " d"]:
    largest = jnp.max(curvature)
    return jnp.maximum(curvature, jnp.where(largest > 0, least * largest, 1.0))
