"""What a scan holds, in numbers."""

from typing import Any

import numpy as np

from .bad_pixels import find_bad_pixels
from .data import ScanData
from .data_checks import energy_near_centre
from .extras import extra
from .probes import probe_radius
from .simulate import scan_facts
from .stitching import canvas_of


def info(data: ScanData) -> dict[str, Any]:
    """Describe a scan; its patterns are read in blocks.

    Parameters
    ----------
    data : ScanData

    Returns
    -------
    record : dict
        `source`, `counts` (see `scan_facts`, and what is told of masked pixels, of pixels that look bad but are not
        masked (see `find_bad_pixels`), and of photons per pattern), `positions`
        (span, nearest neighbours, field of view and canvas, pixels), `probe` (modes, radius, power over photons,
        overlap of neighbouring discs, linear), `detector` (electron volts, metres), `object_shape`. None where
        something is not known.

    Raises
    ------
    ImportError
        Without scipy.
    """
    return {
        "source": data.source,
        "counts": _counts(data),
        "positions": _positions(data),
        "probe": None if data.probe is None else _probe(data),
        "detector": _detector(data),
        "object_shape": None if data.object is None else list(data.object.shape),
    }


def nearest_distances(positions: np.ndarray) -> np.ndarray:
    """Distance (n,), pixels, of each position to its nearest neighbour; infinite for a single one."""
    return extra("scipy.spatial").cKDTree(positions).query(positions, 2)[0][:, 1]


def _counts(data: ScanData) -> dict[str, Any]:
    facts = scan_facts(data)
    facts = {name: facts[name] for name in facts if name not in ("object_shape", "probe_shape")}
    mean, bad = np.nan_to_num(data.mean_pattern), find_bad_pixels(data.counts, data.mask)
    return facts | {
        "dtype": str(data.counts.dtype),
        "least_photons": float(data.photons.min()),
        "most_photons": float(data.photons.max()),
        "masked_pixels": int(np.isnan(data.mean_pattern).sum()),
        "suspect_pixels": {"gaps": bad.gaps, "dead": bad.dead, "hot": bad.hot},
        "masked_fraction": 0.0 if data.mask is None else float(1 - data.mask.mean()),
        "energy_near_centre": energy_near_centre(mean),
        "scans": 1 if data.scan_index is None else int(np.unique(data.scan_index).size),
        "background": None if data.background is None else float(data.background.mean()),
        "interpolation": data.interpolation,
    }


def _positions(data: ScanData) -> dict[str, Any]:
    low, high = data.positions.min(0), data.positions.max(0)
    single = len(data) < 2
    nearest = None if single else nearest_distances(data.positions)
    return {
        "y_range": [float(low[0]), float(high[0])],
        "x_range": [float(low[1]), float(high[1])],
        "field_of_view": (high - low + data.npix).tolist(),
        "canvas_shape": list(canvas_of(data.positions, data.npix).shape),
        "nearest_median": None if single else float(np.median(nearest)),
        "nearest_largest": None if single else float(nearest.max()),
    }


def _probe(data: ScanData) -> dict[str, Any]:
    power = (np.abs(data.probe) ** 2).sum((1, 2))
    radius = probe_radius(data.probe)
    overlap = None if len(data) < 2 else 1 - float(np.median(nearest_distances(data.positions))) / (2 * radius)
    return {
        "modes": len(data.probe),
        "mode_fractions": (power / power.sum()).tolist(),
        "radius": radius,
        "overlap": overlap,
        "power": float(power.sum()),
        "power_over_photons": float(power.sum() / data.photons.mean()),
    }


def _detector(data: ScanData) -> dict[str, Any]:
    names = ("energy_ev", "wavelength", "distance", "detector_pixel", "pixel_size")
    return {name: getattr(data, name) for name in names}
