"""What a fit came to, in words: did it converge, does the model explain the data, what is not determined."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .format_values import pull

LEVELS = ("good", "warning", "bad")  # ascending
LARGE_PULL = 4.0  # sigma; one in 16 000 of a normal variate


class Finding(NamedTuple):
    """One thing that a reader of a fit must know.

    Attributes
    ----------
    level : str
        "good", "warning" or "bad".
    topic, text : str
    """

    level: str
    topic: str
    text: str


def findings(
    summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], chi_square: float, degrees_of_freedom: int
) -> list[Finding]:
    """Judge a fit.

    Parameters
    ----------
    summary : mapping
        `status`, `message`, `converged`, `num_steps_completed`, `at_bounds`, `dead`, as a run records them.
    rows : sequence of mappings
        The parameter table.
    chi_square : float
        Sum of the squared whitened residuals of the used pixels.
    degrees_of_freedom : int
        Used pixels minus free parameters.
    """
    found = [
        _convergence(summary),
        _goodness(chi_square, degrees_of_freedom),
        _bounds(summary),
        _determination(summary, rows),
    ]
    return found + _pulls(rows)


def headline(found: Sequence[Finding]) -> Finding:
    """Say in one line the worst of what was found."""
    worst = max((f.level for f in found), key=LEVELS.index)
    if worst == "good":
        return Finding(worst, "Verdict", "Converged, and the model explains the data to the noise.")
    topics = ", ".join(f.topic.lower() for f in found if f.level == worst)
    text = "Usable with care" if worst == "warning" else "Not to be relied on as it is"
    return Finding(worst, "Verdict", f"{text}: see {topics}.")


def _convergence(summary: Mapping[str, Any]) -> Finding:
    steps, message = summary.get("num_steps_completed"), summary.get("message") or ""
    after = "" if steps is None else f" after {steps} step{'' if steps == 1 else 's'}"
    if summary.get("status") == "failed":
        return Finding("bad", "Convergence", f"The fit failed{after}: {message or 'no reason recorded'}.")
    if summary.get("converged"):
        return Finding("good", "Convergence", f"Converged{after}.")
    why = f": {message}" if message else ""
    return Finding("warning", "Convergence", f"Not converged{after}{why}.")


_STRUCTURE = "beyond 3. The model leaves structure in the residuals, or the fit began too far away (--guess)."


def _goodness(chi_square: float, freedom: int) -> Finding:
    if freedom <= 0 or not math.isfinite(chi_square):
        return Finding("bad", "Fit to the data", f"χ² is {chi_square:g} for {freedom} degrees of freedom.")
    reduced, scatter = chi_square / freedom, math.sqrt(2 / freedom)
    away = abs(reduced - 1) / scatter
    text = f"Reduced χ² is {reduced:.4f}, {away:.1f} standard deviations {'above' if reduced > 1 else 'below'} 1"
    text += f" (expected scatter √(2/{freedom}) = {scatter:.4f}): "
    if away <= 3:
        return Finding("good", "Fit to the data", text + "within 3.")
    if reduced > 1:
        return Finding("bad", "Fit to the data", text + _STRUCTURE)
    return Finding("warning", "Fit to the data", text + "beyond 3. The noise is smaller than assumed.")


def _bounds(summary: Mapping[str, Any]) -> Finding:
    touching = list(summary.get("at_bounds") or ())
    if not touching:
        return Finding("good", "Bounds", "No parameter stands at a bound.")
    return Finding("warning", "Bounds", f"At a bound, so that its sigma means little: {', '.join(touching)}.")


def _determination(summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Finding:
    dead = list(summary.get("dead") or ())
    mixed = [r["label"] for r in rows if r["sigma"] is not None and math.isinf(r["sigma"]) and r["label"] not in dead]
    parts = [f"The image does not respond to {', '.join(dead)}."] if dead else []
    parts += [f"Only combinations of these are seen: {', '.join(mixed)}."] if mixed else []
    if parts:
        return Finding("warning", "Dead parameters", " ".join(parts) + " Freeze them or give them a prior.")
    return Finding("good", "Dead parameters", f"None: the data determine each of the {len(rows)} free parameters.")


def _pulls(rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Empty where the truth is not known."""
    pulls = {row["label"]: value for row in rows if (value := pull(row)) is not None}
    if not pulls:
        return []
    label = max(pulls, key=lambda name: abs(pulls[name]))
    text = f"The largest of {len(pulls)} pulls is {pulls[label]:+.2f} σ ({label})."
    if abs(pulls[label]) <= LARGE_PULL:
        return [Finding("good", "Against the truth", text)]
    return [Finding("bad", "Against the truth", f"{text} More than {LARGE_PULL:g}: the errors are understated.")]
