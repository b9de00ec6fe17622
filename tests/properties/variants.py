"""Tiny instruments of every telescope variant, and what the properties do with them."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from precision import in_double
from tiny import edit, tiny

import dluxshera as ds
from dluxshera.params import parameter_paths
from dluxshera.params.paths import derived_places

PROFILES = {
    "two": "shera_flight_two_plane",
    "three": "shera_flight",
    "four": "shera_flight_four_plane",
}
VARIANTS = tuple(PROFILES)
# Single precision is a second look at the same properties.
few = settings(max_examples=6 if in_double() else 3, deadline=None, derandomize=True)
some = settings(max_examples=8 if in_double() else 3, deadline=None, derandomize=True)


@functools.cache
def variant(name):
    """The tiny instrument of a variant, with aberrations on every mirror."""
    model = tiny(PROFILES[name], detector__sky_roll_deg=20.0)
    mirrors = [path for path in parameter_paths(model) if path.endswith("zernike_coeffs_nm")]
    draw = np.random.default_rng(5)
    return edit(model, {path: draw.normal(0, 3, ds.get_value(model, path).shape) for path in mirrors})


def paths(name):
    """Paths of every parameter of a variant."""
    return parameter_paths(variant(name))


def derived_names(name):
    """Paths of every derived quantity of a variant."""
    return tuple(place.path for place in derived_places(variant(name)))


def all_of(names):
    """`(variant, name)` for every name that `names(variant)` gives: arguments of `pytest.mark.parametrize`."""
    return [(kind, name) for kind in VARIANTS for name in names(kind)]


def binaries(separation=(0.3, 1.2)):
    """Values of a binary's six parameters, with both stars in the image."""
    return st.fixed_dictionaries(
        {
            "binary.x_position_as": st.floats(-0.1, 0.1),
            "binary.y_position_as": st.floats(-0.1, 0.1),
            "binary.separation_as": st.floats(*separation),
            "binary.position_angle_deg": st.floats(-400, 400),
            "binary.log_flux_total": st.floats(2, 8),
            "binary.contrast": st.floats(0.1, 10),
        }
    )


@eqx.filter_jit
def image(model):
    """The image, compiled once for each variant."""
    return model.model()


def central_difference(function, value, step):
    """Derivative of `function` at `value`, by a fourth-order difference."""
    at = [function(value + k * step) for k in (-2, -1, 1, 2)]
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)


def leaves_equal(one, other):
    """Whether two models have the same structure and exactly the same numbers."""
    same = jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), one, other)
    return all(jax.tree.leaves(same))
