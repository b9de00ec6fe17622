"""Where a reconstruction begins: canvas, object, modes and background from a scan."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from .data import ScanData
from .memory import check_memory
from .model import Ptychography, build_model
from .probes import default_probe
from .scan_errors import ScanError
from .stitching import Canvas, canvas_of

MARGIN = 4  # pixels that refined positions may leave the canvas of the given ones by
INDEPENDENT = 1e-6  # of a further mode: what must be left of it beside the others
WEAK = 0.02  # photons of each further mode, relative to the first
FAINT = 1e-3  # of the mean counts: a background to begin with
PIXEL_BYTES = 100  # of memory for each pixel of a canvas: the object, its gradient, moments, the best so far


def starting_model(
    data: ScanData,
    modes: int = 1,
    *,
    margin: int = MARGIN,
    with_background: bool = False,
    from_object: bool = False,
    batch: int = 32,
) -> tuple[Ptychography, np.ndarray]:
    """Build the model that a reconstruction starts from.

    The object is transparent, or the data's if that is asked for; the probe is the file's, or the default probe scaled
    to the mean photons, with weak further modes (`add_modes`).

    Parameters
    ----------
    data : ScanData
    modes : int
        Incoherent modes of the probe.
    margin : int, pixels
        Around the smallest canvas, for positions that move.
    with_background : bool
        Whether a background will be refined: it then starts above zero, per pixel.
    from_object : bool
        Whether to begin with the object in the data, which for simulated data is the truth.
    batch : int
        Patterns that are computed together.

    Returns
    -------
    model : Ptychography
    origin : array of int (2,), pixels
        Position of the canvas' pixel [0, 0] on the file's own grid.

    Raises
    ------
    ScanError
        For `modes` below one, no object to start from, or positions so far apart that the memory of this machine cannot
        hold their canvas.
    """
    if from_object and data.object is None:
        raise ScanError("Expected an object in the data to start from, got none. Omit from_object (--from-object).")
    canvas = padded_canvas(data, margin)
    pixels = canvas.shape[0] * canvas.shape[1]
    what = f"positions of {data.source} with a canvas ({canvas.shape[0]} x {canvas.shape[1]} pixels)"
    check_memory(PIXEL_BYTES * pixels, what, "Check the unit of the positions, or take a part of the scan.")
    probe = add_modes(starting_probe(data), modes)
    geometry = {"energy_ev": data.energy_ev, "distance": data.distance, "detector_pixel": data.detector_pixel}
    model = build_model(
        starting_object(data, canvas) if from_object else np.ones(canvas.shape, complex),
        probe,
        canvas.corners + data.npix // 2,
        starting_background(data, with_background),
        interpolation=data.interpolation,
        batch=batch,
        **geometry,
    )
    return model, np.asarray(canvas.origin, int)


def padded_canvas(data: ScanData, margin: int) -> Canvas:
    """The smallest canvas, with a margin on all sides."""
    canvas = canvas_of(data.positions, data.npix)
    shape = (canvas.shape[0] + 2 * margin, canvas.shape[1] + 2 * margin)
    return Canvas(shape, canvas.corners + margin, canvas.origin - margin)


def starting_object(data: ScanData, canvas: Canvas) -> np.ndarray:
    """The data's object where it covers the canvas, else one, (h, w)."""
    object = np.ones(canvas.shape, complex)
    start = np.asarray(canvas.origin, int)
    first = np.maximum(start, 0)
    last = np.minimum(start + canvas.shape, data.object.shape)
    if (last <= first).any():
        return object
    there = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    here = tuple(slice(a, b) for a, b in zip(first - start, last - start, strict=True))
    object[here] = data.object[there]
    return object


def starting_probe(data: ScanData) -> np.ndarray:
    """The file's modes, or the default probe with the mean photons of a pattern, (M, N, N)."""
    if data.probe is not None:
        probe = np.asarray(data.probe, complex)
        return probe[None] if probe.ndim == 2 else probe
    probe = default_probe(data.npix)[None].astype(complex)
    return probe * np.sqrt(data.photons.mean() / np.sum(np.abs(probe) ** 2))


def add_modes(probe: ArrayLike, modes: int, weak: float = WEAK) -> np.ndarray:
    """Give a probe more modes: the first times low polynomials across it, made orthogonal, with few photons each.

    Parameters
    ----------
    probe : complex array (M, N, N)
    modes : int
        Wanted; fewer than there are keeps the brightest of them.
    weak : float
        Photons of each added mode, relative to the brightest. All are scaled so that the total stays.

    Raises
    ------
    ScanError
        If `modes` is not one or more, or more than can be made.
    """
    if isinstance(modes, bool) or not isinstance(modes, int) or modes < 1:
        raise ScanError(f"Expected modes of 1 or more, got {modes!r}.")
    given = np.asarray(probe, complex)
    flat = given.reshape(len(given), -1)
    if modes > max(flat.shape):
        raise ScanError(f"Expected at most {flat.shape[1]} modes of {given.shape[-1]} pixels a side, got {modes}.")
    flat = flat[np.argsort(-np.sum(np.abs(flat) ** 2, axis=1), kind="stable")]
    total, size = np.sum(np.abs(flat) ** 2), np.sqrt(weak) * np.linalg.norm(flat[0])
    for candidate in _candidates(flat[0], given.shape[-1]):
        if len(flat) >= modes:
            break
        basis = np.linalg.qr(flat.T)[0]
        rest = candidate - basis @ (basis.conj().T @ candidate)
        if np.linalg.norm(rest) > INDEPENDENT * np.linalg.norm(candidate):
            flat = np.vstack([flat, size * rest / np.linalg.norm(rest)])
    if len(flat) < modes:
        raise ScanError(f"Expected at most {len(flat)} modes of {given.shape[-1]} pixels a side, got {modes}.")
    flat = flat[:modes]
    flat = flat * np.sqrt(total / np.sum(np.abs(flat) ** 2))
    return flat.reshape(modes, *given.shape[1:])


def _candidates(first: np.ndarray, npix: int) -> Iterator[np.ndarray]:
    """A mode (N^2,) times x, y, x^2, xy and so on, over (-1, 1); then those alone, for a mode of few pixels."""
    u = (np.arange(npix) - npix // 2) / (npix / 2)
    powers = sorted(((i, j) for i in range(npix) for j in range(npix) if i + j), key=lambda p: (sum(p), p))
    for factor in (first, 1.0):
        for i, j in powers:
            yield factor * (u[:, None] ** i * u[None, :] ** j).ravel()


def starting_background(data: ScanData, refined: bool) -> np.ndarray:
    """The file's, or none; above zero in every pixel where it is refined, (N, N)."""
    given = np.asarray(0.0 if data.background is None else data.background, float)
    if not refined:
        return given
    faint = max(FAINT * float(np.nanmean(data.mean_pattern)), 1e-6)
    return np.maximum(np.broadcast_to(given, (data.npix, data.npix)), faint)
