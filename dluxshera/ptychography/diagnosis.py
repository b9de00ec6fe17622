"""Why a reconstruction goes wrong: each function looks at one link of the chain; none needs training."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .data import ScanData
from .data_checks import LARGEST_SPAN
from .grouping import Groups
from .judging import best_scale
from .probes import mean_amplitude, probe_radius
from .scan_errors import ScanError
from .simulate import counts_at, fit_object
from .stitching import canvas_of, energy_inside, smallest_side

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
BLOCK = 64  # patterns that are modelled together


def grouping_summary(positions: ArrayLike, groups: Groups, n_groups: int | None = None) -> dict[str, Any]:
    """Compare the groups that were asked for with those that came out.

    Parameters
    ----------
    positions : array (n, 2), pixels
    groups : Groups
        Of those positions.
    n_groups : int, optional
        As many were asked for.

    Returns
    -------
    record : dict
        `requested`, `achieved` (groups, members to a group, distinct groups and anchors, patterns in none), `offsets`
        (statistics per axis of the groups' centres) and `relative` (of the members about them), pixels.
    """
    indices = groups.nn_indices
    points = np.asarray(positions, float)
    distinct = np.unique(np.sort(indices, axis=1), axis=0)
    return {
        "requested": {"groups": n_groups, "patterns": len(points)},
        "achieved": {
            "groups": len(indices),
            "members": int(indices.shape[1]),
            "distinct_groups": len(distinct),
            "distinct_anchors": int(np.unique(indices[:, 0]).size),
            "patterns_in_no_group": int(len(points) - np.unique(indices).size),
        },
        "offsets": _axes(groups.coords_offsets),
        "relative": _axes(groups.coords_relative.reshape(-1, 2)),
        "largest_relative": float(np.hypot(*np.moveaxis(groups.coords_relative, -1, 0)).max()),
    }


def probe_normalisation(first: ArrayLike, second: ArrayLike, photons: float | int | None = None) -> dict[str, Any]:
    """Compare the normalisation of two probes, such as one from a file with the default one.

    Parameters
    ----------
    first, second : complex array (N, N) or (M, N, N)
    photons : float, optional
        Mean photons per pattern: tells by which scale s each has to be multiplied for a transparent object.

    Returns
    -------
    record : dict
        For `a` and `b`: `mean_amplitude` (within N/4, over N^2), `largest_amplitude`, `radius` (pixels), `power`,
        `outside_half` (fraction of the power outside the central N/2 x N/2 pixels) and `scale_to_photons`; and
        `ratio` of a over b.
    """
    a, b = (_probe_numbers(probe, photons) for probe in (first, second))
    ratio = {name: a[name] / b[name] for name in ("mean_amplitude", "largest_amplitude", "radius", "power")}
    return {"a": a, "b": b, "ratio": ratio}


def canvas_and_energy(positions: ArrayLike, probe: ArrayLike, nominal: int | None = None) -> dict[str, Any]:
    """Tell how large a canvas the positions need, and what a nominal one would lose.

    Parameters
    ----------
    positions : array (n, 2), pixels
    probe : complex array (N, N) or (M, N, N)
    nominal : int, pixels, optional
        Side of a square canvas, centred on the mean position, to compare with.

    Returns
    -------
    record : dict
        `largest_offset` from the mean, per axis; `needed_side`, `canvas_shape`, `energy_inside` (1 for that canvas),
        and `nominal_side` with `energy_inside_nominal`.
    """
    points = np.asarray(positions, float)
    npix = np.shape(probe)[-1]
    canvas = canvas_of(points, npix)
    offsets = points - points.mean(0)
    record = {
        "largest_offset": np.abs(offsets).max(0).tolist(),
        "needed_side": smallest_side(points, npix),
        "canvas_shape": list(canvas.shape),
        "energy_inside": energy_inside(probe, canvas.corners, canvas.shape),
        "nominal_side": nominal,
        "energy_inside_nominal": None,
    }
    if nominal is not None:
        if not 1 <= nominal <= LARGEST_SPAN:
            raise ScanError(f"Expected a nominal canvas (--canvas) of 1 to {LARGEST_SPAN:g} pixels, got {nominal}.")
        corners = offsets + nominal / 2 - npix / 2
        record["energy_inside_nominal"] = energy_inside(probe, corners, (nominal, nominal))
    return record


def intensity_chain(
    data: ScanData, gain: float | int | None = None, object: ArrayLike | None = None, probe: ArrayLike | None = None
) -> dict[str, Any]:
    """Follow the intensities from the counts to the model, stage by stage.

    Parameters
    ----------
    data : ScanData
    gain : float, optional
        g of the network's input g sqrt(counts); by default 1 over the root-mean-square amplitude of the data.
    object, probe : complex arrays (h, w) and (M, N, N), optional
        What is modelled; those of the data by default. Positions count from that object's pixel [0, 0].

    Returns
    -------
    record : dict
        `gain`, and `stages`: `counts`, `amplitude` (their square root), `input` (g times it) and, where object and
        probe are known, `model_counts` and `model_amplitude`; for each `mean`, `rms`, `largest`, `zeros` (fraction).
        `model_over_data`: ratio of summed counts; None without a model.
    """
    object, probe = (own if given is None else given for own, given in ((data.object, object), (data.probe, probe)))
    tallies = {name: _Tally() for name in ("counts", "amplitude", "model_counts", "model_amplitude")}
    modelled = object is not None and probe is not None
    if modelled:
        probe = np.asarray(probe).reshape(-1, data.npix, data.npix)
        object, positions = fit_object(object, data.positions, data.npix)
    for start in range(0, len(data), BLOCK):
        rows = slice(start, min(start + BLOCK, len(data)))
        block = np.asarray(data.counts[rows], float)
        tallies["counts"].add(block)
        tallies["amplitude"].add(np.sqrt(block))
        if modelled:
            model = _modelled(data, rows, object, probe, positions[rows])
            tallies["model_counts"].add(model)
            tallies["model_amplitude"].add(np.sqrt(model))
    stages = {name: tally.record() for name, tally in tallies.items() if tally.number}
    gain = 1 / stages["amplitude"]["rms"] if gain is None else float(gain)
    scaled = {k: v if k == "zeros" else gain * v for k, v in stages["amplitude"].items()}
    ordered = {"counts": stages["counts"], "amplitude": stages["amplitude"], "input": scaled}
    ratio = stages["model_counts"]["mean"] / stages["counts"]["mean"] if modelled else None
    return {"gain": gain, "stages": ordered | stages, "model_over_data": ratio}


def bias_summary(prediction: ArrayLike, truth: ArrayLike, covered: ArrayLike | None = None) -> dict[str, Any]:
    """Tell how a prediction is biased against the truth, before and after scaling it by one factor.

    Parameters
    ----------
    prediction, truth : array, real, of one shape
        Amplitudes of an object, or of diffraction patterns.
    covered : array of bool, optional
        Where they are compared.

    Returns
    -------
    record : dict
        `truth`, `before` and `after`: mean, standard deviation and percentiles; for the latter two `mae`, `rmse` and
        the percentiles of the `ratio` to the truth. `scale`: least squares, of the prediction over the truth.

    Raises
    ------
    ScanError
        For arrays of different shapes, values that are not finite, or a scale that is zero or not defined.
    """
    prediction, truth = np.asarray(prediction, float), np.asarray(truth, float)
    covered = np.ones(truth.shape, bool) if covered is None else np.asarray(covered, bool)
    if not prediction.shape == truth.shape == covered.shape or not covered.any():
        raise ScanError(
            f"Expected two arrays of one shape, and something covered, got {prediction.shape} and {truth.shape}."
        )
    p, t = prediction[covered], truth[covered]
    if not (np.isfinite(p).all() and np.isfinite(t).all()):
        raise ScanError("Expected finite values where they are compared, got others.")
    scale = best_scale(p, t)
    after = None if not scale else _against(p / scale, t)
    return {"scale": scale, "truth": _distribution(t), "before": _against(p, t), "after": after}


class _Tally:
    """Mean, root mean square and largest of arrays that come in blocks."""

    def __init__(self):
        self.number, self.total, self.squares, self.largest, self.zeros = 0, 0.0, 0.0, 0.0, 0

    def add(self, block: np.ndarray) -> None:
        self.number += block.size
        self.total += float(block.sum())
        self.squares += float((block**2).sum())
        self.largest = max(self.largest, float(block.max()))
        self.zeros += int((block == 0).sum())

    def record(self) -> dict[str, float]:
        mean, square = self.total / self.number, self.squares / self.number
        return {"mean": mean, "rms": square**0.5, "largest": self.largest, "zeros": self.zeros / self.number}


def _modelled(data: ScanData, rows: slice, object: np.ndarray, probe: np.ndarray, positions: np.ndarray) -> np.ndarray:
    background = 0.0 if data.background is None else data.background
    counts = np.asarray(counts_at(object, probe, positions, data.interpolation), float)
    return (counts + background) * data.used(rows)


def _axes(points: np.ndarray) -> dict[str, dict[str, float]]:
    numbers = {"least": points.min(0), "mean": points.mean(0), "largest": points.max(0), "std": points.std(0)}
    return {axis: {name: float(value[i]) for name, value in numbers.items()} for i, axis in enumerate("yx")}


def _probe_numbers(probe: ArrayLike, photons: float | int | None) -> dict[str, Any]:
    probe = np.asarray(probe, complex)
    probe = probe[None] if probe.ndim == 2 else probe
    intensity = (np.abs(probe) ** 2).sum(0)
    n, power = len(intensity), float(intensity.sum())
    if not (np.isfinite(power) and power > 0):
        raise ScanError(f"Expected probes with power, got one of {power:g}.")
    middle = slice(n // 4, n // 4 + n // 2)
    return {
        "mean_amplitude": mean_amplitude(probe),
        "largest_amplitude": float(np.sqrt(intensity.max())),
        "radius": probe_radius(probe),
        "power": power,
        "outside_half": max(0.0, float(1 - intensity[middle, middle].sum() / power)),
        "scale_to_photons": None if photons is None else float(np.sqrt(photons / power)),
    }


def _distribution(values: np.ndarray) -> dict[str, Any]:
    percentiles = np.percentile(values, PERCENTILES)
    named = {f"p{p:02d}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)}
    return {"mean": float(values.mean()), "std": float(values.std()), "percentiles": named}


def _against(prediction: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    difference = prediction - truth
    positive = truth > 1e-12 * max(float(np.abs(truth).max()), 1e-300)
    ratio = _distribution(prediction[positive] / truth[positive]) if positive.any() else None
    return _distribution(prediction) | {
        "mae": float(np.abs(difference).mean()),
        "rmse": float(np.sqrt((difference**2).mean())),
        "ratio": ratio,
    }
