"""What the data of a scan must be like; every refusal names the source, the key and what to do."""

from typing import Any

import numpy as np

from .scan_errors import ScanError

SMALLEST_SIDE = 4  # of a pattern, pixels
LARGEST_SPAN = 16384.0  # between positions, pixels: a canvas of that side is 2 GB
LARGEST_POSITION = 1e9  # pixels: beyond, double precision begins to lose the fractions of a pixel
SMALLEST_SPAN = 0.01  # a scan that moves by less is in metres
# Above these, single precision overflows in what is summed and squared.
LARGEST_COUNT, LARGEST_PROBE, LARGEST_OBJECT = 1e15, 1e9, 1e6
SMALLEST_AMPLITUDE = 1e-15  # of a probe or an object with anything in it


def checked_counts(value: Any, where: str) -> Any:
    """Patterns (n, N, N) of real numbers; they stay where they are."""
    shape, dtype = np.shape(value), getattr(value, "dtype", None)
    if dtype is None:
        value = np.asarray(value)
        dtype = value.dtype
    if np.dtype(dtype).kind not in "uif":
        raise ScanError(f"{where}: counts: Expected real numbers, got dtype {dtype}. Store photon counts.")
    if len(shape) != 3 or shape[1] != shape[2]:
        turned = len(shape) == 3 and shape[0] == shape[1]
        hint = "Move the last axis to the front." if turned else "Crop the patterns to squares."
        raise ScanError(f"{where}: counts: Expected patterns of shape (n, N, N), got {tuple(shape)}. {hint}")
    if shape[0] < 1 or shape[1] < SMALLEST_SIDE:
        raise ScanError(
            f"{where}: counts: Expected at least one pattern of {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, got "
            f"{tuple(shape)}. Check how the file was written."
        )
    return value


def masked_block(block: np.ndarray, used: np.ndarray, start: int, where: str) -> np.ndarray:
    """Some patterns, the first of them of index `start`, with zeros where they are masked.

    Raises
    ------
    ScanError
        For used pixels that are not finite, negative or absurdly large, and for patterns without a count.
    """
    block = np.where(used, block, block.dtype.type(0))
    for bad, what, hint in (
        (~np.isfinite(block), "finite counts", "Mask such pixels"),
        (block < 0, "counts of zero or more", "Mask them, or have them found by find_bad=True (--find-bad)"),
        (block > LARGEST_COUNT, f"counts of at most {LARGEST_COUNT:g}", "Mask such pixels"),
    ):
        if bad.any():
            k, y, x = (int(i) for i in np.argwhere(bad)[0])
            raise ScanError(
                f"{where}: counts: Expected {what}, got {block[k, y, x]} in pattern {start + k} at pixel ({y}, {x}), "
                f"and {int(bad.sum()) - 1} more nearby. {hint}."
            )
    empty = np.flatnonzero(~block.any(axis=(1, 2))) + start
    if empty.size:
        raise ScanError(
            f"{where}: counts: Expected every pattern to hold counts, got none in pattern {_some(empty)}. "
            "Leave such patterns out: drop_empty=True (--drop-empty)."
        )
    return block


def _some(indices: np.ndarray) -> str:
    shown = ", ".join(str(i) for i in indices[:5])
    return shown if indices.size <= 5 else f"{shown} and {indices.size - 5} more nearby"


def check_dc(amplitude: np.ndarray, where: str) -> None:
    """Refuse a mean amplitude (N, N) whose weight lies at the corners; a hot pixel decides nothing."""
    ceiling = np.percentile(amplitude, 99.5)
    energy = np.minimum(amplitude, ceiling) ** 2
    centre, corner = energy_near_centre(energy), energy_near_centre(np.fft.fftshift(energy))
    if corner > 3 * centre:
        raise ScanError(
            f"{where}: counts: Expected the zero frequency at [N//2, N//2], got {corner:.0%} of the energy around "
            f'[0, 0] and {centre:.0%} around the middle. Read it with the other of dc="corner" and '
            '"centre" (--dc), or apply numpy.fft.fftshift.'
        )


def energy_near_centre(energy: np.ndarray) -> float:
    """Fraction of the energy of a pattern (N, N) within N/4 of [N//2, N//2]."""
    n = energy.shape[0]
    distance = np.hypot(*np.ogrid[-(n // 2) : n - n // 2, -(n // 2) : n - n // 2])
    return float(energy[distance <= n / 4].sum() / energy.sum()) if energy.any() else 0.0


def checked_positions(value: Any, n: int, object: np.ndarray | None, where: str) -> np.ndarray:
    """Positions (n, 2), float64, pixels: finite, on the object where there is one, and within a canvas."""
    positions = _numbers(value, "uif", "positions", where)
    if positions.shape != (n, 2):
        raise ScanError(f"{where}: positions: Expected shape ({n}, 2), (y, x) of each pattern, got {positions.shape}.")
    positions = positions.astype(float)
    bad = np.flatnonzero(~np.isfinite(positions).all(1))
    if bad.size:
        raise ScanError(f"{where}: positions: Expected finite pixels, got {positions[bad[0]]} for pattern {bad[0]}.")
    far = int(np.abs(positions).max(1).argmax())
    if np.abs(positions[far]).max() > LARGEST_POSITION:
        raise ScanError(
            f"{where}: positions: Expected pixels of the object grid, of at most {LARGEST_POSITION:g}, got "
            f"{positions[far]} for pattern {far}. Count from the middle of the scan."
        )
    span = float(np.ptp(positions, axis=0).max())
    if span > LARGEST_SPAN:
        raise ScanError(
            f"{where}: positions: Expected pixels of the object grid within {LARGEST_SPAN:g} of each other, got a span "
            f"of {span:g}. Divide lengths by the object's pixel size, wavelength distance / (N detector pixel)."
        )
    if 0 < span < SMALLEST_SPAN:
        raise ScanError(
            f"{where}: positions: Expected pixels of the object grid, got a span of {span:g}, as of metres. Divide "
            "by the object's pixel size, wavelength distance / (N detector pixel)."
        )
    if object is not None:
        _check_on_object(positions, object.shape, where)
    return positions


def _check_on_object(positions: np.ndarray, shape: tuple[int, ...], where: str) -> None:
    outside = np.flatnonzero(((positions < 0) | (positions > np.asarray(shape) - 1)).any(1))
    if outside.size:
        y, x = positions[outside[0]]
        raise ScanError(
            f"{where}: positions: Expected (y, x) on the object of shape {shape}, from 0 to {shape[0] - 1} and "
            f"{shape[1] - 1}, got ({y:g}, {x:g}) for pattern {outside[0]}, and {outside.size - 1} more outside. "
            "Count positions from the object's pixel [0, 0], or leave the object out."
        )


def checked_probe(value: Any, npix: int, where: str) -> np.ndarray | None:
    """Probe (M, N, N), complex128, finite, with power."""
    if value is None:
        return None
    probe = _numbers(value, "uifc", "probe", where).astype(complex)
    probe = probe[None] if probe.ndim == 2 else probe
    if probe.ndim != 3 or probe.shape[1:] != (npix, npix) or not len(probe):
        raise ScanError(
            f"{where}: probe: Expected shape ({npix}, {npix}) or (M, {npix}, {npix}), as the patterns, got "
            f"{np.shape(value)}. Crop or pad it."
        )
    _check_finite(probe, "probe", where)
    _check_size(probe, LARGEST_PROBE, "probe", where)
    if not (np.abs(probe) > SMALLEST_AMPLITUDE).any():
        raise ScanError(f"{where}: probe: Expected a probe with power, got zeros. Give an estimate, such as a disc.")
    return probe


def checked_object(value: Any, where: str) -> np.ndarray | None:
    """Object (h, w), complex128, finite, not zero everywhere."""
    if value is None:
        return None
    object = _numbers(value, "uifc", "object", where).astype(complex)
    if object.ndim != 2 or not object.size:
        raise ScanError(f"{where}: object: Expected shape (h, w), got {object.shape}. Give one plane.")
    _check_finite(object, "object", where)
    _check_size(object, LARGEST_OBJECT, "object", where)
    if not (np.abs(object) > SMALLEST_AMPLITUDE).any():
        raise ScanError(f"{where}: object: Expected an object that light passes, got zeros. Leave it out.")
    return object


def checked_mask(value: Any, n: int, npix: int, where: str) -> np.ndarray | None:
    """Mask (N, N) or (n, N, N) of bool, True where a pixel is used, that leaves something."""
    if value is None:
        return None
    mask = np.asarray(value)
    if mask.dtype.kind not in "bui" or not np.isin(mask, (0, 1)).all():
        raise ScanError(f"{where}: mask: Expected booleans, True where a pixel is used, got dtype {mask.dtype}.")
    if mask.shape not in ((npix, npix), (n, npix, npix)):
        raise ScanError(
            f"{where}: mask: Expected shape ({npix}, {npix}) or ({n}, {npix}, {npix}), got {mask.shape}. "
            "Cut it as the patterns were."
        )
    if not mask.any():
        raise ScanError(f"{where}: mask: Expected used pixels, got none. True stands for a pixel that is used.")
    return mask.astype(bool)


def checked_background(value: Any, npix: int, where: str) -> np.ndarray | None:
    """Background () or (N, N), photons per pixel, finite and not negative."""
    if value is None:
        return None
    background = _numbers(value, "uif", "background", where).astype(float)
    if background.shape not in ((), (npix, npix)):
        raise ScanError(f"{where}: background: Expected a number or shape ({npix}, {npix}), got {background.shape}.")
    _check_finite(background, "background", where)
    _check_size(background, LARGEST_COUNT, "background", where)
    if (background < 0).any():
        raise ScanError(f"{where}: background: Expected zero or more photons, got {background.min():g}.")
    return background


def checked_scan_index(value: Any, n: int, where: str) -> np.ndarray | None:
    """Indices (n,) of scans, int64."""
    if value is None:
        return None
    index = np.asarray(value)
    whole = index.shape == (n,) and index.dtype.kind in "uif" and np.isfinite(index).all()
    if not whole or not (index == np.round(index)).all():
        raise ScanError(f"{where}: scan_index: Expected {n} whole numbers, got {index.dtype} of shape {index.shape}.")
    return index.astype(int)


def checked_number(value: Any, name: str, where: str) -> float | None:
    """A positive number."""
    if value is None:
        return None
    number = np.asarray(value)
    if number.dtype.kind not in "uif" or number.size != 1 or not 0 < float(number.item()) < np.inf:
        raise ScanError(f"{where}: {name}: Expected a number above zero, got {value!r}.")
    return float(number.item())


def _numbers(value: Any, kinds: str, name: str, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in kinds:
        raise ScanError(f"{where}: {name}: Expected numbers, got dtype {array.dtype}. Convert them.")
    return array


def _check_size(array: np.ndarray, largest: float, name: str, where: str) -> None:
    size = float(np.abs(array).max())
    if size > largest:
        raise ScanError(f"{where}: {name}: Expected values of at most {largest:g}, got {size:g}. Rescale them.")


def _check_finite(array: np.ndarray, name: str, where: str) -> None:
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise ScanError(f"{where}: {name}: Expected finite values, got {bad} that are not. Replace them.")
