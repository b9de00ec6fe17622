"""The objective of a reconstruction: how badly a model explains the counts, over all patterns or a few."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from ..inference import AbstractObjective
from ..params import ThetaSpace, get_value, validate
from .batches import split_evenly
from .curvature import curvature_model, magnitude_model
from .model import Ptychography
from .pixel_losses import FLOOR, half_deviance, likelihood_number, pixel_loss
from .regularisers import Regularisers

PATTERNS = {
    "object": ("sample.*",),
    "probe": ("probe.*",),
    "positions": ("scan.positions",),
    "background": ("background",),
}
SINGLE = {jnp.dtype(jnp.float64): jnp.float32, jnp.dtype(jnp.complex128): jnp.complex64}


class ScanObjective(AbstractObjective):
    """Minus the log-likelihood of a scan's counts per pixel, up to a constant that makes a perfect fit zero.

    Works in single precision, whatever the settings: its model and counts are float32, and so is θ.

    Parameters
    ----------
    model : Ptychography
        The start; supplies every parameter that does not move.
    counts : array (n, N, N), photons
    refine : ThetaSpace or sequence of str
        What moves: names among "object", "probe", "positions" and "background", paths of parameters, or a space.
    likelihood : str
        "poisson", or "amplitude": the squared error of the roots.
    used : array of bool (N, N) or (n, N, N), optional
        True where a pixel enters the loss: detector mask and pixels held out.
    regularisers : Regularisers, optional
        Total variation and support.
    floor : float, photons per pixel
        Added to expected counts in the loss.
    """

    model: Ptychography
    space: ThetaSpace
    counts: Float[Array, "n N N"]
    used: Bool[Array, "..."] | None
    likelihood: Int[Array, ""]
    regularisers: Regularisers
    floor: Float[Array, ""]
    pixels: Float[Array, ""]

    def __init__(
        self,
        model: Ptychography,
        counts: ArrayLike,
        refine: ThetaSpace | Sequence[str] = ("object", "probe", "positions"),
        likelihood: str = "poisson",
        used: ArrayLike | None = None,
        regularisers: Regularisers | None = None,
        floor: float = FLOOR,
    ):
        validate(model)
        shape = (model.scan.positions.shape[0], model.probe.npix, model.probe.npix)
        if np.shape(counts) != shape:
            raise ValueError(f"Expected counts of shape {shape}, as the model makes, got {np.shape(counts)}.")
        self.model = _single(model)
        self.space = _single(refine if isinstance(refine, ThetaSpace) else refined_space(model, refine))
        self.space.pack(self.model)  # names a value on its bound
        self.counts = jnp.asarray(np.asarray(counts, np.float32))
        self.used = _checked_used(used, shape)
        self.likelihood = jnp.asarray(likelihood_number(likelihood), jnp.int32)
        self.regularisers = _single(Regularisers() if regularisers is None else regularisers)
        self.floor = jnp.asarray(floor, jnp.float32)
        share = 1.0 if self.used is None else float(np.mean(self.used, dtype=float))
        self.pixels = jnp.asarray(share * np.prod(shape, dtype=float), jnp.float32)

    @property
    def start(self) -> Float[Array, " D"]:
        """θ of the model, float32, (D,)."""
        return self.space.pack(self.model).astype(jnp.float32)

    def at(self, theta: Float[Array, " D"]) -> Ptychography:
        """The model with θ in place, in single precision."""
        return _single(self.space.unpack(theta, self.model))

    def loss(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """Mean loss of a used pixel over all patterns, and the regularisers."""
        return _mean_loss(theta, self)

    def batch_loss(
        self, theta: Float[Array, " D"], index: Int[Array, " b"], real: Bool[Array, " b"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Loss as `loss` gives it, from some patterns; and the sum of their half deviance.

        Parameters
        ----------
        theta : Array (D,)
        index : Array of int (b,)
        real : Array of bool (b,)
            False where an index only fills up.
        """
        model = self.at(theta)
        loss, deviance = self.misfit(model.patterns(index), index, real)
        return loss + self.regularisers(model), deviance

    def misfit(
        self, expected: Float[Array, "b N N"], index: Int[Array, " b"], real: Bool[Array, " b"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """As `batch_loss`, for expected counts of those patterns, without the regularisers."""
        counts = self.counts[index]
        share = (self.counts.shape[0] / jnp.maximum(jnp.sum(real), 1)).astype(self.pixels.dtype)
        loss = self._masked_sum(pixel_loss(self.likelihood, counts, expected, self.floor), index, real)
        fixed = jax.lax.stop_gradient(expected)
        deviance = self._masked_sum(half_deviance(counts, fixed, self.floor), index, real)
        return share * loss / self.pixels, deviance

    def moves(self, name: str) -> bool:
        """Whether some of "object", "probe", "positions" or "background" is refined."""
        stem = PATTERNS[name][0].removesuffix("*")
        return any(path.startswith(stem) for path in self.space.names)

    def used_in(self, index: Int[Array, " b"]) -> Bool[Array, "..."] | None:
        """Which pixels of some patterns enter the loss; None for all."""
        return self.used if self.used is None or self.used.ndim == 2 else self.used[index]

    def half_deviance(self, theta: Float[Array, " D"]) -> Float[Array, ""]:
        """Half the Poisson deviance of a used pixel, with the floor, whatever the likelihood."""
        return eqx.tree_at(lambda o: o.likelihood, self, jnp.zeros_like(self.likelihood)).loss(theta)

    def curvature(self, theta: Float[Array, " D"]) -> Float[Array, " D"]:
        """Diagonal of the expected curvature of the loss, each parameter by itself: illumination, above all."""
        slope = self.space.jacobian_diag(theta).astype(jnp.float32)
        return self._values(curvature_model(self.at(theta), self.floor)) * slope**2 / self.pixels

    def magnitudes(self, theta: Float[Array, " D"]) -> Float[Array, " D"]:
        """How large the elements of θ typically are: one for the object, the probe's amplitude, a pixel."""
        slope = self.space.jacobian_diag(theta).astype(jnp.float32)
        return self._values(magnitude_model(self.at(theta))) / slope

    def theta_of(self, model: Ptychography) -> Float[Array, " D"]:
        """θ of another model of the same shape, (D,)."""
        return self.space.from_physical(self._values(model)).astype(jnp.float32)

    def _values(self, model: Ptychography) -> Float[Array, " D"]:
        return jnp.concatenate([jnp.ravel(get_value(model, name)) for name in self.space.names])

    def with_likelihood(self, name: str) -> "ScanObjective":
        """The same objective with another likelihood; compiles nothing anew."""
        number = jnp.asarray(likelihood_number(name), jnp.int32)
        return eqx.tree_at(lambda o: o.likelihood, self, number)

    def _masked_sum(
        self, values: Float[Array, "b N N"], index: Int[Array, " b"], real: Bool[Array, " b"]
    ) -> Float[Array, ""]:
        if self.used is not None:
            values = jnp.where(self.used_in(index), values, 0.0)
        return jnp.sum(jnp.where(real, jnp.sum(values, axis=(1, 2)), 0.0))


@eqx.filter_custom_vjp
def _mean_loss(theta: Float[Array, " D"], objective: ScanObjective) -> Float[Array, ""]:
    """Mean over the batches; its gradient comes with it, batch by batch, so that nothing is kept or done twice."""
    return _over_batches(objective, lambda *batch: objective.batch_loss(theta, *batch)[0])


@_mean_loss.def_fwd
def _mean_loss_forward(perturbed, theta, objective):
    del perturbed
    gradient = jax.value_and_grad(lambda theta, *batch: objective.batch_loss(theta, *batch)[0])
    return _over_batches(objective, lambda *batch: gradient(theta, *batch))


@_mean_loss.def_bwd
def _mean_loss_backward(slope, cotangent, perturbed, theta, objective):
    del perturbed, theta, objective
    return cotangent * slope


def _over_batches(objective: ScanObjective, function: Any) -> Any:
    """Mean of a function of (index, real) over the patterns."""
    number = objective.counts.shape[0]
    index, real = split_evenly(number, objective.model.batch)

    def add(total, batch):
        share = (jnp.sum(batch[1]) / number).astype(objective.pixels.dtype)
        return jax.tree.map(lambda t, x: t + share * x, total, function(*batch)), None

    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, index[0], real[0]))
    return jax.lax.scan(add, blank, (jnp.asarray(index), jnp.asarray(real)))[0]


def refined_space(model: Ptychography, refine: Sequence[str]) -> ThetaSpace:
    """The space of what is refined: names of `PATTERNS`, or paths.

    Raises
    ------
    ParameterError
        For a name that selects nothing.
    """
    names = [refine] if isinstance(refine, str) else list(refine)
    return ThetaSpace(model, [path for name in names for path in PATTERNS.get(name, (name,))])


def _single(tree: Any) -> Any:
    """With single-precision numbers in place of double ones, strongly typed."""
    convert = lambda leaf: jax.lax.convert_element_type(leaf, SINGLE.get(leaf.dtype, leaf.dtype))  # noqa: E731
    return jax.tree.map(lambda leaf: convert(leaf) if eqx.is_array(leaf) else leaf, tree)


def _checked_used(used: Any, shape: tuple[int, int, int]) -> Bool[Array, "..."] | None:
    if used is None:
        return None
    used = np.asarray(used)
    if used.shape not in (shape, shape[1:]) or used.dtype != bool:
        raise ValueError(f"Expected used of bool, {shape} or {shape[1:]}, got {used.dtype} {used.shape}.")
    if not used.any():
        raise ValueError("Expected some pixels in used, got none.")
    return jnp.asarray(used)
