"""Which keys a profile may hold, read off the classes that it builds."""

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..instrument.detector import Detector
from ..instrument.instrument import Instrument
from ..instrument.source import BinarySource
from ..optics import AbstractTelescope, FourPlaneTelescope, Grating, ThreePlaneTelescope, TwoPlaneTelescope
from ..params import Model, ParamSpec
from ..params.fields import field_kind
from ..params.paths import derived_properties
from ..params.selection import matches
from . import _checks as checks

SYSTEMS: dict[str, type[AbstractTelescope]] = {
    "two_plane": TwoPlaneTelescope,
    "three_plane": ThreePlaneTelescope,
    "four_plane": FourPlaneTelescope,
}

WAVELENGTH = ParamSpec("m", "Centre of the band.", bounds=(1e-8, 1e-4))
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
    spec : ParamSpec
        What the value is, its unit and bounds.
    is_quantity : bool
        Whether the value is in the unit of `spec`, and may be given with another.
    paths : tuple of str, optional
        Parameters of the system, where the value is a list of patterns over them.
    """

    check: checks.Check
    needed_by: str = ""
    unless: str = ""
    is_path: bool = False
    spec: ParamSpec = ParamSpec()
    is_quantity: bool = False
    paths: tuple[str, ...] | None = None


class Section(NamedTuple):
    """Keys below a key; an optional section may be absent or `none`."""

    keys: dict[str, Any]
    optional: bool = False


class Table(NamedTuple):
    """A mapping whose keys are patterns over parameter paths (any text where `specs` is None).

    Attributes
    ----------
    check : callable
        Of each entry, as for `Leaf`.
    specs : mapping of str to ParamSpec, optional
        Specs of the parameters by path; their units are those of the entries.
    doc : str
    """

    check: checks.Check
    specs: Mapping[str, ParamSpec] | None = None
    doc: str = ""


@functools.cache
def schema_for(system: str) -> Section:
    """The schema of the profiles of a system, one of `SYSTEMS`."""
    telescope = SYSTEMS[system]
    paths, specs = parameter_paths(system), parameter_specs(system)
    free = checks.Check(functools.partial(_patterns_problem, paths=paths), checks.texts.json)
    theta = {
        "free": Leaf(free, spec=ParamSpec(doc="Patterns over the parameters that a fit moves."), paths=paths),
        "bounds": Table(checks.or_word("none", checks.bounds), specs, "Bounds of a fit, [lower, upper]."),
        "priors": Table(checks.or_word("none", PRIOR), specs, "Priors of a fit, such as {normal: [value, 0.1]}."),
    }
    return Section(
        {
            "name": Leaf(checks.text, spec=ParamSpec(doc="Name of the profile.")),
            "extends": Leaf(checks.text, spec=ParamSpec(doc="Packaged profile, or file, that this one changes.")),
            "system": Leaf(checks.one_of(tuple(SYSTEMS)), "every profile", spec=ParamSpec(doc="Planes of the optics.")),
            "binary": Section(_declared(BinarySource) | _spectrum()),
            "optics": Section(_declared(telescope) | _optics()),
            "detector": Section(_declared(Detector)),
            "grating": Section(_declared(Grating), optional=True),
            "theta": Section(theta),
            "engine": Table(checks.scalar, doc="Name and options of the engine that fits."),
        }
    )


@functools.cache
def parameter_paths(system: str) -> tuple[str, ...]:
    """Paths of the parameters of a system's model, aliases included."""
    return tuple(parameter_specs(system))


@functools.cache
def parameter_specs(system: str) -> dict[str, ParamSpec]:
    """Specs of the parameters of a system's model by path, aliases included."""
    parts = {"binary": BinarySource, "optics": SYSTEMS[system], "detector": Detector, "grating": Grating}
    return {path: spec for name, cls in parts.items() for path, spec in _class_specs(cls, name)} | _alias_specs()


def aliases() -> tuple[str, ...]:
    """Paths of the derived quantities, of any system, that may be set in place of a primitive."""
    return tuple(_alias_specs())


@functools.cache
def _alias_specs() -> dict[str, ParamSpec]:
    classes: dict[str, type[Model]] = {"": Instrument, "binary.": BinarySource}
    for telescope in SYSTEMS.values():
        classes |= {f"optics.{name}.": part for name, part in parts_of(telescope).items()}
    found = [(prefix, derived_properties(cls)) for prefix, cls in classes.items()]
    return {f"{prefix}{name}": q.spec for prefix, some in found for name, q in some.items() if q.is_alias}


def parts_of(cls: type[Model]) -> dict[str, type[Model]]:
    """The fields of a class that hold models of their own, by name."""
    fields = cls.__dataclass_fields__.values()
    return {f.name: f.type for f in fields if inspect.isclass(f.type) and issubclass(f.type, Model)}


def inside_of(node: Any, key: str) -> Any:
    """What the schema says below a key; None where it does not know it."""
    if isinstance(node, Section):
        return node.keys.get(key)
    if node.specs is None:
        return Leaf(node.check)
    exact = (node.specs[key],) if key in node.specs else ()
    found = exact or tuple(spec for path, spec in node.specs.items() if selects(key, (path,)))
    one_unit = len({spec.unit for spec in found}) == 1
    return Leaf(node.check, spec=found[0], is_quantity=one_unit) if found else None


def selects(pattern: str, paths: tuple[str, ...]) -> bool:
    """Whether a pattern, with or without an element suffix, matches a path."""
    return any(matches(name, path) for name in (pattern, pattern.rpartition("[")[0]) for path in paths)


def near(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _prior_problem(value: Any) -> str | None:
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


_PRIOR_NAMES = ("normal", "truncated_normal", "log_normal", "uniform")
PRIOR = checks.Check(
    _prior_problem,
    {
        "type": "object",
        "properties": {name: {"type": "array", "items": {"type": ["number", "string"]}} for name in _PRIOR_NAMES},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
)


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
    return Leaf(check, needed, is_path=kind == "buffer", spec=spec, is_quantity=kind != "static")


def _quantity(spec: ParamSpec, needed_by: str = "", unless: str = "", vector: bool = False) -> Leaf:
    """A number, or a list of them, from which a build makes something."""
    check = checks.parameter(spec, vector)
    return Leaf(checks.or_word("none", check) if vector else check, needed_by, unless, spec=spec, is_quantity=True)


def _choice(check: checks.Check, doc: str, needed_by: str = "", unless: str = "", is_path: bool = False) -> Leaf:
    """Text or a whole number from which a build makes something."""
    return Leaf(check, needed_by, unless, is_path, ParamSpec(doc=doc))


def _length(doc: str, largest: float) -> ParamSpec:
    return ParamSpec("m", doc, bounds=(0.0, None), slip_above=largest)


def _spectrum() -> dict[str, Any]:
    """Keys from which the wavelengths and weights are made."""
    need, unless = "the spectrum", "wavelengths_m"
    width = ParamSpec("m", "Width of the band.", bounds=(0.0, WAVELENGTH.bounds[1]))
    efficiency = ParamSpec("", "Glass, filter and quantum efficiency that log_flux_total contains.", bounds=(0.0, 1.0))
    temperatures = ParamSpec("K", "Temperature of both stars, or of A and B.", bounds=(0.0, None))
    return {
        "band_centre": _quantity(WAVELENGTH, need, unless),
        "bandwidth": _quantity(width, need, unless),
        "n_wavelengths": _choice(checks.or_word("auto", checks.whole()), "Gauss-Legendre nodes over the band."),
        "filter": _choice(checks.or_word("none", checks.text), "Table of the filter's transmission.", is_path=True),
        "flux_efficiency": _quantity(efficiency),
        "temperatures_k": _quantity(temperatures, vector=True),
        "seds": _choice(checks.or_word("none", checks.texts), "Spectra of both stars, or of A and B.", is_path=True),
    }


def _optics() -> dict[str, Any]:
    """Keys from which the pupil is made."""
    ratio = ParamSpec("", "Diameter of the central obscuration over that of the pupil.", bounds=(0.0, 1.0))
    aperture = {
        "secondary_ratio": _quantity(ratio),
        "secondary_diameter": _quantity(_length("Diameter of the central obscuration.", 100.0)),
        "strut_count": _choice(checks.whole(0), "Number of struts, evenly spaced."),
        "strut_width": _quantity(_length("Width of a strut.", 10.0)),
        "strut_rotation_deg": _quantity(ParamSpec("deg", "Angle of the first strut, from -row towards -column.")),
    }
    map_of = "Map of the diffractive pupil: toliman, an .npy file or none."
    check = checks.or_word("none", checks.text)
    return {
        "diffractive_pupil": _choice(check, map_of, "the pupil", "diffractive_pupil_fraction", is_path=True),
        "aperture": Section(aperture, optional=True),
    }


def _maps() -> dict[str, Any]:
    """Keys from which a mirror's wavefront-error map is drawn."""
    needed = "a wavefront-error map"
    rms = ParamSpec("nm", "RMS of the map over the beam.", bounds=(0.0, None))
    keys = {
        "rms_nm": _quantity(rms, needed),
        "alpha": _quantity(ParamSpec("", "Exponent of the power spectral density, 1/f^alpha."), needed),
        "seed": _choice(checks.seed, "Seed of the random numbers."),
    }
    return {"wavefront_error": Section(keys, optional=True)}


def _class_specs(cls: type[Model], prefix: str) -> Iterator[tuple[str, ParamSpec]]:
    for field in cls.__dataclass_fields__.values():
        if field_kind(field) == "parameter":
            yield f"{prefix}.{field.name}", field.metadata["spec"]
    for name, part in parts_of(cls).items():
        yield from _class_specs(part, f"{prefix}.{name}")


def _patterns_problem(value: Any, paths: tuple[str, ...]) -> str | None:
    wrong = checks.texts(value)
    unknown = [] if wrong else [pattern for pattern in value if not selects(pattern, paths)]
    return f"{unknown[0]!r} matches no parameter{near(unknown[0], paths)}" if unknown else wrong
