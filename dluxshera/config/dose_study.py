"""The dose study: which networks are trained on which scans, from a file of settings."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..ptychography import ScanData, default_probe, defocused_probe, make_scan
from ..ptychography.network import Architecture, LossWeights, TrainingSettings
from ..ptychography.trajectories import DEFAULT_MARGIN
from .strict_yaml import ConfigError, read_yaml

LISTS = ("doses", "losses", "seeds", "objects", "scans", "gridsizes")
BOTH = ("amplitude", "phase")
PARTS = {"lines": BOTH[:1], "phase": BOTH[1:]}  # what there is to see of an object; of others both
NEW_OBJECT = 10_000  # added to a seed: an object, and positions, that no network was trained on


class Arm(NamedTuple):
    """One network to train.

    Attributes
    ----------
    object : str
        "lines", "phase" or "mixed".
    scan : str
        "nongrid", "raster" or "spiral".
    gridsize : int
    photons : float
        Mean per pattern.
    loss : str
        "poisson", "mae" or "squared".
    seed : int
    """

    object: str
    scan: str
    gridsize: int
    photons: float
    loss: str
    seed: int

    @property
    def parts(self) -> tuple[str, ...]:
        """What there is to see of its object: "amplitude", "phase" or both."""
        return PARTS.get(self.object, BOTH)

    @property
    def name(self) -> str:
        """Of its run directory."""
        dose = np.format_float_scientific(self.photons, trim="-", exp_digits=1).replace("+", "")
        return f"{self.object}-{self.scan}-g{self.gridsize}-{dose}-{self.loss}-s{self.seed}"


@dataclasses.dataclass(frozen=True)
class DoseStudy:
    """Settings of a dose study; every combination of the lists is an arm.

    Parameters
    ----------
    doses : tuple of float
        Mean photons per pattern.
    losses, seeds, objects, scans, gridsizes : tuples
        See `Arm`.
    train, test : int
        Patterns to train on, and held back: those of a corner of the object.
    npix, size : int, pixels
        N, and side of the object.
    step : float, pixels
        Of a raster; in place of `train` and `test` it decides how many patterns there are.
    groups : int, optional
        All there can be by default.
    defocus : float, radians
        Of the default probe (see `defocused_probe`).
    neighbours, epochs, batch, width, rate, inputs, sweeps, activation, normalisation, support, tv
        See `TrainingSettings` and `Architecture`.
    """

    doses: tuple[float, ...] = (1e9, 1e4)
    losses: tuple[str, ...] = ("poisson", "mae", "squared")
    seeds: tuple[int, ...] = (0,)
    objects: tuple[str, ...] = ("lines",)
    scans: tuple[str, ...] = ("nongrid",)
    gridsizes: tuple[int, ...] = (2,)
    train: int = 2000
    test: int = 128
    npix: int = 64
    size: int = 392
    step: float | int = 6.0
    defocus: float | int = 0.0
    groups: int | None = None
    neighbours: int = 7
    epochs: int = 50
    batch: int = 16
    width: float | int = 1
    rate: float = 1e-3
    inputs: str = "field"
    sweeps: int = 4
    activation: str = "silu"
    normalisation: str = "none"
    support: int | None = None
    tv: float | int = 0.0

    def __post_init__(self):
        if not all(getattr(self, name) for name in LISTS) or min(self.train, self.test) < 1:
            raise ConfigError(
                "Expected one entry or more in every list of a dose study, and patterns to train and test."
            )
        for name in LISTS:
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ConfigError(f"{name}: expected every entry once, got {list(getattr(self, name))}.")
        if not all(photons > 0 for photons in self.doses):
            raise ConfigError(f"Expected doses above zero, got {self.doses}.")
        for arm in self.arms():
            self.training(arm)

    def arms(self) -> Iterator[Arm]:
        """Every combination."""
        values = (self.objects, self.scans, self.gridsizes, self.doses, self.losses, self.seeds)
        return (Arm(*combination) for combination in itertools.product(*values))

    def training(self, arm: Arm) -> TrainingSettings:
        """Settings of an arm's training."""
        architecture = Architecture(
            npix=self.npix,
            gridsize=arm.gridsize,
            width=self.width,
            support=self.support,
            inputs=self.inputs,
            sweeps=self.sweeps,
            activation=self.activation,
            normalisation=self.normalisation,
            with_phase=arm.object != "lines",
        )
        return TrainingSettings(
            architecture,
            LossWeights.named(arm.loss, self.tv),
            groups=self.groups,
            neighbours=self.neighbours,
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            seed=arm.seed,
        )

    def scans_of(self, arm: Arm) -> "ArmScans":
        """The scans of an arm: the same trajectory at any dose and for any loss."""
        probe = defocused_probe(default_probe(self.npix), self.defocus)
        options = {"npix": self.npix, "scan": arm.scan, "photons": arm.photons, "step": self.step, "probe": probe}
        number = self.train + self.test
        whole = make_scan(arm.object, number=number, size=self.size, seed=arm.seed, **options)
        held = _corner(whole.positions, max(1, round(self.test / number * len(whole))))
        room = (self.size - 2 * DEFAULT_MARGIN) * math.sqrt(self.test / number)  # as dense a scan of another object
        size = math.ceil(room + 2 * DEFAULT_MARGIN)
        new = make_scan(arm.object, number=self.test, size=size, seed=arm.seed + NEW_OBJECT, **options)
        return ArmScans(whole.select(~held), whole.select(held), new)

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_record(record: Mapping[str, Any], where: str = "dose study") -> "DoseStudy":
        """The study of plain values.

        Raises
        ------
        ConfigError
            Naming `where` and the key that is not known or not acceptable.
        """
        known = {field.name for field in dataclasses.fields(DoseStudy)}
        unknown = sorted(set(record) - known)
        if unknown:
            raise ConfigError(f"{where}: expected keys among {', '.join(sorted(known))}, got {unknown[0]!r}.")
        for name in LISTS:
            if name in record and not isinstance(record[name], list | tuple):
                raise ConfigError(f"{where}: expected a list in {name}, got {record[name]!r}.")
        try:
            lists = {name: tuple(record[name]) for name in LISTS if name in record}
            doses = {"doses": tuple(map(float, lists["doses"]))} if "doses" in lists else {}
            return DoseStudy(**{**record, **lists, **doses})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {error}") from error

    @staticmethod
    def read(path: str | Path) -> "DoseStudy":
        """The study of a YAML file; raises as `from_record`."""
        return DoseStudy.from_record(read_yaml(path).values, str(path))


FULL = DoseStudy(groups=500)  # of four: an epoch shows every pattern once, on average
SMALL = DoseStudy(
    losses=("poisson", "mae"), train=512, test=128, size=192, groups=256, neighbours=4, batch=8, epochs=20
)  # four arms of minutes


class ArmScans(NamedTuple):
    """What an arm is trained on, the patterns of a corner of the same object, and a scan of another object."""

    train: ScanData
    test: ScanData
    new: ScanData


def _corner(positions: np.ndarray, number: int) -> np.ndarray:
    """Which patterns, (n,) of bool, lie nearest to a corner of the scan: a part of the object with all its overlap."""
    held = np.zeros(len(positions), bool)
    held[np.argsort(np.hypot(*(positions - positions.min(axis=0)).T), kind="stable")[:number]] = True
    return held
