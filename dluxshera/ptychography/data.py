"""The data of a scan: counted patterns with their positions, and what is known of probe, object and detector."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .data_checks import (
    check_dc,
    checked_background,
    checked_counts,
    checked_mask,
    checked_number,
    checked_object,
    checked_positions,
    checked_probe,
    checked_scan_index,
    masked_block,
)
from .scan_errors import ScanError
from .stored_patterns import StoredPatterns

BLOCK_PIXELS = 2**23  # of patterns that are looked at together
PLANCK_LIGHTSPEED = 1.2398419843320026e-6  # eV metres, CODATA 2018


@dataclass(frozen=True, eq=False)
class ScanData:
    """A checked scan; what it holds can be computed with.

    Parameters
    ----------
    counts : array (n, N, N), photons
        With the zero frequency at [N//2, N//2]; an array, or `StoredPatterns` that stay in their file. Values of
        masked pixels are set to zero.
    positions : array (n, 2), pixels of the object grid
        (y, x) of each window's pixel [N//2, N//2]; where `object` is given, its pixel [0, 0] is the origin.
    probe : complex array (N, N) or (M, N, N), optional
        Incoherent modes, scaled so that the orthonormal far field squared is photons.
    object : complex array (h, w), optional
        A guess, or the truth of a simulation.
    mask : array of bool (N, N) or (n, N, N), optional
        True where a pixel is used.
    background : float or array (N, N), photons per pixel, optional
    scan_index : array of int (n,), optional
        Which of several scans a pattern belongs to.
    energy_ev : float, electron volts, optional
        Of the photons.
    distance : float, metres, optional
        From the sample to the detector.
    detector_pixel : float, metres, optional
    interpolation : str
        Of windows between pixels, "bilinear" or "fourier": what `object` and `probe` were made with.
    source : str
        What error messages call it: the file.

    Attributes
    ----------
    photons : array (n,)
        Of each pattern, in pixels that are used.
    mean_pattern : array (N, N), photons
        Mean over the patterns in which a pixel is used; NaN where it never is.

    Raises
    ------
    ScanError
        Naming source and key, for wrong shapes and types, values that are not finite, negative or empty counts,
        positions off the object or further apart than a canvas can hold, a zero probe, or a zero frequency
        that is not in the middle.
    """

    counts: Any
    positions: Any
    probe: Any = None
    object: Any = None
    mask: Any = None
    background: Any = None
    scan_index: Any = None
    energy_ev: Any = None
    distance: Any = None
    detector_pixel: Any = None
    interpolation: str = "bilinear"
    source: str = "scan"
    photons: np.ndarray = field(init=False)
    mean_pattern: np.ndarray = field(init=False)

    def __post_init__(self):
        for name, value in _checked(self).items():
            object.__setattr__(self, name, value)

    @property
    def npix(self) -> int:
        """N, the side of a pattern."""
        return int(self.counts.shape[-1])

    @property
    def wavelength(self) -> float | None:
        """Of the photons, metres; None where the energy is not known."""
        return None if self.energy_ev is None else PLANCK_LIGHTSPEED / self.energy_ev

    @property
    def pixel_size(self) -> float | None:
        """Of the object grid, metres: wavelength distance / (N detector pixel); None where one is not known."""
        if None in (self.energy_ev, self.distance, self.detector_pixel):
            return None
        return self.wavelength * self.distance / (self.npix * self.detector_pixel)

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Go through the patterns, some megabytes at a time: their indices and their counts."""
        return blocks(self.counts)

    def used(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return the mask of some patterns, (N, N) or (k, N, N); True where a pixel is used."""
        if self.mask is None:
            return np.ones((self.npix, self.npix), bool)
        return self.mask if self.mask.ndim == 2 else self.mask[rows]

    def select(self, rows: ArrayLike) -> "ScanData":
        """Return the scan made of the patterns with these indices, in this order.

        Parameters
        ----------
        rows : array of int (k,) or of bool (n,)
        """
        rows = np.arange(len(self))[np.asarray(rows)]
        fields = {name: getattr(self, name) for name in FIELDS}
        return ScanData(**select_fields(fields, rows))

    def load(self) -> "ScanData":
        """Return the same scan with all patterns in memory."""
        if not isinstance(self.counts, StoredPatterns):
            return self
        return ScanData(**{name: getattr(self, name) for name in FIELDS} | {"counts": np.asarray(self.counts)})


FIELDS = tuple(name for name, f in ScanData.__dataclass_fields__.items() if f.init)


def blocks(counts: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Go through patterns (n, N, N) some megabytes at a time: indices and patterns."""
    size = max(1, BLOCK_PIXELS // max(1, counts.shape[-1] ** 2))
    for start in range(0, counts.shape[0], size):
        rows = slice(start, min(start + size, counts.shape[0]))
        yield rows, np.asarray(counts[rows])


def select_fields(fields: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Return the arguments of a `ScanData` with only some of the patterns."""
    mask = fields.get("mask")
    per_pattern = {"counts", "positions", "scan_index"} | ({"mask"} if np.ndim(mask) == 3 else set())
    return {k: _rows_of(v, rows) if k in per_pattern and v is not None else v for k, v in fields.items()}


def _rows_of(value: Any, rows: np.ndarray) -> Any:
    return value.select(rows) if isinstance(value, StoredPatterns) else np.asarray(value)[rows]


def _checked(data: ScanData) -> dict[str, Any]:
    where = data.source
    counts = checked_counts(data.counts, where)
    n, npix = counts.shape[:2]
    object = checked_object(data.object, where)
    found = {
        "positions": checked_positions(data.positions, n, object, where),
        "probe": checked_probe(data.probe, npix, where),
        "object": object,
        "mask": checked_mask(data.mask, n, npix, where),
        "background": checked_background(data.background, npix, where),
        "scan_index": checked_scan_index(data.scan_index, n, where),
        **{k: checked_number(getattr(data, k), k, where) for k in ("energy_ev", "distance", "detector_pixel")},
    }
    if data.interpolation not in ("bilinear", "fourier"):
        raise ScanError(f'{where}: Expected interpolation "bilinear" or "fourier", got {data.interpolation!r}.')
    return found | _measured(counts, found["mask"], where)


def _measured(counts: Any, mask: np.ndarray | None, where: str) -> dict[str, Any]:
    """One pass over the patterns: check them, and sum over pixels and over patterns."""
    stored = isinstance(counts, StoredPatterns)
    photons, total, amplitude, seen = [], 0.0, 0.0, 0
    kept = counts.masked(mask) if stored else np.array(counts) if mask is not None else counts
    for rows, block in blocks(kept if stored else counts):
        used = np.ones(block.shape[1:], bool) if mask is None else mask if mask.ndim == 2 else mask[rows]
        block = masked_block(block, used, rows.start, where)
        if mask is not None and not stored:
            kept[rows] = block
        photons.append(block.sum((1, 2), dtype=float))
        total = total + block.sum(0, dtype=float)
        amplitude = amplitude + np.sqrt(block, dtype=float).sum(0)
        seen = seen + np.broadcast_to(used, block.shape).sum(0)
    check_dc(amplitude / np.maximum(seen, 1), where)
    mean = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    return {"counts": kept, "photons": np.concatenate(photons), "mean_pattern": mean}
