"""Levenberg-Marquardt as Fisher scoring."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Bool, Float

from .engines import (
    AbstractEngine,
    EngineState,
    check_max_steps,
    check_positive,
    initial_state,
    positive_number,
)
from .fisher import scaled_spectrum


class _Memory(NamedTuple):
    """Whitening fixed at the start (D, D), trust region, and gradient and curvature at the present θ, whitened."""

    whiten: Float[Array, "D D"]
    step_size: Float[Array, ""]
    gradient: Float[Array, " D"]
    curvature: Float[Array, "D D"]


class LevenbergMarquardt(AbstractEngine):
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

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """No whitening yet: the first step moves nowhere and finds it."""
        blank = jnp.zeros((theta.shape[0],) * 2, theta.dtype)
        memory = _Memory(blank, (1 / self.damping).astype(theta.dtype), jnp.zeros_like(theta), blank)
        return initial_state(theta, blank, memory)

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """Try one damped step; take it where it lowers the loss by enough of what was predicted."""
        move = _damped_newton(state)
        theta = state.theta + state.memory.whiten @ move
        loss = objective.loss(theta)
        step_size, accepted = _trust(state, move, loss)
        tried = EngineState(
            theta=jnp.where(accepted, theta, state.theta),
            loss=jnp.where(accepted, loss, state.loss),
            step=state.step + 1,
            grad_norm=state.grad_norm,
            step_norm=jnp.linalg.norm(move),
            accepted=accepted,
            rejections=jnp.where(accepted, 0, state.rejections + 1),
            converged=state.converged,
            information=state.information,
            memory=state.memory._replace(step_size=step_size),
        )
        return jax.lax.cond(accepted, lambda s: self._expanded(objective, s), lambda s: s, tried)

    def _expanded(self, objective: Any, state: EngineState) -> EngineState:
        """With gradient, curvature and convergence at the present θ; at the start, the whitening too."""
        expansion = objective.expansion(state.theta)
        information = expansion.information + expansion.prior_information
        whiten = _kept_or_refreshed(state.memory.whiten, _whitening(information))
        gradient = whiten.T @ expansion.gradient
        curvature = whiten.T @ information @ whiten
        newton = lx.linear_solve(_held_fixed(curvature, whiten, 1e-12), gradient, lx.Cholesky(), throw=False).value
        return eqx.tree_at(
            lambda s: (s.grad_norm, s.converged, s.information, s.memory),
            state,
            (
                jnp.linalg.norm(gradient),
                jnp.linalg.norm(newton) < self.tolerance,
                expansion.information,
                _Memory(whiten, state.memory.step_size, gradient, curvature),
            ),
        )


def _whitening(information: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """Columns of unit information; zeros for directions without any, which are thereby held."""
    values, vectors, scale = spectrum = scaled_spectrum(information)
    seen = spectrum.seen
    return scale[:, None] * vectors * jnp.where(seen, 1 / jnp.sqrt(jnp.where(seen, values, 1.0)), 0.0)


def _kept_or_refreshed(whiten: Float[Array, "D D"], fresh: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """The whitening of the start, unless directions have come to life since."""
    alive, alive_now = (jnp.sum(jnp.any(w != 0, axis=0)) for w in (whiten, fresh))
    return jnp.where(alive_now > alive, fresh, whiten)


def _held_fixed(curvature, whiten, floor: float) -> lx.AbstractLinearOperator:
    """Whitened curvature with one for held directions, and with `floor` added for the others."""
    held = jnp.where(jnp.any(whiten != 0, axis=0), floor, 1.0)
    return lx.MatrixLinearOperator(curvature + jnp.diag(held), lx.positive_semidefinite_tag)


def _quadratic(state: EngineState) -> optx.FunctionInfo.EvalGradHessian:
    curvature = _held_fixed(state.memory.curvature, state.memory.whiten, 0.0)
    return optx.FunctionInfo.EvalGradHessian(state.loss, state.memory.gradient, curvature)


def _damped_newton(state: EngineState) -> Float[Array, " D"]:
    """-(H + 1/step_size)^-1 gradient, whitened; zero before the start."""
    here, descent = _quadratic(state), optx.DampedNewtonDescent(lx.Cholesky())
    gradient = state.memory.gradient
    query = descent.query(gradient, here, descent.init(gradient, here))
    move, _ = descent.step(state.memory.step_size, query)
    return move


def _trust(state: EngineState, move, loss) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Next step size, and whether to take this one; the start is always taken, a loss that is not finite never."""
    search = optx.ClassicalTrustRegion(high_cutoff=0.75, high_constant=10.0)
    here, start = _quadratic(state), state.step < 0
    trust = eqx.tree_at(lambda s: s.step_size, search.init(move, here), state.memory.step_size)
    there = optx.FunctionInfo.Eval(loss)
    step_size, accepted, _, _ = search.step(start, jnp.zeros_like(move), move, here, there, trust)
    accepted = accepted & (jnp.isfinite(loss) | start)
    # The first refusal makes the damping comparable to the curvature, which is one: less would repeat the same step.
    return jnp.where(accepted, step_size, 0.25 * jnp.minimum(state.memory.step_size, 4.0)), accepted
