"""A truth for demonstrations: the profile's values, moved by draws from its priors."""

import jax
import numpy as np

from ..instrument import Instrument
from ..params import set_values
from .profile import Profile
from .theta import default_space


def drawn_truth(profile: Profile, model: Instrument, seed: int) -> Instrument:
    """The model with every parameter that the profile frees drawn from its prior, where it has one.

    Parameters
    ----------
    profile : Profile
        Its `theta.free` and `theta.priors` are used.
    model : Instrument
    seed : int
    """
    space = default_space(model, profile, priors=True)
    keys = jax.random.split(jax.random.key(seed), len(space.names))
    drawn = {
        name: np.asarray(prior.sample(key, space.index_map.entries[i].shape))
        for i, (name, prior, key) in enumerate(zip(space.names, space.priors, keys, strict=True))
        if prior is not None
    }
    return set_values(model, drawn)
