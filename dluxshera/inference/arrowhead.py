"""Linear systems of many frames: shared unknowns coupled to each frame's own, which see no other frame.

The matrix is an arrowhead, with A (S, S) for the shared, C_f (d, d) for frame f and B_f (S, d) between them. The Schur
complement A - sum_f B_f C_f^-1 B_f^T leaves S equations, and everything else is done frame by frame (Triggs et al.,
Bundle Adjustment, 2000, section 6.1): cost and memory grow linearly with the frames.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

RANK_TOLERANCE = 1e-12  # eigenvalues of the unit-diagonal matrix below this are not told from zero
TOOK_PART = 1e-6  # share of an unknown in a direction, squared, above which it takes part


class Arrowhead(NamedTuple):
    """Symmetric matrix and gradient of one quadratic, without the zeros.

    Attributes
    ----------
    shared : Array (S, S)
    coupling : Array (F, S, d)
    own : Array (F, d, d)
    gradient : Array (S,)
    own_gradient : Array (F, d)
    """

    shared: Float[Array, "S S"]
    coupling: Float[Array, "F S d"]
    own: Float[Array, "F d d"]
    gradient: Float[Array, " S"]
    own_gradient: Float[Array, "F d"]

    def damped(self, damping: Float[Array, ""]) -> "Arrowhead":
        """With its diagonal raised by a fraction (Marquardt's scaling)."""
        raised = lambda m: m + damping * jnp.diag(jnp.diagonal(m))  # noqa: E731
        return self._replace(shared=raised(self.shared), own=jax.vmap(raised)(self.own))

    def change(self, move: Float[Array, " S"], own_move: Float[Array, "F d"]) -> Float[Array, ""]:
        """Of the quadratic, along a move."""
        slope = self.gradient @ move + jnp.sum(self.own_gradient * own_move)
        bend = move @ self.shared @ move + jnp.einsum("fi,fij,fj->", own_move, self.own, own_move)
        return slope + 0.5 * bend + jnp.einsum("i,fij,fj->", move, self.coupling, own_move)


class Reduced(NamedTuple):
    """An arrowhead after its frames have been eliminated.

    Attributes
    ----------
    inverse : Array (S, S)
        Of the Schur complement: the covariance of the shared unknowns, marginalised over all others.
    lost : Array (S,) of bool
        Shared unknowns that take part in a direction without information.
    own_inverse : Array (F, d, d)
    own_lost : Array (F, d) of bool
    """

    inverse: Float[Array, "S S"]
    lost: Bool[Array, " S"]
    own_inverse: Float[Array, "F d d"]
    own_lost: Bool[Array, "F d"]


def reduce_arrowhead(system: Arrowhead) -> Reduced:
    """Eliminate the frames. Directions without information are held: the inverses are zero along them."""
    own_inverse, own_lost = jax.vmap(lambda c: held_inverse(c, jnp.diagonal(c)))(system.own)
    taken = jnp.einsum("fia,fab,fjb->ij", system.coupling, own_inverse, system.coupling)
    inverse, lost = held_inverse(system.shared - taken, jnp.diagonal(system.shared))
    return Reduced(inverse, lost, own_inverse, own_lost)


def solve_arrowhead(system: Arrowhead, reduced: Reduced) -> tuple[Float[Array, " S"], Float[Array, "F d"]]:
    """Minus the inverse times the gradient: the move to the minimum of the quadratic.

    Returns
    -------
    Array (S,), Array (F, d)
    """
    pull = jnp.einsum("fab,fb->fa", reduced.own_inverse, system.own_gradient)
    move = -reduced.inverse @ (system.gradient - jnp.einsum("fia,fa->i", system.coupling, pull))
    back = jnp.einsum("fab,fib,i->fa", reduced.own_inverse, system.coupling, move)
    return move, -pull - back


def own_variance(system: Arrowhead, reduced: Reduced) -> Float[Array, "F d"]:
    """Variances of the frames' own unknowns, marginalised over the shared ones; infinite without information."""
    lever = jnp.einsum("fab,fib->fai", reduced.own_inverse, system.coupling)
    spread = jnp.einsum("fai,ij,faj->fa", lever, reduced.inverse, lever)
    alone = jnp.diagonal(reduced.own_inverse, axis1=1, axis2=2)
    # What a lost shared unknown moves by more than rounding, for a move of the size that one frame would see, is lost.
    seen_by_one = jnp.diagonal(system.shared) / system.own.shape[0]
    moved = lever**2 > TOOK_PART * alone[:, :, None] * seen_by_one
    return jnp.where(reduced.own_lost | jnp.any(moved & reduced.lost, axis=-1), jnp.inf, alone + spread)


def covariance_of_shared(reduced: Reduced) -> Float[Array, "S S"]:
    """Covariance of the shared unknowns; infinite variances for what takes part in an unconstrained direction."""
    lost = reduced.lost
    return jnp.where(jnp.diag(lost), jnp.inf, jnp.where(lost[:, None] | lost, 0.0, reduced.inverse))


def held_inverse(
    matrix: Float[Array, "n n"], reference: Float[Array, " n"]
) -> tuple[Float[Array, "n n"], Bool[Array, " n"]]:
    """Inverse of a positive semidefinite matrix that is zero along what the matrix does not constrain.

    Parameters
    ----------
    matrix : Array (n, n)
    reference : Array (n,)
        Size of the terms that made its diagonal, whose rounding says what counts as zero.

    Returns
    -------
    Array (n, n), Array (n,) of bool
        The inverse, and which unknowns take part in an unconstrained direction.
    """
    alive = reference > 0
    scale = jnp.where(alive, 1 / jnp.sqrt(jnp.where(alive, reference, 1.0)), 0.0)
    values, vectors = jnp.linalg.eigh(scale[:, None] * matrix * scale)
    seen = values > RANK_TOLERANCE
    inverse = (vectors * jnp.where(seen, 1 / jnp.where(seen, values, 1.0), 0.0)) @ vectors.T
    lost = ~alive | (jnp.sum(jnp.where(seen, 0.0, vectors**2), axis=1) > TOOK_PART)
    return scale[:, None] * inverse * scale, lost
