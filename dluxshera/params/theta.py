"""`ThetaSpace`: which parameters one fit moves, as one unconstrained vector θ."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .access import write_targets
from .aliases import solve_alias, solved_targets
from .bijectors import AbstractBijector
from .checks import is_traced, validate
from .elements import Labels, Target, labels_of, written
from .fit_settings import adopted_specs, check_overrides, check_priors, settings_for
from .index_map import IndexMap, build_index_map
from .paths import descend, mask_of
from .priors import AbstractPrior
from .selection import Choice, select
from .space import AbstractSpace
from .spec import ParameterError


class ThetaSpace(AbstractSpace):
    """The parameters that one fit moves, their per-fit bounds and priors, and the map to θ.

    θ is unconstrained; the bijectors that the bounds ask for act only here. Bounds and priors are dynamic
    leaves: another number recompiles nothing.

    Parameters
    ----------
    model : eqx.Module
        The model, which is validated.
    names : str or sequence of str
        Patterns over parameter paths (`"binary.*"`; `*` also crosses dots), with optional element suffixes
        (`"optics.m2.zernike_coeffs_nm[2:]"`, `"...[Z4]"`), or exact names of aliases.
    overrides : mapping, optional
        By path or pattern: a mapping with `bounds`, `prior` or `bijector`, or a `ParamSpec`, which adopts
        an undeclared float-array leaf. Bounds may only tighten the declared ones.
    priors : None, "spec" or mapping of path to prior
        Where priors come from besides the overrides: nowhere, the declarations, or this mapping.

    Attributes
    ----------
    labels, units, blocks : tuple of str
        One per element of θ.
    index_map : IndexMap
        Name, range, shape and block of every parameter.
    lower, upper : Array (D,)
        Physical bounds, infinite where open.

    Raises
    ------
    ParameterError
        If the model is not valid, a name selects nothing, or two names move the same element.
    """

    bijectors: tuple[AbstractBijector, ...]
    priors: tuple[AbstractPrior | None, ...]
    lower: Float[Array, " dim"]
    upper: Float[Array, " dim"]
    targets: tuple[Target, ...] = eqx.field(static=True)
    num_aliases: int = eqx.field(static=True)
    index_map: IndexMap = eqx.field(static=True)
    parts: tuple[Labels, ...] = eqx.field(static=True)
    part_units: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        model: Any,
        names: str | Sequence[str],
        overrides: Mapping[str, Any] | None = None,
        priors: str | Mapping[str, Any] | None = None,
    ):
        validate(model)
        overrides = {} if overrides is None else overrides
        choices = select(model, [names] if isinstance(names, str) else names, adopted_specs(overrides))
        check_overrides(model, overrides, choices)
        check_priors(model, priors, choices)
        settings = [settings_for(choice, overrides, priors) for choice in choices]
        self.bijectors = tuple(s.bijector for s in settings)
        self.priors = tuple(s.prior for s in settings)
        self.lower = jnp.concatenate([s.lower for s in settings])
        self.upper = jnp.concatenate([s.upper for s in settings])
        self.targets = tuple(c.target for c in choices)
        self.num_aliases = sum(c.is_alias for c in choices)
        self.index_map = build_index_map([_part(c) for c in choices])
        self.parts = tuple(labels_of(c.place._replace(spec=c.spec), c.target) for c in choices)
        self.part_units = tuple(c.spec.unit for c in choices)

    @property
    def labels(self) -> tuple[str, ...]:
        """One per element of θ; written out when first asked for."""
        return written(self.parts)

    @property
    def units(self) -> tuple[str, ...]:
        """One per element of θ."""
        sizes = (item.size for item in self.targets)
        return tuple(unit for unit, size in zip(self.part_units, sizes, strict=True) for _ in range(size))

    @property
    def bounds(self) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        """Physical lower and upper bounds, infinite where open."""
        return self.lower, self.upper

    @property
    def primitive(self) -> AbstractSpace:
        """This space itself."""
        return self

    @property
    def kind(self) -> str:
        """`"primitive"`."""
        return "primitive"

    def arrays(self) -> dict[str, Array]:
        """Return nothing: a space of parameters needs no arrays beside the model."""
        return {}

    def pack(self, model: Any) -> Float[Array, " dim"]:
        """Return the θ of a model.

        Raises
        ------
        ParameterError
            If the model is not valid, or a value lies on or outside a bound, where θ is not finite.
        """
        validate(model)
        values = [item.read(descend(model, item.tokens)) for item in self.targets]
        return self._checked(self._join(values, "to_unconstrained"))

    def unpack(self, theta: Float[ArrayLike, " dim"], model: Any) -> Any:
        """Return the model with the values of θ in place; safe under jit, grad and vmap."""
        values = list(self._split_physical(theta))
        first_alias = len(self.targets) - self.num_aliases
        model = write_targets(model, list(zip(self.targets, values, strict=True))[:first_alias])
        for item, value in zip(self.targets[first_alias:], values[first_alias:], strict=True):
            model = solve_alias(model, item, value)
        return model

    def decode(self, theta: Float[ArrayLike, "*rows dim"]) -> Float[Array, "*rows dim"]:
        """Return θ as it is: it is that of the parameters already."""
        return _floats(theta)

    def encode(self, theta: Float[ArrayLike, "*rows dim"]) -> Float[Array, "*rows dim"]:
        """Return θ as it is."""
        return _floats(theta)

    def physical(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the physical values of θ, in `units`."""
        return jnp.concatenate([jnp.ravel(x) for x in self._split_physical(theta)])

    def from_physical(self, vector: Num[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the θ of physical values.

        Raises
        ------
        ParameterError
            If a value lies on or outside a bound, where θ is not finite.
        """
        return self._checked(self._join(self._pieces(_floats(vector)), "to_unconstrained"))

    def jacobian_diag(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the derivative of the physical values with respect to θ, element by element."""
        return jnp.exp(self._join(self._pieces(theta), "log_det"))

    def log_det(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, ""]:
        """Return the log-determinant of the map from θ to physical values."""
        return jnp.sum(self._join(self._pieces(theta), "log_det"))

    def log_prior(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, ""]:
        """Return the log density of the priors at the physical values of θ, without the log-determinant."""
        total = jnp.zeros((), jnp.result_type(float))
        for prior, value in zip(self.priors, self._split_physical(theta), strict=True):
            total = total + (0.0 if prior is None else jnp.sum(prior.log_prob(value)))
        return total

    def prior_information(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, " dim"]:
        """Return the curvature of minus the log priors, in 1/θ^2, element by element.

        Taken in physical values and carried over by the squared slope of the bijector, never negative: the
        bijector's own curvature, which is no information, is left out.
        """
        curvature = [_prior_curvature(p, x) for p, x in zip(self.priors, self._split_physical(theta), strict=True)]
        return jnp.concatenate(curvature) * self.jacobian_diag(theta) ** 2

    def prior_information_matrix(self, theta: Float[ArrayLike, " dim"]) -> Float[Array, "dim dim"]:
        """Return the curvature of minus the log priors as a diagonal matrix, in 1/θ^2."""
        return jnp.diag(self.prior_information(theta))

    def mask(self, model: Any) -> Any:
        """Return the model's tree with True at the leaves that this fit moves, for `eqx.partition`."""
        first_alias = len(self.targets) - self.num_aliases
        moved = list(self.targets[:first_alias])
        for alias in self.targets[first_alias:]:
            moved += solved_targets(model, alias)
        return mask_of(model, list(dict.fromkeys(item.tokens for item in moved)))

    def _split_physical(self, theta: ArrayLike) -> list[Array]:
        return [b.to_physical(u) for b, u in zip(self.bijectors, self._pieces(_floats(theta)), strict=True)]

    def _join(self, pieces: list[Array], method: str) -> Array:
        maps: list[Callable] = [getattr(bijector, method) for bijector in self.bijectors]
        return jnp.concatenate([jnp.ravel(f(piece)) for f, piece in zip(maps, pieces, strict=True)])

    def _checked(self, theta: Array) -> Array:
        """Refuse a θ that is not finite, where it is known."""
        if is_traced(theta):
            return theta
        bad = np.flatnonzero(~np.isfinite(jax.device_get(theta)))
        if bad.size:
            i = int(bad[0])
            raise ParameterError(
                f"{self.labels[i]}: Expected a value strictly between {float(self.lower[i])} and "
                f"{float(self.upper[i])}, where θ is finite, got one on or outside a bound. "
                "Move the start inside or give other bounds in overrides."
            )
        return theta


def _prior_curvature(prior: AbstractPrior | None, value: Array) -> Array:
    """Minus the second derivative of an elementwise log density, flat; zero without a prior."""
    if prior is None:
        return jnp.zeros(value.size, value.dtype)
    one = jnp.ones_like(value)

    def slope(x):
        return jax.jvp(prior.log_prob, (x,), (one,))[1]

    return jnp.maximum(-jax.jvp(slope, (value,), (one,))[1], 0.0).ravel()


def _floats(vector: ArrayLike) -> Array:
    """Make integers floats; keep the precision of what is float already."""
    return jnp.asarray(vector, jnp.result_type(vector, float))


def _part(choice: Choice) -> tuple[str, tuple[int, ...], int, str]:
    item = choice.target
    return item.name, item.shape, item.size, choice.spec.block or choice.place.tokens[0]
