"""Error budget of one parameter: where its variance comes from, and what biases stand beside it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .forecast import Forecast


class BudgetTerm(NamedTuple):
    """One line of an error budget.

    Attributes
    ----------
    name : str
    kind : str
        "random", "bias", "total", or "share", which says what part of the terms above it is and adds nothing.
    value : float
        One sigma, or the size of a bias, in the budget's unit; infinite where nothing determines the parameter, and not
        a number for what would come on top of infinity.
    """

    name: str
    kind: str
    value: float


class ErrorBudget(NamedTuple):
    """Terms that add in quadrature to the last one, the total.

    Attributes
    ----------
    label, unit : str
    terms : tuple of BudgetTerm
    """

    label: str
    unit: str
    terms: tuple[BudgetTerm, ...]

    @property
    def total(self) -> float:
        """Root of the sum of squares of all terms."""
        return self.terms[-1].value

    def __str__(self) -> str:
        width = max(len(term.name) for term in self.terms)
        lines = [f"{t.name.ljust(width)}  {t.kind.ljust(6)}  {t.value:10.4g} {self.unit}" for t in self.terms]
        return "\n".join([f"Error budget of {self.label}", *lines])


def error_budget(
    forecast: Forecast, label: str, biases: Mapping[str, float] | None = None, priors: bool = False
) -> ErrorBudget:
    """Error budget of one parameter; angles in arcsec come in micro-arcseconds.

    Parameters
    ----------
    forecast : Forecast
    label : str
        One of its labels.
    biases : mapping of str to float, optional
        Sizes of model errors' effect on the parameter, in its own unit; see `bias_forecast`.
    priors : bool
        Whether the space's priors count, at every stage. A line then says how much of the error is that of the
        priors themselves.

    Returns
    -------
    ErrorBudget
        Photon noise alone, what each nuisance group adds when it is freed, what read noise and quantisation
        add, the biases, and the total in quadrature.
    """
    unit = forecast.units[forecast.labels.index(label)] if label in forecast.labels else ""
    factor, unit = (1e6, "µas") if unit == "arcsec" else (1.0, unit)
    photon = [forecast.sigma(label, stage, "photon", priors) for stage in forecast.stages]
    everything = forecast.sigma(label, priors=priors)
    terms = [BudgetTerm("photon noise", "random", photon[0])]
    for name, before, after in zip(forecast.groups, photon, photon[1:], strict=False):
        terms.append(BudgetTerm(f"freeing {name}", "random", _added(after, before)))
    terms.append(BudgetTerm("read noise and quantisation", "random", _added(everything, photon[-1])))
    if priors:
        share = everything * np.sqrt(forecast.prior_share(label))
        terms.append(BudgetTerm("of these, the priors' own error", "share", float(share)))
    terms += [BudgetTerm(name, "bias", abs(float(value))) for name, value in (biases or {}).items()]
    terms.append(BudgetTerm("total", "total", _total(terms)))
    return ErrorBudget(label, unit, tuple(term._replace(value=factor * term.value) for term in terms))


def _added(after: float, before: float) -> float:
    """What takes one sigma to another in quadrature: all of it if the later is infinite, unknown if both are."""
    if np.isinf(after):
        return np.nan if np.isinf(before) else np.inf
    return float(np.sqrt(max(after**2 - before**2, 0.0)))


def _total(terms: list[BudgetTerm]) -> float:
    """Root of the sum of squares; infinite if a term is."""
    return float(np.sqrt(np.nansum([term.value**2 for term in terms if term.kind != "share"])))
