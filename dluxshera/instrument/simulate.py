"""Simulated observations: the noise, clipping and digitisation that `model()` leaves out."""

import operator
import warnings
from statistics import NormalDist
from typing import Any, NamedTuple, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..optics import SamplingWarning
from ..params import validate
from ..params.checks import is_traced
from .detector import Detector
from .instrument import Instrument
from .observation import Observation
from .saturation import warn_saturated

_LARGEST_MEAN = 1e18  # NumPy draws Poisson numbers up to 9.2e18; a full well is at most 1e12


class _Readout(NamedTuple):
    """The detector's numbers, on the host; `largest_adu` is infinite and `gain` zero without digitisation."""

    read_noise: float
    gain: float
    well: float
    largest_adu: float

    @property
    def limit(self) -> float:
        """Signal of one exposure at which a pixel saturates, electrons."""
        return min(self.well, self.gain * self.largest_adu if self.gain > 0 else np.inf)


def simulate(model: Instrument, key: Any, exposures: SupportsIndex = 1, noise: bool = True) -> Observation:
    """Draw an observation from a model, on the host.

    One exposure is Poisson electrons (photons, dark current, background), clipped at the full well, with
    read noise, digitised and clipped at the converter's limit; a pedestal is taken to have been subtracted,
    so that values may be negative. A sum of several is drawn at once, with the digitisation of each as noise;
    a pixel of it is masked where one of its exposures is likely to saturate.

    Parameters
    ----------
    model : Instrument
    key : jax PRNG key, of either kind, or int from 0 to 2**64 - 1
        The same key gives the same image.
    exposures : int, optional
        Number of exposures summed.
    noise : bool, optional
        If False, the image is the expected one times `exposures`, not clipped; saturating pixels are masked.

    Returns
    -------
    Observation
        Electrons, with the variance that the model expects: `exposures * model.variance(model.model())`.

    Raises
    ------
    ParameterError
        If the model is not valid.
    TypeError, ValueError
        If the key or the number of exposures is not acceptable, or anything is traced.

    Warns
    -----
    SamplingWarning
        For each problem of the model's grids.
    SaturationWarning
        With the number of pixels that saturate and are masked.
    """
    _check_concrete(model, key)
    count, generator = _exposure_count(exposures), np.random.default_rng(_seed(key))
    for problem in validate(model).sampling_problems():
        warnings.warn(problem, SamplingWarning, stacklevel=2)
    signal = model.model()
    expected, variance = (np.asarray(array, float) for array in (signal, model.variance(signal)))
    readout = _readout(model.detector)
    image, saturated = count * expected, _likely_saturated(expected, variance, count, readout)
    # Built from the expected image: a faint one is not refused for how its noise happened to fall.
    observation = Observation(image, count * variance, exposures=count, **_orientation(model.detector))
    if noise:
        image, clipped = _draw(generator, np.maximum(expected, 0.0), count, readout)
        saturated = clipped if count == 1 else clipped | saturated
    _check_saturated(saturated)
    warn_saturated(int(saturated.sum()), "simulate")
    fields = (jnp.asarray(image, observation.image.dtype), observation.mask & ~saturated)
    return eqx.tree_at(lambda o: (o.image, o.mask), observation, fields)


def _orientation(detector: Detector) -> dict[str, Any]:
    """How the image lies on the sky; nothing where the roll is not known."""
    known = detector.sky_roll_deg is not None
    return {"sky_roll_deg": detector.sky_roll_deg, "parity": detector.parity} if known else {}


def _draw(generator: np.random.Generator, mean: np.ndarray, count: int, readout: _Readout):
    """Sum of `count` exposures of mean signal `mean`, electrons, and the pixels that it clips."""
    charge = generator.poisson(np.minimum(count * mean, _LARGEST_MEAN)).astype(float)
    clipped = charge >= count * readout.well
    # The rounding below is the last of `count`; the others come as noise.
    spread = np.sqrt(count * readout.read_noise**2 + (count - 1) * readout.gain**2 / 12)
    signal = np.minimum(charge, count * readout.well) + spread * generator.standard_normal(mean.shape)
    if readout.gain == 0:
        return signal, clipped
    adu = np.round(signal / readout.gain)
    largest = count * readout.largest_adu
    return np.minimum(adu, largest) * readout.gain, clipped | (adu >= largest)


def _likely_saturated(expected: np.ndarray, variance: np.ndarray, count: int, readout: _Readout) -> np.ndarray:
    """Where half an exposure or more of `count` is expected to reach the limit."""
    deviations = NormalDist().inv_cdf(1 - 0.5 / count)
    return expected + deviations * np.sqrt(np.maximum(variance, 0.0)) >= readout.limit


def _readout(detector: Detector) -> _Readout:
    values = (detector.read_noise_e, detector.gain_e_per_adu, detector.full_well_e)
    return _Readout(*(float(value) for value in values), float(2**detector.bit_depth - 1))


def _check_saturated(saturated: np.ndarray) -> None:
    if 2 * saturated.sum() > saturated.size:
        raise ValueError(
            f"Expected at least half of the pixels below saturation, got {saturated.sum()} of "
            f"{saturated.size} at it. Lower binary.log_flux_total, or raise detector.full_well_e or "
            "detector.gain_e_per_adu."
        )


def _check_concrete(*values: Any) -> None:
    if any(is_traced(leaf) for leaf in jax.tree.leaves(values)):
        raise TypeError("simulate draws on the host: Expected concrete values, got traced ones. Call it outside jit.")


def _exposure_count(exposures: Any) -> int:
    if isinstance(exposures, bool | np.bool_):
        raise TypeError(f"Expected a number of exposures, got {exposures!r}.")
    count = operator.index(exposures)
    if count < 1:
        raise ValueError(f"Expected at least one exposure, got {count}.")
    return count


def _seed(key: Any) -> list[int]:
    """Words that seed NumPy's generator: the key's own data; an int n gives those of `jax.random.key(n)`."""
    if isinstance(key, jax.Array | np.ndarray) and key.dtype != bool and key.ndim <= 1:
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0:
            return np.asarray(jax.random.key_data(key)).tolist()
        if key.dtype == np.uint32 and key.shape in ((2,), (4,)):
            return np.asarray(key).tolist()
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if 0 <= key < 2**64:
            return [int(key) >> 32, int(key) & 0xFFFFFFFF]
        raise ValueError(f"Expected a seed from 0 to 2**64 - 1, got {key}.")
    raise TypeError(f"Expected a PRNG key such as jax.random.key(0), or an int, got {key!r}.")
