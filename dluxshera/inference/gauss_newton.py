"""Gauss-Newton and dogleg steps as Fisher scoring."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Float

from .engines import EngineState, check_max_steps, check_positive, positive_number
from .second_order import AbstractSecondOrder, descend, search


class GaussNewton(AbstractSecondOrder):
    """Newton steps with the expected information in place of the Hessian, shortened until the loss falls.

    Parameters
    ----------
    max_steps : int
        Most tries, rejected ones included.
    tolerance : float
        Converged when the next full step is shorter than this many standard deviations.
    line_search : bool
        Whether a step must lower the loss by a share of what its slope predicts (Armijo's condition), and is cut to
        a quarter until it does. Without, every step is taken in full: fast near the optimum, and it may diverge from
        afar. A step to a loss that is not finite is shortened either way.
    """

    max_steps: int = eqx.field(static=True, default=50)
    tolerance: Float[Array, ""] = positive_number(1e-4)
    line_search: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)

    def first_step_size(self) -> Float[Array, ""]:
        """The full step."""
        return jnp.ones(())

    def move(self, state: EngineState) -> Float[Array, " D"]:
        """-H^-1 gradient times the step size, whitened."""
        return descend(optx.NewtonDescent(linear_solver=lx.Cholesky()), state)

    def judge(self, state: EngineState, move, loss):
        """Take a move that satisfies Armijo's condition; the one after it is full again."""
        accepted = jnp.isfinite(loss)
        if self.line_search:
            accepted = search(optx.BacktrackingArmijo(slope=1e-4), state, move, loss)[1]
        return jnp.ones_like(loss), accepted


class Dogleg(AbstractSecondOrder):
    """Powell's dogleg: from the steepest descent to the Newton step, as far as a trust region reaches.

    The Hessian is the expected information; the trust region is a ball in coordinates whitened at the start, its
    radius in units of the Newton step (optimistix's descent).

    Parameters
    ----------
    max_steps : int
        Most tries, rejected ones included.
    tolerance : float
        Converged when the next full step is shorter than this many standard deviations.
    """

    max_steps: int = eqx.field(static=True, default=50)
    tolerance: Float[Array, ""] = positive_number(1e-4)

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)

    def first_step_size(self) -> Float[Array, ""]:
        """The full Newton step."""
        return jnp.ones(())

    def move(self, state: EngineState) -> Float[Array, " D"]:
        """The point of the dogleg at the radius of the trust region, whitened."""
        return descend(optx.DoglegDescent(linear_solver=lx.Cholesky()), state)

    def judge(self, state: EngineState, move, loss):
        """Take a move that lowers the loss by enough of what was predicted; trust more where it agrees well."""
        step_size, accepted = search(optx.ClassicalTrustRegion(high_cutoff=0.75), state, move, loss)
        return jnp.minimum(step_size, 1.0), accepted
