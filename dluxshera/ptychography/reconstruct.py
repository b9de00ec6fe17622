"""From a scan to its object: stages of engines under one clock."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..inference import LBFGS, EngineState, fit
from .clock import Clock
from .data import ScanData
from .gauge import fix_gauge
from .minibatch_adam import MinibatchAdam
from .model import Ptychography
from .objective import PATTERNS, ScanObjective
from .reconstruction import Reconstruction, deviances
from .regularisers import Regularisers
from .scaled_objective import preconditioned
from .scan_errors import ScanError
from .starts import MARGIN, starting_model
from .stitching import illumination

EPOCHS = 100
AMPLITUDE_SHARE, FULL_SHARE = 0.2, 0.08  # of the epochs: a start by amplitudes, and full-batch steps at the end
BATCH = 43
AMPLITUDE_RATE, RATE = 0.03, 0.02


class Progress(NamedTuple):
    """Where a reconstruction is: enough to go on from, bit for bit.

    Attributes
    ----------
    stage : int
        0: amplitudes; 1: minibatches of the likelihood; 2: full-batch steps.
    begin : array (D,)
        θ at which the stage began.
    state : EngineState
    lengths : list of int
        Epochs of the stages.
    history : dict of lists
    """

    stage: int
    begin: Any
    state: EngineState
    lengths: list[int]
    history: dict[str, list]


def reconstruct(
    data: ScanData,
    modes: int = 1,
    refine: Sequence[str] = ("probe", "positions"),
    likelihood: str = "poisson",
    seconds: float | int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    *,
    start: Reconstruction | None = None,
    hold_out: float = 0.0,
    regularisers: Regularisers | None = None,
    batch: int = BATCH,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    resume: Progress | None = None,
) -> Reconstruction:
    """Reconstruct the object of a scan, and refine what else is asked for, by gradient.

    A start by the amplitudes, then minibatches of the likelihood with a falling rate, then full-batch L-BFGS steps
    preconditioned by illumination. Works in single precision, whatever the settings.

    Parameters
    ----------
    data : ScanData
        Its probe, object and background are the start; what is not refined stays as it is there.
    modes : int
        Incoherent modes of the probe.
    refine : sequence of str
        Among "probe", "positions" and "background", beside the object.
    likelihood : str
        "poisson" or "amplitude".
    seconds : float, optional
        Of optimisation, without compilation; the number of epochs follows from how long the first ones take.
    epochs : int, optional
        Passes through the data, 100 by default; the result then does not depend on the clock.
    seed : int
        Of the order of the patterns and of the pixels held out.
    start : Reconstruction, optional
        Object, probe, positions and background to begin with, instead of the data's.
    hold_out : float, fraction
        Of the pixels that is kept out of the likelihood, at random, to see that it is not overfitted.
    regularisers : Regularisers, optional
    batch : int
        Patterns in a minibatch.
    on_epoch : callable
        Called with a `Progress` after every epoch.
    should_stop : callable
        Asked after every epoch; true ends the optimisation with what was found.
    resume : Progress, optional
        Go on from there, with the same arguments.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ScanError
        For arguments that do not fit the data.
    """
    _check(modes, refine, seconds, epochs, hold_out)
    data = data.load()
    used, held = _pixels(data, hold_out, seed)
    model, origin = _start(data, modes, refine, start)
    objective = ScanObjective(model, data.counts, ("object", *refine), likelihood, used, regularisers)
    clock = Clock(seconds, _lengths(EPOCHS if epochs is None else epochs, likelihood), resume)
    theta = _run(objective, likelihood, clock, seed, batch, on_epoch, should_stop, resume)
    found = objective.at(theta)
    found = fix_gauge(found) if "probe" in refine else found
    settings = {"modes": modes, "refine": list(refine), "likelihood": likelihood, "seed": seed, "hold_out": hold_out}
    return _finished(found, data, used, held, origin, clock, settings)


def _run(objective, likelihood, clock, seed, batch, on_epoch, should_stop, resume) -> jnp.ndarray:
    """θ after the three stages."""
    theta = objective.start if resume is None else jnp.asarray(resume.begin)
    for stage in range(0 if resume is None else resume.stage, 3):
        length = clock.begin_stage(stage)
        if length == 0 or clock.stopped:
            continue
        state = resume.state if resume is not None and resume.stage == stage else None
        goal, engine, begin = _stage(objective, theta, likelihood, stage, length, seed, batch)

        def note(state, stage=stage, begin=theta):
            clock.note(state)
            if state.step > 0:
                on_epoch(Progress(stage, np.asarray(begin), state, clock.lengths, clock.history))

        stop = lambda: clock.is_over(should_stop())  # noqa: E731
        options = {"on_step": note, "should_stop": stop, "chunk": 1, "record_theta": False, "state": state}
        begin = begin if state is None else state.theta
        state = fit(goal, begin, engine, **options).state
        theta = goal.theta(state.theta) if stage == 2 else state.theta
    return theta


def _stage(objective, theta, likelihood, stage, length, seed, batch):
    """Objective, engine and start of a stage."""
    steps = jnp.asarray(length, int)
    if stage == 2:
        goal = preconditioned(objective.with_likelihood(likelihood), theta)
        return goal, LBFGS(max_steps=10_000), jnp.zeros_like(theta)
    if stage == 0:
        engine = MinibatchAdam(steps, AMPLITUDE_RATE, 0.2, batch, seed)
        return objective.with_likelihood("amplitude"), engine, theta
    return objective.with_likelihood(likelihood), MinibatchAdam(steps, RATE, 0.02, batch, seed + 1), theta


def _lengths(epochs: int, likelihood: str) -> tuple[int, int, int]:
    """Epochs of the stages."""
    first = 0 if likelihood == "amplitude" else round(AMPLITUDE_SHARE * epochs)
    last = max(1, round(FULL_SHARE * epochs)) if epochs > 1 else 0
    return first, max(0, epochs - first - last), last


def _start(data, modes, refine, start) -> tuple[Ptychography, np.ndarray]:
    """The model to begin with, and the origin of its canvas."""
    if start is not None:
        return start.model(energy_ev=data.energy_ev, distance=data.distance, detector_pixel=data.detector_pixel), (
            np.asarray(start.origin)
        )
    margin = MARGIN if "positions" in refine else 0
    return starting_model(data, modes, margin=margin, with_background="background" in refine)


def _pixels(data: ScanData, hold_out: float, seed: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Pixels that enter the likelihood, and those held out of it; None for all and for none."""
    if not hold_out:
        return data.mask, None
    there = np.ones(data.counts.shape, bool) if data.mask is None else np.broadcast_to(data.mask, data.counts.shape)
    held = (np.random.default_rng([seed, 5]).random(data.counts.shape, np.float32) < hold_out) & there
    return there & ~held, held


def _finished(model, data, used, held, origin, clock, settings) -> Reconstruction:
    sets = {"all": data.mask, "fitted": used} | ({} if held is None else {"held": held})
    found = deviances(model, data.counts, sets)
    probe, corners = np.asarray(model.probe.modes), np.asarray(model.corners, float)
    object = np.asarray(model.sample.object)
    return Reconstruction(
        object=object,
        probe=probe,
        positions=corners,
        coverage=illumination(probe, corners, object.shape).astype(np.float32),
        background=np.asarray(model.background),
        origin=origin,
        interpolation=model.interpolation,
        deviance=found["all"],
        held_out_deviance=found.get("held"),
        history=clock.arrays(),
        facts={**settings, **clock.facts(), "fitted_deviance": found["fitted"]},
    )


def _check(modes, refine, seconds, epochs, hold_out) -> None:
    known = [name for name in PATTERNS if name != "object"]
    unknown = [name for name in refine if name not in known]
    if isinstance(refine, str) or unknown:
        raise ScanError(f"Expected refine to list some of {', '.join(known)}, got {refine!r}.")
    if seconds is not None and epochs is not None:
        raise ScanError("Expected seconds or epochs, got both. Leave one out.")
    if (seconds is not None and not 0 < seconds < np.inf) or (epochs is not None and epochs < 1):
        raise ScanError(f"Expected seconds or epochs above zero, got {seconds if epochs is None else epochs}.")
    if not 0 <= hold_out < 1:
        raise ScanError(f"Expected hold_out in [0, 1), got {hold_out}.")
