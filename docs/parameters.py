"""Write docs/parameters.md, the table of all parameters of all packaged profiles: python docs/parameters.py."""

import warnings
from pathlib import Path

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402
from dluxshera.params.checks import bounds_text  # noqa: E402
from dluxshera.params.paths import derived_places, walk  # noqa: E402

SMALL = {"optics.pupil_npix": 32, "optics.psf_npix": 16}  # the values do not depend on the grids
HEAD = """# Parameters

All parameters of all packaged profiles, and what follows from them. Written by `python docs/parameters.py` from the
declarations; `ds.describe(model)` shows the same for a model, and `dluxshera describe PROFILE` for a profile.

Values are in the unit of the table. A profile, an override or `--set` may say another one, `550 nm` or `10 mas`.
Priors are those of the profiles' demonstrations, used on request only; `value` stands for the profile's own value.
"""


def page() -> str:
    """The page as Markdown."""
    profiles = {name: ds.read_profile(name, SMALL) for name in ds.profile_names()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        models = {name: ds.load_profile(name, SMALL) for name in profiles}
    places, values = {}, {}
    for name, model in models.items():
        for place in [*walk(model), *derived_places(model)]:
            if place.kind in ("parameter", "derived"):
                places.setdefault(place.path, {}).setdefault(place.kind, place)
                values.setdefault(place.path, {})[name] = ds.get_value(model, place.path)
    priors = {path: prior for p in profiles.values() for path, prior in p.get("theta.priors").items()}
    groups = dict.fromkeys(_group(path) for path in places)
    return HEAD + "".join(_section(g, places, values, priors, tuple(models)) for g in sorted(groups))


def _group(path: str) -> str:
    return path.rpartition(".")[0] or "(the instrument)"


def _section(group, places, values, priors, names) -> str:
    paths = [path for path in places if _group(path) == group]
    declared = [("parameter", "symbol", "unit", "bounds", "prior", "meaning")]
    declared += [_declared(places[path], priors.get(path)) for path in paths]
    used = [name for name in names if any(name in values[path] for path in paths)]
    table = [("parameter", *used)]
    table += [(_code(path), *(_value(values[path], name) for name in used)) for path in paths]
    return f"\n## {group}\n\n{_markdown(declared)}\n{_markdown(table)}"


def _declared(kinds, prior) -> tuple[str, ...]:
    place = kinds.get("parameter") or kinds["derived"]
    spec = place.spec
    bounds = "" if spec.bounds == (None, None) else bounds_text(spec.bounds)
    name, numbers = next(iter(prior.items())) if prior else ("", [])
    shown = f"{name}({', '.join(map(str, numbers))})" if prior else ""
    return _code(place.path), _code(spec.symbol), spec.unit, bounds, shown, spec.doc + _kind(kinds)


def _kind(kinds) -> str:
    if "derived" not in kinds:
        return ""
    if "parameter" in kinds:
        return " (Derived in some systems, a parameter in others.)"
    return " (Derived; an alias.)" if kinds["derived"].value.is_alias else " (Derived.)"


def _value(values, name: str) -> str:
    """A number, a short vector, or a vector of equal numbers by its length."""
    if name not in values or values[name] is None:
        return ""
    array = np.asarray(values[name])
    if array.ndim == 0:
        return f"{array.item():.8g}"
    if array.size > 4 and np.all(array == array.flat[0]):
        return f"{array.size} times {array.flat[0]:.8g}"
    array = np.where(np.abs(array) < 1e-12 * np.abs(array).max(), 0, array)  # a cosine of 90 degrees, say
    return ", ".join(f"{number:.6g}" for number in array.flat)


def _code(path: str) -> str:
    return f"`{path}`"


def _markdown(rows: list[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
