"""The file that describes a campaign: its keys, their checks and defaults, and its two sizes."""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..config import ConfigError
from ..config.profile import profile_names
from ..config.strict_yaml import Document, read_yaml
from ..inference.run_artifacts import SchemaError, check_run_id
from .counts import is_number

SIZES = ("small", "full")
PACKAGED = Path(__file__).parent / "packaged"
LIKELIHOODS = ("poisson", "gaussian", "gaussian_model")
STARTS = ("profile", "priors", "truth")
EXECUTORS = ("local", "processes", "dask")

Check = Callable[[Any], bool]


def campaign_names() -> tuple[str, ...]:
    """Names of the packaged campaigns, sorted."""
    return tuple(sorted(path.stem for path in PACKAGED.glob("*.yaml")))


def read_description(name_or_path: str | os.PathLike, size: str | None = None) -> tuple[dict[str, Any], str]:
    """Read a campaign's file, lay its small or full values over the rest, and check it.

    Parameters
    ----------
    name_or_path : str or path
        One of `campaign_names()`, or the path of a YAML file.
    size : str, optional
        `"small"` or `"full"`; by default small where the file has a `small` section.

    Returns
    -------
    values, size

    Raises
    ------
    ConfigError
        Naming the file, its line and the key at fault.
    """
    given = os.fspath(name_or_path)
    if given in campaign_names():
        document = read_yaml(PACKAGED / f"{given}.yaml", f"{given}.yaml")
    elif given.endswith((".yaml", ".yml")) or Path(given).is_file():
        document = read_yaml(given)
    else:
        known = ", ".join(campaign_names())
        raise ConfigError(f"unknown campaign {given!r}; expected one of {known}, or the path of a .yaml file.")
    values = {"name": Path(given).stem} | document.values
    size = size or ("small" if "small" in values else "full")
    return described(_with_file_paths(values, Path(given).absolute().parent), size, document), size


def described(values: Mapping[str, Any], size: str = "full", document: Document | None = None) -> dict[str, Any]:
    """The whole description: values of a size over the rest, defaults filled in, everything checked.

    Raises
    ------
    ConfigError
        Naming the key at fault, with its line where `document` knows it.
    """
    if size not in SIZES:
        raise ConfigError(f"Expected a size of {' or '.join(SIZES)}, got {size!r}.")
    where = document or Document("campaign", {})
    for section in SIZES:
        _check_keys(where, values.get(section, {}), (section,))
    _check_keys(where, {key: value for key, value in values.items() if key not in SIZES}, ())
    merged = _merged({k: v for k, v in values.items() if k not in SIZES}, values.get(size, {}))
    if merged.get("profile") is None:
        raise ConfigError(f"{where.name}: missing key: profile, as in profile: shera_flight.")
    if "name" not in merged:
        raise ConfigError(f"{where.name}: missing key: name, for the experiment.")
    return {key: merged.get(key, default) for key, (default, _, _) in KEYS.items()}


def _check_keys(where: Document, values: Any, above: tuple[str, ...]) -> None:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where.where(above)}: {'.'.join(above)}: expected keys and values, got {values!r:.60}.")
    for key, value in values.items():
        at = f"{where.where((*above, key))}: {'.'.join((*above, key))}"
        if key not in KEYS:
            raise ConfigError(f"{at}: unknown key; expected one of {', '.join((*KEYS, *SIZES))}.")
        _, fine, what = KEYS[key]
        if not fine(value):
            raise ConfigError(f"{at}: expected {what}, got {value!r:.80}.")


def _merged(values: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings key by key, one level deep; everything else as a whole."""
    both = lambda key, value: isinstance(value, dict) and isinstance(values.get(key), dict)  # noqa: E731
    return values | {key: values[key] | value if both(key, value) else value for key, value in over.items()}


def _with_file_paths(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Profiles that are files, relative to the campaign's own folder, by their whole path."""
    profile, truth = values.get("profile"), values.get("truth")
    values = values | ({"profile": _located(profile, folder)} if profile is not None else {})
    if isinstance(truth, dict) and truth.get("profile") is not None:
        values |= {"truth": truth | {"profile": _located(truth["profile"], folder)}}
    return values


def _located(name: Any, folder: Path) -> Any:
    is_file = isinstance(name, str) and name not in profile_names() and (folder / name).is_file()
    return str(folder / name) if is_file else name


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(least: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_name(value: Any) -> bool:
    try:
        check_run_id(value)
    except SchemaError:
        return False
    return True


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _has_keys(**known: Check) -> Check:
    return lambda value: (
        isinstance(value, Mapping) and value.keys() <= known.keys() and all(known[k](v) for k, v in value.items())
    )


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_at_least_zero(value: Any) -> bool:
    return is_number(value) and value >= 0


def _is_time_limit(value: Any) -> bool:
    """Seconds above zero; infinity where there is no limit."""
    return value == math.inf or (is_number(value) and value > 0)


def _is_one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _are_patterns(value: Any) -> bool:
    return value is None or (isinstance(value, list) and value != [] and all(map(_is_text, value)))


def _are_rms(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_at_least_zero, value.values()))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


_MODEL = {"profile": _or_none(_is_text), "target": _or_none(_is_text), "overrides": _is_mapping}
# Key: its default, its check, and what is expected, in words.
KEYS: dict[str, tuple[Any, Check, str]] = {
    "name": (None, _is_name, "a name of letters, digits and ._-"),
    "doc": ("", _is_text, "text"),
    "profile": (None, _is_text, "the name of a profile or a file"),
    "target": (None, _or_none(_is_text), "the name of a target"),
    "overrides": ({}, _is_mapping, "values by path"),
    "theta": ({}, _is_mapping, "the keys free, bounds, priors of a profile"),
    "engine": ({}, _is_mapping, "the name and options of an engine"),
    "free": (None, _are_patterns, "a list of patterns over parameters"),
    "priors": (False, _is_truth, "true or false"),
    "likelihood": ("poisson", _is_one_of(*LIKELIHOODS), f"one of {', '.join(LIKELIHOODS)}"),
    "exposures": (1, _is_count(1), "a whole number of at least 1"),
    "noiseless": (False, _is_truth, "true or false"),
    "seed": (0, _is_count(0), "a whole number of at least 0"),
    "truth": ({}, _has_keys(draw=_is_one_of("priors"), **_MODEL), "the keys profile, target, overrides, draw: priors"),
    "fit": ({}, _has_keys(overrides=_is_mapping), "the key overrides"),
    "errors": ({}, _are_rms, "RMS values of at least 0 by path"),
    "start": (
        {},
        _has_keys(at=_is_one_of(*STARTS), sigmas=_is_at_least_zero, seed=_is_count(0)),
        f"the keys at ({', '.join(STARTS)}), sigmas (a number of at least 0), seed (a whole number of at least 0)",
    ),
    "vary": ([], _is_list, "a list of axes"),
    "plot": ({}, _has_keys(x=_or_none(_is_text), y=_or_none(_is_text)), "the keys x and y"),
    "batch": (None, _or_none(_is_count(1)), "a whole number of at least 1"),
    "executor": (
        {},
        _has_keys(
            name=_is_one_of(*EXECUTORS),
            workers=_or_none(_is_count(1)),
            timeout_s=_or_none(_is_time_limit),
            address=_or_none(_is_text),
            slurm=_or_none(_is_mapping),
            wait_s=_or_none(_is_time_limit),
        ),
        f"the keys name ({', '.join(EXECUTORS)}), workers (a whole number of at least 1), timeout_s (above zero), "
        "address, slurm, wait_s (above zero)",
    ),
}
# What may vary beside paths: its check, and what is expected, in words.
SETTINGS: dict[str, tuple[Check, str]] = {
    **{name: KEYS[name][1:] for name in ("seed", "exposures", "likelihood", "noiseless", "priors", "free")},
    "start.at": (_is_one_of(*STARTS), f"one of {', '.join(STARTS)}"),
    "start.sigmas": (_is_at_least_zero, "a number of at least 0"),
    "start.seed": (_is_count(0), "a whole number of at least 0"),
    "frame": (_is_count(0), "a whole number of at least 0"),
    "time_days": (is_number, "a number"),
}
# What may vary by path, beside values of the profile.
BY_PATH: dict[str, tuple[Check, str]] = {
    "error": (_is_at_least_zero, "an RMS of at least 0"),
    "drift": (is_number, "a number"),
}
