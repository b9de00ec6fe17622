"""Steps of a training, compiled once for a shape: an update, and a look at some groups without one."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from .forward import PhysicsNetwork, Predicted, patch_weight
from .group_sets import GroupSet, ScanArrays
from .inputs import placed
from .losses import mean_error, total_variation
from .network import PatchNetwork
from .patches import counts_of, merged
from .settings import LossWeights
from .sweeps import flat_level

DECAYS = (np.float32(0.9), np.float32(0.999))  # typed, so that double precision elsewhere changes no bit


class Prepared(NamedTuple):
    """Groups with the inputs made of them.

    Attributes
    ----------
    x : array (B, h, w, channels)
    index : array of int (B, C)
    corners : array (B, C, 2), pixels
    """

    x: Float[Array, "B h w c"]
    index: Int[Array, "B C"]
    corners: Float[Array, "B C 2"]

    @staticmethod
    def of(groups: GroupSet, x: Float[Array, "B h w c"]) -> "Prepared":
        """On the device."""
        return Prepared(x, jnp.asarray(groups.index), jnp.asarray(groups.corners))

    def __getitem__(self, rows: Any) -> "Prepared":
        return Prepared(self.x[rows], self.index[rows], self.corners[rows])


class Update(NamedTuple):
    """What a step gives: network and moments, the data's loss, the gradient's norm, and whether all was finite."""

    network: PatchNetwork
    moments: Any
    loss: Float[Array, ""]
    grad_norm: Float[Array, ""]
    finite: Bool[Array, ""]


class Looked(NamedTuple):
    """Of each group: loss, and the photons that were counted and expected, without the background."""

    loss: Float[Array, " b"]
    counted: Float[Array, " b"]
    expected: Float[Array, " b"]


def optimiser(clip: float | int) -> optax.GradientTransformation:
    """Adam on a clipped gradient; the rate is a step's own."""
    return optax.chain(optax.clip_by_global_norm(float(clip)), optax.scale_by_adam(*DECAYS))


@eqx.filter_jit
def step(
    model: PhysicsNetwork,
    moments: Any,
    scan: ScanArrays,
    groups: Prepared,
    rows: Int[Array, " b"],
    numbers: Float[Array, "3"],
    weights: LossWeights,
    clip: float | int,
    side: int,
) -> Update:
    """One update; none from the first batch on whose numbers are not finite.

    Parameters
    ----------
    model : PhysicsNetwork
    moments
        State of the optimiser.
    scan : ScanArrays
    groups : Prepared
    rows : array of int (b,)
        Groups of the batch.
    numbers : array (3,)
        Learning rate, loss of a flat object, and one while all batches before were finite, else zero.
    weights : LossWeights
    clip : float
        Largest norm of a gradient.
    side : int, pixels
        Of the groups' canvases.
    """
    rate, flat, alive = numbers
    (_, (data, _)), slopes = eqx.filter_value_and_grad(_loss, has_aux=True)(
        model.network, model.conditioning, scan, groups[rows], weights, flat, side
    )
    norm = jnp.sqrt(sum(jnp.sum(slope**2) for slope in jax.tree.leaves(slopes)))
    finite = (alive > 0) & jnp.isfinite(data) & jnp.isfinite(norm)
    moves, after = optimiser(clip).update(slopes, moments)
    moved = eqx.apply_updates(model.network, jax.tree.map(lambda m: -rate * m, moves))
    pick = lambda new, old: jax.tree.map(lambda n, o: jnp.where(finite, n, o) if eqx.is_array(n) else n, new, old)  # noqa: E731
    return Update(pick(moved, model.network), pick(after, moments), data, norm, finite)


@eqx.filter_jit
def look(
    model: PhysicsNetwork,
    scan: ScanArrays,
    groups: Prepared,
    rows: Int[Array, " b"],
    weights: LossWeights,
    side: int,
) -> Looked:
    """Loss and photons of some groups, without an update; arguments as of `step`."""
    chosen = groups[rows]
    predicted = model.predict(chosen.x, scan, chosen.corners, side)
    counts, used = scan.counts[chosen.index], scan.used_in(chosen.index)
    error = mean_error(weights, counts, predicted.expected, used)
    return Looked(error, *photons_of(counts, predicted.expected, scan.background, used))


def photons_of(
    counts: Float[Array, "b C N N"],
    expected: Float[Array, "b C N N"],
    background: Float[Array, "..."],
    used: Bool[Array, "..."] | None,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Photons of each group that were counted and expected, above the background, in the pixels that are used.

    The root of their ratio is the factor by which amplitudes are too small: one for the true object at any dose, unlike
    a fit of roots, because the mean of counts is what is expected, and the mean of their root is not its root.
    """
    seen = jnp.ones((), bool) if used is None else used
    counted, sent = (jnp.sum(jnp.where(seen, n - background, 0), axis=(1, 2, 3)) for n in (counts, expected))
    return counted, sent


@eqx.filter_jit
def slopes_of(
    model: PhysicsNetwork, scan: ScanArrays, groups: Prepared, rows: Int[Array, " b"], flat: Float[Array, ""],
    weights: LossWeights, side: int,
) -> tuple[Predicted, PatchNetwork]:  # fmt: skip
    """Prediction and gradient of a batch, to see where numbers stop being finite."""
    (_, (_, predicted)), slopes = eqx.filter_value_and_grad(_loss, has_aux=True)(
        model.network, model.conditioning, scan, groups[rows], weights, flat, side
    )
    return predicted, slopes


@eqx.filter_jit
def flat_loss(scan: ScanArrays, groups: Prepared, weights: LossWeights, side: int) -> Float[Array, ""]:
    """Loss of a flat object that lets through the light that was counted."""
    counts, used = scan.counts[groups.index], scan.used_in(groups.index)
    light = jnp.sum(scan.probe.real**2 + scan.probe.imag**2)
    level = flat_level(counts, used, scan.probe, scan.background, light)
    canvas = jnp.full((groups.index.shape[0], side, side), level, scan.probe.dtype)
    expected = counts_of(canvas, scan.probe, groups.corners, scan.background)
    return jnp.mean(mean_error(weights, counts, expected, used))


def _loss(network, conditioning, scan: ScanArrays, groups: Prepared, weights: LossWeights, flat, side: int):
    """Loss in units of a flat object's, with the data's part in its own, and the prediction."""
    architecture = network.architecture
    predicted = PhysicsNetwork(network, conditioning).predict(groups.x, scan, groups.corners, side)
    counts, used = scan.counts[groups.index], scan.used_in(groups.index)
    data = jnp.mean(mean_error(weights, counts, predicted.expected, used))
    total = data / flat
    if weights.tv:
        weight = patch_weight(scan.probe, architecture.side)
        ones = jnp.ones(predicted.decoded.patches.shape, jnp.float32)
        covered = merged(ones, placed(architecture, groups.corners), weight, (side, side))
        total += np.float32(weights.tv) * total_variation(predicted.canvas, covered)
    return total, (data, predicted)
