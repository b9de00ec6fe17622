"""`ParamSpec`: what is declared about a parameter, kept outside the pytree."""

import dataclasses
import enum
import math
from collections.abc import Callable
from typing import Any


class Required(enum.Enum):
    """Stands for "no default": the field must be given."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


class ParameterError(ValueError):
    """A parameter's value, path or declaration is not acceptable; the message names it."""


@dataclasses.dataclass(frozen=True)
class ParamSpec:
    """The declaration of one parameter; lives in field metadata, so it never causes a recompilation.

    Parameters
    ----------
    unit : str
        Unit of the stored numbers, `""` when dimensionless.
    doc : str
        One line that says what the quantity is.
    symbol : str, optional
        LaTeX symbol, without dollar signs.
    bounds : tuple of two floats or None, optional
        Inclusive lower and upper bound; `None` on a side leaves it open.
    prior : Prior, optional
        Default prior in physical units; used only where a `ThetaSpace` asks for it.
    bijector : Bijector, optional
        Map from the real line to the bounds; chosen from the bounds when `None`.
    dtype : type
        Kind of number: `float`, or `int` for a buffer of indices.
    shape : tuple of ints or str, optional
        Sizes, or names of sibling fields (a static int, or the length of a static tuple or array).
    block : str, optional
        Group label; the first component of the path when `None`.
    default, factory : optional
        Value, or a function without arguments that makes it. Neither means that the field is required.
    validator : callable, optional
        `value -> None` when fine, else a message.
    element_labels : callable, optional
        `module -> list of str`, one label per element of a vector, such as `["Z4", "Z5"]`.
    slip_above : float, optional
        Largest size, in `unit`, that is believed of a number given without its unit; a larger one is refused
        as a likely slip where users give values (`load_profile`, `set_values`), not in the model.
    """

    unit: str = ""
    doc: str = ""
    symbol: str | None = None
    bounds: tuple | None = None
    prior: Any = None
    bijector: Any = None
    dtype: type = float
    shape: tuple[int | str, ...] | None = None
    block: str | None = None
    default: Any = REQUIRED
    factory: Any = REQUIRED
    validator: Callable[[Any], str | None] | None = None
    element_labels: Callable[[Any], list[str]] | None = None
    slip_above: float | None = None

    def __post_init__(self):
        object.__setattr__(self, "bounds", normalise_bounds(self.bounds))

    @property
    def required(self) -> bool:
        """Whether the parameter has neither a default nor a factory."""
        return self.default is REQUIRED and self.factory is REQUIRED


def normalise_bounds(bounds: tuple | list | None) -> tuple[float | None, float | None]:
    """Return `(lower, upper)` as floats, `None` where the side is open or infinite.

    Raises
    ------
    ParameterError
        If there are not two bounds, or the lower one is not below the upper one.
    """
    if bounds is None:
        return (None, None)
    if len(bounds) != 2:
        raise ParameterError(f"Expected bounds (lower, upper), got {bounds!r}. Use None for an open side.")
    lower, upper = (None if b is None or math.isinf(b) else float(b) for b in bounds)
    if lower is not None and upper is not None and not lower < upper:
        raise ParameterError(f"Expected lower < upper in bounds, got ({lower}, {upper}).")
    return (lower, upper)
