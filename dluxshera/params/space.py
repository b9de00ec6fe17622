"""`AbstractSpace`: what a vector θ means, whichever coordinates it is in."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from .index_map import IndexEntry, IndexMap
from .spec import ParameterError


class AbstractSpace(eqx.Module):
    """What one fit moves, as one unconstrained vector θ.

    Objectives, engines, traces and plots ask nothing else of a space, so that they cannot tell coordinates apart.
    What is said of single parameters (values, errors, bounds) is said through `primitive` and `decode`.

    Attributes
    ----------
    labels, units : tuple of str
        One per element of θ.
    index_map : IndexMap
        Name, range, shape and block of everything in θ.
    """

    index_map: eqx.AbstractVar[IndexMap]
    labels: eqx.AbstractVar[tuple[str, ...]]
    units: eqx.AbstractVar[tuple[str, ...]]

    @property
    def dim(self) -> int:
        """Length of θ."""
        return self.index_map.dim

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries of `index_map`, in the order of θ."""
        return tuple(entry.name for entry in self.index_map.entries)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Group of every element of θ."""
        return tuple(e.block for e in self.index_map.entries for _ in range(e.start, e.stop))

    @property
    @abc.abstractmethod
    def bounds(self) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        """Lower and upper bounds of `physical`, infinite where open."""

    @property
    @abc.abstractmethod
    def primitive(self) -> "AbstractSpace":
        """The space of the parameters themselves, whose θ `decode` gives."""

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """`"primitive"` or `"eigen"`: the name of the coordinates in a run's record."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Return the arrays that, with the primitive space, give this space back."""

    @abc.abstractmethod
    def pack(self, model: Any) -> Float[Array, " dim"]:
        """Return the θ of a model."""

    @abc.abstractmethod
    def unpack(self, theta: Float[ArrayLike, " dim"], model: Any) -> Any:
        """Return the model with the values of θ in place; safe under jit, grad and vmap."""

    @abc.abstractmethod
    def decode(self, theta: Float[ArrayLike, "*rows dim"]) -> Float[Array, "*rows primitive"]:
        """Return the θ of the `primitive` space, of one vector or of the rows of a trace."""

    @abc.abstractmethod
    def encode(self, theta: Float[ArrayLike, "*rows primitive"]) -> Float[Array, "*rows dim"]:
        """Return the θ of this space from that of the `primitive` one; the reverse of `decode`."""

    @abc.abstractmethod
    def physical(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the values of θ in `units`."""

    @abc.abstractmethod
    def from_physical(self, vector: Num[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the θ of values in `units`."""

    @abc.abstractmethod
    def jacobian_diag(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the derivative of `physical` with respect to θ, element by element."""

    @abc.abstractmethod
    def log_det(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, ""]:
        """Return the log-determinant of the map from θ to the parameters' physical values."""

    @abc.abstractmethod
    def log_prior(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, ""]:
        """Return the log density of the priors at the parameters' physical values, without the log-determinant."""

    @abc.abstractmethod
    def prior_information(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the diagonal of `prior_information_matrix`."""

    @abc.abstractmethod
    def prior_information_matrix(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, "dim dim"]:
        """Return the curvature of minus the log priors, in 1/θ^2."""

    @abc.abstractmethod
    def mask(self, model: Any) -> Any:
        """Return the model's tree with True at the leaves that this fit moves, for `eqx.partition`."""

    def slice(self, name: str) -> slice:
        """Return the range of θ of an entry (its name, its path without suffix, or one label).

        Raises
        ------
        ParameterError
            If it is not in this fit.
        """
        if name in self.labels and name not in self.names:
            start = self.labels.index(name)
            return slice(start, start + 1)
        entry = self._entry(name)
        return slice(entry.start, entry.stop)

    def split(self, vector: Num[ArrayLike, " dim"]) -> dict[str, Array]:
        """Cut a vector over θ into one array per entry, of its shape."""
        return dict(zip(self.names, self._pieces(vector), strict=True))

    def _entry(self, name: str) -> IndexEntry:
        found = [e for e in self.index_map.entries if name in (e.name, e.name.rpartition("[")[0])]
        exact = [e for e in found if e.name == name]
        if len(exact or found) != 1:
            raise ParameterError(f"Expected one of {', '.join(self.names)}, got {name!r}.")
        return (exact or found)[0]

    def _pieces(self, vector: ArrayLike) -> list[Array]:
        vector = jnp.asarray(vector)
        if vector.shape != (self.dim,):
            raise ParameterError(f"Expected a vector of shape ({self.dim},), got {vector.shape}.")
        return [vector[e.start : e.stop].reshape(e.shape) for e in self.index_map.entries]
