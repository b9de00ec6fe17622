"""What a network is and how it is trained: plain numbers and names, checked, and kept in every bundle."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..grouping import DEFAULT_NEIGHBOURS
from ..scan_errors import ScanError
from .option_checks import BELOW_ONE, LEAST, MOST, check_keys, check_name, check_number, check_types, check_whole

FILTERS = {16: (32,), 32: (32, 64), 64: (32, 64, 128), 128: (16, 32, 64, 128)}  # of the stages, by N, at width 1
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu")
NORMALISATIONS = ("none", "channel", "group")
INPUTS = ("field", "amplitude")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network that turns C = gridsize^2 patterns into as many patches of the object.

    Parameters
    ----------
    npix : int
        N, the side of a pattern: 16, 32, 64 or 128.
    gridsize : int
        C = gridsize^2 patterns to a group.
    width : float
        Factor of the numbers of filters: 32, 64, 128 in the stages at N = 64, 16, 32, 64, 128 at N = 128.
    support : int, pixels, optional
        Side of the central part of a window in which a patch lives; N/2 by default, N at most.
    activation : str
        "relu", "leaky_relu", "silu" or "gelu".
    normalisation : str
        "none", "channel" (each pixel over its channels) or "group" (eight groups of channels over all pixels).
    inputs : str
        "amplitude": the root of the counts, times a constant. "field": in real space, what a few sweeps of projections
        make of the group's counts, its probe and its positions, and what is left to correct.
    sweeps : int
        Of those; zero leaves the flat object that they start from. Only for "field".
    skips : bool
        Whether each decoder stage sees the encoder's stage of the same size. Only for "field", where both are images.
    with_phase : bool
        Whether there is a decoder for the phase; without it objects are real, and sweeps are told so.
    """

    npix: int = 64
    gridsize: int = 2
    width: float | int = 1
    support: int | None = None
    activation: str = "silu"
    normalisation: str = "none"
    inputs: str = "field"
    sweeps: int = 4
    skips: bool = True
    with_phase: bool = True

    def __post_init__(self):
        check_types(Architecture, vars(self))
        check_name("activation", self.activation, ACTIVATIONS)
        check_name("normalisation", self.normalisation, NORMALISATIONS)
        check_name("inputs", self.inputs, INPUTS)
        check_whole(1, npix=self.npix, gridsize=self.gridsize)
        if self.support is not None:
            check_whole(1, support=self.support)
        check_whole(0, sweeps=self.sweeps)
        check_number("above zero", LEAST, MOST, width=self.width)
        if self.npix not in FILTERS:
            raise ScanError(f"Expected npix among {', '.join(map(str, FILTERS))}, got {self.npix}.")
        step = 2 ** len(FILTERS[self.npix])
        if not step <= self.side <= self.npix or self.side % step:
            raise ScanError(f"Expected support a multiple of {step} up to {self.npix}, got {self.side}.")

    @property
    def members(self) -> int:
        """C."""
        return self.gridsize**2

    @property
    def side(self) -> int:
        """Of the support, pixels."""
        return self.npix // 2 if self.support is None else self.support

    @property
    def filters(self) -> tuple[int, ...]:
        """Of the encoder's stages."""
        return tuple(max(1, round(self.width * number)) for number in FILTERS[self.npix])

    @property
    def channels(self) -> int:
        """Of the input: one amplitude for each pattern, or real and imaginary part of two fields."""
        return self.members * (4 if self.inputs == "field" else 1)


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights of the losses, each a mean over all pixels.

    Parameters
    ----------
    poisson : float
        Of the negative log-likelihood of the counts, less its least possible value.
    mae : float
        Of |sqrt(n) - sqrt(lambda)|.
    squared : float
        Of (sqrt(n) - sqrt(lambda))^2.
    tv : float
        Of the total variation of the merged object, per pixel, in units of the data loss of a flat object.
    """

    poisson: float | int = 1.0
    mae: float | int = 0.0
    squared: float | int = 0.0
    tv: float | int = 0.0

    def __post_init__(self):
        check_types(LossWeights, vars(self))
        check_number("zero or more", 0, MOST, **dataclasses.asdict(self))
        if not (self.poisson or self.mae or self.squared):
            raise ScanError("Expected a weight above zero of poisson, mae or squared, got none.")

    @staticmethod
    def named(name: str, tv: float | int = 0.0) -> "LossWeights":
        """The weights of one loss: "poisson" (or "nll"), "mae" or "squared"."""
        name = "poisson" if name == "nll" else name
        check_name("loss", name, ("poisson", "mae", "squared"))
        return LossWeights(**({"poisson": 0.0} | {name: 1.0}), tv=tv)

    @property
    def name(self) -> str:
        """What it is called: the losses that have a weight."""
        return "+".join(name for name in ("poisson", "mae", "squared", "tv") if getattr(self, name))


PARTS = {"architecture": Architecture, "loss": LossWeights}  # of the settings of a training


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Parameters
    ----------
    architecture : Architecture
    loss : LossWeights
    groups : int, optional
        Groups of patterns, all there can be by default; a share of them is for validation.
    neighbours : int
        K, from which the other members of a group are drawn.
    epochs, batch : int
    rate : float
        Of Adam, at the start.
    factor, patience, least_rate : float, int, float
        The rate is multiplied by `factor` after more than `patience` epochs without a better validation loss, down to
        `least_rate`.
    stop_after : int
        Epochs without a better validation loss after which training ends; zero: never.
    validation : float, fraction
        Of the groups.
    clip : float
        Largest norm of a gradient, in units of the loss of a flat object.
    seed : int
        Of groups, split, weights and order.
    """

    architecture: Architecture = Architecture()
    loss: LossWeights = LossWeights()
    groups: int | None = None
    neighbours: int = DEFAULT_NEIGHBOURS
    epochs: int = 50
    batch: int = 16
    rate: float | int = 1e-3
    factor: float | int = 0.5
    patience: int = 2
    least_rate: float | int = 1e-4
    stop_after: int = 0
    validation: float | int = 0.05
    clip: float | int = 1.0
    seed: int = 0

    def __post_init__(self):
        check_types(TrainingSettings, vars(self))
        check_whole(1, epochs=self.epochs, batch=self.batch, neighbours=self.neighbours)
        check_whole(0, patience=self.patience, stop_after=self.stop_after, seed=self.seed)
        if self.groups is not None:
            check_whole(1, groups=self.groups)
        check_number("above zero", LEAST, MOST, rate=self.rate)
        check_number(f"above zero and at most the rate, {self.rate}", LEAST, self.rate, least_rate=self.least_rate)
        check_number("above zero and below one", LEAST, BELOW_ONE, factor=self.factor)
        check_number("zero or more and below one", 0, BELOW_ONE, validation=self.validation)
        check_number("above zero", LEAST, clip=self.clip)

    def record(self) -> dict[str, Any]:
        """Plain values, from which `from_record` makes the same settings."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "TrainingSettings":
        """The settings of a record.

        Raises
        ------
        ScanError
            For keys that are not known or values that make no sense.
        """
        check_keys("settings", record, _names(TrainingSettings))
        parts = {name: _part(name, kind, record.get(name, {})) for name, kind in PARTS.items()}
        check_types(TrainingSettings, {**record, **parts})
        return TrainingSettings(**{**record, **parts})


def _part(name: str, kind: type, record: Any) -> Any:
    check_keys(name, record, _names(kind))
    check_types(kind, record)
    return kind(**record)


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))
