"""Draws from the posterior of θ: by its Laplace approximation, by NUTS and by HMC."""

import time
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .abstract_objective import check_informed
from .fisher import (
    check_finite_information,
    fisher_information,
    prior_information,
    scaled_spectrum,
)
from .identifiability_report import identifiability_of
from .samples import Samples, check_draws, import_blackjax, random_key, samples_of

METHODS = ("nuts", "hmc")
LAPLACE = "laplace"
LARGEST_R_HAT = 1.01


class SamplerWarning(UserWarning):
    """Draws that should not be trusted yet: diverging trajectories, or chains that do not agree."""


def laplace_samples(
    objective: Any, theta: Float[Array, " D"], *, draws: int = 4000, chains: int = 1, seed: Any = 0
) -> Samples:
    """Draw from the normal distribution of θ about an optimum, with the covariance of information and priors.

    Parameters
    ----------
    objective : Objective
    theta : Array (D,)
        The optimum.
    draws, chains : int
        Independent draws, `chains` times `draws` of them.
    seed : int or jax key

    Raises
    ------
    ValueError
        If a combination of parameters is not determined, the information is not finite, a number of draws is not one
        or more, or the objective has no expected information.
    """
    check_informed(objective, "laplace_samples")
    _check_counts({"draws": 1, "chains": 1}, {"draws": draws, "chains": chains})
    started, key = time.perf_counter(), random_key(seed)
    root = covariance_root(objective, theta)
    z = jax.random.normal(key, (chains, draws, theta.shape[0]))
    stats = {"method": "laplace", "divergences": 0, "seconds": time.perf_counter() - started}
    return samples_of(objective.space, theta + z @ root.T, -jnp.sum(z**2, -1) / 2, np.zeros(z.shape[:2], bool), stats)


def sample(
    objective: Any,
    theta: Float[Array, " D"],
    *,
    method: str = "nuts",
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 500,
    seed: Any = 0,
    dispersion: float | int = 2.0,
    target_acceptance: float = 0.8,
    most_leapfrogs: int = 8,
) -> Samples:
    """Draw from the posterior by Hamiltonian Monte Carlo, through blackjax.

    The chains run in coordinates whitened by the information at `theta`, which is the mass matrix that the warm-up
    starts from; it then adapts step size and mass matrix in windows, for every chain on its own. The density is that of
    the parameters' physical values: the log-determinant of the map from θ is included.

    Parameters
    ----------
    objective : Objective
        Over a `ThetaSpace` or an `EigenSpace`.
    theta : Array (D,)
        Near the optimum, as `fit` gives it.
    method : str
        `"nuts"`, the no-U-turn sampler, or `"hmc"`, with a random number of leapfrog steps in every trajectory.
    chains, draws, warmup : int
        Chains, run side by side in one compiled program; draws kept of each; steps before them, discarded.
    seed : int or jax key
    dispersion : float
        The chains start from the Laplace approximation, widened by this factor.
    target_acceptance : float
        Between 0 and 1: mean acceptance that the step size is adapted to.
    most_leapfrogs : int
        Of a trajectory of `"hmc"`.

    Returns
    -------
    Samples
        With `step_size` (chains,), `acceptance` (chains,) and `leapfrogs`, their mean number per draw, in `stats`.

    Raises
    ------
    ValueError
        For an unknown method or impossible numbers, if a combination of parameters is not determined by data and
        priors or the information is not finite, or if the objective has no expected information.
    ImportError
        If blackjax is not installed.

    Warns
    -----
    SamplerWarning
        If trajectories diverged, or R-hat of a parameter is not below 1.01.
    """
    if method not in METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)}, got {method!r}.")
    check_sampling(method, chains, draws, warmup)
    _check_tuning(dispersion, target_acceptance, most_leapfrogs)
    check_informed(objective, "sample")
    import_blackjax()
    started = time.perf_counter()
    key_start, key_run = jax.random.split(random_key(seed))
    root = covariance_root(objective, theta)
    starts = dispersion * jax.random.normal(key_start, (chains, theta.shape[0]))
    settings = (method, draws, warmup, float(target_acceptance), most_leapfrogs)
    found = _run(objective, theta, root, starts, jax.random.split(key_run, chains), settings)
    stats = {"method": method, "divergences": int(found["divergent"].sum()), "warmup": warmup}
    stats |= {"step_size": np.asarray(found["step_size"]), "acceptance": np.asarray(found["acceptance"].mean(axis=1))}
    stats |= {"leapfrogs": float(found["leapfrogs"].mean()), "seconds": time.perf_counter() - started}
    samples = samples_of(objective.space, theta + found["z"] @ root.T, found["log_prob"], found["divergent"], stats)
    warn_of_trouble(samples)
    return samples


def covariance_root(objective: Any, theta: Float[Array, " D"]) -> Float[Array, "D D"]:
    """R with R Rᵀ the covariance of θ from information and priors.

    Raises
    ------
    ValueError
        Naming parameters and combinations that nothing determines, or whose information is not finite.
    """
    information = fisher_information(objective, theta) + prior_information(objective, theta)
    check_finite_information(information, objective.space.labels)
    values, vectors, scale = spectrum = scaled_spectrum(information)
    if not np.all(spectrum.seen & (scale > 0)):
        report = identifiability_of(objective.space, information)
        raise ValueError(f"Expected a posterior that is bounded in every direction. {report}")
    return scale[:, None] * vectors / jnp.sqrt(values)


@eqx.filter_jit
def _run(objective: Any, theta: Any, root: Any, starts: Any, keys: Any, settings: tuple) -> dict[str, Array]:
    """Every chain: warm-up, then draws in whitened coordinates."""
    method, draws, warmup, target, most_leapfrogs = settings
    space = objective.space

    def log_density(z):
        here = theta + root @ z
        return space.log_det(here) - objective.loss(here)

    algorithm = _algorithm(method, most_leapfrogs)
    adaptation = import_blackjax().window_adaptation(algorithm, log_density, target_acceptance_rate=target)
    kernel = algorithm.build_kernel()

    def chain(start, key):
        key_warm, key_draws = jax.random.split(key)
        (state, tuned), _ = adaptation.run(key_warm, start, num_steps=warmup)

        def draw(state, key):
            state, info = kernel(key, state, log_density, tuned["step_size"], tuned["inverse_mass_matrix"])
            taken = {"z": state.position, "log_prob": state.logdensity, "divergent": info.is_divergent}
            return state, taken | {"acceptance": info.acceptance_rate, "leapfrogs": info.num_integration_steps}

        _, history = jax.lax.scan(draw, state, jax.random.split(key_draws, draws))
        return history | {"step_size": tuned["step_size"]}

    return jax.vmap(chain)(starts, keys)


def _algorithm(method: str, most_leapfrogs: int) -> Any:
    """A method's `init` and `build_kernel`, as blackjax's adaptation asks for them."""
    blackjax = import_blackjax()
    if method == "nuts":
        return types.SimpleNamespace(init=blackjax.nuts.init, build_kernel=blackjax.nuts.build_kernel)

    def build_kernel() -> Callable:
        hmc = blackjax.hmc.build_kernel()

        def kernel(key, state, log_density, step_size, inverse_mass_matrix):
            key_length, key = jax.random.split(key)
            steps = jax.random.randint(key_length, (), 1, most_leapfrogs + 1)  # one length would meet a period
            return hmc(key, state, log_density, step_size, inverse_mass_matrix, steps)

        return kernel

    return types.SimpleNamespace(init=blackjax.hmc.init, build_kernel=build_kernel)


def check_sampling(method: str, chains: Any, draws: Any, warmup: Any) -> None:
    """Raise ValueError unless `sample`, or `laplace_samples` with a summary, can work with these settings."""
    if method not in (*METHODS, LAPLACE):
        raise ValueError(f"Expected method to be one of {', '.join((*METHODS, LAPLACE))}, got {method!r}.")
    least = {"chains": 1, "draws": 8, "warmup": 20}
    if method == LAPLACE:
        least = {"chains": 1, "draws": 1}
    _check_counts(least, {"chains": chains, "draws": draws, "warmup": warmup})
    check_draws(chains, draws)


def _check_counts(least: Mapping[str, int], counts: Mapping[str, Any]) -> None:
    for name, smallest in least.items():
        value = counts[name]
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < smallest:
            raise ValueError(f"Expected {name} of {smallest} or more, a whole number, got {value!r}.")


def _check_tuning(dispersion: float | int, target: float, most_leapfrogs: int) -> None:
    if not 0 <= dispersion < np.inf:
        raise ValueError(f"Expected dispersion of zero or more, got {dispersion}.")
    if not 0 < target < 1:
        raise ValueError(f"Expected target_acceptance between 0 and 1, got {target}.")
    if most_leapfrogs < 1:
        raise ValueError(f"Expected most_leapfrogs of 1 or more, got {most_leapfrogs}.")


def warn_of_trouble(samples: Samples) -> None:
    """Warn with a `SamplerWarning` of diverging trajectories and of chains that do not agree."""
    r_hat = samples.diagnostics()["r_hat"]
    worst = int(np.argmax(np.where(np.isfinite(r_hat), r_hat, np.inf)))
    troubles = []
    if samples.stats["divergences"]:
        troubles.append(f"{samples.stats['divergences']} of {samples.divergent.size} trajectories diverged")
    if not r_hat[worst] < LARGEST_R_HAT:
        troubles.append(f"R-hat of {samples.labels[worst]} is {r_hat[worst]:.3f}")
    if troubles:
        advice = "Sample longer, or give the parameters priors."
        warnings.warn(f"{'; '.join(troubles)}. {advice}", SamplerWarning, stacklevel=3)
