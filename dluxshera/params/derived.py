"""`@derived`: a quantity computed from the leaves, with a unit and, as an alias, a way to solve for it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from .spec import ParameterError, ParamSpec


class DerivedEditError(ParameterError):
    """Somebody tried to edit a derived quantity, which has no leaf."""


class DerivedProperty(property):
    """A read-only property with a `ParamSpec`; made by `derived`.

    Attributes
    ----------
    name : str
        Name of the property.
    spec : ParamSpec
        Unit, description, symbol and bounds.
    solve : callable or None
        `solve(module, value) -> module` for which the property equals `value`.
    solves_for : callable or None
        `solves_for(module) -> tuple of str`, the primitives that `solve` moves, relative to the module.
    follows_from : tuple of str or None
        The parameters that a quantity without `solve` is computed from, relative to the module.
    alias : str or None
        Alias that stands for this quantity, as a path from the root of the model.
    """

    def __init__(
        self,
        getter: Callable,
        spec: ParamSpec,
        solve: Callable | None = None,
        solves_for: Callable | None = None,
        follows_from: tuple[str, ...] | None = None,
        alias: str | None = None,
    ):
        property.__init__(self, getter)
        self.__doc__ = spec.doc
        self.name = getter.__name__
        self.spec = spec
        self.solve = solve
        self.solves_for = solves_for
        self.follows_from = follows_from
        self.alias = alias

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        if module is None:
            return self
        if _has_stand_in_leaves(module):
            raise DerivedEditError(self._edit_message(module))
        return property.__get__(self, module, owner)

    @property
    def is_alias(self) -> bool:
        """Whether the quantity can be solved for, and so be fitted or set."""
        return self.solve is not None

    def primitives(self, module: Any) -> tuple[str, ...]:
        """Paths, relative to the module, of the parameters to move instead."""
        from .paths import parameter_paths

        if self.is_alias:
            return tuple(self.solves_for(module))
        return parameter_paths(module) if self.follows_from is None else self.follows_from

    @property
    def alias_advice(self) -> str:
        """What to say about the alias that stands for this quantity; empty without one."""
        return f" Or use the alias {self.alias!r} in set_values or ThetaSpace." if self.alias else ""

    def _edit_message(self, module: Any) -> str:
        advice = f"Edit its primitives instead: {', '.join(self.primitives(module)) or 'none declared'}."
        if self.is_alias:
            advice += f" Or use the alias {self.name!r} by its path in set_values or ThetaSpace."
        return (
            f"Expected a leaf, got {type(module).__name__}.{self.name}, which is derived "
            f"and has no leaf to edit. {advice}{self.alias_advice}"
        )


def derived(
    unit: str,
    doc: str,
    symbol: str | None = None,
    *,
    bounds: tuple | None = None,
    solve: Callable | None = None,
    solves_for: Callable | None = None,
    follows_from: tuple[str, ...] | None = None,
    alias: str | None = None,
) -> Callable[[Callable], DerivedProperty]:
    """Declare a derived quantity; decorates its getter.

    Parameters
    ----------
    unit, doc, symbol, bounds
        As for `ParamSpec`.
    solve : callable, optional
        `solve(module, value) -> module` whose property equals `value`; makes the quantity an alias.
    solves_for : callable, optional
        `solves_for(module) -> tuple of str`, the primitives that `solve` moves. Needed with `solve`.
    follows_from : tuple of str, optional
        The parameters that the quantity is computed from, relative to the module, for the advice of errors; all
        of the module's without it.
    alias : str, optional
        Alias that stands for this quantity, as a path from the root of the model, for the same advice.

    Raises
    ------
    ParameterError
        If only one of `solve` and `solves_for` is given.
    """
    if (solve is None) != (solves_for is None):
        raise ParameterError("Expected both solve and solves_for, or neither. An alias needs the two.")
    spec = ParamSpec(unit=unit, doc=doc, symbol=symbol, bounds=bounds)
    return lambda getter: DerivedProperty(getter, spec, solve, solves_for, follows_from, alias)


def _has_stand_in_leaves(module: Any) -> bool:
    """Whether the leaves are the opaque stand-ins that `eqx.tree_at` shows to its `where`."""
    leaves = jax.tree.leaves(module)
    return bool(leaves) and not any(map(_is_number, leaves))


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array_like(leaf)
