"""From a scan to its object: stages of engines under one clock."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..inference import LBFGS, EngineState, FitResult, Solution, StoppingRules, fit
from .clock import Clock
from .data import ScanData
from .gauge import fix_gauge, probe_centre
from .minibatch_adam import MinibatchAdam
from .model import Ptychography
from .objective import PATTERNS, ScanObjective
from .reconstruction import Reconstruction, corners_on_canvas, deviances
from .regularisers import Regularisers
from .scaled_objective import preconditioned
from .scan_errors import ScanError
from .starts import MARGIN, starting_model
from .stitching import illumination

EPOCHS = 100
FULL_SHARE = 0.15  # of the epochs: full-batch steps at the end
BATCH = 16
REFINED = ("probe", "positions", "background")
TOTAL_VARIATION = 0.1  # enough to bring pixels held out within 15 % of those fitted, on measured data
AMPLITUDE_LAST, LAST = 0.2, 0.005  # rates fall to these fractions
HELD = 0.01  # weight of the probe's centre, per photon in the mean pixel
LARGEST_SEED = 2**31 - 2  # a whole number of jax has 32 bits, and the second stage adds one
MOST_STEPS = 10_000  # of the last stage; compiled in, so that it does not depend on the number wanted


class Pace(NamedTuple):
    """Share of the epochs that start by amplitudes, and the rates of that start and of what follows."""

    amplitude_share: float
    amplitude_rate: float
    rate: float


KNOWN_PROBE = Pace(0.2, 0.03, 0.02)
UNKNOWN_PROBE = Pace(0.5, 0.1, 0.05)  # found by larger steps, which would cost a known one some dB at high dose


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
    refine: Sequence[str] = REFINED,
    likelihood: str = "poisson",
    seconds: float | int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    *,
    start: Reconstruction | None = None,
    from_object: bool = False,
    hold_out: float = 0.0,
    regularisers: Regularisers | None = None,
    batch: int = BATCH,
    stopping: StoppingRules | None = None,
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
        Its probe and background are the start, the object starts transparent; what is not refined stays as it is there.
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
    from_object : bool
        Whether to begin with the object in the data, which for simulated data is the truth.
    hold_out : float, fraction
        Of the pixels that is kept out of the likelihood, at random, to see that it is not overfitted.
    regularisers : Regularisers, optional
        Total variation of weight 0.1 by default; `Regularisers()` is none.
    batch : int
        Patterns in a minibatch.
    stopping : StoppingRules, optional
        End the second and third stage early; their loss is per pixel, and between 0.3 and 10.
    on_epoch : callable
        Called with a `Progress` at the start and after every epoch; what it takes is no time of optimisation.
    should_stop : callable
        Asked after every epoch; true ends the optimisation with what was found.
    resume : Progress, optional
        Go on from there, with the same arguments. With another number of epochs the stages that have begun stay as
        long as they were, those to come have their share, and the last one has the rest.

    Returns
    -------
    Reconstruction

    Notes
    -----
    An epoch that ends in numbers that are not finite is refused and counted; after twelve in a row the optimisation has
    failed, and the result is what it was before them: `facts["failure"]` says so.

    Raises
    ------
    ScanError
        For arguments that do not fit the data.
    """
    _check(refine, seconds, epochs, hold_out, seed)
    data = data.load()
    used, held = _pixels(data, hold_out, seed)
    model, origin = _start(data, modes, refine, start, from_object)
    regularisers = Regularisers(total_variation=TOTAL_VARIATION) if regularisers is None else regularisers
    penalties = _centre_held(regularisers, model, refine, data.photons)
    objective = ScanObjective(model, data.counts, ("object", *refine), likelihood, used, penalties)
    pace = UNKNOWN_PROBE if "probe" in refine else KNOWN_PROBE
    lengths = _lengths(EPOCHS if epochs is None else epochs, pace)
    if resume is not None and epochs is not None:
        resume = resume._replace(lengths=_other_lengths(resume, lengths))
    clock = Clock(seconds, lengths, resume)
    run = _Run(objective, likelihood, pace, clock, seed, batch, stopping)
    theta = run(on_epoch, should_stop, resume)
    found = objective.at(theta)
    found = fix_gauge(found) if "probe" in refine else found
    settings = {"modes": modes, "refine": list(refine), "likelihood": likelihood, "seed": seed, "hold_out": hold_out,
                "batch": batch, "from_object": from_object, **regularisers.settings()}  # fmt: skip
    return _finished(found, data, used, held, origin, clock, settings)


class _Run(NamedTuple):
    """The three stages of one reconstruction."""

    objective: ScanObjective
    likelihood: str
    pace: Pace
    clock: Clock
    seed: int
    batch: int
    stopping: StoppingRules | None

    def __call__(self, on_epoch, should_stop, resume: Progress | None) -> jnp.ndarray:
        """θ after the last stage."""
        theta = self.objective.start if resume is None else jnp.asarray(resume.begin)
        for stage in range(0 if resume is None else resume.stage, 3):
            state = resume.state if resume is not None and resume.stage == stage else None
            if self.clock.begin_stage(stage) > 0 and not (self.clock.stopped or self.clock.failure):
                theta = self._go(stage, theta, state, on_epoch, should_stop)
        return theta

    def _go(self, stage: int, theta, state: EngineState | None, on_epoch, should_stop) -> jnp.ndarray:
        """θ after one stage."""
        clock = self.clock
        goal, engine = self._stage(stage, theta)

        def note(state):
            clock.note(state)
            if state.step > 0 or clock.has_just_begun():
                on_epoch(Progress(stage, np.asarray(theta), state, *clock.record()))
                clock.go_on()

        first = jnp.zeros_like(theta) if stage == 2 else theta
        solution = fit(
            goal,
            first if state is None else state.theta,
            engine,
            on_step=note,
            should_stop=lambda: clock.is_over(should_stop()),
            stopping=self.stopping if stage > 0 else None,
            chunk=1,
            record_theta=False,
            state=state,
        )
        found = solution.state.theta
        if solution.result == FitResult.NOT_FINITE:
            clock.failure = _failure(stage, solution, goal)
        return goal.theta(found) if stage == 2 else found

    def _stage(self, stage: int, theta) -> tuple[Any, Any]:
        """Objective and engine of a stage."""
        goal = self.objective.with_likelihood("amplitude" if stage == 0 else self.likelihood)
        length = jnp.asarray(self.clock.lengths[stage], int)
        if stage == 0:
            return goal, MinibatchAdam(length, self.pace.amplitude_rate, AMPLITUDE_LAST, self.batch, self.seed)
        if stage == 1:
            return goal, MinibatchAdam(length, self.pace.rate, LAST, self.batch, self.seed + 1)
        return preconditioned(goal, theta), LBFGS(max_steps=MOST_STEPS)


def _failure(stage: int, solution: Solution, goal: Any) -> str:
    """What an optimisation broke down by; an engine of epochs does not keep the try, and makes it again."""
    bad, state = solution.stats["first_bad"], solution.state
    if bad is None and stage < 2:
        tried = solution.engine.tried(goal, state)
        bad = goal.space.labels[int(np.argmin(np.isfinite(tried)))] if not np.isfinite(tried).all() else None
    where = f" in {state.rejections} epochs in a row, up to epoch {state.step} of stage {stage}"
    return f"{solution.result}{where}" + ("" if bad is None else f", first by {bad}")


def _lengths(epochs: int, pace: Pace) -> tuple[int, int, int]:
    """Epochs of the stages."""
    first = round(pace.amplitude_share * epochs)
    last = max(1, round(FULL_SHARE * epochs)) if epochs > 1 else 0
    return first, max(0, epochs - first - last), last


def _other_lengths(progress: Progress, lengths: tuple[int, int, int]) -> list[int]:
    """Epochs of the stages of a reconstruction under way, for another number of them, no less than it has done."""
    stages = progress.history["stage"][1:]
    epochs = max(sum(lengths), len(stages))
    if -1 not in progress.lengths and sum(progress.lengths) == epochs:
        return progress.lengths
    over = [stages.count(stage) for stage in range(progress.stage)]
    first, second = [*over, progress.lengths[progress.stage], *lengths[progress.stage + 1 :]][:2]
    first = min(first, epochs)
    second = min(second, epochs - first)
    return [first, second, epochs - first - second]


def _start(data, modes, refine, start, from_object) -> tuple[Ptychography, np.ndarray]:
    """The model to begin with, and the origin of its canvas."""
    if start is not None:
        return start.model(energy_ev=data.energy_ev, distance=data.distance, detector_pixel=data.detector_pixel), (
            np.asarray(start.origin)
        )
    margin = MARGIN if "positions" in refine else 0
    background = "background" in refine
    return starting_model(data, modes, margin=margin, with_background=background, from_object=from_object)


def _centre_held(regularisers: Regularisers, model: Ptychography, refine, photons) -> Regularisers:
    """With the probe's centre held where it starts; positions that move take up what a probe drifts by."""
    if "probe" not in refine or "positions" in refine or regularisers.centre is not None:
        return regularisers
    weight = HELD * float(np.mean(photons)) / model.probe.npix**2
    return dataclasses.replace(regularisers, centre=probe_centre(model), centre_weight=weight)


def _pixels(data: ScanData, hold_out: float, seed: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Pixels that enter the likelihood, and those held out of it; None for all and for none."""
    if not hold_out:
        return data.mask, None
    there = np.ones(data.counts.shape, bool) if data.mask is None else np.broadcast_to(data.mask, data.counts.shape)
    held = (np.random.default_rng([seed, 5]).random(data.counts.shape, np.float32) < hold_out) & there
    if not held.any():
        raise ScanError(
            f"Expected hold_out (--hold-out) to hold out a pixel, got {hold_out:g} of {there.sum()}. Take more or none."
        )
    return there & ~held, held


def _finished(model, data, used, held, origin, clock, settings) -> Reconstruction:
    sets = {"all": data.mask, "fitted": used} | ({} if held is None else {"held": held})
    found = deviances(model, data.counts, sets)
    probe, object = np.asarray(model.probe.modes), np.asarray(model.sample.object)
    corners = corners_on_canvas(model.corners, object.shape, data.npix)
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


def _check(refine, seconds, epochs, hold_out, seed) -> None:
    known = [name for name in PATTERNS if name != "object"]
    unknown = [name for name in refine if name not in known]
    if isinstance(refine, str) or unknown:
        raise ScanError(f"Expected refine (--refine) to list some of {', '.join(known)}, got {refine!r}.")
    if seconds is not None and epochs is not None:
        raise ScanError("Expected seconds or epochs, got both. Leave one out.")
    if (seconds is not None and not 0 < seconds < np.inf) or (epochs is not None and epochs < 1):
        asked = seconds if epochs is None else epochs
        raise ScanError(f"Expected seconds (--time) or epochs (--epochs) above zero, got {asked}.")
    if not 0 <= hold_out < 1:
        raise ScanError(f"Expected hold_out (--hold-out) in [0, 1), got {hold_out}.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
        raise ScanError(f"Expected a whole seed (--seed) from 0 to {LARGEST_SEED}, got {seed!r}.")
