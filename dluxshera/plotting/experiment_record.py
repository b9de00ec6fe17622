"""What the report of an experiment shows."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DONE = "ok"  # the status of a run that counts
NOISE = ("seed", "frame")  # the settings that noise is drawn by


@dataclasses.dataclass(frozen=True, eq=False)
class ExperimentReport:
    """All that the page of one experiment shows; nothing else is read.

    Attributes
    ----------
    name, doc : str
        Its name, and in one line what it is about.
    created_at : str
    rows : sequence of mappings
        One for each planned run: `run_id, status, message, converged, steps, seconds, loss_final,
        reduced_chi_square`, `set.<name>` of each setting, and `<label>.estimate`, `.sigma` and `.truth` of each
        parameter; what is not known is None.
    settings : sequence of str
        Names of those that vary.
    units : mapping of str to str
        Of the parameters, by label.
    x, y : str, optional
        The setting that is varied, and the label of the parameter of interest.
    links : mapping of str to str
        Where the report of a run lies, by run id; runs without one are left out.
    description : mapping
        What was asked for, and what it was made with.

    Raises
    ------
    ValueError
        If `x` is no setting or `y` no parameter.
    """

    name: str
    doc: str
    created_at: str
    rows: Sequence[Mapping[str, Any]]
    settings: Sequence[str]
    units: Mapping[str, str]
    x: str | None = None
    y: str | None = None
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)
    description: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.x is not None and self.x not in self.settings:
            raise ValueError(f"Expected x to be a setting of {', '.join(self.settings) or 'none'}, got {self.x!r}.")
        if self.y is not None and self.labels and self.y not in self.labels:
            raise ValueError(f"Expected y to be a parameter of {', '.join(self.labels)}, got {self.y!r}.")

    @functools.cached_property  # asked for by every row
    def labels(self) -> tuple[str, ...]:
        """The parameters that some run estimated, in order of appearance."""
        suffix = ".estimate"
        columns = dict.fromkeys(key for row in self.rows for key in row)
        return tuple(column.removesuffix(suffix) for column in columns if column.endswith(suffix))

    @functools.cached_property
    def done(self) -> list[Mapping[str, Any]]:
        """Rows of the runs that count."""
        return [row for row in self.rows if row["status"] == DONE]

    @functools.cached_property
    def noise_draws(self) -> int:
        """How many of the runs that count have noise of their own: runs of one seed and frame share it."""
        return len({tuple(row.get(f"set.{name}") for name in NOISE) for row in self.done})

    def errors(self, label: str) -> np.ndarray:
        """Estimate minus truth of each run that counts, in the parameter's unit; NaN where it is not known."""
        return self.column(f"{label}.estimate") - self.column(f"{label}.truth")

    def sigmas(self, label: str) -> np.ndarray:
        """One-sigma error of each run that counts; NaN where it is not known or not finite."""
        sigma = self.column(f"{label}.sigma")
        return np.where(np.isfinite(sigma) & (sigma > 0), sigma, np.nan)

    def pulls(self, label: str) -> np.ndarray:
        """Errors in units of sigma, of the runs that count and know both."""
        found = self.errors(label) / self.sigmas(label)
        return found[np.isfinite(found)]

    def column(self, name: str) -> np.ndarray:
        """A column of numbers over the runs that count; NaN where there is none."""
        return np.array([number(row.get(name)) for row in self.done])


def number(value: Any) -> float:
    """Return a number as it is, anything else as NaN."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
