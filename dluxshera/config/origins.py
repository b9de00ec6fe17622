"""Where the value of every parameter of a model comes from."""

from ..instrument.instrument import Instrument
from ..params.aliases import solved_targets
from ..params.elements import target
from ..params.paths import derived_places, parameter_paths
from .profile import Profile

DEFAULT = "default"


def value_origins(profile: Profile, model: Instrument) -> dict[str, str]:
    """Where the value of every parameter and derived quantity comes from, for `describe(model, origins)`.

    Parameters
    ----------
    profile : Profile
        That the model was built from.
    model : Instrument

    Returns
    -------
    dict of str to str
        By path: file and line of a profile or run config file, `overrides`, `--set path=value` or the target;
        `default` where nobody gives one; for derived quantities `derived`, or where the alias was given.
    """
    origins = {path: profile.origins.get(path, DEFAULT) for path in parameter_paths(model)}
    derived = {place.path: profile.origins.get(place.path, "derived") for place in derived_places(model)}
    for path in profile.edits:
        whole, _, element = path.partition("[")
        if whole in derived:
            origins |= {name: f"{profile.origins[path]}, by {whole}" for name in _solved(profile, model, path)}
        elif whole in origins:
            origins[whole] += f"; [{element} from {profile.origins[path]}"
    return origins | derived


def _solved(profile: Profile, model: Instrument, alias: str) -> list[str]:
    """What an alias has set: the primitives that no later layer gives."""
    primitives = (item.name for item in solved_targets(model, target(model, alias)[1]))
    rank = profile.ranks.get(alias, 0)
    return [name for name in primitives if not (name in profile.overridden and profile.ranks.get(name, 0) > rank)]
