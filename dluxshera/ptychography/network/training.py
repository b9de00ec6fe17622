"""Training: epochs over groups, a falling rate, a split for validation, and an end with the best network kept."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..batches import split_evenly
from ..data import ScanData
from ..scan_errors import ScanError
from .bundle import Bundle
from .forward import PhysicsNetwork
from .group_sets import ScanArrays, group_set, light_arrays, scan_arrays
from .health import blamed_layer, dead_fraction, unsound_weight
from .inputs import Conditioning, all_inputs
from .network import PatchNetwork
from .plateau import Plateau
from .settings import TrainingSettings
from .steps import Looked, Prepared, flat_loss, look, optimiser, slopes_of, step

COLUMNS = ("train_loss", "val_loss", "learning_rate", "grad_norm", "scale", "dead_fraction", "seconds")


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingState:
    """Where a training is: enough to go on from, bit for bit.

    Attributes
    ----------
    network, best : PatchNetwork
        As it is, and that of the least validation loss.
    moments
        State of the optimiser.
    conditioning : Conditioning
    plateau : Plateau
    start_loss : float
        Validation loss before the first epoch.
    best_epoch : int
    history : dict of lists
        Of every epoch: `train_loss` and `val_loss` (of the data, in its own units), `learning_rate`, `grad_norm`
        (mean), `scale` (root of the photons counted over those expected, without background, validation: one where
        amplitudes are right), `dead_fraction`, `seconds`.
    nonfinite : dict or None
        `epoch`, counted from 1, `batch` of the epoch, counted from 0, and `layer` of the first numbers that were not
        finite; nothing was updated from there on. What an epoch's last update spoils is named by its last batch.
    """

    network: PatchNetwork
    best: PatchNetwork
    moments: Any
    conditioning: Conditioning
    plateau: Plateau
    start_loss: float
    best_epoch: int
    history: dict[str, list]
    nonfinite: dict[str, Any] | None = None

    @property
    def epochs(self) -> int:
        """Done."""
        return len(self.history["val_loss"])

    def bundle(self, settings: TrainingSettings, data: ScanData) -> Bundle:
        """The best network so far, with the settings and the light of its training."""
        facts = {"epochs": self.epochs, "best_epoch": self.best_epoch, "val_loss": self.plateau.best,
                 "num_parameters": self.best.parameters}  # fmt: skip
        model = PhysicsNetwork(self.best, self.conditioning)
        return Bundle(model, settings, *light_arrays(data), facts)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """What a training gives.

    Attributes
    ----------
    bundle : Bundle
        The network of the least validation loss.
    state : TrainingState
        With the history.
    result : str
        "epochs", "plateau" (stopped early), "nonfinite" or "interrupted".
    message : str
    """

    bundle: Bundle
    state: TrainingState
    result: str
    message: str

    @property
    def history(self) -> dict[str, list]:
        """Of the state."""
        return self.state.history


def train(
    data: ScanData,
    settings: TrainingSettings,
    *,
    start: Bundle | None = None,
    resume: TrainingState | None = None,
    on_epoch: Callable[[TrainingState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train a network on the counts of a scan, without its object. Works in single precision, whatever the settings.

    Parameters
    ----------
    data : ScanData
        With a calibrated probe; its object, if it has one, is not looked at.
    settings : TrainingSettings
    start : Bundle, optional
        Whose network, and whose constants of the inputs, to begin with.
    resume : TrainingState, optional
        To go on from.
    on_epoch : callable
        Called with the `TrainingState` at the start and after every epoch.
    should_stop : callable
        Asked before every batch; an epoch that is not finished is left out.

    Returns
    -------
    Trained
        For the same data, settings and seed always the same.

    Raises
    ------
    ScanError
        For data without a probe, with another N, too few patterns for a group, or a start of another architecture.

    Notes
    -----
    Training ends with the first number that is not finite, also where an epoch's last update brings it forth: after
    every epoch the weights and the validation loss are looked at.
    """
    _check(data, settings, start)
    course = _Course.of(data, settings, start, resume)
    state = course.begun(start) if resume is None else resume
    on_epoch(state)
    result = _result(state, settings)
    while result is None:
        after = course.epoch(state, should_stop)
        if after is None:
            result = "interrupted"
            break
        state = after
        on_epoch(state)
        result = _result(state, settings)
    return Trained(state.bundle(settings, data), state, result, _message(result, state))


@dataclasses.dataclass(frozen=True, eq=False)
class _Course:
    """What stays the same through a training."""

    settings: TrainingSettings
    scan: ScanArrays
    groups: Prepared
    validation: Prepared
    side: int
    conditioning: Conditioning
    flat: float

    @staticmethod
    def of(data: ScanData, settings: TrainingSettings, start: Bundle | None, resume: TrainingState | None) -> "_Course":
        """Groups, split and inputs of a scan."""
        architecture, scan = settings.architecture, scan_arrays(data)
        groups = group_set(data, architecture.gridsize, settings.groups, settings.neighbours, settings.seed)
        order = np.random.default_rng([settings.seed, 6]).permutation(len(groups))
        held = _held(len(groups), settings.validation)
        rows, others = order[held:], order[: held or None]
        x = all_inputs(architecture, scan, groups)
        known = start.model.conditioning if start is not None else None if resume is None else resume.conditioning
        conditioning = Conditioning.of(architecture, x[rows]) if known is None else known
        training, validation = (Prepared.of(groups.select(part), x[part]) for part in (rows, others))
        few = training[np.arange(min(len(rows), settings.batch))]
        flat = float(flat_loss(scan, few, settings.loss, groups.side))
        return _Course(settings, scan, training, validation, groups.side, conditioning, flat)

    def begun(self, start: Bundle | None) -> TrainingState:
        """The state before the first epoch."""
        settings = self.settings
        drawn = PatchNetwork.drawn(settings.architecture, settings.seed) if start is None else start.model.network
        moments = optimiser(settings.clip).init(eqx.filter(drawn, eqx.is_array))
        loss, _ = self.validated(PhysicsNetwork(drawn, self.conditioning))
        plateau = Plateau(settings.rate, loss) if np.isfinite(loss) else Plateau(settings.rate)
        history = {name: [] for name in COLUMNS}
        return TrainingState(drawn, drawn, moments, self.conditioning, plateau, loss, 0, history)

    def epoch(self, state: TrainingState, should_stop: Callable[[], bool]) -> TrainingState | None:
        """The state after one more epoch; None if somebody asked to stop in its course."""
        begun, settings, rate = time.perf_counter(), self.settings, state.plateau.rate
        model, moments = PhysicsNetwork(state.network, self.conditioning), state.moments
        alive, seen = jnp.ones((), jnp.float32), []
        for rows in self._batches(state.epochs):
            if should_stop():
                return None
            numbers = jnp.stack([jnp.float32(rate), jnp.float32(self.flat), alive])
            options = settings.loss, settings.clip, self.side
            update = step(model, moments, self.scan, self.groups, rows, numbers, *options)
            model, moments = PhysicsNetwork(update.network, self.conditioning), update.moments
            alive = update.finite.astype(jnp.float32)
            seen.append((update.loss, update.grad_norm, update.finite))
        losses, norms, finite = (np.asarray(column) for column in zip(*seen, strict=True))
        loss, scale = self.validated(model)
        broken = unsound_weight(model.network) is not None or not np.isfinite(loss)
        nonfinite = self._blame(model, state.epochs, finite) if broken or not finite.all() else None
        better = loss < state.plateau.best and not broken
        row = (losses.mean(dtype=float), loss, rate, norms.mean(dtype=float), scale,
               dead_fraction(model, self.validation.x[: settings.batch]), time.perf_counter() - begun)  # fmt: skip
        history = {name: [*state.history[name], float(value)] for name, value in zip(COLUMNS, row, strict=True)}
        return TrainingState(
            model.network,
            model.network if better else state.best,
            moments,
            self.conditioning,
            state.plateau.after(np.nan if broken else loss, settings),
            state.start_loss,
            state.epochs + 1 if better else state.best_epoch,
            history,
            nonfinite,
        )

    def validated(self, model: PhysicsNetwork) -> tuple[float, float]:
        """Mean loss over the groups held back, and the root of their photons counted over those expected."""
        found = [np.stack([np.asarray(column, float)[real] for column in seen]) for _, real, seen in self._looks(model)]
        loss, counted, expected = np.concatenate(found, axis=1)
        counted, expected = max(counted.sum(), 0.0), expected.sum()
        return float(loss.mean()), float(np.sqrt(counted / expected)) if expected > 0 else float("nan")

    def _looks(self, model: PhysicsNetwork) -> Iterator[tuple[np.ndarray, np.ndarray, Looked]]:
        for rows, real in zip(*split_evenly(len(self.validation.index), self.settings.batch), strict=True):
            seen = look(model, self.scan, self.validation, jnp.asarray(rows), self.settings.loss, self.side)
            yield rows, real, seen

    def _batches(self, epoch: int) -> list[Any]:
        number = len(self.groups.index)
        order = np.random.default_rng([self.settings.seed, 7, epoch]).permutation(number)
        return [jnp.asarray(order[rows]) for rows in split_evenly(number, self.settings.batch)[0]]

    def _blame(self, model: PhysicsNetwork, epoch: int, finite: np.ndarray) -> dict[str, Any]:
        """Where numbers stopped being finite: in a batch, by the network as it was before it, or after the last one."""
        if finite.all():
            batch, groups = len(finite) - 1, self.validation
            seen = [(rows, bool(np.isfinite(looked.loss).all())) for rows, _, looked in self._looks(model)]
            rows = jnp.asarray(next((rows for rows, sound in seen if not sound), seen[0][0]))
        else:
            batch, groups = int(np.argmin(finite)), self.groups
            rows = self._batches(epoch)[batch]
        flat = jnp.float32(self.flat)
        predicted, slopes = slopes_of(model, self.scan, groups, rows, flat, self.settings.loss, self.side)
        layer = blamed_layer(model, groups.x[rows], predicted.expected, slopes)
        return {"epoch": epoch + 1, "batch": batch, "layer": layer}


def _held(groups: int, share: float) -> int:
    """Groups for validation: one at least where any is asked for, and one left to train on."""
    if not share:
        return 0
    if groups < 2:
        raise ScanError("Expected two groups or more, one of them for validation, got one. Take validation=0.")
    return min(max(1, round(share * groups)), groups - 1)


def _check(data: ScanData, settings: TrainingSettings, start: Bundle | None) -> None:
    architecture = settings.architecture
    if data.npix != architecture.npix:
        raise ScanError(
            f"{data.source}: Expected patterns of {architecture.npix} x {architecture.npix}, as the network takes "
            f"them, got {data.npix} x {data.npix}. Set npix."
        )
    kept = architecture if start is None else start.settings.architecture
    for field in dataclasses.fields(kept):
        asked, there = (getattr(each, field.name) for each in (architecture, kept))
        if asked != there:
            raise ScanError(
                f"Expected {field.name} to be {there!r}, as in the architecture of the start, got {asked!r}. "
                "A start keeps its network."
            )


def _result(state: TrainingState, settings: TrainingSettings) -> str | None:
    """Why a training ends here; None if it goes on."""
    if state.nonfinite is not None:
        return "nonfinite"
    if state.plateau.is_over(settings):
        return "plateau"
    return "epochs" if state.epochs >= settings.epochs else None


def _message(result: str, state: TrainingState) -> str:
    if result == "nonfinite":
        where = "epoch {epoch}, batch {batch}, {layer}".format(**state.nonfinite)
        return f"numbers that are not finite: {where}; the best network is that of epoch {state.best_epoch}"
    return {
        "plateau": f"no better validation loss for {state.plateau.idle} epochs",
        "epochs": "all epochs done",
        "interrupted": "interrupted",
    }[result]
