"""The record of a signal: a named series with a unit over the steps of a fit."""

import dataclasses
import re

import numpy as np

# What the last word of a name says of its unit.
UNITS = {
    **{"as": "arcsec", "mas": "mas", "uas": "µas", "deg": "deg", "rad": "rad"},
    **{"m": "m", "mm": "mm", "um": "µm", "nm": "nm", "pm": "pm", "pixel": "pixel"},
    **{"ppm": "ppm", "ppb": "ppb", "percent": "%", "sigma": "σ", "s": "s", "e": "electron", "ph": "photon"},
}
_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)


def unit_of(name: str) -> str:
    """Return the unit that the last word of a signal's name says (`_uas`, `_ppm`, `_nm`, ...); "" for none."""
    _, underscore, last = name.rpartition("_")
    return UNITS.get(last, "") if underscore else ""


def with_word(name: str, word: str) -> str:
    """Return a signal's name with a word added before its unit: `a.error_nm` and `rms` make `a.error_rms_nm`."""
    stem, underscore, last = name.rpartition("_")
    return f"{stem}_{word}_{last}" if underscore and last in UNITS else f"{name}_{word}"


@dataclasses.dataclass(frozen=True, eq=False)
class Signal:
    """One named series over the steps of a fit.

    Attributes
    ----------
    name : str
        Fully qualified, with its unit as the last word: `binary.separation_error_uas`.
    values : array (T,) or (T, k)
        In `unit`; row 0 is the start of the fit.
    labels : tuple of str (k,)
        Of the components; empty for a series of numbers.
    truth : array () or (k,), optional
        Where the truth lies, in `unit`: zero for a residual.

    Raises
    ------
    ValueError
        If the name is not qualified, or labels or truth do not fit the values.
    """

    name: str
    values: np.ndarray
    labels: tuple[str, ...] = ()
    truth: np.ndarray | None = None

    def __post_init__(self):
        check_name(self.name)
        if self.values.ndim not in (1, 2):
            raise ValueError(f"Expected {self.name} of shape (T,) or (T, k), got {self.values.shape}.")
        if self.values.shape[1:] != ((len(self.labels),) if self.labels else ()):
            raise ValueError(
                f"Expected one label for each component of {self.name}, got {len(self.labels)} for an array of shape "
                f"{self.values.shape}."
            )
        if self.truth is not None and np.shape(self.truth) not in ((), self.values.shape[1:]):
            raise ValueError(f"Expected one truth for {self.name}, or one a component, got {np.shape(self.truth)}.")

    @property
    def unit(self) -> str:
        """What the name says; "" for a pure number."""
        return unit_of(self.name)

    @property
    def components(self) -> np.ndarray:
        """The values as (T, k), k = 1 for a series of numbers."""
        return self.values.reshape(len(self.values), -1)

    @property
    def line(self) -> float | None:
        """The truth where it is known and one number for all components."""
        return None if self.truth is None or np.ndim(self.truth) else float(self.truth)

    @property
    def is_silent(self) -> bool:
        """Whether it is at its truth in every row: nothing moved, and nothing was wrong."""
        return self.truth is not None and bool(np.all(self.values == self.truth))


def check_name(name: str) -> None:
    """Raise ValueError unless a name is fully qualified: words of letters, digits and `_`, joined by dots."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(
            f"Expected a fully qualified name such as 'binary.separation_error_uas', got {name!r}. "
            "Use letters, digits and _, and a dot between the group and the quantity."
        )
