"""Fits of one structure side by side, each with everything that `fit` keeps of one."""

import time
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from .abstract_objective import check_informed
from .engines import RESULTS, AbstractEngine
from .fisher import Identifiability
from .fit import ROW_NUMBERS, Solution, _curvature, _solution, chosen_engine
from .fit_many import _checked_starts, _stack
from .identifiability_report import identifiability_of
from .loop import Course, Rows, begin, is_running, run_chunk
from .loss_objective import as_objective
from .stopping import StoppingRules


def fit_batch(
    objectives: Sequence[Any],
    thetas: ArrayLike,
    engine: AbstractEngine | None = None,
    *,
    size: int | None = None,
    stopping: StoppingRules | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Solution]:
    """Fit objectives of one structure at once, and give a `Solution` of each: traces and engine states too.

    Where only the results matter, `fit_many` takes less memory.

    Parameters
    ----------
    objectives : sequence of AbstractInformedObjective
        Of the same structure; they differ in arrays only.
    thetas : Array (B, D)
        The starts.
    engine : AbstractEngine
        As in `fit`.
    size : int, optional
        Members that are solved side by side, at least B: the last one stands for those that lack, so that batches of
        different lengths share one compiled function and give the same numbers.
    stopping : StoppingRules
        As in `fit`, but for `seconds`.
    devices : sequence of jax.Device, optional
        Over which the members are spread, by default all of this process. The size is rounded up to a multiple of
        their number.

    Returns
    -------
    list of Solution
        `stats["seconds"]` is each one's share of the batch's.

    Raises
    ------
    ValueError
        If the objectives differ in structure, or `thetas` does not fit them.
    """
    objectives, started = [as_objective(one) for one in objectives], time.perf_counter()
    check_informed(objectives[0], "fit_batch")
    devices = jax.local_devices() if devices is None else list(devices)
    thetas = _checked_starts(thetas, len(objectives))
    engine = chosen_engine(objectives[0], engine)
    batch = _padded(objectives, thetas, max(size or 0, len(objectives)), devices)
    courses, rows = _to_the_end(engine, stopping or StoppingRules(), *batch)
    seconds = (time.perf_counter() - started) / len(objectives)
    members = (_member(courses, i) for i in range(len(objectives)))
    return [
        _finished(engine, objective, course, [_rows_of(part, i) for part in rows], seconds)
        for i, (objective, course) in enumerate(zip(objectives, members, strict=True))
    ]


def _padded(objectives: list[Any], thetas: Float[Array, "B D"], size: int, devices: list[Any]) -> tuple[Any, Any, Any]:
    """What all members share, what is stacked, and the starts; filled up with the last, spread over the devices."""
    size = -(-size // len(devices)) * len(devices) if size > 1 else size
    lacking = size - len(objectives)
    shared, stacked, _ = _stack(objectives)
    fill = lambda x: jnp.concatenate([x, jnp.repeat(x[-1:], lacking, axis=0)]) if lacking else x  # noqa: E731
    stacked, thetas = jax.tree.map(fill, stacked), fill(thetas)
    if len(devices) == 1 or size == 1:
        return shared, stacked, thetas
    mesh = jax.sharding.Mesh(np.asarray(devices), ("member",))
    each = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("member"))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    put = lambda tree, where: jax.tree.map(lambda x: jax.device_put(x, where) if eqx.is_array(x) else x, tree)  # noqa: E731
    return put(shared, everywhere), put(stacked, each), put(thetas, each)


def _to_the_end(engine, rules, shared, stacked, thetas) -> tuple[Course, list[tuple[Rows, np.ndarray]]]:
    """Chunk after chunk until every member has ended."""
    capacity = max(1, min(engine.max_steps + 1, ROW_NUMBERS // max(thetas.size, 1)))
    courses, found = _begun(engine, thetas), []
    while bool(jnp.any(jax.vmap(is_running)(courses.code))):
        courses, rows, done = _chunk(engine, shared, stacked, rules, courses, capacity)
        found.append(jax.device_get((rows, done)))
    return jax.device_get(courses), found


@eqx.filter_jit
def _begun(engine: AbstractEngine, thetas: Float[Array, "B D"]) -> Course:
    return jax.vmap(lambda theta: begin(engine.init(theta)))(thetas)


@eqx.filter_jit
def _chunk(engine, shared, stacked, rules, courses, capacity: int) -> tuple[Course, Rows, Int[Array, " B"]]:
    """At most `capacity` steps of each; a batch of one without `vmap`, which computes both sides of conditions."""

    def one(member, course):
        limit = jnp.where(is_running(course.code), capacity, 0)
        return run_chunk(engine, eqx.combine(shared, member), rules, course, limit, max(capacity, 2), True)

    if len(courses.code) > 1:
        return jax.vmap(one)(stacked, courses)
    alone = one(_member(stacked, 0), _member(courses, 0))
    return jax.tree.map(lambda leaf: leaf[None], alone)


def _member(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], tree)


def _rows_of(part: tuple[Rows, np.ndarray], i: int) -> Rows:
    rows, done = part
    return jax.tree.map(lambda x: x[i, : int(done[i])], rows)


def _finished(engine, objective, course, rows, seconds) -> Solution:
    course = jax.tree.map(jnp.asarray, course)
    report = _report(objective, course.best)
    return _solution(engine, objective, course, rows, RESULTS[int(course.code)], report, seconds)


def _report(objective: Any, state: Any) -> Identifiability:
    curvature = _curvature(objective, state)[1]
    known = bool(np.isfinite(curvature).all())
    return identifiability_of(objective.space, curvature) if known else Identifiability((), (), np.nan)
