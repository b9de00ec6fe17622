"""From a case to what is fitted: the models, the data, the objective and the start."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..config import ConfigError, Profile, UnknownPathError, build_instrument, default_space
from ..config.demo import drawn_truth
from ..inference import Objective, covariance, fisher_information
from ..inference.fisher import prior_information
from ..instrument import Instrument, Observation, simulate
from ..params import ThetaSpace, get_value, set_values
from .cases import Case

_NOISE, _DRAW, _ERRORS, _START = range(4)  # streams of random numbers


class Prepared(NamedTuple):
    """What one row fits.

    Attributes
    ----------
    case : Case
    objective : Objective
    theta : Array (D,)
        The start.
    start : Instrument
        The model there.
    observation : Observation
    truth : Instrument
        What the data were made with.
    """

    case: Case
    objective: Objective
    theta: Float[Array, " D"]
    start: Instrument
    observation: Observation
    truth: Instrument

    def true_values(self) -> dict[str, float]:
        """True value of every element of θ that the data's model has too, by label, in the parameter's unit."""
        space, found = self.objective.space, {}
        for entry in space.index_map.entries:
            value = _value(self.truth, entry.name)
            if value is not None and np.shape(value) == tuple(entry.shape):
                found |= zip(space.labels[entry.start : entry.stop], np.ravel(value).tolist(), strict=True)
        return found


def prepare(case: Case) -> Prepared:
    """Build the models of a case, simulate its data, and set out its fit.

    Raises
    ------
    ConfigError, ParameterError, ValueError
        Where the case makes no sense.
    """
    truth, model = _truth(case), _built(case.fit)
    key = int(case.random(_NOISE, case.frame).generate_state(1, np.uint64)[0])
    observation = simulate(truth, key, case.exposures, noise=not case.noiseless)
    space = _space(case.fit, case.priors)
    begin = _start_model(case, model, truth, space)
    objective = Objective(begin, space, observation, case.likelihood)
    theta = space.pack(begin)
    if case.start["sigmas"]:
        theta = theta + case.start["sigmas"] * _own_sigmas(objective, theta) * _signs(case, space.dim)
        begin = space.unpack(theta, begin)
        objective = Objective(begin, space, observation, case.likelihood)
    return Prepared(case, objective, theta, begin, observation, truth)


@functools.lru_cache(maxsize=64)
def _built(profile: Profile) -> Instrument:
    return build_instrument(profile)


@functools.lru_cache(maxsize=64)
def _space(profile: Profile, priors: bool) -> ThetaSpace:
    return default_space(_built(profile), profile, None, priors)


def labels_of(case: Case) -> tuple[str, ...]:
    """Labels of the parameters that a case fits."""
    return tuple(_space(case.fit, case.priors).labels)


def _truth(case: Case) -> Instrument:
    """The model that the data are made with: its profile, a draw, drifts, and random differences."""
    truth = _built(case.truth)
    if case.draw:
        truth = drawn_truth(case.truth, truth, _number(case, _DRAW))
    changed = {path: _numbers(truth, path, "drift") + offset for path, offset in case.drift.items()}
    truth = set_values(truth, changed) if changed else truth
    generator = np.random.default_rng(case.random(_ERRORS))
    for path, rms in sorted(case.errors.items()):
        value = np.asarray(_numbers(truth, path, "errors"))
        truth = set_values(truth, {path: value + rms * generator.standard_normal(value.shape)})
    return truth


def _numbers(model: Instrument, path: str, key: str) -> Any:
    """The value of a path that stands under a key of the campaign's file."""
    try:
        value = get_value(model, path)
    except UnknownPathError as error:
        raise ConfigError(f"{key}: {error}") from error
    if np.asarray(value).dtype.kind not in "fiu":
        raise ConfigError(f"{key}: {path}: expected a parameter with numbers, got {type(value).__name__}.")
    return value


def _start_model(case: Case, model: Instrument, truth: Instrument, space: ThetaSpace) -> Instrument:
    """Where the fit begins, before it is moved by so many sigmas."""
    match case.start["at"]:
        case "priors":
            return drawn_truth(case.fit, model, _number(case, _START, case.start["seed"]))
        case "truth":
            known = {name: _value(truth, name) for name in space.names}
            fitting = {n: v for n, v in known.items() if v is not None and np.shape(v) == np.shape(_value(model, n))}
            return set_values(model, fitting)
    return model


def _own_sigmas(objective: Objective, theta: Float[Array, " D"]) -> Float[Array, " D"]:
    """One-sigma error of each element of θ, all others free; zero where nothing constrains it."""
    spread = covariance(fisher_information(objective, theta) + prior_information(objective, theta))
    variance = jnp.diagonal(spread)
    return jnp.sqrt(jnp.where(jnp.isfinite(variance), variance, 0.0))


def _signs(case: Case, dim: int) -> np.ndarray:
    generator = np.random.default_rng([case.start["seed"], _START])
    return generator.choice([-1.0, 1.0], dim)


def _number(case: Case, stream: int, seed: int | None = None) -> int:
    words = [case.seed if seed is None else seed, 0, stream]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _value(model: Instrument, name: str) -> Any:
    try:
        return get_value(model, name)
    except UnknownPathError:
        return None


def truth_for(prepared: Prepared) -> Instrument | None:
    """The truth, where it knows everything that is free; None where the table cannot be filled from it."""
    known: Mapping[str, float] = prepared.true_values()
    return prepared.truth if len(known) == prepared.objective.space.dim else None
