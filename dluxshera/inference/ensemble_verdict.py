"""What many fits came to, in words: how many ended well, and whether their errors are what their sigmas say."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .verdict import Finding

NOTABLE, LARGE = 3.0, 5.0  # standard errors


def ensemble_findings(
    statuses: Sequence[str], converged: Sequence[bool | None], pulls: ArrayLike, independent: int | None = None
) -> list[Finding]:
    """Judge many fits.

    Parameters
    ----------
    statuses : sequence of str
        "ok", "failed", "interrupted", "running" or "missing", one for each planned run.
    converged : sequence of bool or None
        Of the runs that are "ok".
    pulls : array
        (estimate - truth) / sigma of one parameter, or of several that are not correlated.
    independent : int, optional
        How many of them are independent, where runs share their noise; all by default.
    """
    pulls = np.asarray(pulls, float)
    count = pulls.size if independent is None else min(independent, pulls.size)
    return [_runs(statuses), _convergence(converged), *_scatter(pulls, count)]


def _runs(statuses: Sequence[str]) -> Finding:
    count = {status: list(statuses).count(status) for status in dict.fromkeys(statuses)}
    failed, good = count.get("failed", 0), count.get("ok", 0)
    text = ", ".join(f"{number} {status}" for status, number in count.items()) or "none planned"
    level = "bad" if failed > 0.1 * len(statuses) or not good else "warning" if good < len(statuses) else "good"
    return Finding(level, "Runs", f"{len(statuses)} planned: {text}.")


def _convergence(converged: Sequence[bool | None]) -> Finding:
    short = sum(value is not True for value in converged)
    if not short:
        return Finding("good", "Convergence", f"All {len(converged)} runs that ended well converged.")
    return Finding("warning", "Convergence", f"{short} of {len(converged)} runs that ended well did not converge.")


def _scatter(pulls: np.ndarray, count: int) -> list[Finding]:
    """Mean and spread of the pulls, each against its own standard error for so many of a unit Gaussian."""
    if count < 3:
        return []
    mean, spread = float(pulls.mean()), float(pulls.std(ddof=1))
    off = abs(mean) * math.sqrt(count) / max(spread, 1e-12)
    wide = (spread - 1) * math.sqrt(2 * (count - 1))
    many = f"{pulls.size} errors" + (f" with {count} draws of noise" if count < pulls.size else "")
    seen = "none to be seen" if off < NOTABLE else f"{off:.1f} of its own errors"
    text = f"Mean {mean:+.3f} ± {spread / math.sqrt(count):.3f} σ over {many}: {seen}."
    bias = Finding(_level(off), "Bias", text)
    width = f"{spread:.3f} where 1 ± {1 / math.sqrt(2 * (count - 1)):.3f} is expected"
    return [bias, Finding(_level(abs(wide)), "Spread", f"Errors are spread by {width}, in units of their sigmas.")]


def _level(standard_errors: float) -> str:
    return "good" if standard_errors < NOTABLE else "warning" if standard_errors < LARGE else "bad"
