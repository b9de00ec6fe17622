"""A fit as a run directory, and a run directory as a model again."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..inference import run_artifacts as artifacts
from ..inference.eigenspace import EigenSpace
from ..inference.fisher import parameter_bound, parameter_covariance
from ..inference.fit import Solution
from ..inference.fit_record import checkpoints, fit_meta, outcome_summary
from ..inference.objective import Objective
from ..inference.signals import Signal
from ..instrument import Instrument, Observation
from ..params import AbstractSpace, get_value
from ..params.access import restore_values
from ..params.paths import parameter_paths, walk
from .build import build_instrument
from .derived_table import derived_table
from .profile import Profile
from .run_signals import run_signals
from .theta import default_space

_NEEDED = {"profile", "start", "truth", "free", "priors"}  # of meta.json, to build everything again


def fingerprint(observation: Observation) -> str:
    """SHA-256 of an observation's pixels, mask and exposures."""
    digest = hashlib.sha256()
    for array in (observation.image, observation.mask, observation.exposures):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def parameter_table(solution: Solution, start: Instrument, truth: Instrument | None = None) -> list[dict[str, Any]]:
    """One row for each parameter element that is free: estimate and sigma, the Cramér-Rao bound, start and truth.

    Parameters
    ----------
    solution : Solution
    start : Instrument
        Where the fit began.
    truth : Instrument, optional
        What the data were made with.

    Returns
    -------
    list of dict
        `label, name, unit, estimate, sigma, cramer_rao, start, truth`, physical; the bound is that of the data
        alone at the estimate, without priors. `truth` is None where it is not known.
    """
    theta, coordinates = solution.theta, solution.objective.space
    space, primitive = coordinates.primitive, coordinates.decode(theta)
    slope = np.asarray(space.jacobian_diag(primitive))
    spread = parameter_covariance(solution.objective, theta, solution.covariance)
    bound = parameter_bound(coordinates, theta, solution.information)
    columns = {
        "estimate": np.asarray(space.physical(primitive)),
        "sigma": slope * np.sqrt(np.diagonal(np.asarray(spread))),
        "cramer_rao": slope * np.sqrt(np.diagonal(np.asarray(bound))),
        "start": _physical(space, start),
        "truth": [None] * space.dim if truth is None else _physical(space, truth),
    }
    return _rows(space, columns)


def table_without_errors(
    coordinates: AbstractSpace, theta: Any, start: Instrument, truth: Instrument | None = None
) -> list[dict[str, Any]]:
    """The rows of `parameter_table` at any θ, without sigma and bound: what a fit under way knows."""
    space = coordinates.primitive
    unknown = [None] * space.dim
    columns = {
        "estimate": np.asarray(space.physical(coordinates.decode(theta))),
        "sigma": unknown,
        "cramer_rao": unknown,
        "start": _physical(space, start),
        "truth": unknown if truth is None else _physical(space, truth),
    }
    return _rows(space, columns)


def _rows(space: AbstractSpace, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = [entry.name for entry in space.index_map.entries for _ in range(entry.start, entry.stop)]
    return [
        {
            "label": label,
            "name": name,
            "unit": unit,
            **{k: _number(column[i]) for k, column in columns.items()},
        }
        for i, (label, name, unit) in enumerate(zip(space.labels, names, space.units, strict=True))
    ]


def _physical(space: AbstractSpace, model: Instrument) -> np.ndarray:
    return np.concatenate([np.ravel(get_value(model, name)) for name in space.names])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def save_fit(
    run_dir: str | Path,
    solution: Solution,
    profile: Profile,
    observation: Observation,
    *,
    free: list[str] | None = None,
    priors: bool = False,
    start: Instrument,
    truth: Instrument | None = None,
    likelihood: str = "poisson",
    record: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a fit as a run directory, from which `open_run` builds everything again.

    Parameters
    ----------
    run_dir : str or Path
    solution : Solution
    profile : Profile
        That `solution`'s model was built from.
    observation : Observation
        The data.
    free : list of str, optional
        The patterns that were free, where they are not the profile's.
    priors : bool
        Whether the profile's priors were in the objective.
    start, truth : Instrument
        Where the fit began, and what the data were made with, if that is known.
    likelihood : str
    record : mapping, optional
        Further entries of `meta.json`.
    overwrite : bool
        Whether an existing run may be replaced.
    """
    rows = parameter_table(solution, start, truth)
    return artifacts.save_run(
        run_dir,
        solution.trace,
        run_meta(profile, observation, start, truth, free=free, priors=priors, likelihood=likelihood)
        | fit_meta(solution.objective, solution.theta, solution.engine, None, solution.stats["steps"])
        | dict(record or {}),
        fit_summary(solution, rows, derived_table(solution, start, truth)),
        curvature=curvature_of(solution),
        **checkpoints(solution.state, solution.best_state),
        observation=observation.arrays(),
        extra=fixed_files(solution.objective.space, start, profile),
        overwrite=overwrite,
    )


def _coordinates(space: AbstractSpace) -> dict[str, dict[str, np.ndarray]]:
    """What, with the parameters that are free, gives the space of a fit back: nothing, or its modes."""
    arrays = {name: np.asarray(array) for name, array in space.arrays().items()}
    return {space.kind: arrays} if arrays else {}


def _own_buffers(model: Instrument, profile: Profile) -> dict[str, np.ndarray]:
    """Buffers of a model, by path, that a build of its profile would not give back."""
    built = dict(_buffers(_built(profile)))
    mine = dict(_buffers(model))
    return {path: array for path, array in mine.items() if not np.array_equal(array, built.get(path))}


@functools.lru_cache(maxsize=2)
def _built(profile: Profile) -> Instrument:
    """What a profile builds; kept, for many runs may be saved with one profile."""
    return build_instrument(profile)


def _buffers(model: Instrument) -> Iterator[tuple[str, np.ndarray]]:
    for place in walk(model):
        if place.kind == "buffer" and place.value is not None:
            yield place.path, np.asarray(place.value)


def run_meta(
    profile: Profile,
    observation: Observation,
    start: Instrument,
    truth: Instrument | None = None,
    *,
    free: Sequence[str] | None = None,
    priors: bool = False,
    likelihood: str = "poisson",
) -> dict[str, Any]:
    """What `meta.json` says of an instrument's fit besides θ and the engine: arguments as of `save_fit`."""
    return {
        "objective": {"likelihood": likelihood, "data": fingerprint(observation)},
        "profile": {
            "name": profile.name,
            "system": profile.system,
            "values": _plain(profile.values),
            "edits": _plain(profile.edits),
            "overrides": {path: _plain(profile.get(path)) for path in sorted(profile.overridden)},
        },
        "start": model_values(start),
        "truth": None if truth is None else model_values(truth),
        "free": None if free is None else list(free),
        "priors": priors,
    }


def fixed_files(space: AbstractSpace, start: Instrument, profile: Profile) -> dict[str, dict[str, np.ndarray]]:
    """Further files, by name, that give model and space back: own buffers, and the modes of an `EigenSpace`."""
    return {"buffers": _own_buffers(start, profile)} | _coordinates(space)


def curvature_of(solution: Solution) -> dict[str, Any]:
    """What `curvature.npz` holds."""
    return {"information": solution.information, "covariance": solution.covariance}


def fit_summary(
    solution: Solution, rows: list[dict[str, Any]], derived: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """What `summary.json` says of a fit: its outcome, the rows of its parameters, and those of derived quantities."""
    stats = solution.stats
    return {
        **outcome_summary(solution),
        "chi_square": stats["chi_square"],
        "degrees_of_freedom": stats["degrees_of_freedom"],
        "reduced_chi_square": stats["reduced_chi_square"],
        "at_bounds": stats["at_bounds"],
        "dead": solution.identifiability.dead,
        "condition": solution.identifiability.condition,
        "parameters": rows,
        "derived": list(derived),
    }


def model_values(model: Instrument) -> dict[str, Any]:
    """Value of every parameter of a model by path, as plain numbers and lists."""
    return {path: np.asarray(get_value(model, path)).tolist() for path in parameter_paths(model)}


def _plain(value: Any) -> Any:
    """Arrays as lists, mappings and sequences all the way down: what JSON holds."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic | jnp.ndarray) else value


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run directory, opened: its record, and the model, data and objective that it was made with.

    Attributes
    ----------
    path : Path
    meta, summary : dict
    profile : Profile
    """

    path: Path
    meta: dict[str, Any]
    summary: dict[str, Any]
    profile: Profile

    def trace(self) -> dict[str, np.ndarray]:
        """Arrays of the trace."""
        return artifacts.load_trace(self.path)

    def start_model(self) -> Instrument:
        """The instrument that the fit began with."""
        return self._instrument(self.meta["start"])

    def truth_model(self) -> Instrument | None:
        """The instrument that the data were made with, if that is recorded; its buffers are those of the fit."""
        return None if self.meta["truth"] is None else self._instrument(self.meta["truth"])

    def _instrument(self, values: Mapping[str, Any]) -> Instrument:
        buffers = artifacts.load_arrays(self.path, "buffers")
        return restore_values(_built(self.profile), {**values, **buffers})

    def space(self) -> AbstractSpace:
        """The θ-space of the fit, in the coordinates that it moved in."""
        space = default_space(self.start_model(), self.profile, self.meta["free"], self.meta["priors"])
        if self.meta["theta"]["theta_space"] == space.kind:
            return space
        return EigenSpace.from_arrays(space, artifacts.load_arrays(self.path, "eigen"))

    def model(self, which: str = "best") -> Instrument:
        """The instrument at the best or the final θ."""
        theta = artifacts.load_checkpoint(self.path, which)["theta"]
        return self.space().unpack(theta, self.start_model())

    def observation(self) -> Observation:
        """The data."""
        return Observation(**artifacts.load_observation_arrays(self.path))

    def signals(self, refresh: bool = False, save: bool = False) -> dict[str, Signal]:
        """Named series of the trace, decoded and, where the truth is known, against it; see `run_signals`."""
        return run_signals(self, refresh, save)

    def objective(self) -> Objective:
        """The objective of the fit."""
        likelihood = self.meta["objective"]["likelihood"]
        return Objective(self.start_model(), self.space(), self.observation(), likelihood)


def open_run(run_dir: str | Path) -> Run:
    """Open a run directory that `save_fit` wrote.

    Parameters
    ----------
    run_dir : str or Path

    Raises
    ------
    CorruptArtifact, SchemaError
        Naming the file and what is wrong with it.
    """
    path = Path(run_dir)
    meta, summary = artifacts.load_meta(path), artifacts.load_summary(path)
    stored = meta.get("profile")
    missing = sorted(_NEEDED - meta.keys())
    if missing or not isinstance(stored, dict) or not {"name", "system", "values", "edits"} <= stored.keys():
        what = ", ".join(missing) or "a whole profile"
        raise artifacts.SchemaError(f"{path / 'meta.json'}: expected the record of a fit, which lacks {what}.")
    profile = Profile(stored["name"], stored["system"], stored["values"], {}, frozenset(), stored["edits"])
    return Run(path, meta, summary, profile)
