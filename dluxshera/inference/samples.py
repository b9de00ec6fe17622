"""`Samples`: draws of parameters in physical units, and how far to trust them."""

import dataclasses
import operator
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..params import AbstractSpace

QUANTILES = (0.05, 0.5, 0.95)


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Draws from a density over the parameters of a space.

    Attributes
    ----------
    physical : array (chains, draws, D)
        Values of the parameters, in `units`.
    theta : array (chains, draws, k)
        The θ that was sampled, which may be in other coordinates.
    log_prob : array (chains, draws)
        Log density over θ, up to a constant.
    divergent : array (chains, draws) of bool
        Where the integration of a trajectory failed.
    space : AbstractSpace
        The space of the parameters.
    stats : dict
        How the draws were made: `method`, `divergences`, `seconds` and the sampler's own.
    """

    physical: Float[np.ndarray, "chains draws D"]
    theta: Float[np.ndarray, "chains draws k"]
    log_prob: Float[np.ndarray, "chains draws"]
    divergent: Bool[np.ndarray, "chains draws"]
    space: AbstractSpace
    stats: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """One per parameter element, (D,)."""
        return self.space.labels

    @property
    def units(self) -> tuple[str, ...]:
        """One per parameter element, (D,)."""
        return self.space.units

    @property
    def values(self) -> dict[str, np.ndarray]:
        """Draws by name of the parameter, (chains, draws, ...) with the parameter's own shape, in its unit."""
        entries = self.space.index_map.entries
        shape = self.physical.shape[:2]
        return {e.name: self.physical[..., e.start : e.stop].reshape(*shape, *e.shape) for e in entries}

    def flat(self) -> Float[np.ndarray, "total D"]:
        """Draws of all chains together, in `units`."""
        return self.physical.reshape(-1, self.physical.shape[-1])

    def diagnostics(self) -> dict[str, Float[np.ndarray, " D"]]:
        """Convergence of every parameter element.

        Returns
        -------
        dict
            `r_hat`, `ess_bulk` and `ess_tail`: rank-normalised split R-hat and effective numbers of draws for the
            middle and for the tails of the distribution (Vehtari et al. 2021, Bayesian Analysis 16, 667).

        Raises
        ------
        ValueError
            For fewer than four draws of each chain, or eight of a single one.
        ImportError
            If blackjax is not installed.
        """
        check_draws(*self.physical.shape[:2])
        measures = import_blackjax().diagnostics
        split = _halves(self.physical)
        found = {"r_hat": measures.rhat, "ess_bulk": measures.ess_bulk, "ess_tail": measures.ess_tail}
        return {name: np.reshape(np.asarray(jax.jit(measure)(split)), -1) for name, measure in found.items()}

    def summary(self) -> list[dict[str, Any]]:
        """One row per parameter element: `label, unit, mean, sd, q05, q50, q95, r_hat, ess_bulk, ess_tail`.

        Raises
        ------
        ValueError
            As `diagnostics`.
        ImportError
            If blackjax is not installed.
        """
        flat = self.flat()
        columns = {"mean": flat.mean(axis=0), "sd": flat.std(axis=0, ddof=1)}
        columns |= {f"q{round(100 * q):02d}": np.quantile(flat, q, axis=0) for q in QUANTILES}
        columns |= self.diagnostics()
        rows = enumerate(zip(self.labels, self.units, strict=True))
        return [
            {"label": label, "unit": unit, **{key: float(column[i]) for key, column in columns.items()}}
            for i, (label, unit) in rows
        ]

    def to_arviz(self) -> Any:
        """Give the draws as an `arviz.InferenceData`, variables by name of the parameter.

        Raises
        ------
        ImportError
            If arviz is not installed.
        """
        arviz = _import_arviz()
        elements = {e.name: self.labels[e.start : e.stop] for e in self.space.index_map.entries if e.shape}
        coords = {f"{name} element": list(labels) for name, labels in elements.items()}
        flat = {name: v.reshape(*v.shape[:2], -1) if name in elements else v for name, v in self.values.items()}
        return arviz.from_dict(
            posterior=flat,
            sample_stats={"diverging": self.divergent, "lp": self.log_prob},
            coords=coords,
            dims={name: [f"{name} element"] for name in elements},
        )


def samples_of(
    space: AbstractSpace, theta: Float[Array, "C N k"], log_prob: Any, divergent: Any, stats: dict
) -> Samples:
    """Draws of the θ of a space, any coordinates, as draws of its parameters."""
    chains, draws, dim = theta.shape
    physical = jax.vmap(space.primitive.physical)(space.decode(theta.reshape(-1, dim)))
    arrays = (physical.reshape(chains, draws, -1), theta, log_prob, divergent)
    return Samples(*map(np.asarray, arrays), space=space.primitive, stats=stats)


def check_draws(chains: int, draws: int) -> None:
    """Raise ValueError where there are too few draws to compare the halves of chains, or chains with each other."""
    least = 8 if chains == 1 else 4
    if draws < least:
        of = "a single chain" if chains == 1 else "each chain"
        raise ValueError(f"Expected draws of {least} or more of {of}, to judge their convergence by, got {draws}.")


def random_key(seed: Any) -> Any:
    """A jax key from a key or a whole number.

    Raises
    ------
    TypeError
        For anything else.
    """
    if isinstance(seed, jax.Array) and (jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) or seed.ndim == 1):
        return seed  # an array of numbers is a key of the older kind
    try:
        return jax.random.key(operator.index(seed))
    except TypeError:
        raise TypeError(f"Expected seed as a whole number or a jax key, got {seed!r:.80}.") from None


def import_blackjax() -> Any:
    """The module blackjax, with its diagnostics.

    Raises
    ------
    ImportError
        Saying how to install it.
    """
    try:
        import blackjax
        import blackjax.diagnostics
    except ImportError as error:
        raise ImportError("Samplers need blackjax. Install it: pip install 'dluxshera[sample]'") from error
    return blackjax


def _import_arviz() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # arviz announces its own next version at import
            import arviz
    except ImportError as error:
        raise ImportError("to_arviz needs arviz. Install it: pip install 'dluxshera[arviz]'") from error
    return arviz


def _halves(draws: Float[np.ndarray, "C N D"]) -> Float[Array, "C2 N2 D"]:
    """One chain as its two halves, so that it can be compared with itself; more chains as they are."""
    chains, count, dim = draws.shape
    if chains > 1:
        return jnp.asarray(draws)
    half = count // 2
    return jnp.asarray(draws[:, : 2 * half].reshape(2, half, dim))
