"""Reading, writing and checking values by path."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from params_toys import Binary, mirror, simple_instrument, two_mirror_instrument

from dluxshera.params import (
    Model,
    ParameterError,
    UnknownPathError,
    buffer,
    get_value,
    param,
    parameter_mask,
    parameter_paths,
    replace_paths,
    set_values,
    spec_of,
    static,
    validate,
)

pytestmark = pytest.mark.float32

PATHS = (
    "binary.separation_as",
    "binary.position_angle_deg",
    "binary.contrast",
    "optics.m1.focal_length",
    "optics.m1.zernike_coeffs_nm",
    "optics.m2.focal_length",
    "optics.m2.zernike_coeffs_nm",
    "optics.plane_separation",
    "pixel_pitch",
)


class Stack(Model):
    layers: tuple[Binary, ...]
    named: dict[str, Binary]


def stack():
    return Stack((Binary(1.0), Binary(2.0)), {"b": Binary(3.0), "a": Binary(4.0)})


def test_paths_come_in_flatten_order():
    model = two_mirror_instrument()
    assert parameter_paths(model) == PATHS
    values = jax.tree.leaves(eqx.filter(model, parameter_mask(model)))
    assert all(get_value(model, path) is value for path, value in zip(PATHS, values, strict=True))


def test_paths_through_sequences_and_dicts():
    model = stack()
    assert parameter_paths(model)[::3] == (
        "layers[0].separation_as",
        "layers[1].separation_as",
        "named.a.separation_as",
        "named.b.separation_as",
    )
    assert get_value(model, "named.b.separation_as") == 3.0
    moved = set_values(model, {"layers[1].separation_as": 7, "named.a.contrast": 2})
    assert moved.layers[1].separation_as == 7.0 and moved.named["a"].contrast == 2.0


def test_reading_elements_and_derived_quantities():
    model = two_mirror_instrument()
    assert get_value(model, "optics.m1.zernike_coeffs_nm[1:]").tolist() == [2.0, 3.0]
    assert get_value(model, "optics.m2.zernike_coeffs_nm[Z6]") == 2.0
    assert get_value(model, "optics.m2.zernike_coeffs_nm[-1]").shape == ()
    assert get_value(model, "optics.m1.transmission[0,1]") == 1.0
    assert get_value(model, "plate_scale") == model.plate_scale
    assert get_value(model, "binary") is model.binary


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("binary.seperation_as", r"Did you mean 'binary.separation_as'.*position_angle_deg"),
        ("separation_as", r"Did you mean 'binary.separation_as'"),
        ("optics.m3.focal_length", r"'optics' has no 'm3'.*m1, m2"),
        ("optics.m1.focal_length.x", "Nothing lies below"),
        ("binary..contrast", "dotted path"),
        ("", "dotted path"),
        ("layers[0]", "has no 'layers'"),
    ],
)
def test_unknown_paths_suggest_what_exists(path, message):
    for use in (
        get_value,
        spec_of,
        lambda m, p: set_values(m, {p: 1.0}),
        lambda m, p: replace_paths(m, {p: 1.0}),
    ):
        with pytest.raises(UnknownPathError, match=message):
            use(two_mirror_instrument(), path)


@pytest.mark.parametrize("suffix", ["[3]", "[Z7]", "[5:]", "[]", "[0,0]", "[1.5]"])
def test_unknown_elements_are_refused(suffix):
    with pytest.raises(ParameterError, match="zernike_coeffs_nm"):
        get_value(two_mirror_instrument(), f"optics.m1.zernike_coeffs_nm{suffix}")


def test_setting_values():
    model = two_mirror_instrument()
    new = set_values(
        model,
        {
            "binary.separation_as": 9,
            "optics.m1.zernike_coeffs_nm[Z5]": -1,
            "optics.m2.zernike_coeffs_nm": [0, 1],
        },
    )
    assert new.binary.separation_as == 9.0 and not new.binary.separation_as.weak_type
    assert new.optics.m1.zernike_coeffs_nm.tolist() == [1.0, -1.0, 3.0]
    assert new.optics.m2.zernike_coeffs_nm.tolist() == [0.0, 1.0]
    assert model.binary.separation_as == 10.0
    assert jax.tree.structure(new) == jax.tree.structure(model)


def test_setting_quantities():
    units = pytest.importorskip("astropy.units")
    assert set_values(Binary(), {"separation_as": 0.2 * units.arcmin}).separation_as == 12.0
    with pytest.raises(ParameterError, match=r"separation_as.*arcsec"):
        set_values(Binary(), {"separation_as": 1 * units.kg})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"binary.separation_as": -1}, r"binary.separation_as: Expected a value in \[0, inf\), got -1"),
        ({"binary.separation_as": np.nan}, "binary.separation_as: Expected finite"),
        ({"binary.separation_as": [1.0]}, r"Expected shape \(\), got \(1,\)"),
        ({"optics.m1.zernike_coeffs_nm": 1.0}, r"Expected shape \(3,\), got \(\)"),
        ({"optics.m1.zernike_coeffs_nm[1:]": 1.0}, r"Expected shape \(2,\), got \(\)"),
        ({"optics.m1.noll_indices": (4, 5)}, "static.*anew"),
        ({"optics.m1": 1.0}, "container"),
        ({"binary.half_separation_as": 1.0}, "derived.*binary.separation_as"),
        ({"plate_scale": -1.0}, "plate_scale: Expected a value in"),
        ({"plate_scale": 1e-6, "optics.plane_separation": 1.0}, "alias 'plate_scale' without"),
        ({"plate_scale": 1e-6, "optics.focal_length": 1.0}, "alias 'optics.focal_length' without"),
        ({"optics.m1.zernike_coeffs_nm": [1, 2, 3], "optics.m1.zernike_coeffs_nm[Z4]": 1}, "overlap"),
        ({"optics.m1.transmission": np.nan * np.ones((4, 4))}, "optics.m1.transmission: Expected finite"),
        ({"optics.m1.transmission": np.ones(3)}, "optics.m1.transmission: Expected shape"),
        ({"plate_scale": 1e-3}, "optics.plane_separation: Expected a value in"),  # solved far out of bounds
    ],
)
def test_refused_values_name_the_path(values, message):
    with pytest.raises(ParameterError, match=message):
        set_values(two_mirror_instrument(), values)


@pytest.mark.parametrize("value", ["far", True, None, 1j])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(TypeError, match="binary.separation_as"):
        set_values(two_mirror_instrument(), {"binary.separation_as": value})


def test_buffers_may_change_shape_and_come_and_go():
    model = two_mirror_instrument()
    new = set_values(model, {"binary.wavelengths_m": [1e-6], "optics.m1.wavefront_error_m": np.zeros((2, 2))})
    assert new.binary.wavelengths_m.shape == (1,) and new.optics.m1.wavefront_error_m.shape == (2, 2)
    assert set_values(new, {"optics.m1.wavefront_error_m": None}).optics.m1.wavefront_error_m is None
    with pytest.raises(ParameterError, match="transmission"):
        set_values(model, {"optics.m1.transmission": None})


@pytest.mark.parametrize("make", [simple_instrument, two_mirror_instrument])
def test_aliases_are_solved_after_the_primitives(make):
    model = make()
    target = model.plate_scale * 1.01
    new = set_values(model, {"plate_scale": target, "pixel_pitch": 1.02e-5})
    assert jnp.isclose(new.plate_scale, target, rtol=1e-12)
    assert new.pixel_pitch == 1.02e-5


def test_replacing_is_safe_under_transformations():
    model = two_mirror_instrument()

    @jax.jit
    @jax.grad
    def slope(x):
        new = replace_paths(model, {"optics.m1.zernike_coeffs_nm[Z5]": x, "binary.separation_as": 2 * x})
        return jnp.sum(new.optics.m1.zernike_coeffs_nm**2) + new.binary.half_separation_as

    assert slope(3.0) == 7.0
    scales = jax.vmap(lambda s: replace_paths(model, {"plate_scale": s}).plate_scale)(jnp.array([1e-6, 2e-6]))
    assert jnp.allclose(scales, jnp.array([1e-6, 2e-6]))
    assert replace_paths(model, {}) is model


def test_setting_traced_values_skips_the_checks():
    model = two_mirror_instrument()
    set_traced = jax.jit(lambda x: set_values(model, {"binary.separation_as": x}).binary.separation_as)
    assert set_traced(-1.0) == -1.0


def test_validate_names_every_problem():
    model = two_mirror_instrument()
    assert validate(model) is model
    broken = eqx.tree_at(
        lambda m: (m.binary.separation_as, m.binary.contrast, m.optics.m1.zernike_coeffs_nm, m.pixel_pitch),
        model,
        (9.9, jnp.asarray(11.0), jnp.zeros(2), jnp.asarray(1)),
    )
    with pytest.raises(ParameterError) as error:
        validate(broken)
    message = str(error.value)
    assert "binary.separation_as" in message and "jnp.asarray(9.9)" in message
    assert "binary.contrast: Expected a value in [0.1, 10], got 11" in message
    assert "optics.m1.zernike_coeffs_nm: Expected shape (noll_indices=3), got (2,)" in message
    assert "pixel_pitch: Expected a float array" in message
    assert "position_angle_deg" not in message


def test_bounds_are_inclusive_and_validators_run():
    def positive_sum(value):
        return None if np.sum(value) > 0 else "Expected a positive sum."

    class Weights(Model):
        values: Float[Array, " n"] = param("", "Weights", bounds=(-1, 1), validator=positive_sum)
        count: int = static("A number", default=2)
        extra: Float[Array, ""] | None = buffer("Extra", optional=True)

    validate(Weights([-1.0, 1.0, 1.0]))
    with pytest.raises(ParameterError, match="values: Expected a positive sum"):
        validate(Weights([-1.0, 0.5]))
    with pytest.raises(ParameterError, match="values: Expected a value in"):
        validate(Weights([1.0, 1.0001]))


def test_validate_skips_traced_values():
    def loss(model):
        return validate(model).binary.separation_as

    bad = eqx.tree_at(lambda m: m.binary.separation_as, two_mirror_instrument(), jnp.asarray(-1.0))
    assert eqx.filter_jit(loss)(bad) == -1.0
    with pytest.raises(ParameterError):
        loss(bad)


def test_numpy_leaves_are_accepted():
    model = eqx.tree_at(lambda m: m.binary.separation_as, two_mirror_instrument(), np.asarray(9.0))
    assert validate(model) is model


def test_mask_leaves_buffers_out():
    model = two_mirror_instrument()
    mask = parameter_mask(model)
    assert mask.binary.separation_as is True and mask.binary.wavelengths_m is False
    moving, fixed = eqx.partition(model, mask)
    assert moving.optics.m1.transmission is None
    gradient = jax.grad(lambda part: eqx.combine(part, fixed).plate_scale)(moving)
    assert gradient.pixel_pitch > 0 and gradient.binary.wavelengths_m is None
    assert jax.tree.leaves(parameter_mask(mirror())) == [True, True, False]
