"""Per-fit bounds, bijectors and priors of selected parameters."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .bijectors import AbstractBijector, bijector_for
from .paths import find
from .priors import AbstractPrior
from .selection import Choice, matches
from .spec import ParameterError, ParamSpec

_KEYS = ("bounds", "prior", "bijector")


class Settings(NamedTuple):
    """What one fit uses for one parameter; numbers are arrays, so that they are dynamic leaves."""

    lower: Any
    upper: Any
    bijector: AbstractBijector
    prior: AbstractPrior | None


def adopted_specs(overrides: Mapping[str, Any]) -> dict[str, ParamSpec]:
    """Return the overrides that are whole specs."""
    return {path: spec for path, spec in overrides.items() if isinstance(spec, ParamSpec)}


def check_overrides(model: Any, overrides: Mapping[str, Any], choices: list[Choice]) -> None:
    """Check the keys and names of overrides; one for a parameter outside this fit is allowed.

    Raises
    ------
    ParameterError
        Naming an unknown path or an unknown key.
    """
    for path, override in overrides.items():
        if not any(_applies(path, choice) for choice in choices):
            find(model, path)
        if isinstance(override, ParamSpec):
            continue
        unknown = set(override) - set(_KEYS)
        if unknown:
            raise ParameterError(f"overrides[{path!r}]: Expected keys {_KEYS}, got {sorted(unknown)}.")


def settings_for(choice: Choice, overrides: Mapping[str, Any], priors: Any) -> Settings:
    """Merge the spec of a parameter with what this fit overrides."""
    merged = {}
    for path, override in overrides.items():
        if not isinstance(override, ParamSpec) and _applies(path, choice):
            merged |= override
    lower, upper = _bounds(choice, merged.get("bounds"))
    bijector = merged.get("bijector") or _spec_bijector(choice, merged) or bijector_for(lower, upper)
    prior = merged.get("prior", _prior(choice, priors))
    _check_kind(choice, "bijector", bijector, AbstractBijector)
    _check_kind(choice, "prior", prior, AbstractPrior | None)
    return Settings(
        _filled(choice, lower, -np.inf),
        _filled(choice, upper, np.inf),
        _numbers(choice, bijector),
        _numbers(choice, prior),
    )


def check_priors(model: Any, priors: Any, choices: list[Choice]) -> None:
    """Check that `priors` is None, "spec" or a mapping whose paths are in this fit.

    Raises
    ------
    ParameterError
        Otherwise.
    """
    if priors is None or (isinstance(priors, str) and priors == "spec"):
        return
    if not isinstance(priors, Mapping):
        raise ParameterError(f'Expected priors None, "spec" or a mapping of paths, got {priors!r}.')
    for path in priors:
        if not any(_applies(path, choice) for choice in choices):
            names = ", ".join(choice.target.name for choice in choices)
            raise ParameterError(f"priors[{path!r}]: Expected a parameter of this fit, one of {names}.")


def _applies(pattern: str, choice: Choice) -> bool:
    return pattern in (choice.target.name, choice.place.path) or matches(pattern, choice.place.path)


def _prior(choice: Choice, priors: Any) -> AbstractPrior | None:
    if priors is None:
        return None
    if isinstance(priors, str):
        return choice.spec.prior
    found = [prior for path, prior in priors.items() if _applies(path, choice)]
    return found[-1] if found else None


def _spec_bijector(choice: Choice, merged: Mapping[str, Any]) -> AbstractBijector | None:
    """The declared bijector, unless this fit has bounds of its own."""
    return None if merged.get("bounds") is not None else choice.spec.bijector


def _bounds(choice: Choice, own: Any) -> tuple[Any, Any]:
    """Declared bounds, tightened by those of this fit."""
    declared = choice.spec.bounds
    if own is None:
        return declared
    if len(own) != 2:
        raise ParameterError(f"{choice.target.name}: Expected bounds (lower, upper), got {own!r}.")
    lower, upper = (_own_bound(bound, limit) for bound, limit in zip(own, declared, strict=True))
    wider = (declared[0] is not None and np.any(np.asarray(lower) < declared[0])) or (
        declared[1] is not None and np.any(np.asarray(upper) > declared[1])
    )
    if wider:
        raise ParameterError(f"{choice.target.name}: Expected bounds inside the declared {declared}, got {tuple(own)}.")
    if lower is not None and upper is not None and not np.all(np.asarray(lower) < np.asarray(upper)):
        raise ParameterError(f"{choice.target.name}: Expected lower < upper in bounds, got {tuple(own)}.")
    return lower, upper


def _own_bound(bound: Any, declared: float | None) -> Any:
    if bound is None or np.all(np.isinf(bound)):
        return declared
    return np.asarray(bound, float)


def _filled(choice: Choice, bound: Any, missing: float) -> jax.Array:
    value = _numbers(choice, np.asarray(missing if bound is None else bound, float))
    return jnp.broadcast_to(value, choice.target.shape).ravel()


def _numbers(choice: Choice, tree: Any) -> Any:
    """Make the numbers device arrays that broadcast to the selected elements."""
    return jax.tree.map(lambda leaf: _at_elements(choice, leaf), tree)


def _at_elements(choice: Choice, leaf: Any) -> jax.Array:
    item, array = choice.target, jnp.asarray(leaf, jnp.result_type(float))
    full = np.shape(choice.place.value)
    if item.elements is not None and array.ndim and array.shape == full:
        array = item.read(array)
    if not _broadcasts(array.shape, item.shape):
        raise ParameterError(f"{item.name}: Expected bounds and priors of shape {item.shape}, got {array.shape}.")
    return array


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    trailing = to[len(to) - len(shape) :]
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(shape, trailing, strict=True))


def _check_kind(choice: Choice, what: str, value: Any, kind: Any) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{choice.target.name}: Expected a {what} of dluxshera.params, got {value!r}.")
