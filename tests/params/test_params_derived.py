"""Derived quantities: fields in one variant, properties in another, and no edits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float
from params_toys import AbstractTelescope, Binary, mirror, simple_instrument, two_mirror_instrument

from dluxshera.params import DerivedEditError, Model, ParameterError, derived, param, spec_of

pytestmark = pytest.mark.float32


def test_a_field_in_one_variant_is_a_property_in_the_other():
    simple, two = simple_instrument(), two_mirror_instrument()
    assert simple.optics.focal_length == 10.0
    assert jnp.isclose(two.optics.focal_length, 1.3 * -0.3 / (1.3 - 0.3 - 1.05))
    moved = eqx.tree_at(lambda m: m.optics.focal_length, simple, jnp.asarray(5.0))
    assert jnp.isclose(moved.plate_scale, 2 * simple.plate_scale)
    assert spec_of(two, "optics.focal_length").symbol == "F"
    with pytest.raises(TypeError, match="abstract"):
        AbstractTelescope()


def test_editing_a_derived_quantity_is_a_readable_error():
    model = two_mirror_instrument()
    with pytest.raises(DerivedEditError, match=r"TwoMirrorTelescope\.focal_length.*plane_separation.*ThetaSpace"):
        eqx.tree_at(lambda m: m.optics.focal_length, model, 1.0)
    with pytest.raises(DerivedEditError, match=r"half_separation_as.*separation_as, position_angle_deg"):
        eqx.tree_at(lambda m: m.binary.half_separation_as, model, 1.0)


def test_a_getter_that_returns_a_nested_leaf_is_caught_too():
    with pytest.raises(DerivedEditError, match=r"Instrument\.shortcut"):
        eqx.tree_at(lambda m: m.shortcut, two_mirror_instrument(), jnp.asarray(1.0))


def test_editing_with_a_replace_fn_or_several_places_is_caught():
    model = two_mirror_instrument()
    with pytest.raises(DerivedEditError):
        eqx.tree_at(lambda m: m.plate_scale, model, replace_fn=lambda x: 2 * x)
    with pytest.raises(DerivedEditError):
        eqx.tree_at(lambda m: (m.pixel_pitch, m.plate_scale), model, (1.0, 2.0))


def test_ordinary_edits_and_transformations_work():
    model = two_mirror_instrument()
    edited = eqx.tree_at(lambda m: m.binary.separation_as, model, 9.9)
    assert edited.binary.half_separation_as == 4.95
    scale = eqx.filter_jit(lambda m: m.plate_scale)(model)
    assert jnp.isclose(scale, model.plate_scale)
    gradient = eqx.filter_grad(lambda m: m.plate_scale * 1e6)(model)
    assert gradient.optics.plane_separation != 0
    stacked = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), Binary())
    assert eqx.filter_vmap(lambda b: b.half_separation_as)(stacked).tolist() == [5.0, 10.0]
    assert eqx.filter_eval_shape(lambda m: m.plate_scale, model).shape == ()


def test_a_derived_quantity_cannot_be_assigned():
    with pytest.raises(AttributeError):
        two_mirror_instrument().plate_scale = 1.0


def test_an_alias_needs_solve_and_its_primitives():
    with pytest.raises(ParameterError, match="solves_for"):
        derived("m", "x", solve=lambda module, value: module)


def test_property_carries_its_documentation():
    class Lens(Model):
        power: Float[Array, ""] = param("1/m", "Power", default=2.0)

        @derived("m", "Focal length", "f", bounds=(0, 10))
        def focal_length(self) -> Float[Array, ""]:
            return 1 / self.power

    quantity = Lens.focal_length
    assert quantity.__doc__ == "Focal length" and quantity.spec.unit == "m" and not quantity.is_alias
    assert Lens().focal_length == 0.5
    assert mirror().focal_length == 1.3
