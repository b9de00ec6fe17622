"""Many fits of one shape through one compiled function: starts, noise draws, data sets."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .abstract_objective import is_informed
from .engines import AbstractEngine, FitResult
from .fisher import covariance
from .fit import chosen_engine
from .loop import Course, begin, run_to_the_end
from .loss_objective import as_objective, check_loss
from .many_solutions import ManySolutions
from .stopping import StoppingRules, code_of

BATCH_NUMBERS = 3_000_000  # numbers in a batch: D times the largest array, for each member


def fit_many(
    objective: Any,
    thetas: ArrayLike,
    engine: AbstractEngine | None = None,
    *,
    images: Any = None,
    where: Callable[[Any], Any] | None = None,
    batch_size: int | None = None,
    stopping: StoppingRules | None = None,
    on_batch: Callable[[int], None] = lambda done: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ManySolutions:
    """Fit many starts, many data sets, or both, each until its own convergence.

    Parameters
    ----------
    objective : AbstractObjective, callable, or sequence of objectives
        One for all; or several of the same structure, whose arrays are stacked where they differ.
    thetas : Array (B, D) or (D,)
        The starts, or one start for all data sets.
    engine : AbstractEngine
        As in `fit`.
    images : Array (B, n, n), optional
        Data sets in place of the objective's image, electrons; mask, exposures and variance stay the objective's.
    where : callable, optional
        Picks the leaves of the objective that have a leading axis of B, as in `eqx.tree_at`.
    batch_size : int
        Members that are solved side by side, which costs as many times the memory of one. By default many for small
        models and one after another for big ones, which gain nothing from it on a CPU.
    stopping : StoppingRules
        As in `fit`; `seconds` is looked at between batches.
    on_batch : callable
        Called with the number of members done, after every batch.
    should_stop : callable
        Asked after every batch; what is left then stays at its start, as interrupted.

    Returns
    -------
    ManySolutions

    Raises
    ------
    ValueError
        If numbers of starts and data sets disagree, an image has another shape than the objective's or is not
        finite where it is used, or the engine needs information that the objective does not have.
    """
    shared, stacked, count = _members(objective, images, where)
    thetas = _checked_starts(thetas, count)
    member = eqx.combine(shared, _member(stacked, 0))
    engine = chosen_engine(member, engine)
    check_loss(member, thetas[0])
    rules, started = stopping or StoppingRules(), time.perf_counter()
    size = min(len(thetas), _batch_size(member, thetas.shape[1]) if batch_size is None else batch_size)
    if size < 1:
        raise ValueError(f"Expected batch_size of 1 or more, got {batch_size}.")
    found, ended = [], False
    for part in _batches(len(thetas), size):
        ended = ended or bool(found and (_out_of_time(rules, started) or should_stop()))
        solve = _untouched if ended else _solve
        arguments = (engine, shared, _member(stacked, part), thetas[part], rules)
        found.append(jax.device_get(solve(*arguments)))
        on_batch(min(len(found) * size, len(thetas)))
    columns = jax.tree.map(lambda *parts: jnp.asarray(np.concatenate(parts)[: len(thetas)]), *found)
    return ManySolutions(**columns, objective=member, members=stacked, engine=engine)


def _members(objective: Any, images: Any, where: Any) -> tuple[Any, Any, int | None]:
    """What all members share, what is stacked (None elsewhere), and how many there are (None: as many as starts)."""
    if isinstance(objective, Sequence):
        return _stack([as_objective(one) for one in objective])
    objective = as_objective(objective)
    if images is not None:
        objective, where = _with_images(objective, images), lambda o: o.image
    if where is None:
        return objective, jax.tree.map(lambda leaf: None, objective), None
    spec = eqx.tree_at(where, jax.tree.map(lambda leaf: False, objective), replace_fn=lambda leaf: True)
    stacked, shared = eqx.partition(objective, spec)
    return shared, stacked, _only_length(stacked)


def _with_images(objective: Any, images: Any) -> Any:
    """The objective with a stack of images, which are checked."""
    images = jnp.asarray(images, float)
    if images.ndim != 3 or images.shape[1:] != objective.image.shape:
        raise ValueError(f"Expected images of shape (B, {objective.image.shape}), got {images.shape}.")
    used = np.asarray(images)[:, np.asarray(objective.mask)]
    if not np.isfinite(used).all():
        first = int(np.flatnonzero(~np.isfinite(used).all(1))[0])
        raise ValueError(f"Expected finite pixels inside the mask, got others in image {first}. Mask them.")
    return eqx.tree_at(lambda o: o.image, objective, jnp.where(objective.mask, images, 0.0))


def _stack(objectives: Sequence[Any]) -> tuple[Any, Any, int]:
    """Objectives of one structure: arrays that are the same in all are kept once."""
    parts = [eqx.partition(one, eqx.is_array) for one in objectives]
    (first, static), *rest = parts
    if any(not eqx.tree_equal(static, other) for _, other in rest):
        raise ValueError("Expected objectives of one structure, which differ in arrays only. Fit the others apart.")
    differ = lambda leaf, *others: not all(leaf is o or np.array_equal(leaf, o) for o in others)  # noqa: E731
    spec = jax.tree.map(differ, *(arrays for arrays, _ in parts))
    alike = eqx.filter(first, spec, inverse=True)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(eqx.filter(arrays, spec) for arrays, _ in parts))
    return eqx.combine(alike, static), stacked, len(objectives)


def _only_length(stacked: Any) -> int:
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(stacked)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"Expected one leading axis of all stacked arrays, got lengths {sorted(lengths)}.")
    return lengths.pop()


def _checked_starts(thetas: Any, count: int | None) -> Float[Array, "B D"]:
    thetas = jnp.asarray(thetas, float)
    if thetas.ndim == 1 and count is not None:
        thetas = jnp.broadcast_to(thetas, (count, thetas.size))
    if thetas.ndim != 2 or len(thetas) == 0 or count not in (None, len(thetas)):
        wanted = "(B, D)" if count is None else f"({count}, D)"
        raise ValueError(f"Expected thetas of shape {wanted}, got {thetas.shape}. Give a start for each data set.")
    if not np.isfinite(thetas).all():
        raise ValueError("Expected finite thetas, got infinite or undefined numbers. Use space.pack(model).")
    return thetas


def _member(stacked: Any, part: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[part], stacked)


def _batch_size(objective: Any, dim: int) -> int:
    """How many members' derivatives fit into a batch; the largest array of a model is a measure of its size."""
    largest = max((leaf.size for leaf in jax.tree.leaves(eqx.filter(objective, eqx.is_array))), default=1)
    return max(1, BATCH_NUMBERS // (dim * max(largest, 1)))


def _batches(total: int, size: int) -> Iterator[np.ndarray]:
    """Indices of each batch, all of one length: the last is filled up with its last member."""
    for begins in range(0, total, size):
        yield np.minimum(np.arange(begins, begins + size), total - 1)


def _out_of_time(rules: StoppingRules, started: float) -> bool:
    return rules.seconds is not None and time.perf_counter() - started > float(rules.seconds)


@eqx.filter_jit
def _solve(engine, shared, stacked, thetas, rules) -> dict[str, Array]:
    """Fits of a batch; a batch of one without `vmap`, which would compute both sides of every condition."""

    def one(stacked, theta):
        objective = eqx.combine(shared, stacked)
        course = begin(engine.init(theta))
        course = run_to_the_end(engine, objective, rules, course)
        return _columns(objective, course)

    if len(thetas) > 1:
        return jax.vmap(one)(stacked, thetas)
    return jax.tree.map(lambda leaf: leaf[None], one(_member(stacked, 0), thetas[0]))


def _columns(objective: Any, course: Course) -> dict[str, Any]:
    best = course.best
    found = {"theta": best.theta, "loss": best.loss, "steps": course.state.step, "codes": course.code}
    found |= {"nonfinite_steps": course.state.tally.nonfinite, "information": None, "covariance": None}
    if is_informed(objective):
        information = objective.expansion(best.theta).information if best.information is None else best.information
        spread = covariance(information + objective.prior_information(best.theta))
        found |= {"information": information, "covariance": spread}
    return found


@eqx.filter_jit
def _untouched(engine, shared, stacked, thetas, rules) -> dict[str, Array]:
    """Members that were not begun: their starts, and nothing known."""
    blank = jax.eval_shape(_solve, engine, shared, stacked, thetas, rules)
    nothing = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan if x.dtype.kind == "f" else 0, x.dtype), blank)
    codes = jnp.full_like(nothing["codes"], code_of(FitResult.INTERRUPTED))
    return nothing | {"theta": thetas, "codes": codes}
