"""A case: everything that decides one row of a campaign, and the hash of it."""

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config import ConfigError, Profile
from ..config.overrides import Layer
from ..config.schema import Leaf, inside_of, schema_for
from ..config.targets import read_profile_of
from ..inference.run_artifacts import SCHEMA
from .description import BY_PATH, SETTINGS, Check

ROW_SCHEMA = 1  # raise it when the same description comes to mean other numbers
_PREFIXES = ("truth", "fit", "error", "drift")


class Case(NamedTuple):
    """What one row simulates and fits.

    Attributes
    ----------
    fit, truth : Profile
        Of the model that is fitted and of the one that the data are made with.
    errors : dict of str to float
        RMS of random differences of the data's model from its profile, by path.
    drift : dict of str to float
        Differences of the data's model from its profile, by path.
    draw : bool
        Whether the data's model is drawn from the priors.
    exposures, noiseless, likelihood, priors, seed, frame
        As in the description; `frame` is zero outside of a time series.
    start : dict
        `at`, `sigmas`, `seed`.
    """

    fit: Profile
    truth: Profile
    errors: dict[str, float]
    drift: dict[str, float]
    draw: bool
    exposures: int
    noiseless: bool
    likelihood: str
    priors: bool
    seed: int
    frame: int
    start: dict[str, Any]

    def random(self, stream: int, frame: int = 0) -> np.random.SeedSequence:
        """Random numbers of one purpose, which share nothing with those of another."""
        return np.random.SeedSequence([self.seed, frame, stream])

    @property
    def content(self) -> str:
        """SHA-256 of everything that decides the row, of the files that the profiles name by what is in them."""
        numbers = self._asdict() | {"fit": _digest(self.fit), "truth": _digest(self.truth)}
        return hashlib.sha256(canonical([ROW_SCHEMA, SCHEMA, numbers]).encode()).hexdigest()

    @property
    def structure(self) -> str:
        """The same for rows that one compiled function can fit, as far as it can be told before they are built."""
        return f"{_structure(self.fit)} {self.likelihood} {self.priors}"


def case_of(values: Mapping[str, Any], settings: Mapping[str, Any]) -> Case:
    """The case of a description with the settings of one row.

    Raises
    ------
    ConfigError
        Naming the setting or override at fault.
    """
    own = {prefix: {} for prefix in ("", *_PREFIXES)}
    plain = {}
    for name, value in settings.items():
        prefix, _, path = name.partition(".")
        if prefix in _PREFIXES and path:
            own[prefix][path] = _checked(name, value, BY_PATH[prefix]) if prefix in BY_PATH else value
        elif name in SETTINGS:
            plain[name] = _checked(name, value, SETTINGS[name])
        else:
            own[""][name] = value
    chosen = {key: plain.get(key, values[key]) for key in ("exposures", "likelihood", "noiseless", "priors", "seed")}
    truth, start = values["truth"], {"at": "profile", "sigmas": 0.0, "seed": None} | values["start"]
    start |= {key: plain[f"start.{key}"] for key in start if f"start.{key}" in plain}
    free = plain.get("free", values["free"])
    if "free" in plain and "theta.free" in values["overrides"]:
        raise ConfigError("overrides: theta.free would take the place of free, which varies. Leave one of them out.")
    common = [("theta", {f"theta.{k}": v for k, v in values["theta"].items()}), ("engine", _engine(values["engine"])),
              ("free", {} if free is None else {"theta.free": free}), ("overrides", values["overrides"])]  # fmt: skip
    fits = [*common, ("fit.overrides", values["fit"].get("overrides", {})), ("vary", own[""]), ("vary fit", own["fit"])]
    truths = [*common, ("truth.overrides", truth.get("overrides", {})), ("vary", own[""]), ("vary truth", own["truth"])]
    if truth.get("profile"):
        truths = [layer for layer in truths if layer[0] not in ("theta", "engine", "free")]
    name, target = values["profile"], values["target"]
    return Case(
        fit=_profile(name, target, canonical(fits)),
        truth=_profile(truth.get("profile") or name, truth.get("target") or target, canonical(truths)),
        errors={path: float(rms) for path, rms in {**values["errors"], **own["error"]}.items()},
        drift={path: float(offset) for path, offset in own["drift"].items()},
        draw=truth.get("draw") == "priors",
        frame=plain.get("frame", 0),
        start=start | {"seed": chosen["seed"] if start["seed"] is None else start["seed"]},
        **chosen,
    )


def _checked(name: str, value: Any, check: tuple[Check, str]) -> Any:
    """A setting of one row; a number of exposures from a logarithmic axis is rounded."""
    value = round(value) if name == "exposures" and isinstance(value, float) and math.isfinite(value) else value
    fine, what = check
    if not fine(value):
        raise ConfigError(f"vary: {name}: expected {what}, got {value!r:.80}.")
    return value


def _engine(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"engine.{key}": value for key, value in values.items()}


@functools.lru_cache(maxsize=256)
def _profile(name: str, target: str | None, layers: str) -> Profile:
    """A profile; the same object for the same text, so that what is built from it can be kept too."""
    try:
        given = [Layer(source, values) for source, values in json.loads(layers) if values]
        return read_profile_of(name, given, target)
    except (TypeError, KeyError) as error:
        raise ConfigError(f"profile {name}: {error}") from error


@functools.lru_cache(maxsize=256)
def _digest(profile: Profile) -> str:
    return hashlib.sha256(
        canonical([profile.system, _with_contents(profile.values), _with_contents(dict(profile.edits))]).encode()
    ).hexdigest()


def _with_contents(values: Any) -> Any:
    """Values with the contents of files, as a hash, in place of their paths."""
    if isinstance(values, Mapping):
        return {key: _with_contents(value) for key, value in values.items()}
    if isinstance(values, str) and Path(values).is_absolute() and Path(values).is_file():
        return {"sha256": hashlib.sha256(Path(values).read_bytes()).hexdigest()}
    return values


@functools.lru_cache(maxsize=256)
def _structure(profile: Profile) -> str:
    kept = _structural(profile.values, schema_for(profile.system))
    text = canonical([profile.system, kept, sorted(profile.edits)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _structural(values: Mapping[str, Any], node: Any) -> dict[str, Any]:
    """Values without the numbers that change no shape."""
    kept = {}
    for key, value in values.items():
        inside = inside_of(node, key)
        if isinstance(inside, Leaf):
            is_number = inside.is_quantity and not isinstance(value, str | None)
            kept[key] = list(np.shape(value)) if is_number else value
        else:
            kept[key] = _structural(value, inside) if isinstance(value, Mapping) and inside is not None else value
    return kept


def canonical(value: Any) -> str:
    """One text for one value: JSON with sorted keys, arrays as lists."""
    return json.dumps(value, sort_keys=True, default=_listed)


def _listed(value: Any) -> Any:
    return np.asarray(value).tolist()
