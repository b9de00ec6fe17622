"""A stack of exposures of one instrument: parameters that all share, and parameters that each frame has for itself."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..params import IndexMap, ThetaSpace
from ..params.index_map import build_index_map
from .abstract_objective import AbstractObjective
from .arrowhead import Arrowhead
from .engines import check_whole
from .objective import Objective


class Frames(NamedTuple):
    """Data of F frames, electrons: what `Observation` has, with the frame as first axis; `variance` may be None."""

    image: Float[Array, "F n n"]
    variance: Float[Array, "F n n"] | None
    mask: Bool[Array, "F n n"]
    exposures: Float[Array, " F"]


class FrameStack(AbstractObjective):
    """Minus the log posterior of many frames.

    θ of the stack holds the shared elements (S,), then the own ones of each frame, (F, d) flattened. Memory beyond the
    data does not grow with the frames, which are modelled `batch` at a time.

    Parameters
    ----------
    model : eqx.Module
    space : ThetaSpace
        Of a single frame: both what is shared and what is not. A prior of a shared element counts once.
    observations : sequence of Observation, or one (or `Frames`) whose arrays carry the frame as first axis
    per_frame : sequence of str
        Names (or labels) in `space` that each frame has for itself, such as pointing and flux; none makes every
        parameter a shared one.
    likelihood : str
        As for `Objective`.
    batch : int
        Frames modelled at once.

    Attributes
    ----------
    frames : Frames
    shared_labels, own_labels : tuple of str (S,), (d,)

    Raises
    ------
    ValueError
        As for `Objective`, if the frames differ in shape, or nothing is shared.
    ParameterError
        If a name is not in the space.
    """

    objective: Objective
    space: ThetaSpace
    frames: Frames
    reference: Float[Array, " D"]
    own: tuple[int, ...] = eqx.field(static=True)
    batch: int = eqx.field(static=True)

    def __init__(
        self,
        model: Any,
        space: ThetaSpace,
        observations: Any,
        per_frame: Sequence[str] = (),
        likelihood: str = "poisson",
        batch: int = 4,
    ):
        self.frames = _stacked(observations)
        first = jax.tree.map(lambda leaf: leaf[0], self.frames)
        without_priors = eqx.tree_at(lambda s: s.priors, space, (None,) * len(space.priors))
        self.objective = Objective(model, without_priors, first, likelihood)
        self.frames = self.frames._replace(variance=_positive(self.frames, likelihood))
        check_whole("batch", batch)
        self.space, self.reference, self.batch = space, space.pack(model), batch
        self.own = _elements(space, per_frame)
        if len(self.own) == space.dim:
            raise ValueError("Expected at least one parameter that the frames share, got none. Fit each one by itself.")

    @property
    def shared(self) -> tuple[int, ...]:
        """Places in a frame's θ of what the frames share."""
        return tuple(i for i in range(self.space.dim) if i not in self.own)

    @property
    def shared_labels(self) -> tuple[str, ...]:
        """Of the shared elements (S,)."""
        return tuple(self.space.labels[i] for i in self.shared)

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Of a frame's own elements (d,)."""
        return tuple(self.space.labels[i] for i in self.own)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of θ: those of the shared elements, then `frame[i].label`."""
        return self.shared_labels + tuple(
            f"frame[{i}].{o}" for i in range(self.num_observations) for o in self.own_labels
        )

    @property
    def units(self) -> tuple[str, ...]:
        """Of θ, as `labels`."""
        shared, own = (tuple(self.space.units[i] for i in places) for places in (self.shared, self.own))
        return shared + self.num_observations * own

    @property
    def index_map(self) -> IndexMap:
        """One scalar for each element of θ, in the block `shared` or `frame[i]`."""
        blocks = ["shared"] * len(self.shared)
        blocks += [f"frame[{i}]" for i in range(self.num_observations) for _ in self.own]
        return build_index_map([(label, (), 1, block) for label, block in zip(self.labels, blocks, strict=True)])

    @property
    def num_observations(self) -> int:
        """Frames."""
        return self.frames.image.shape[0]

    @property
    def dim(self) -> int:
        """Length of θ: S + F d."""
        return len(self.shared) + self.num_observations * len(self.own)

    def join(self, shared: Float[Array, " S"], own: Float[Array, "F d"]) -> Float[Array, " D"]:
        """θ of the stack."""
        return jnp.concatenate([shared, own.ravel()])

    def split(self, theta: Float[Array, " D"]) -> tuple[Float[Array, " S"], Float[Array, "F d"]]:
        """Shared elements, and each frame's own.

        Raises
        ------
        ValueError
            For another length.
        """
        if jnp.shape(theta) != (self.dim,):
            raise ValueError(
                f"Expected theta of shape ({self.dim},), {len(self.shared)} shared elements and {len(self.own)} of "
                f"each of {self.num_observations} frames, got {jnp.shape(theta)}. Use stack.join, or fit_frames."
            )
        count = len(self.shared)
        return theta[:count], theta[count:].reshape(self.num_observations, len(self.own))

    def frame_theta(self, shared: Float[Array, " S"], own: Float[Array, " d"]) -> Float[Array, " D"]:
        """θ of one frame, as `space` reads it."""
        blank = jnp.zeros(self.space.dim, shared.dtype)
        return blank.at[np.array(self.shared, int)].set(shared).at[np.array(self.own, int)].set(own)

    def loss(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """Sum over the frames, minus log prior up to a constant."""
        shared, own = self.split(theta)
        # What a gradient needs of a frame is computed again, not kept for all frames.
        losses = self.per_frame(jax.checkpoint(lambda frame, theta: frame.loss(theta)), shared, own)
        return jnp.sum(losses) - self.log_prior(shared, own)

    def observation_loss(self, theta: Float[Array, " D"], index: Int[Array, ""]) -> Float[Array, ""]:
        """Minus log-likelihood of one frame."""
        shared, own = self.split(theta)
        return self._frame(jax.tree.map(lambda leaf: leaf[index], self.frames)).loss(
            self.frame_theta(shared, own[index])
        )

    def log_prior(self, shared: Float[Array, " S"], own: Float[Array, "F d"]) -> Float[Array, ""]:
        """Of the shared elements once and of each frame's own, up to a constant."""
        rest = self.reference[np.array(self.shared, int)], self.reference[np.array(self.own, int)]
        once = self.space.log_prior(self.frame_theta(shared, rest[1]))
        return once + jnp.sum(jax.vmap(lambda o: self.space.log_prior(self.frame_theta(rest[0], o)))(own))

    def expansion(self, shared: Float[Array, " S"], own: Float[Array, "F d"]) -> tuple[Float[Array, ""], Arrowhead]:
        """Loss, and its quadratic: gradient, and expected information of the data and of the priors."""
        expansions = self.per_frame(lambda frame, theta: frame.expansion(theta), shared, own)
        s, o = np.array(self.shared, int), np.array(self.own, int)
        information, gradient = expansions.information, expansions.gradient
        data = Arrowhead(
            jnp.sum(information[:, s[:, None], s], axis=0),
            information[:, s[:, None], o],
            information[:, o[:, None], o],
            jnp.sum(gradient[:, s], axis=0),
            gradient[:, o],
        )
        return jnp.sum(expansions.loss) - self.log_prior(shared, own), self._with_priors(data, shared, own)

    def chi_square(self, shared: Float[Array, " S"], own: Float[Array, "F d"]) -> Float[Array, " F"]:
        """Sum of the squared whitened residuals of each frame: a bad frame stands out."""
        return self.per_frame(lambda frame, theta: jnp.sum(frame.residuals(theta) ** 2), shared, own)

    def per_frame(self, function: Any, shared: Float[Array, " S"], own: Float[Array, "F d"]) -> Any:
        """`function(objective, theta)` of each frame, `batch` at a time."""

        def of_one(inputs):
            frame, own_elements = inputs
            return function(self._frame(frame), self.frame_theta(shared, own_elements))

        return jax.lax.map(of_one, (self.frames, own), batch_size=self.batch)

    def _frame(self, frame: Frames) -> Objective:
        where = lambda o: (o.image, o.variance, o.mask, o.exposures)  # noqa: E731
        return eqx.tree_at(where, self.objective, tuple(frame), is_leaf=lambda leaf: leaf is None)

    def _with_priors(self, data: Arrowhead, shared, own) -> Arrowhead:
        s, o = np.array(self.shared, int), np.array(self.own, int)
        thetas = jax.vmap(self.frame_theta, in_axes=(None, 0))(shared, own)
        slope = -jax.vmap(jax.grad(self.space.log_prior))(thetas)
        information = jax.vmap(self.space.prior_information)(thetas)
        return data._replace(
            shared=data.shared + jnp.diag(information[0, s]),
            own=data.own + jax.vmap(jnp.diag)(information[:, o]),
            gradient=data.gradient + slope[0, s],
            own_gradient=data.own_gradient + slope[:, o],
        )


def _elements(space: ThetaSpace, names: Sequence[str]) -> tuple[int, ...]:
    names = [names] if isinstance(names, str) else names
    return tuple(sorted({i for name in names for i in range(space.dim)[space.slice(name)]}))


def _stacked(observations: Any) -> Frames:
    """Arrays over frames, on the host until they are whole."""
    several = isinstance(observations, Sequence) and not isinstance(observations, Frames)
    frames = _gathered(observations) if several else observations
    image = jnp.asarray(frames.image, float)
    if image.ndim != 3 or image.shape[0] < 1:
        raise ValueError(f"Expected frames of shape (F, n, n), got {image.shape}. Give a sequence of observations.")
    exposures = jnp.broadcast_to(jnp.asarray(frames.exposures, float), image.shape[:1])
    variance = None if frames.variance is None else jnp.asarray(frames.variance, float)
    return Frames(image, variance, jnp.asarray(frames.mask, bool), exposures)


def _gathered(observations: Sequence[Any]) -> Frames:
    if not observations:
        raise ValueError("Expected at least one observation, got none.")
    shapes = {tuple(o.image.shape) for o in observations}
    if len(shapes) > 1:
        raise ValueError(f"Expected frames of one shape, got {sorted(shapes)}. Crop them alike.")
    known = all(o.variance is not None for o in observations)
    column = lambda name: np.stack([np.asarray(getattr(o, name)) for o in observations])  # noqa: E731
    return Frames(column("image"), column("variance") if known else None, column("mask"), column("exposures"))


def _positive(frames: Frames, likelihood: str) -> Float[Array, "F n n"] | None:
    """Variances with ones in place of what is masked; needed by the Gaussian likelihood only."""
    if likelihood != "gaussian":
        return None
    if frames.variance is None:
        raise ValueError('The "gaussian" likelihood needs the variance of every frame. Or use "gaussian_model".')
    if bool(jnp.any(frames.mask & (frames.variance <= 0))):
        raise ValueError("Expected a variance above zero in every used pixel of every frame; mask the others.")
    return jnp.where(frames.mask, frames.variance, 1.0)
