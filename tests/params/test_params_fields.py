"""Declaring fields: coercion, defaults, shapes, structure."""

import dataclasses
import enum
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int
from params_toys import Binary, Mirror, mirror, two_mirror_instrument

from dluxshera.params import Model, ParameterError, ParamSpec, buffer, param, spec_of, static

pytestmark = pytest.mark.float32


@pytest.mark.parametrize("value", [9, 9.0, np.float32(9), np.int64(9), np.asarray(9.0), jnp.asarray(9)])
def test_numbers_become_strong_float_arrays(value):
    separation = Binary(separation_as=value).separation_as
    assert isinstance(separation, jax.Array)
    assert separation.dtype == jnp.result_type(float) and not separation.weak_type
    assert separation == 9


@pytest.mark.parametrize("value", ["9", True, None, 1j, {"a": 1}, np.array(["x"]), np.array(True), [1.0, "x"]])
def test_what_is_not_a_number_is_refused_by_name(value):
    with pytest.raises(TypeError, match=r"Binary\.separation_as"):
        Binary(separation_as=value)


def test_quantities_are_converted_to_the_declared_unit():
    units = pytest.importorskip("astropy.units")
    assert np.isclose(Binary(separation_as=9000 * units.mas).separation_as, 9.0)
    assert np.allclose(Binary(wavelengths_m=[500, 600] * units.nm).wavelengths_m, [5e-7, 6e-7])
    with pytest.raises(ParameterError, match=r"Binary\.separation_as.*arcsec.*m"):
        Binary(separation_as=9 * units.m)


def test_wrong_shapes_are_refused_by_name():
    with pytest.raises(ParameterError, match=r"Binary\.separation_as: Expected shape \(\), got \(2,\)"):
        Binary(separation_as=[1.0, 2.0])
    with pytest.raises(ParameterError, match=r"zernike_coeffs_nm: Expected shape \(noll_indices=3\), got \(2,\)"):
        Mirror(1.0, jnp.zeros(2), jnp.ones((4, 4)))
    with pytest.raises(ParameterError, match=r"Mirror\.transmission: Expected shape \(n, n\), got \(4,\)"):
        Mirror(1.0, jnp.zeros(3), jnp.ones(4))


def test_required_and_optional_fields():
    with pytest.raises(TypeError, match="focal_length"):
        Mirror()
    assert mirror().wavefront_error_m is None
    assert spec_of(mirror(), "focal_length").required and not spec_of(Binary(), "contrast").required

    class Lens(Model):
        power: Float[Array, ""] | None = param("1/m", "Power", default=None)
        positions: Float[Array, " k"] = param("m", "Positions", factory=lambda: [1, 2])
        offsets: Float[Array, " k"] = param("m", "Offsets", default=[0, 0])

    assert Lens().power is None
    assert Lens().positions.dtype == Lens().offsets.dtype == jnp.result_type(float)


def test_buffers_keep_complex_and_boolean_numbers_and_indices():
    class Table(Model):
        field: Array = buffer("Complex field")
        mask: Array = buffer("Mask")
        weights: Float[Array, " n"] = buffer("Weights")
        groups: Int[Array, " n"] = buffer("Indices", dtype=int)

    table = Table(np.ones(2, np.complex128), np.ones(2, bool), [1, 2], [0, 1])
    kinds = [leaf.dtype.kind for leaf in jax.tree.leaves(table)]
    assert kinds == ["c", "b", "f", "i"]
    with pytest.raises(TypeError, match=r"Table\.weights"):
        Table(np.ones(2), np.ones(2), "bright", [0, 1])


class Shape(enum.Enum):
    ROUND = 1


@dataclasses.dataclass(frozen=True)
class Aperture:
    obscuration: float


def test_static_values_have_value_equality():
    class Grid(Model):
        sizes: tuple = static("Sizes")
        scale: Float[Array, ""] = param("", "Scale", default=1.0)

    first, second = Grid([1, [2, 3]]), Grid((1, (2, 3)))
    assert first.sizes == (1, (2, 3))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert Grid(np.array([4, 5])).sizes == (4, 5)
    for value in (3, "a", True, Shape.ROUND, Aperture(0.2), ("a", Shape.ROUND)):
        assert Grid(value).sizes == value
    for value in (1.5, {"a": 1}, [0.5], lambda: None):
        with pytest.raises(TypeError, match=r"Grid\.sizes"):
            Grid(value)


def test_static_default_and_converter():
    class Grid(Model):
        size: int = static("Size", default=4)
        kind: Shape = static("Kind", default=1, converter=Shape)

    assert Grid().size == 4 and Grid().kind is Shape.ROUND


def test_specs_stay_out_of_the_tree_structure():
    def make(upper, doc):
        class Thing(Model):
            x: Float[Array, ""] = param("m", doc, bounds=(0, upper), default=1.0)

        return Thing

    assert spec_of(make(2, "a")(), "x").bounds == (0.0, 2.0)
    leaves, structure = jax.tree.flatten(two_mirror_instrument())
    assert "ParamSpec" not in str(structure) and all(isinstance(leaf, jax.Array) for leaf in leaves)


def test_models_are_built_under_transformations():
    build = eqx.filter_jit(lambda x: Binary(separation_as=x).separation_as * 2)
    assert build(3.0) == 6.0
    stacked = eqx.filter_vmap(lambda x: Binary(separation_as=x))(jnp.arange(3.0))
    assert stacked.separation_as.shape == (3,)
    assert jax.grad(lambda x: Binary(contrast=x).contrast ** 2)(3.0) == 6.0


def test_stand_ins_pass_tree_operations():
    model = two_mirror_instrument()
    dynamic, rest = eqx.partition(model, eqx.is_array)
    assert dynamic.binary.separation_as == 10.0 and rest.binary.separation_as is None
    assert jax.tree.map(lambda _: object(), model).binary.contrast is not None
    assert type(Binary(separation_as=object()).separation_as) is object


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (1, 2, 3)])
def test_bad_bounds_are_refused(bounds):
    with pytest.raises(ParameterError, match="bounds"):
        ParamSpec("m", "x", bounds=bounds)


def test_infinite_bounds_are_open():
    assert ParamSpec("m", "x", bounds=(-np.inf, 3)).bounds == (None, 3.0)


def test_importing_loads_no_plots_and_no_tables():
    code = "import sys, dluxshera.params; assert not {'rich', 'matplotlib', 'astropy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_html_in_a_notebook():
    assert "separation_as" in Binary()._repr_html_()
