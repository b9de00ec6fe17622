"""A fit as a run directory, and a run directory as a model again."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..inference import run_artifacts as artifacts
from ..inference.eigenspace import EigenSpace
from ..inference.engines import FitResult, engine_settings
from ..inference.fisher import parameter_bound, parameter_covariance
from ..inference.fit import Solution
from ..inference.objective import Objective
from ..inference.state_arrays import state_arrays
from ..instrument import Instrument, Observation
from ..params import AbstractSpace, get_value
from ..params.access import restore_values
from ..params.paths import parameter_paths, walk
from .build import build_instrument
from .derived_table import derived_table
from .profile import Profile
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
    overwrite : bool
        Whether an existing run may be replaced.
    """
    rows = parameter_table(solution, start, truth)
    return artifacts.save_run(
        run_dir,
        solution.trace,
        _meta(solution, profile, observation, start, truth, likelihood) | {"free": free, "priors": priors},
        fit_summary(solution, rows, derived_table(solution, start, truth)),
        curvature={"information": solution.information, "covariance": solution.covariance},
        checkpoint_best=state_arrays(solution.best_state),
        checkpoint_final=state_arrays(solution.state),
        observation=observation.arrays(),
        extra={"buffers": _own_buffers(start, profile)} | _coordinates(solution.objective.space),
        overwrite=overwrite,
    )


def _coordinates(space: AbstractSpace) -> dict[str, dict[str, np.ndarray]]:
    """What, with the parameters that are free, gives the space of a fit back: nothing, or its modes."""
    arrays = {name: np.asarray(array) for name, array in space.arrays().items()}
    return {space.kind: arrays} if arrays else {}


def _own_buffers(model: Instrument, profile: Profile) -> dict[str, np.ndarray]:
    """Buffers of a model, by path, that a build of its profile would not give back."""
    built = dict(_buffers(build_instrument(profile)))
    mine = dict(_buffers(model))
    return {path: array for path, array in mine.items() if not np.array_equal(array, built.get(path))}


def _buffers(model: Instrument) -> Iterator[tuple[str, np.ndarray]]:
    for place in walk(model):
        if place.kind == "buffer" and place.value is not None:
            yield place.path, np.asarray(place.value)


def _meta(solution, profile, observation, start, truth, likelihood) -> dict[str, Any]:
    space, engine = solution.objective.space, solution.engine
    return {
        "theta": {
            "dim": space.dim,
            "theta_space": space.kind,
            "index_map": space.index_map.to_dict(),
            "labels": space.labels,
            "units": space.units,
        },
        "objective": {"likelihood": likelihood, "data": fingerprint(observation)},
        "optimizer": {**engine_settings(engine), "num_steps": solution.stats["steps"]},
        "profile": {
            "name": profile.name,
            "system": profile.system,
            "values": _plain(profile.values),
            "edits": _plain(profile.edits),
            "overrides": {path: _plain(profile.get(path)) for path in sorted(profile.overridden)},
        },
        "start": model_values(start),
        "truth": None if truth is None else model_values(truth),
    }


def _status(result: FitResult) -> str:
    if result.is_failure:
        return "failed"
    return "interrupted" if result == FitResult.INTERRUPTED else "ok"


def _message(solution: Solution) -> str:
    """How a fit ended, and the parameter that made the loss not finite."""
    bad = solution.stats["first_bad"]
    return str(solution.result) if bad is None else f"{solution.result}, first by {bad}"


def fit_summary(
    solution: Solution, rows: list[dict[str, Any]], derived: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """What `summary.json` says of a fit: its outcome, the rows of its parameters, and those of derived quantities."""
    stats, result = solution.stats, solution.result
    return {
        "num_steps_completed": stats["steps"],
        "status": _status(result),
        "message": _message(solution),
        "nonfinite_steps": stats["nonfinite_steps"],
        "converged": solution.converged,
        "runtime_total_s": stats["seconds"],
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
        return restore_values(build_instrument(self.profile), {**values, **buffers})

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
