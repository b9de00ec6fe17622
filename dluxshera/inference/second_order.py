"""What engines share that take steps from the expected information, in whitened coordinates."""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Bool, Float

from .engines import AbstractEngine, EngineState, initial_state
from .fisher import scaled_spectrum

LEAST_CURVATURE = 1e-12  # of a direction that has lost its information since the start, where that was one


class WhitenedMemory(NamedTuple):
    """Whitening fixed at the start (D, D), step size, and gradient and curvature at the present θ, whitened."""

    whiten: Float[Array, "D D"]
    step_size: Float[Array, ""]
    gradient: Float[Array, " D"]
    curvature: Float[Array, "D D"]


class AbstractSecondOrder(AbstractEngine):
    """Steps of a quadratic model whose Hessian is the expected information.

    Works in coordinates whitened by the information at the start, where one unit is one standard deviation.
    A step costs one set of forward derivatives, which give gradient and information together; a rejected one costs a
    forward evaluation. Directions without information are held.
    """

    chunk: ClassVar[int] = 1
    needs_information: ClassVar[bool] = True
    tolerance: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def first_step_size(self) -> Float[Array, ""]:
        """Step size at the start."""

    @abc.abstractmethod
    def move(self, state: EngineState) -> Float[Array, " D"]:
        """The next try, whitened."""

    @abc.abstractmethod
    def judge(
        self, state: EngineState, move: Float[Array, " D"], loss: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Bool[Array, ""]]:
        """Next step size, and whether to take a move that led to this finite loss."""

    def init(self, theta: Float[Array, " D"]) -> EngineState:
        """No whitening yet: the first step moves nowhere and finds it."""
        blank = jnp.zeros((theta.shape[0],) * 2, theta.dtype)
        memory = WhitenedMemory(blank, self.first_step_size().astype(theta.dtype), jnp.zeros_like(theta), blank)
        return initial_state(theta, blank, memory, tried=theta)

    def step(self, objective: Any, state: EngineState) -> EngineState:
        """Try one move; take it where it lowers the loss as `judge` asks."""
        start = state.step < 0
        move = jnp.where(start, 0.0, self.move(state))
        theta = state.theta + state.memory.whiten @ move
        loss = objective.loss(theta)
        finite = jnp.isfinite(loss)
        step_size, accepted = self.judge(state, move, loss)
        accepted = start | (accepted & finite)
        refused = eqx.tree_at(
            lambda s: (s.step, s.step_norm, s.accepted, s.rejections, s.finite, s.tried, s.memory),
            state,
            (
                state.step + 1,
                jnp.linalg.norm(move),
                jnp.zeros_like(accepted),
                state.rejections + 1,
                finite,
                theta,
                # A first refusal makes the step comparable to a standard deviation: else it would nearly repeat itself.
                state.memory._replace(step_size=shrunk(state.memory.step_size)),
            ),
        )
        taken = lambda: self._expanded(objective, refused, loss, jnp.where(start, state.memory.step_size, step_size))  # noqa: E731
        return jax.lax.cond(accepted, taken, lambda: refused)

    def _expanded(self, objective: Any, refused: EngineState, loss, step_size) -> EngineState:
        """The state at the try, with gradient, curvature and convergence there; refused if those are not finite."""
        expansion = objective.expansion(refused.tried)
        information = expansion.information + expansion.prior_information
        start = refused.step == 0
        whiten = _kept_or_refreshed(refused.memory.whiten, _whitening(information), start)
        gradient = whiten.T @ expansion.gradient
        curvature = whiten.T @ information @ whiten
        # What the image has ceased to respond to stands still, far from any optimum perhaps.
        lost = jnp.any(jnp.any(whiten != 0, axis=1) & (jnp.diagonal(information) == 0))
        finite = jnp.all(jnp.isfinite(expansion.gradient)) & jnp.all(jnp.isfinite(information))
        taken = EngineState(
            theta=refused.tried,
            loss=loss,
            step=refused.step,
            grad_norm=jnp.linalg.norm(gradient),
            step_norm=refused.step_norm,
            accepted=jnp.ones_like(refused.accepted),
            rejections=jnp.zeros_like(refused.rejections),
            converged=(jnp.linalg.norm(_newton(curvature, whiten, gradient)) < self.tolerance) & ~lost,
            information=expansion.information,
            memory=WhitenedMemory(whiten, step_size, gradient, curvature),
            finite=finite & jnp.isfinite(loss),
            tried=refused.tried,
            tally=refused.tally,
        )
        refused = eqx.tree_at(lambda s: s.finite, refused, finite)
        return jax.tree.map(lambda new, old: jnp.where(finite | start, new, old), taken, refused)


def shrunk(step_size: Float[Array, ""]) -> Float[Array, ""]:
    """Step size after a refusal: a quarter, and at most one."""
    return 0.25 * jnp.minimum(step_size, 4.0)


def _newton(curvature, whiten, gradient) -> Float[Array, " D"]:
    return lx.linear_solve(_held_fixed(curvature, whiten), gradient, lx.Cholesky(), throw=False).value


def _whitening(information: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """Columns of unit information; zeros for directions without any, which are thereby held."""
    values, vectors, scale = spectrum = scaled_spectrum(information)
    seen = spectrum.seen
    return scale[:, None] * vectors * jnp.where(seen, 1 / jnp.sqrt(jnp.where(seen, values, 1.0)), 0.0)


def _kept_or_refreshed(whiten, fresh, start) -> Float[Array, "D D"]:
    """The whitening of the start, unless directions have come to life since."""
    alive, alive_now = (jnp.sum(jnp.any(w != 0, axis=0)) for w in (whiten, fresh))
    return jnp.where((alive_now > alive) | start, fresh, whiten)


def _held_fixed(curvature, whiten) -> lx.AbstractLinearOperator:
    """Whitened curvature with one for held directions; the others are kept just above zero."""
    held = jnp.where(jnp.any(whiten != 0, axis=0), LEAST_CURVATURE, 1.0)
    return lx.MatrixLinearOperator(curvature + jnp.diag(held), lx.positive_semidefinite_tag)


def quadratic(state: EngineState) -> optx.FunctionInfo.EvalGradHessian:
    """The quadratic model of the loss at a state's θ, whitened."""
    curvature = _held_fixed(state.memory.curvature, state.memory.whiten)
    return optx.FunctionInfo.EvalGradHessian(state.loss, state.memory.gradient, curvature)


def descend(descent: optx.AbstractDescent, state: EngineState) -> Float[Array, " D"]:
    """What an optimistix descent makes of the quadratic model at the state's step size."""
    here, gradient = quadratic(state), state.memory.gradient
    query = descent.query(gradient, here, descent.init(gradient, here))
    return descent.step(state.memory.step_size, query)[0]


def search(method: optx.AbstractSearch, state: EngineState, move, loss) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Next step size and acceptance of a try, as an optimistix search has them."""
    here = quadratic(state)
    memory = eqx.tree_at(lambda s: s.step_size, method.init(move, here), state.memory.step_size)
    there = optx.FunctionInfo.Eval(loss)
    step_size, accepted, _, _ = method.step(jnp.asarray(False), jnp.zeros_like(move), move, here, there, memory)
    return step_size, accepted
