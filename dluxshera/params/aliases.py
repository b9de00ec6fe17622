"""Aliases: invertible derived quantities, solved for after the primitives are in place."""

from typing import Any

import equinox as eqx

from .derived import DerivedProperty
from .elements import Target, check_disjoint, target
from .paths import Place, derived_properties, descend, join_tokens
from .spec import ParameterError


def alias_of(owner: Any, name: str) -> DerivedProperty:
    """Return the derived property of that name."""
    return derived_properties(type(owner))[name]


def solve_alias(model: Any, alias: Target, value: Any) -> Any:
    """Return the model for which the alias equals `value`."""
    *parent, name = alias.tokens
    owner = descend(model, tuple(parent))
    value = alias.write(getattr(owner, name), value) if alias.elements is not None else value
    solved = alias_of(owner, name).solve(owner, value)
    return eqx.tree_at(lambda m: descend(m, tuple(parent)), model, solved) if parent else solved


def solved_targets(model: Any, alias: Target) -> list[Target]:
    """Return the primitives that an alias solves for, as targets from the root of the model."""
    *parent, name = alias.tokens
    owner = descend(model, tuple(parent))
    prefix = join_tokens(tuple(parent))
    paths = (join_path(prefix, path) for path in alias_of(owner, name).primitives(owner))
    return [target(model, path)[1] for path in paths]


def check_aliases(model: Any, primitives: list[Target], aliases: list[Target]) -> None:
    """Check that no alias moves what something else moves.

    Raises
    ------
    ParameterError
        Naming the alias and the primitive or the other alias.
    """
    solved = {item.tokens for alias in aliases for item in solved_targets(model, alias)}
    known = [item for item in primitives if item.tokens in solved]
    moved = {(item.tokens, position): item for item in known for position in item.positions()}
    for alias in aliases:
        for item in solved_targets(model, alias):
            keys = [(item.tokens, position) for position in item.positions()]
            clash = [moved[key] for key in keys if key in moved and moved[key].tokens != alias.tokens]
            if clash:
                raise ParameterError(
                    f"Expected the alias {alias.name!r} without {clash[0].name!r}, got both: "
                    f"the alias solves for {item.name!r}. Leave one of them out."
                )
            moved |= dict.fromkeys(keys, alias)  # other elements of this alias hold the ones solved before


def check_targets(model: Any, primitives: list[Target], aliases: list[Target]) -> None:
    """Check that the given targets can be moved together: no overlaps, no alias with its primitive."""
    check_disjoint([*primitives, *aliases])
    check_aliases(model, primitives, aliases)


def refuse_derived(place: Place) -> ParameterError:
    """Return the error for a derived quantity that cannot be solved for."""
    parent = join_tokens(place.tokens[:-1])
    primitives = (join_path(parent, path) for path in place.value.primitives(place.owner))
    return ParameterError(
        f"Expected a parameter or an alias, got {place.path!r}, which is derived. "
        f"Use its primitives: {', '.join(primitives) or 'none declared'}.{place.value.alias_advice}"
    )


def join_path(prefix: str, path: str) -> str:
    """Put a relative path under a prefix."""
    return f"{prefix}.{path}" if prefix else path
