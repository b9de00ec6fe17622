"""Forecasts: the precision that an observation allows, before it is made."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..params import AbstractSpace, ParameterError
from .fisher import Identifiability, check_finite_information, covariance, identifiability
from .objective import Objective

ALONE = "alone"
NOISES = ("photon", "detector")


class Expected(NamedTuple):
    """The noiseless observation that an objective of a forecast compares with: electrons of `exposures` exposures."""

    image: Float[Array, "n n"]
    variance: Float[Array, "n n"] | None
    mask: Array
    exposures: Float[Array, ""]


def expected_objective(model: Any, space: AbstractSpace, data: Any = None, exposures: float | int = 1) -> Objective:
    """Objective whose data are, without noise, what `data` (a model; by default `model` itself) makes."""
    image = _positive(exposures) * (model if data is None else data).model()
    if not isinstance(image, jax.core.Tracer) and (bad := int(jnp.sum(~jnp.isfinite(image)))):
        raise ValueError(f"Expected a finite image of the model, got {bad} pixels that are not. Choose other values.")
    seen = Expected(image, None, jnp.ones(image.shape, bool), jnp.asarray(exposures, float))
    return Objective(model, space, seen, "poisson")


@dataclasses.dataclass(frozen=True, eq=False)
class Forecast:
    """Cramér-Rao bounds of every free parameter, alone and as the nuisances are freed group by group.

    Attributes
    ----------
    labels, units : tuple of str (D,)
    values : array (D,)
        Where the forecast was made, in `units`.
    groups : dict of str to array (D,) of bool
        What each group frees, in the order of freeing.
    photon, detector : array (D, D)
        Information of one exposure, in 1/units^2: with the photon noise of star, background and dark current
        only, and with read noise and quantisation too.
    prior : array (D, D)
        Information of the space's priors, zero without any.
    exposures : float
        Exposures summed; the information of the data grows with it, that of the priors does not.
    """

    labels: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray
    groups: dict[str, np.ndarray]
    photon: np.ndarray
    detector: np.ndarray
    prior: np.ndarray
    exposures: float

    @property
    def stages(self) -> tuple[str, ...]:
        """`alone`, then `+ group` for each group that is freed in addition to all before it."""
        return (ALONE, *(f"+ {name}" for name in self.groups))

    def information(self, noise: str = "detector", priors: bool = False) -> np.ndarray:
        """Information (D, D) of all exposures, in 1/units^2.

        Parameters
        ----------
        noise : str
            `"detector"` (all noise) or `"photon"`.
        priors : bool
            Whether the space's priors count.
        """
        if noise not in NOISES:
            raise ValueError(f"Expected noise of {' or '.join(map(repr, NOISES))}, got {noise!r}.")
        return self.exposures * getattr(self, noise) + (self.prior if priors else 0.0)

    def bounds(self, noise: str = "detector", priors: bool = False) -> np.ndarray:
        """One-sigma bounds (stages, D) in `units`; infinite where the data and priors do not determine a parameter.

        Row k frees, besides the parameter itself, the first k groups.
        """
        information = self.information(noise, priors)
        own = np.eye(len(self.labels), dtype=bool)
        freed = np.zeros(len(self.labels), bool)
        stages = [own]
        for group in self.groups.values():
            freed = freed | group
            stages.append(own | freed)
        return np.stack([_stage_bounds(information, stage) for stage in stages])

    def sigma(self, label: str, stage: str | None = None, noise: str = "detector", priors: bool = False) -> float:
        """One-sigma bound of one parameter in its unit; by default with everything free.

        Raises
        ------
        ParameterError
            If there is no such label or stage.
        """
        column = _position(self.labels, label, "a label")
        row = len(self.stages) - 1 if stage is None else _position(self.stages, stage, "a stage")
        return float(self.bounds(noise, priors)[row, column])

    def prior_share(self, label: str) -> float:
        """Part of a parameter's variance, 0 to 1, that is the priors' own: (C P C)_ii / C_ii with C = (F + P)^-1.

        The rest, (C F C)_ii, is the noise of the data. Not a number where neither determines the parameter.

        Raises
        ------
        ParameterError
            If there is no such label.
        """
        place = _position(self.labels, label, "a label")
        spread = np.asarray(covariance(jnp.asarray(self.information(priors=True))))
        known = np.isfinite(np.diagonal(spread))
        row = spread[place, known]
        return float(row @ self.prior[np.ix_(known, known)] @ row / spread[place, place]) if known[place] else np.nan

    def scaled(self, exposures: float | int) -> "Forecast":
        """The same forecast for another number of exposures."""
        return dataclasses.replace(self, exposures=_positive(exposures))

    @property
    def identifiability(self) -> Identifiability:
        """What the data do not determine."""
        return identifiability(jnp.asarray(self.information()), self.labels)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping for each parameter: `label, unit, value`, one-sigma bound at each of `stages`, and with
        everything free that of photon noise only (`photon only`) and that with the priors (`with priors`).
        """
        bounds, photon = self.bounds(), self.bounds("photon")[-1]
        prior = self.bounds(priors=True)[-1] if self.prior.any() else np.full(len(self.labels), np.nan)
        return [
            {"label": label, "unit": self.units[i], "value": float(self.values[i])}
            | dict(zip(self.stages, bounds[:, i].tolist(), strict=True))
            | {"photon only": float(photon[i])}
            | ({"with priors": float(prior[i])} if self.prior.any() else {})
            for i, label in enumerate(self.labels)
        ]

    def table(self) -> list[tuple[str, ...]]:
        """Header and rows as text; bounds of angles in arcsec are written in µas."""
        rows = self.rows
        columns = [key for key in rows[0] if key not in ("label", "unit", "value")]
        cells = [("parameter", "unit", *columns)]
        for row in rows:
            factor, unit = (1e6, row["unit"].replace("arcsec", "µas")) if "arcsec" in row["unit"] else (1, row["unit"])
            cells.append((row["label"], unit, *(f"{factor * row[key]:.4g}" for key in columns)))
        return cells

    def __str__(self) -> str:
        cells = self.table()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def forecast(
    model: Any,
    space: AbstractSpace,
    exposures: float | int = 1,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Forecast:
    """Cramér-Rao bounds of the parameters of a space, at a model's values.

    Parameters
    ----------
    model : eqx.Module
        Asked for `model()` and `variance(expected)`.
    space : ThetaSpace or EigenSpace
        What is free; its priors are kept apart.
    exposures : float
        Exposures summed.
    groups : mapping of str to sequence of str, optional
        Parameters (names or labels of the space) that each stage frees in addition. By default those with a
        common parent path go together (`binary`, `optics.m1`, ...), in the order of the space.

    Returns
    -------
    Forecast

    Raises
    ------
    ParameterError
        If a group names what is not in the space.
    ValueError
        If `exposures` is not above zero, or the model's image or the information is not finite.
    """
    exposures = _positive(exposures)
    theta = space.pack(model)
    photon, detector, prior = _informations(expected_objective(model, space), theta)
    for information in (photon, detector, prior):
        check_finite_information(information, space.labels)
    slope = np.asarray(space.jacobian_diag(theta))
    physical = lambda information: np.asarray(information) / np.outer(slope, slope)  # noqa: E731
    return Forecast(
        labels=space.labels,
        units=space.units,
        values=np.asarray(space.physical(theta)),
        groups=_groups(space, groups),
        photon=physical(photon),
        detector=physical(detector),
        prior=physical(prior),
        exposures=exposures,
    )


@eqx.filter_jit
def _informations(objective: Objective, theta: Float[Array, " D"]):
    """Information of one exposure: photon noise, all noise, and that of the priors."""
    expected, jacobian = objective.jacobian(theta)
    flat = jacobian.reshape(theta.shape[0], -1)
    weight = jnp.where(expected > 0, 1 / jnp.where(expected > 0, expected, 1.0), 0.0)
    photon = (flat * weight.ravel()) @ flat.T
    detector = objective.expansion(theta).information
    seen = jnp.diagonal(detector) > 0  # a response by rounding only is none, here too
    return jnp.where(seen[:, None] & seen, photon, 0.0), detector, objective.prior_information(theta)


def _groups(space: AbstractSpace, groups: Mapping[str, Sequence[str]] | None) -> dict[str, np.ndarray]:
    if groups is None:
        groups = {}
        for name in space.names:
            groups.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return {
        name: _members(space, [members] if isinstance(members, str) else members) for name, members in groups.items()
    }


def _members(space: AbstractSpace, names: Sequence[str]) -> np.ndarray:
    chosen = np.zeros(space.dim, bool)
    for name in names:
        chosen[space.slice(name)] = True
    return chosen


@jax.jit
def _covariances(information: Float[ArrayLike, "D D"], free: ArrayLike) -> Float[Array, "s D"]:
    """Variance of the elements under each of the sets `free` (s, D) of what is free; the others are held."""

    def variance(chosen):
        kept = jnp.where(chosen[:, None] & chosen, information, jnp.diag(jnp.where(chosen, 0.0, 1.0)))
        return jnp.diagonal(covariance(kept))

    return jax.vmap(variance)(jnp.asarray(free))


def _stage_bounds(information: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Bound of each parameter where its row of `free` (D, D) says what else moves."""
    return np.sqrt(np.diagonal(np.asarray(_covariances(information, free))))


def _position(names: Sequence[str], name: str, what: str) -> int:
    if name not in names:
        raise ParameterError(f"Expected {what} among {', '.join(names)}; got {name!r}.")
    return list(names).index(name)


def _positive(exposures: float | int) -> float:
    if not 0 < exposures < np.inf:
        raise ValueError(f"Expected exposures above zero, got {exposures}.")
    return float(exposures)
