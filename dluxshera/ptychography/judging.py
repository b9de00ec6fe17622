"""How good a reconstruction is: against the truth where it is known, or one half of a scan against the other."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .data import ScanData
from .extras import extra
from .registration import Registered, register
from .ring_correlation import crossing, ring_correlation
from .scan_errors import ScanError

PERCENTILES = (5, 25, 50, 75, 95)
SSIM_WINDOW = 7  # pixels


class Judgement(NamedTuple):
    """A reconstruction judged.

    Attributes
    ----------
    record : dict
        Numbers, strings and lists only: `amplitude`, `phase` (see `measures`), `complex` (ring correlation of the
        objects), `registration`, `rescaled` and `covered_pixels`.
    registered : Registered
        The object that was compared.
    differences : dict of arrays (h, w)
        `amplitude` and `phase` (radians), reconstruction minus truth, NaN where not covered.
    """

    record: dict[str, Any]
    registered: Registered
    differences: dict[str, np.ndarray]


def judge(
    estimate: ArrayLike,
    truth: ArrayLike,
    covered: ArrayLike,
    *,
    rescale: str | float | int | None = None,
    shift: bool = True,
    ramp: bool = True,
    known: ArrayLike | None = None,
) -> Judgement:
    """Compare a reconstruction with the truth where it is covered.

    Parameters
    ----------
    estimate, truth : complex array (h, w)
        On one canvas.
    covered : array of bool (h, w)
    rescale : "best" or float, optional
        Multiply the reconstruction before judging, so that the best-fit scale of its amplitude becomes 1, or by a
        number; recorded. By default it is judged as it is.
    shift, ramp : bool
        Whether a shift, and a linear phase ramp, are found and removed first; the global phase always is.

    known : array of bool (h, w), optional
        Where the truth is known; everywhere, by default.

    Raises
    ------
    ScanError
        For arrays that cannot be compared, or an unknown `rescale`.
    ImportError
        Without scikit-image or scipy.
    """
    known = np.ones(np.shape(truth), bool) if known is None else known
    registered = register(estimate, truth, covered, shift, ramp, known)
    truth, mask = registered.reference, registered.covered
    factor = _factor(rescale, np.abs(registered.object)[mask], np.abs(truth)[mask])
    registered = registered._replace(object=factor * registered.object)
    amplitudes, phases = _parts(registered.object, truth, mask)
    record = {
        "amplitude": measures(*amplitudes, mask) | {"ratio_percentiles": _ratios(*amplitudes, mask)},
        "phase": measures(*phases, mask),
        "complex": _correlated(registered.object, truth, mask),
        "registration": _registration_record(registered),
        "rescaled": None if rescale is None else {"how": str(rescale), "factor": factor},
        "covered_pixels": int(mask.sum()),
    }
    pairs = {"amplitude": amplitudes, "phase": phases}
    return Judgement(record, registered, {k: np.where(mask, a - b, np.nan) for k, (a, b) in pairs.items()})


def measures(estimate: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> dict[str, Any]:
    """Compare two real images where they are covered.

    Parameters
    ----------
    estimate, truth : array (h, w)
    covered : array of bool (h, w)

    Returns
    -------
    measures : dict
        `scale` (least squares, of the estimate over the truth), `mae`, `rmse`, `max_error`, `psnr` (dB, on the truth's
        own range), `ssim`, `pearson_r`, `frc` and `frequency` (lists; frequency as a fraction of Nyquist),
        `frc_half` (where the ring correlation falls to 0.5). None where a measure is not defined, as for a flat truth.
    """
    e, t = estimate[covered], truth[covered]
    difference = e - t
    rmse, span = float(np.sqrt(np.mean(difference**2))), float(np.ptp(t))
    flat = span <= 1e-12
    return {
        "scale": best_scale(e, t),
        "mae": float(np.abs(difference).mean()),
        "rmse": rmse,
        "max_error": float(np.abs(difference).max()),
        "psnr": None if flat else math.inf if rmse == 0 else 20 * math.log10(span / rmse),
        "ssim": None if flat else _similarity(estimate, truth, covered, span),
        "pearson_r": _pearson(e, t),
        **_correlated(estimate, truth, covered),
    }


def best_scale(estimate: np.ndarray, truth: np.ndarray) -> float | None:
    """Factor s for which s times the truth is nearest to the estimate; None for a truth of zeros."""
    power = float((truth**2).sum())
    return float((estimate * truth).sum() / power) if power > 1e-24 * truth.size else None


def half_scans(data: ScanData, seed: int = 0) -> tuple[ScanData, ScanData]:
    """Split a scan at random into two halves, to be reconstructed apart.

    Parameters
    ----------
    data : ScanData
    seed : int

    Raises
    ------
    ScanError
        For a scan of a single pattern.
    """
    if len(data) < 2:
        raise ScanError(f"{data.source}: Expected two patterns at least to make halves, got {len(data)}.")
    order = np.random.default_rng([seed, 4]).permutation(len(data))
    middle = len(data) // 2
    return data.select(np.sort(order[:middle])), data.select(np.sort(order[middle:]))


def judge_halves(first: ArrayLike, second: ArrayLike, covered: ArrayLike) -> dict[str, Any]:
    """Ring correlation of the reconstructions of two halves of a scan, for when no truth is known.

    Parameters
    ----------
    first, second : complex array (h, w)
        On one canvas.
    covered : array of bool (h, w)
        By both.

    Returns
    -------
    record : dict
        `frc`, `frequency` (fraction of Nyquist), `frc_half`, where it falls to 0.5, `frc_full_half`, the same for
        what both halves together would reach, 2 FRC / (1 + FRC), `registration` and `covered_pixels`.
    """
    registered = register(first, second, covered)
    record = _correlated(registered.object, registered.reference, registered.covered)
    record["frc_full_half"] = None
    if record["frc"] is not None:
        curve = np.asarray(record["frc"])
        full = 2 * curve / np.maximum(1 + curve, 1e-12)
        record["frc_full_half"] = crossing(np.asarray(record["frequency"]), full)
    seen = int(registered.covered.sum())
    return record | {"registration": _registration_record(registered), "covered_pixels": seen}


def _factor(rescale: str | float | int | None, estimate: np.ndarray, truth: np.ndarray) -> float:
    if rescale is None:
        return 1.0
    if rescale == "best":
        scale = best_scale(estimate, truth)
        if not scale:
            raise ScanError("Expected amplitudes that a scale can be fitted to, got zeros. Judge without rescale.")
        return 1 / scale
    if isinstance(rescale, str) or not (math.isfinite(rescale) and rescale > 0):
        raise ScanError(f'Expected rescale None, "best" or a number above zero, got {rescale!r}.')
    return float(rescale)


def _parts(estimate: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
    """Amplitudes and phases of both; a phase of the estimate is within half a turn of the truth's."""
    truth = np.where(covered, truth, 0.0)
    phase = np.angle(truth)
    return (np.abs(estimate), np.abs(truth)), (phase + np.angle(estimate * truth.conj()), phase)


def _ratios(estimate: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> dict[str, float] | None:
    seen = covered & (truth > 1e-12)
    if not seen.any():
        return None
    ratios = np.percentile(estimate[seen] / truth[seen], PERCENTILES)
    return {f"p{p:02d}": float(value) for p, value in zip(PERCENTILES, ratios, strict=True)}


def _pearson(estimate: np.ndarray, truth: np.ndarray) -> float | None:
    e, t = estimate - estimate.mean(), truth - truth.mean()
    norm = math.sqrt(float((e**2).sum()) * float((t**2).sum()))
    return float((e * t).sum() / norm) if norm > 1e-12 * truth.size else None


def _similarity(estimate: np.ndarray, truth: np.ndarray, covered: np.ndarray, span: float) -> float | None:
    """Mean structural similarity over what is covered; elsewhere both are the truth's mean."""
    if min(truth.shape) < SSIM_WINDOW:
        return None
    structural_similarity = extra("skimage.metrics").structural_similarity
    images = [np.where(covered, image, truth[covered].mean()) for image in (estimate, truth)]
    similarity = structural_similarity(*images, win_size=SSIM_WINDOW, data_range=span, full=True)[1]
    return float(similarity[covered].mean())


def _correlated(estimate: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> dict[str, Any]:
    frequency, curve = ring_correlation(estimate, truth, covered)
    if not np.isfinite(curve).any():
        return {"frc": None, "frequency": None, "frc_half": None}
    return {"frc": curve.tolist(), "frequency": frequency.tolist(), "frc_half": crossing(frequency, curve)}


def _registration_record(registered: Registered) -> dict[str, Any]:
    return {
        "shift_pixels": registered.shift.tolist(),
        "ramp_radians_per_pixel": registered.ramp.tolist(),
        "phase_radians": registered.phase,
    }
