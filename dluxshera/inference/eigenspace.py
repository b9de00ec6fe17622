"""`EigenSpace`: θ in coordinates that the data see one by one."""

import warnings
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from ..params import AbstractSpace, IndexMap, ParameterError, ThetaSpace
from ..params.checks import is_traced
from ..params.index_map import build_index_map
from .eigenmodes import Truncation, canonical_signs, count_kept, finite_array, prior_scale, unseen
from .fisher import RANK_TOLERANCE, fisher_information
from .fit import IdentifiabilityWarning
from .identifiability_report import combination


class EigenSpace(AbstractSpace):
    r"""Coefficients c of the eigenmodes of the scaled information, in place of a space's own θ.

    With F the information and S the diagonal of prior sigmas at the centre, S F S = V Λ Vᵀ and
    θ = centre + S V U c, where U is one, or 1/sqrt(λ) if whitened. An eigenvalue λ is the information of the data on a
    mode relative to that of the priors, so that neither the order nor a truncation depends on units. Modes come
    with the best determined first; the sign of each is such that its largest component is positive (of components
    within a millionth of the largest, the first). Modes of equal eigenvalue are determined up to a rotation.

    What is truncated stays at the centre, and errors are those for it held there.

    Parameters
    ----------
    space : ThetaSpace
    fisher : Array (D, D)
        Information about θ, in 1/θ^2, as `fisher_information` gives it.
    centre : Array (D,)
        The θ at which every coefficient is zero: where the fit starts, never what the data were made with.
    truncate : None, int or mapping
        How many modes to keep: all, so many (also `{"count": n}`), those with at least an eigenvalue
        (`{"eigenvalue": 1.0}`), or the fewest that carry a fraction of the sum of eigenvalues
        (`{"information": 0.999}`).
    whiten : bool
        Whether the unit of a coefficient is the standard deviation of its mode, from `fisher` and the
        space's priors. Modes that neither sees keep the scale as unit.
    scale : Array (D,), optional
        S in units of θ. By default the standard deviations of the space's priors; a parameter without a prior
        is as wide, in units of its own error 1/sqrt(F_ii), as the widest prior is, or one such error wide where there
        are no priors at all.

    Attributes
    ----------
    space : ThetaSpace
    centre, scale : Array (D,)
    vectors : Array (D, k)
        What each mode is made of: columns of V.
    eigenvalues : Array (k,)
        Descending.
    step : Array (k,)
        The diagonal of U.

    Raises
    ------
    ValueError
        If an array has another shape or is not finite, the scale is not above zero, or the truncation is none of these.

    Warns
    -----
    IdentifiabilityWarning
        If the truncation leaves out modes that the data do not see, which then seem to be known.
    """

    space: ThetaSpace
    centre: Float[Array, " D"]
    scale: Float[Array, " D"]
    vectors: Float[Array, "D k"]
    eigenvalues: Float[Array, " k"]
    step: Float[Array, " k"]
    whitened: bool = eqx.field(static=True)

    def __init__(
        self,
        space: ThetaSpace,
        fisher: ArrayLike,
        *,
        centre: ArrayLike,
        truncate: Truncation = None,
        whiten: bool = False,
        scale: ArrayLike | None = None,
    ):
        self.space, self.whitened = space, whiten
        self.centre = finite_array("centre", centre, (space.dim,))
        fisher = finite_array("fisher", fisher, (space.dim, space.dim))
        scale = prior_scale(space, fisher, self.centre) if scale is None else scale
        self.scale = finite_array("scale", scale, (space.dim,))
        if not is_traced(self.scale) and not (self.scale > 0).all():
            raise ValueError(f"Expected a scale above zero, got {self.scale}.")
        values, vectors = jnp.linalg.eigh(self.scale[:, None] * fisher * self.scale)
        values, vectors = jnp.maximum(values[::-1], 0.0), vectors[:, ::-1]
        kept = count_kept(values, truncate)
        if not is_traced(fisher):
            self._warn_of_unseen(vectors[:, kept:], values, fisher)
        self.eigenvalues, self.vectors = values[:kept], canonical_signs(vectors[:, :kept])
        self.step = self._standard_deviations(values[0]) if whiten else jnp.ones_like(self.eigenvalues)

    @classmethod
    def of(
        cls, objective: Any, theta: Float[Array, " D"], *, truncate: Truncation = None, whiten: bool = False
    ) -> "EigenSpace":
        """Modes of an objective over a `ThetaSpace`, centred on θ; for `objective.with_space`."""
        fisher = fisher_information(objective, theta)
        return cls(objective.space, fisher, centre=theta, truncate=truncate, whiten=whiten)

    @classmethod
    def from_arrays(cls, space: ThetaSpace, arrays: Mapping[str, Any]) -> "EigenSpace":
        """The space that `arrays` describes, over the space that it was made for."""
        scale, vectors = (np.asarray(arrays[name], float) for name in ("scale", "vectors"))
        settings = {"truncate": vectors.shape[1], "whiten": bool(arrays["whitened"]), "scale": scale}
        made = cls(space, np.diag(scale**-2.0), centre=np.asarray(arrays["centre"], float), **settings)
        stored = tuple(jnp.asarray(arrays[name], float) for name in ("vectors", "eigenvalues", "step"))
        return eqx.tree_at(lambda s: (s.vectors, s.eigenvalues, s.step), made, stored)

    def arrays(self) -> dict[str, Array]:
        """What, with the space of the parameters, gives this space back: see `from_arrays`."""
        names = ("centre", "scale", "vectors", "eigenvalues", "step", "whitened")
        return {name: jnp.asarray(getattr(self, name)) for name in names}

    @property
    def primitive(self) -> ThetaSpace:
        """The space of the parameters, `space`."""
        return self.space

    @property
    def kind(self) -> str:
        """`"eigen"`."""
        return "eigen"

    @property
    def labels(self) -> tuple[str, ...]:
        """`mode 1`, `mode 2`, ..., the best determined first."""
        return tuple(f"mode {i + 1}" for i in range(self.eigenvalues.shape[0]))

    @property
    def units(self) -> tuple[str, ...]:
        """`sigma` if whitened, else none."""
        return ("sigma" if self.whitened else "",) * self.eigenvalues.shape[0]

    @property
    def index_map(self) -> IndexMap:
        """One scalar for each mode, all in the block `modes`."""
        return build_index_map([(label, (), 1, "modes") for label in self.labels])

    @property
    def bounds(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Open: the bounds of the parameters act in their own space."""
        return jnp.full_like(self.step, -jnp.inf), jnp.full_like(self.step, jnp.inf)

    @property
    def basis(self) -> Float[Array, "D k"]:
        """S V U: derivative of the parameters' θ by the coefficients."""
        return self.scale[:, None] * self.vectors * self.step

    def pack(self, model: Any) -> Float[Array, " k"]:
        """Return the coefficients of a model, projected onto the modes that are kept."""
        return self.encode(self.space.pack(model))

    def unpack(self, theta: Float[ArrayLike, " k"], model: Any) -> Any:
        """Return the model with the parameters of the coefficients in place."""
        return self.space.unpack(self.decode(theta), model)

    def decode(self, theta: Float[ArrayLike, "*rows k"]) -> Float[Array, "*rows D"]:
        """Return the parameters' θ of coefficients (k,), or of the rows of a trace (T, k)."""
        self._check_length(theta)
        return self.centre + self.scale * ((jnp.asarray(theta) * self.step) @ self.vectors.T)

    def encode(self, theta: Float[ArrayLike, "*rows D"]) -> Float[Array, "*rows k"]:
        """Return the coefficients of a θ of the parameters: the nearest in the metric of the information."""
        return ((jnp.asarray(theta) - self.centre) / self.scale) @ self.vectors / self.step

    def physical(self, theta: Float[ArrayLike, " k"]) -> Float[Array, " k"]:
        """Return the coefficients; the values of parameters are `space.physical(decode(theta))`."""
        self._check_length(theta)
        return jnp.asarray(theta, float)

    def from_physical(self, vector: Num[ArrayLike, " k"]) -> Float[Array, " k"]:
        """Return the coefficients."""
        return self.physical(jnp.asarray(vector, float))

    def jacobian_diag(self, theta: Float[ArrayLike, " k"]) -> Float[Array, " k"]:
        """Return ones."""
        return jnp.ones_like(self.physical(theta))

    def log_det(self, theta: Float[ArrayLike, " k"]) -> Float[Array, ""]:
        """Return the log-determinant of the map to physical values; if truncated, within the modes that are kept."""
        volume = jnp.linalg.slogdet(self.vectors.T @ (self.scale[:, None] ** 2 * self.vectors))[1] / 2
        return self.space.log_det(self.decode(theta)) + volume + jnp.sum(jnp.log(self.step))

    def log_prior(self, theta: Float[ArrayLike, " k"]) -> Float[Array, ""]:
        """Return the log density of the priors at the physical values of the parameters."""
        return self.space.log_prior(self.decode(theta))

    def prior_information(self, theta: Float[ArrayLike, " k"]) -> Float[Array, " k"]:
        """Return the diagonal of `prior_information_matrix`."""
        return jnp.diagonal(self.prior_information_matrix(theta))

    def prior_information_matrix(self, theta: Float[ArrayLike, " k"]) -> Float[Array, "k k"]:
        """Return the curvature of minus the log priors by the coefficients; priors of parameters couple modes."""
        return self.basis.T @ (self.space.prior_information(self.decode(theta))[:, None] * self.basis)

    def mask(self, model: Any) -> Any:
        """Return the model's tree with True at the leaves that this fit moves, for `eqx.partition`."""
        return self.space.mask(model)

    def describe(self, largest: int = 4) -> str:
        """Say in words what each mode is made of, each parameter in units of its `scale`."""
        rows = zip(self.labels, np.asarray(self.eigenvalues), np.asarray(self.vectors).T, strict=True)
        say = lambda column: combination(column, self.space.labels, largest)  # noqa: E731
        return "\n".join(f"{label} (eigenvalue {value:.3g}): {say(column)}" for label, value, column in rows)

    def _standard_deviations(self, largest: Float[Array, ""]) -> Float[Array, " k"]:
        """Of modes on their own, from the data and the priors; one where neither knows anything."""
        prior = self.scale**2 * self.space.prior_information(self.centre)
        total = self.eigenvalues + prior @ self.vectors**2
        known = total > RANK_TOLERANCE * self.scale.size * jnp.maximum(largest, 1.0)
        return jnp.where(known, 1 / jnp.sqrt(jnp.where(known, total, 1.0)), 1.0)

    def _warn_of_unseen(self, dropped: Float[Array, "D m"], values: Float[Array, " D"], fisher: Any) -> None:
        """Say that a truncation leaves out what the data do not see."""
        lost = np.asarray(canonical_signs(dropped))[:, unseen(dropped, values, self.scale, fisher)]
        if not lost.size:
            return
        said = "; ".join(combination(column, self.space.labels) for column in lost.T)
        text = f"The truncation leaves out what the data do not see: {said}. It is held at the centre, and the errors "
        text += "are those for it held: freeze it, or give it a prior, to say so."
        warnings.warn(text, IdentifiabilityWarning, stacklevel=4)

    def _check_length(self, theta: ArrayLike) -> None:
        if jnp.shape(theta)[-1:] != self.eigenvalues.shape:
            raise ParameterError(
                f"Expected coefficients of {self.dim} modes, got an array of shape {jnp.shape(theta)}."
            )
