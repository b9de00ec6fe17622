"""Which keys a profile may hold, read off the classes that it builds."""

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..instrument.detector import Detector
from ..instrument.instrument import Instrument
from ..instrument.source import BinarySource
from ..optics import AbstractTelescope, FourPlaneTelescope, ThreePlaneTelescope, TwoPlaneTelescope
from ..params import Model
from ..params.fields import field_kind
from ..params.paths import derived_properties
from ..params.selection import matches
from . import _checks as checks

SYSTEMS: dict[str, type[AbstractTelescope]] = {
    "two_plane": TwoPlaneTelescope,
    "three_plane": ThreePlaneTelescope,
    "four_plane": FourPlaneTelescope,
}

_MADE = ("pad_npix", "band_npix", "focal_samples", "zernike_coeffs_nm")  # what a build can fill in itself


class Leaf(NamedTuple):
    """One value of a profile.

    Attributes
    ----------
    check : callable
        `value -> None` when fine, else what is wrong.
    needed_by, unless : str
        Who needs the value, if anyone, and the sibling key that does instead.
    is_path : bool
        Whether the value may name a file.
    unit : str
        Unit of the number.
    paths : tuple of str, optional
        Parameters of the system, where the value is a list of patterns over them.
    """

    check: checks.Check
    needed_by: str = ""
    unless: str = ""
    is_path: bool = False
    unit: str = ""
    paths: tuple[str, ...] | None = None


class Section(NamedTuple):
    """Keys below a key; an optional section may be absent or `none`."""

    keys: dict[str, Any]
    optional: bool = False


class Table(NamedTuple):
    """A mapping whose keys are patterns over parameter paths (any text where `paths` is None)."""

    check: checks.Check
    paths: tuple[str, ...] | None = None


@functools.cache
def schema_for(system: str) -> Section:
    """The schema of the profiles of a system, one of `SYSTEMS`."""
    telescope = SYSTEMS[system]
    paths = parameter_paths(system)
    theta = {
        "free": Leaf(functools.partial(_patterns_problem, paths=paths), paths=paths),
        "bounds": Table(checks.or_word("none", checks.bounds), paths),
        "priors": Table(checks.or_word("none", prior_problem), paths),
    }
    return Section(
        {
            "name": Leaf(checks.text),
            "extends": Leaf(checks.text),
            "system": Leaf(checks.one_of(tuple(SYSTEMS)), "every profile"),
            "binary": Section(_declared(BinarySource) | _spectrum()),
            "optics": Section(_declared(telescope) | _optics()),
            "detector": Section(_declared(Detector)),
            "theta": Section(theta),
            "engine": Table(checks.scalar),
        }
    )


@functools.cache
def parameter_paths(system: str) -> tuple[str, ...]:
    """Paths of the parameters of a system's model, aliases included."""
    parts = {"binary": BinarySource, "optics": SYSTEMS[system], "detector": Detector}
    return tuple(path for name, cls in parts.items() for path in _class_paths(cls, name)) + aliases()


def aliases() -> tuple[str, ...]:
    """Derived quantities of the instrument that may be set in place of a primitive."""
    return tuple(name for name, quantity in derived_properties(Instrument).items() if quantity.is_alias)


def parts_of(cls: type[Model]) -> dict[str, type[Model]]:
    """The fields of a class that hold models of their own, by name."""
    fields = cls.__dataclass_fields__.values()
    return {f.name: f.type for f in fields if inspect.isclass(f.type) and issubclass(f.type, Model)}


def inside_of(node: Any, key: str) -> Any:
    """What the schema says below a key; None where it does not know it."""
    if isinstance(node, Section):
        return node.keys.get(key)
    return Leaf(node.check) if node.paths is None or selects(key, node.paths) else None


def selects(pattern: str, paths: tuple[str, ...]) -> bool:
    """Whether a pattern, with or without an element suffix, matches a path."""
    return any(matches(name, path) for name in (pattern, pattern.rpartition("[")[0]) for path in paths)


def near(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def prior_problem(value: Any) -> str | None:
    """What is wrong with a prior such as `{normal: [mean, sigma]}`; a mean may be the word `value`."""
    from .theta import PRIORS

    if not (isinstance(value, dict) and len(value) == 1 and next(iter(value)) in PRIORS):
        known = ", ".join(PRIORS)
        return f"expected one prior of {known}, as in {{normal: [mean, sigma]}}, got {value!r:.80}"
    name, given = next(iter(value.items()))
    count = PRIORS[name][1]
    fine = isinstance(given, list | tuple) and len(given) == count
    fine = fine and all(item == "value" or checks.number(item) is None for item in given)
    return None if fine else f"expected {count} numbers for {name!r}, got {given!r:.80}"


def _declared(cls: type[Model]) -> dict[str, Any]:
    """Leaf keys and parts of a class, from its field declarations."""
    fields = [field for field in cls.__dataclass_fields__.values() if field_kind(field)]
    keys: dict[str, Any] = {field.name: _declared_leaf(field, cls.__name__) for field in fields}
    return keys | {name: Section(_declared(part) | _maps()) for name, part in parts_of(cls).items()}


def _declared_leaf(field: dataclasses.Field, owner: str) -> Leaf:
    kind, spec, made = field_kind(field), field.metadata["spec"], field.name in _MADE
    check = checks.declared(field)
    check = checks.or_word("auto", check) if made and kind == "static" else check
    needed = "" if made or kind == "buffer" or not spec.required else owner
    return Leaf(check, needed, is_path=kind == "buffer", unit=spec.unit)


def _spectrum() -> dict[str, Any]:
    """Keys from which the wavelengths and weights are made."""
    return {
        "band_centre": Leaf(checks.at_least(0.0, strictly=True), "the spectrum", "wavelengths_m", unit="m"),
        "bandwidth": Leaf(checks.at_least(0.0), "the spectrum", "wavelengths_m", unit="m"),
        "n_wavelengths": Leaf(checks.or_word("auto", checks.whole())),
        "filter": Leaf(checks.or_word("none", checks.text), is_path=True),
        "temperatures_k": Leaf(checks.or_word("none", checks.numbers)),
        "seds": Leaf(checks.or_word("none", checks.texts), is_path=True),
    }


def _optics() -> dict[str, Any]:
    """Keys from which the pupil is made."""
    aperture = {
        "secondary_ratio": Leaf(checks.at_least(0.0)),
        "secondary_diameter": Leaf(checks.at_least(0.0), unit="m"),
        "strut_count": Leaf(checks.whole(0)),
        "strut_width": Leaf(checks.at_least(0.0), unit="m"),
        "strut_rotation_deg": Leaf(checks.number, unit="deg"),
    }
    return {
        "diffractive_pupil": Leaf(
            checks.or_word("none", checks.text), "the pupil", "diffractive_pupil_fraction", is_path=True
        ),
        "aperture": Section(aperture, optional=True),
    }


def _maps() -> dict[str, Any]:
    """Keys from which a mirror's wavefront-error map is drawn."""
    needed = "a wavefront-error map"
    keys = {
        "rms_nm": Leaf(checks.at_least(0.0), needed),
        "alpha": Leaf(checks.number, needed),
        "seed": Leaf(checks.seed),
    }
    return {"wavefront_error": Section(keys, optional=True)}


def _class_paths(cls: type[Model], prefix: str) -> Iterator[str]:
    for field in cls.__dataclass_fields__.values():
        if field_kind(field) == "parameter":
            yield f"{prefix}.{field.name}"
    for name, part in parts_of(cls).items():
        yield from _class_paths(part, f"{prefix}.{name}")


def _patterns_problem(value: Any, paths: tuple[str, ...]) -> str | None:
    wrong = checks.texts(value)
    unknown = [] if wrong else [pattern for pattern in value if not selects(pattern, paths)]
    return f"{unknown[0]!r} matches no parameter{near(unknown[0], paths)}" if unknown else wrong
