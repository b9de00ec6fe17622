"""A start for a fit, found in the image itself."""

from typing import NamedTuple

import numpy as np

from ..params import replace_paths, set_values
from .instrument import Instrument
from .observation import Observation

LEAST_FLUX = 1e-3  # of the brighter star: less is no second star
LEAST_LIKENESS = 0.6
_ROUNDS = 5  # each star is located again with the other one taken out


class Guess(NamedTuple):
    """What an image says of a binary before any fit: positions (arcsec), position angle (degrees), fluxes."""

    x_position_as: float
    y_position_as: float
    separation_as: float
    position_angle_deg: float
    log_flux_total: float
    contrast: float


def guess(model: Instrument, observation: Observation) -> Guess:
    """Find two copies of the model's single-star image in an observation.

    The brightest match of a matched filter is one star; what is left after taking it out shows the other; each is
    then located anew without the other. Star A is the brighter one where the model's contrast is one or more,
    else the fainter.

    Parameters
    ----------
    model : Instrument
        Supplies the image of one star, at its own plate scale.
    observation : Observation

    Raises
    ------
    ValueError
        If no two stars can be told apart.
    """
    star = _single_star(model)
    signal = np.asarray(observation.image) / float(observation.exposures) - _floor(model)
    signal = np.where(np.asarray(observation.mask), signal, 0.0)
    positions, fluxes = _two_stars(signal, star)
    likeness = _likeness(signal, star, positions, fluxes)
    if not (fluxes > LEAST_FLUX * fluxes.max()).all() or likeness < LEAST_LIKENESS:
        raise ValueError(
            f"No two stars like the model's found in the image (correlation {likeness:.2f}). Start from values of "
            "your own, such as binary.separation_as, or use another profile or a larger image."
        )
    order = np.argsort(-fluxes if float(model.binary.contrast) >= 1 else fluxes)
    return _as_binary(model, positions[order], fluxes[order])


def with_guess(model: Instrument, observation: Observation) -> Instrument:
    """The model with its binary where the observation shows it."""
    found = guess(model, observation)
    return set_values(model, {f"binary.{name}": value for name, value in found._asdict().items()})


def _floor(model: Instrument) -> float:
    detector = model.detector
    return float(detector.dark_current_e * detector.exposure_time_s + detector.background_e)


def _single_star(model: Instrument) -> np.ndarray:
    """Image of all the model's photons in one star on the axis, without the floor."""
    centred = replace_paths(
        model, {"binary.x_position_as": 0.0, "binary.y_position_as": 0.0, "binary.separation_as": 0.0}
    )
    return np.asarray(centred.model()) - _floor(model)


def _two_stars(signal: np.ndarray, star: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (2, 2) as (x, y) in pixels from the centre, and fluxes (2,) in units of `star`."""
    size = 2 * len(signal)
    data, shape = np.fft.rfft2(signal, (size, size)), np.fft.rfft2(star, (size, size))
    power = np.fft.irfft2(np.abs(shape) ** 2, (size, size))[0, 0]
    positions, fluxes = np.zeros((2, 2)), np.zeros(2)
    for _ in range(_ROUNDS):
        for here, other in ((0, 1), (1, 0)):
            rest = data - fluxes[other] * shape * _shift(size, positions[other])
            match = np.fft.irfft2(rest * np.conj(shape), (size, size)) / power
            positions[here], fluxes[here] = _peak(match)
    return positions, fluxes


def _likeness(signal: np.ndarray, star: np.ndarray, positions: np.ndarray, fluxes: np.ndarray) -> float:
    """Correlation of the image with the two stars found in it."""
    size = 2 * len(signal)
    shape = np.fft.rfft2(star, (size, size))
    found = sum(
        f * np.fft.irfft2(shape * _shift(size, p), (size, size)) for p, f in zip(positions, fluxes, strict=True)
    )
    return float(np.corrcoef(signal.ravel(), found[: len(signal), : len(signal)].ravel())[0, 1])


def _shift(size: int, position: np.ndarray) -> np.ndarray:
    x, y = position
    return np.exp(-2j * np.pi * (np.fft.fftfreq(size)[:, None] * y + np.fft.rfftfreq(size)[None, :] * x))


def _peak(match: np.ndarray) -> tuple[np.ndarray, float]:
    """Highest point, to a fraction of a pixel by a parabola along each axis; lags wrap around."""
    size = len(match)
    row, column = np.unravel_index(np.argmax(match), match.shape)
    along = (match[row, (column + np.arange(-1, 2)) % size], match[(row + np.arange(-1, 2)) % size, column])
    offsets = [0.5 * (a - c) / (a - 2 * b + c) if a - 2 * b + c < 0 else 0.0 for a, b, c in along]
    lags = [(lag + size // 2) % size - size // 2 for lag in (column, row)]
    return np.add(lags, offsets), float(match[row, column])


def _as_binary(model: Instrument, positions: np.ndarray, fluxes: np.ndarray) -> Guess:
    (x, y), difference = positions.mean(axis=0), positions[0] - positions[1]
    scale, separation = float(model.plate_scale_as), float(np.hypot(*difference))
    if separation < 1:
        raise ValueError("The two stars of the image are less than a pixel apart. Start from values of your own.")
    return Guess(
        x_position_as=float(x) * scale,
        y_position_as=float(y) * scale,
        separation_as=separation * scale,
        position_angle_deg=_nearest_turn(np.degrees(np.arctan2(difference[0], difference[1])), model),
        log_flux_total=float(model.binary.log_flux_total) + float(np.log10(fluxes.sum())),
        contrast=float(fluxes[0] / fluxes[1]),
    )


def _nearest_turn(angle: float, model: Instrument) -> float:
    """The angle (degrees) within half a turn of the model's own."""
    reference = float(model.binary.position_angle_deg)
    return float(reference + (angle - reference + 180) % 360 - 180)
