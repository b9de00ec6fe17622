"""Levenberg-Marquardt as Fisher scoring."""

import equinox as eqx
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Float

from .engines import EngineState, check_max_steps, check_positive, positive_number
from .second_order import AbstractSecondOrder, descend, search


class LevenbergMarquardt(AbstractSecondOrder):
    """Damped Newton steps with the expected information in place of the Hessian.

    Works in coordinates whitened by the information at the start, where one unit is one standard deviation and
    the damping treats all directions alike. A step costs one set of forward derivatives, which give
    gradient and information together; a rejected one costs a forward evaluation.

    Parameters
    ----------
    max_steps : int
        Most tries, rejected ones included.
    tolerance : float
        Converged when the next full step is shorter than this many standard deviations.
    damping : float
        At the start, relative to the unit curvature of whitened coordinates.
    """

    max_steps: int = eqx.field(static=True, default=50)
    tolerance: Float[Array, ""] = positive_number(1e-4)
    damping: Float[Array, ""] = positive_number(1e-6)

    def __check_init__(self):
        check_max_steps(self.max_steps)
        check_positive("tolerance", self.tolerance)
        check_positive("damping", self.damping)

    def first_step_size(self) -> Float[Array, ""]:
        """One over the damping."""
        return 1 / self.damping

    def move(self, state: EngineState) -> Float[Array, " D"]:
        """-(H + damping)^-1 gradient, whitened."""
        return descend(optx.DampedNewtonDescent(lx.Cholesky()), state)

    def judge(self, state: EngineState, move, loss):
        """Take a move that lowers the loss by enough of what was predicted; damp less where it agrees well."""
        return search(optx.ClassicalTrustRegion(high_cutoff=0.75, high_constant=10.0), state, move, loss)
