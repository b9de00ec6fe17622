"""Simulation-based calibration: whether a sampler's posteriors are right on average over the prior."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.scipy.special import gammaincc
from jaxtyping import Float, Int

from .samples import Samples, random_key


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the truth among posterior draws; uniform if the sampler is right.

    Attributes
    ----------
    ranks : array (S, D) of int
        Of each simulation and parameter: how many of its `draws` posterior draws lie below the truth, 0 to `draws`.
    draws : int
    counts : array (bins, D) of int
        Rank histograms.
    expected : array (bins,)
        Mean counts under uniformity.
    p_values : array (D,)
        Of the chi-square test of uniformity, for each parameter.
    labels : tuple of str (D,)
    """

    ranks: Int[np.ndarray, "S D"]
    draws: int
    counts: Int[np.ndarray, "bins D"]
    expected: Float[np.ndarray, " bins"]
    p_values: Float[np.ndarray, " D"]
    labels: tuple[str, ...]

    def __str__(self) -> str:
        rows = zip(self.labels, self.p_values, strict=True)
        return "\n".join(f"{label}: uniform ranks with p = {p:.2g}" for label, p in rows)


def simulation_based_calibration(
    draw_prior: Callable[[Any], Any],
    simulate: Callable[[Any, Any], Any],
    sample: Callable[[Any, Any], Any],
    *,
    simulations: int = 200,
    bins: int = 10,
    seed: Any = 0,
    labels: Sequence[str] | None = None,
) -> Calibration:
    """Compare truths drawn from the prior with posteriors from data simulated with them.

    If prior, simulation and sampler are one consistent model, the rank of the truth among independent posterior
    draws is uniform (Talts et al. 2018, arXiv:1804.06788). A sampler that is too sure of itself gives a rank histogram
    with a rim on either side, one that is too modest a hump, one with a bias a slope.

    Parameters
    ----------
    draw_prior : callable
        Of a jax key: the parameters (D,) of one truth, a vector or a number.
    simulate : callable
        Of parameters and a jax key: data.
    sample : callable
        Of data and a jax key: posterior draws (L, D), or a `Samples`. Draws that follow each other in a chain must be
        thinned until they are nearly independent, or the ranks are not uniform.
    simulations : int
    bins : int
        Of the rank histograms; at least five simulations should fall into each.
    seed : int or jax key
    labels : sequence of str (D,), optional
        Names of the parameters; by default those of `Samples`, or numbers.

    Raises
    ------
    ValueError
        If draws and truth do not have the same number of parameters, the number of draws changes, or there are fewer
        than five simulations for each bin.
    """
    if bins < 2 or simulations < 5 * bins:
        raise ValueError(f"Expected 2 bins or more and 5 simulations for each, got {bins} and {simulations}.")
    ranks, sizes = [], set()
    for key in jax.random.split(random_key(seed), simulations):
        truth, draws, names = _one(draw_prior, simulate, sample, key)
        ranks.append(np.sum(draws < truth, axis=0))
        sizes.add(len(draws))
    if len(sizes) > 1:
        raise ValueError(f"Expected as many draws in every simulation, got {min(sizes)} to {max(sizes)}.")
    return calibration_of(np.stack(ranks), sizes.pop(), bins, names if labels is None else tuple(labels))


def calibration_of(ranks: Int[np.ndarray, "S D"], draws: int, bins: int, labels: Sequence[str]) -> Calibration:
    """Histograms of ranks 0 to `draws`, and their chi-square test.

    Bins that cannot hold equally many of the `draws` + 1 ranks are expected to hold their share.
    """
    if not 2 <= bins <= draws + 1:
        raise ValueError(f"Expected 2 to {draws + 1} bins, for ranks 0 to {draws}, got {bins}.")
    bin_of_rank = np.arange(draws + 1) * bins // (draws + 1)
    expected = len(ranks) * np.bincount(bin_of_rank, minlength=bins) / (draws + 1)
    counts = np.stack([np.bincount(bin_of_rank[column], minlength=bins) for column in ranks.T], axis=1)
    chi_square = np.sum((counts - expected[:, None]) ** 2 / expected[:, None], axis=0)
    p_values = np.asarray(gammaincc((bins - 1) / 2, chi_square / 2), float)
    return Calibration(ranks, draws, counts, expected, p_values, tuple(labels))


def _one(draw_prior, simulate, sample, key) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Truth (D,), posterior draws (L, D) and labels of one simulation."""
    key_prior, key_data, key_sample = jax.random.split(key, 3)
    parameters = draw_prior(key_prior)
    draws = sample(simulate(parameters, key_data), key_sample)
    named = isinstance(draws, Samples)
    labels, draws = (draws.labels, draws.flat()) if named else (None, np.asarray(draws, float))
    truth = np.atleast_1d(np.asarray(parameters, float))
    draws = draws[:, None] if draws.ndim == 1 else draws
    if truth.ndim != 1 or draws.ndim != 2 or draws.shape[1] != truth.size or not len(draws):
        raise ValueError(f"Expected draws of shape (L, {truth.size}) for a truth of {truth.size}, got {draws.shape}.")
    return truth, draws, labels or tuple(f"[{i}]" for i in range(truth.size))
