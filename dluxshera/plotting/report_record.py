"""What the report of a fit shows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..inference.signals import Signal


@dataclasses.dataclass(frozen=True, eq=False)
class FitReport:
    """All that the page of one fit shows; nothing else is read.

    Attributes
    ----------
    title, run_id, status : str
    summary : mapping
        What happened: `converged`, `message`, `num_steps_completed`, `runtime_total_s`, `at_bounds`, `dead`,
        `created_at`; what is missing is left out.
    rows : sequence of mappings (D,)
        `label, unit, estimate, sigma, cramer_rao, start, truth`, physical; `truth` is None where unknown.
    image, model : array (n, n), electrons
    residuals : array (n, n)
        (data - model) / standard deviation.
    mask : array of bool (n, n)
        True where a pixel is used.
    plate_scale_as : float or None, arcsec/pixel
    loss : array (T,)
    values : array (T, D)
        Physical values of the parameters at each step.
    labels, units : sequence of str (D,)
        Those of `rows`.
    information, covariance : array (D, D)
        Of θ: that of the data alone, and that of the estimate.
    settings : mapping
        Engine, likelihood, profile, overrides, environment, git: text, numbers, and mappings of them.
    derived : sequence of mappings
        Rows like `rows` for quantities that follow from the parameters.
    signals : mapping of str to Signal
        Errors over the steps, by name; empty where the truth is not known.
    notice : str
        What a reader must know first, such as which file of the run is damaged.

    Raises
    ------
    ValueError
        Naming a field whose shape does not fit the others.
    """

    title: str
    run_id: str
    status: str
    summary: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    image: ArrayLike
    model: ArrayLike
    residuals: ArrayLike
    mask: ArrayLike
    plate_scale_as: float | None
    loss: ArrayLike
    values: ArrayLike
    labels: Sequence[str]
    units: Sequence[str]
    information: ArrayLike
    covariance: ArrayLike
    settings: Mapping[str, Any]
    derived: Sequence[Mapping[str, Any]] = ()
    signals: Mapping[str, Signal] = dataclasses.field(default_factory=dict)
    notice: str = ""

    def __post_init__(self):
        count, image, steps = len(self.labels), np.shape(self.image), np.shape(self.loss)
        expected = {
            "rows": (count,),
            "units": (count,),
            "model": image,
            "residuals": image,
            "mask": image,
            "values": (*steps, count),
            "information": (count, count),
            "covariance": (count, count),
        }
        for name, shape in expected.items():
            got = (len(self.rows),) if name == "rows" else np.shape(getattr(self, name))
            if got != shape:
                raise ValueError(f"Expected FitReport.{name} of shape {shape}, got {got}.")
        for name, key in (("labels", "label"), ("units", "unit")):
            if list(getattr(self, name)) != [row[key] for row in self.rows]:
                raise ValueError(f"Expected FitReport.{name} to be the {key} of each row, got others. Give one order.")

    @property
    def used_pixels(self) -> int:
        """Number of pixels that the fit used."""
        return int(np.sum(self.mask))

    @property
    def degrees_of_freedom(self) -> int:
        """Used pixels minus free parameters."""
        return self.used_pixels - len(self.labels)

    @property
    def chi_square(self) -> float:
        """Sum of the squared whitened residuals of the used pixels."""
        return float(np.sum(np.asarray(self.residuals)[np.asarray(self.mask, bool)] ** 2))
