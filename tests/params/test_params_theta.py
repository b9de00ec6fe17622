"""ThetaSpace: selection, packing, transformations, compile counts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from params_toys import simple_instrument, two_mirror_instrument

from dluxshera.params import (
    Identity,
    Interval,
    Log,
    Normal,
    ParameterError,
    ParamSpec,
    ThetaSpace,
    Uniform,
    UnknownPathError,
    parameter_mask,
    parameter_paths,
)

NAMES = ["binary.*", "optics.m1.zernike_coeffs_nm", "optics.m2.zernike_coeffs_nm[1:]", "plate_scale"]


def make_space(**options):
    return ThetaSpace(two_mirror_instrument(), NAMES, **options)


def test_layout():
    space = make_space()
    assert space.names == (
        "binary.separation_as",
        "binary.position_angle_deg",
        "binary.contrast",
        "optics.m1.zernike_coeffs_nm",
        "optics.m2.zernike_coeffs_nm[1:]",
        "plate_scale",
    )
    assert space.labels[3:] == (
        "optics.m1.zernike_coeffs_nm[Z4]",
        "optics.m1.zernike_coeffs_nm[Z5]",
        "optics.m1.zernike_coeffs_nm[Z6]",
        "optics.m2.zernike_coeffs_nm[Z6]",
        "plate_scale",
    )
    assert space.units == ("arcsec", "deg", "", "nm", "nm", "nm", "nm", "rad")
    assert space.blocks == ("binary",) * 3 + ("optics",) * 4 + ("plate_scale",)
    assert space.dim == len(space.labels) == 8
    assert [(e.start, e.stop, e.shape) for e in space.index_map.entries[2:5]] == [
        (2, 3, ()),
        (3, 6, (3,)),
        (6, 7, (1,)),
    ]
    lower, upper = space.bounds
    assert lower.tolist()[:3] == [0.0, -np.inf, 0.1] and upper.tolist()[:3] == [np.inf, np.inf, 10.0]


@pytest.mark.float32
def test_order_is_that_of_the_model_not_of_the_patterns():
    model = two_mirror_instrument()
    space = ThetaSpace(model, ["pixel_pitch", "optics.m2.z*[Z6]", "optics.focal_length", "binary.contrast"])
    assert space.names == (
        "binary.contrast",
        "optics.m2.zernike_coeffs_nm[Z6]",
        "pixel_pitch",
        "optics.focal_length",
    )
    assert space.blocks[2] == "detector"
    pieces = ThetaSpace(model, ["optics.m1.zernike_coeffs_nm[2]", "optics.m1.zernike_coeffs_nm[:2]"])
    assert [label[-4:] for label in pieces.labels] == ["[Z4]", "[Z5]", "[Z6]"]


@pytest.mark.float32
def test_everything_and_a_single_string():
    model = two_mirror_instrument()
    assert ThetaSpace(model, "*").names == parameter_paths(model)
    assert ThetaSpace(model, "binary.contrast").dim == 1


def test_round_trip():
    model, space = two_mirror_instrument(), make_space()
    theta = space.pack(model)
    again = space.unpack(theta, model)
    for old, new in zip(jax.tree.leaves(model), jax.tree.leaves(again), strict=True):
        assert np.allclose(old, new, rtol=1e-13, atol=0)
    assert np.array_equal(again.optics.m1.zernike_coeffs_nm, model.optics.m1.zernike_coeffs_nm)


@settings(deadline=None, max_examples=25)
@given(values=st.lists(st.floats(-3, 3), min_size=7, max_size=7))
def test_pack_is_the_inverse_of_unpack(values):
    model, space = two_mirror_instrument(), make_space()
    theta = space.pack(model) + jnp.asarray([*values, 0.01])
    back = space.pack(space.unpack(theta, model))
    assert np.allclose(back, theta, rtol=1e-9, atol=1e-9)


@pytest.mark.float32
def test_identity_is_exact():
    model = two_mirror_instrument()
    space = ThetaSpace(model, ["binary.position_angle_deg", "optics.m?.zernike_coeffs_nm"])
    theta = jnp.asarray([0.1, 1 / 3, -2e-17, 1e9, 7.0, -0.3])
    assert np.array_equal(space.pack(space.unpack(theta, model)), theta)
    assert np.array_equal(space.physical(theta), theta)
    for whole in (jnp.arange(6), np.arange(6)):
        assert space.from_physical(whole).dtype == jnp.result_type(float)


@pytest.mark.float32
def test_physical_values():
    model, space = two_mirror_instrument(), make_space()
    theta = space.pack(model)
    physical = space.physical(theta)
    assert np.allclose(physical, [10, 90, 3, 1, 2, 3, 2, float(model.plate_scale)])
    assert np.allclose(space.from_physical(physical), theta)
    jacobian = jax.jacobian(space.physical)(theta)
    assert np.allclose(jacobian, np.diag(space.jacobian_diag(theta)))
    assert np.isclose(space.log_det(theta), jnp.linalg.slogdet(jacobian)[1])


@pytest.mark.float32
@pytest.mark.parametrize("make", [simple_instrument, two_mirror_instrument])
def test_alias_moves_what_the_variant_solves_for(make):
    model = make()
    space = ThetaSpace(model, ["plate_scale", "pixel_pitch"])
    theta = space.from_physical(jnp.asarray([2e-5, float(model.plate_scale) * 1.001]))
    moved = space.unpack(theta, model)
    assert np.isclose(moved.plate_scale, model.plate_scale * 1.001, rtol=1e-12)
    assert np.isclose(moved.pixel_pitch, 2e-5, rtol=1e-12)
    changed = [not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(model), jax.tree.leaves(moved), strict=True)]
    assert sum(changed) == 2
    assert changed == jax.tree.leaves(space.mask(model))


def test_unpack_under_transformations():
    model, space = two_mirror_instrument(), make_space()
    theta = space.pack(model)

    def scale(theta):
        new = space.unpack(theta, model)
        return new.plate_scale * 1e6 + jnp.sum(new.optics.m1.zernike_coeffs_nm) + new.binary.half_separation_as

    gradient = jax.grad(scale)(theta)
    numeric = [(scale(theta + h) - scale(theta - h)) / 2e-5 for h in 1e-5 * jnp.eye(space.dim)]
    assert np.allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
    assert np.isclose(jax.jit(scale)(theta), scale(theta))
    assert np.allclose(jax.vmap(scale)(jnp.stack([theta, theta + 0.1])), [scale(theta), scale(theta + 0.1)])
    assert np.allclose(eqx.filter_jit(space.pack)(model), theta)


@pytest.mark.float32
def test_changing_numbers_recompiles_nothing():
    model = two_mirror_instrument()

    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def run(space, theta, model):
        return space.log_prior(theta) + space.unpack(theta, model).plate_scale

    def space_with(upper, sigma, model=model):
        overrides = {"binary.separation_as": {"bounds": (1.0, upper), "prior": Normal(10.0, sigma)}}
        return ThetaSpace(model, ["binary.separation_as", "plate_scale"], overrides=overrides)

    moved = eqx.tree_at(lambda m: m.binary.separation_as, model, jnp.asarray(11.0, float))
    results = [
        run(space, space.pack(start), start)
        for space, start in (
            (space_with(20.0, 0.1), model),
            (space_with(30.0, 0.1), model),
            (space_with(20.0, 0.2), model),
            (space_with(20.0, 0.2, moved), moved),
        )
    ]
    assert results[0] == results[1] != results[2] != results[3]
    structures = {jax.tree.structure(space_with(u, s)) for u, s in ((20.0, 0.1), (21, 1))}
    assert len(structures) == 1


@pytest.mark.float32
def test_masks():
    model = two_mirror_instrument()
    mask = make_space().mask(model)
    assert mask.binary.separation_as and mask.optics.plane_separation and mask.optics.m2.zernike_coeffs_nm
    assert not (mask.pixel_pitch or mask.optics.m1.focal_length or mask.binary.wavelengths_m)
    assert jax.tree.structure(mask) == jax.tree.structure(parameter_mask(model))
    assert len(jax.tree.leaves(eqx.filter(model, mask))) == 6


@pytest.mark.float32
def test_slices_and_splitting():
    space = make_space()
    vector = jnp.arange(8.0)
    assert vector[space.slice("optics.m1.zernike_coeffs_nm")].tolist() == [3.0, 4.0, 5.0]
    assert vector[space.slice("optics.m2.zernike_coeffs_nm")].tolist() == [6.0]
    assert vector[space.slice("optics.m1.zernike_coeffs_nm[Z5]")].tolist() == [4.0]
    parts = space.split(vector)
    assert tuple(parts) == space.names
    assert parts["binary.contrast"].shape == () and parts["optics.m1.zernike_coeffs_nm"].shape == (3,)
    with pytest.raises(ParameterError, match=r"plate_scale.*got 'pixel_pitch'"):
        space.slice("pixel_pitch")
    with pytest.raises(ParameterError, match=r"shape \(8,\), got \(7,\)"):
        space.unpack(jnp.zeros(7), two_mirror_instrument())


@pytest.mark.float32
def test_layout_hash():
    model = two_mirror_instrument()
    space, same = make_space(), make_space(overrides={"binary.contrast": {"bounds": (1, 5)}})
    other = ThetaSpace(model, NAMES[:-1])
    assert space.index_map.layout_hash == same.index_map.layout_hash != other.index_map.layout_hash
    assert len(space.index_map.layout_hash) == 64
    as_dict = space.index_map.to_dict()
    assert as_dict["layout_hash"] == space.index_map.layout_hash
    assert as_dict["entries"][2] == {
        "name": "binary.contrast",
        "start": 2,
        "stop": 3,
        "shape": [],
        "block": "binary",
    }


@pytest.mark.float32
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["binary.*", "binary.contrast"], "'binary.contrast' and 'binary.contrast', which overlap"),
        (["optics.m1.zernike_coeffs_nm[Z4]", "optics.m1.zernike_coeffs_nm[0:2]"], "overlap"),
        (["plate_scale", "plate_scale"], "overlap"),
        (["plate_scale", "optics.plane_separation"], "alias 'plate_scale' without 'optics.plane_separation'"),
        (["plate_scale", "optics.focal_length"], "alias 'optics.focal_length' without 'plate_scale'"),
        (["detector.*"], "matches parameters, got 'detector.*'"),
        (["binary.seperation*"], "There are: binary.separation_as"),
        (["binary"], r"container.*'binary\.\*'"),
        (["optics.m1.transmission"], "a buffer"),
        (["optics.m1.noll_indices"], "a static"),
        (["binary.half_separation_as"], "derived.*binary.separation_as"),
        ([], "at least one"),
        (["optics.m1.zernike_coeffs_nm[Z9]"], "Z4, Z5, Z6"),
    ],
)
def test_refused_names(names, message):
    with pytest.raises(ParameterError, match=message):
        ThetaSpace(two_mirror_instrument(), names)


@pytest.mark.float32
def test_unknown_names_suggest():
    with pytest.raises(UnknownPathError, match="Did you mean 'binary.separation_as'"):
        ThetaSpace(two_mirror_instrument(), ["binary.seperation_as"])


@pytest.mark.float32
def test_patterns_never_match_buffers_or_aliases():
    names = ThetaSpace(two_mirror_instrument(), ["binary.*", "*focal_length"]).names
    assert "binary.wavelengths_m" not in names and "optics.focal_length" not in names
    assert "optics.m1.focal_length" in names


@pytest.mark.float32
def test_an_invalid_model_is_refused():
    broken = eqx.tree_at(lambda m: m.binary.separation_as, two_mirror_instrument(), 9.9)
    with pytest.raises(ParameterError, match=r"binary.separation_as.*jnp.asarray\(9.9\)"):
        ThetaSpace(broken, "binary.*")
    with pytest.raises(ParameterError, match=r"jnp.asarray\(9.9\)"):
        make_space().pack(broken)


@pytest.mark.float32
def test_a_value_on_a_bound_is_refused_by_name():
    with pytest.raises(ParameterError, match=r"binary.separation_as: .*between 0.0 and inf"):
        make_space().pack(two_mirror_instrument(separation_as=0.0))
    tight = make_space(overrides={"binary.contrast": {"bounds": (4, 5)}})
    with pytest.raises(ParameterError, match=r"binary.contrast: .*between 4.0 and 5.0"):
        tight.pack(two_mirror_instrument())
    with pytest.raises(ParameterError, match="binary.contrast"):
        tight.from_physical(jnp.asarray([10.0, 90, 3, 1, 2, 3, 2, 1e-6]))


@pytest.mark.float32
def test_override_bounds():
    space = make_space(overrides={"binary.c*": {"bounds": (1, None)}, "*zernike*": {"bounds": (-50, 50)}})
    lower, upper = space.bounds
    assert (lower[2], upper[2]) == (1.0, 10.0)
    assert lower[3:7].tolist() == [-50.0] * 4
    assert type(space.bijectors[3]) is Interval
    per_element = {"optics.m1.zernike_coeffs_nm": {"bounds": ([-1, -2, -3], [4, 5, 6])}}
    assert make_space(overrides=per_element).lower[3:6].tolist() == [-1.0, -2.0, -3.0]
    exact = {"optics.m2.zernike_coeffs_nm[1:]": {"bijector": Identity(), "bounds": (-9, 9)}}
    space = make_space(overrides=exact)
    assert type(space.bijectors[4]) is Identity and space.upper[6] == 9


@pytest.mark.float32
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"binary.contrast": {"bounds": (0.01, 5)}}, "inside the declared"),
        ({"binary.contrast": {"bounds": (5, 2)}}, "lower < upper"),
        ({"binary.contrast": {"bounds": (1, 2, 3)}}, "binary.contrast"),
        ({"binary.contrast": {"bound": (1, 2)}}, r"\['bound'\]"),
        ({"binary.kontrast": {"bounds": (1, 2)}}, "Did you mean 'binary.contrast'"),
        ({"optics.m1.zernike_coeffs_nm": {"bounds": ([1, 2], [3, 4])}}, r"shape \(3,\), got \(2,\)"),
    ],
)
def test_refused_overrides(overrides, message):
    with pytest.raises(ParameterError, match=message):
        make_space(overrides=overrides)


@pytest.mark.float32
def test_overrides_outside_this_fit_are_ignored():
    make_space(overrides={"pixel_pitch": {"bounds": (1e-6, 1e-4)}})


@pytest.mark.float32
def test_priors_come_only_when_asked_for():
    model = two_mirror_instrument()
    theta = make_space().pack(model)
    assert make_space().log_prior(theta) == 0.0
    expected = Normal(10.0, 0.1).log_prob(10.0) + Uniform(0.1, 10.0).log_prob(3.0)
    assert np.isclose(make_space(priors="spec").log_prior(theta), expected)
    own = {"optics.m1.zernike_coeffs_nm": Normal(0.0, 2.0)}
    assert np.isclose(make_space(priors=own).log_prior(theta), Normal(0, 2).log_prob(jnp.arange(1.0, 4)).sum())
    override = make_space(overrides={"binary.separation_as": {"prior": Normal(9.0, 1.0)}})
    assert np.isclose(override.log_prior(theta), Normal(9.0, 1.0).log_prob(10.0))
    off = make_space(priors="spec", overrides={"binary.separation_as": {"prior": None}})
    assert np.isclose(off.log_prior(theta), Uniform(0.1, 10.0).log_prob(3.0))
    assert np.all(np.isfinite(jax.grad(make_space(priors="spec").log_prior)(theta)))


@pytest.mark.float32
@pytest.mark.parametrize(
    ("priors", "error", "message"),
    [
        ({"pixel_pitch": Normal(0, 1)}, ParameterError, "pixel_pitch"),
        ("all", ParameterError, "spec"),
        ({"binary.contrast": 3.0}, TypeError, "binary.contrast"),
    ],
)
def test_refused_priors(priors, error, message):
    with pytest.raises(error, match=message):
        make_space(priors=priors)


class Layer(eqx.Module):
    angle: jax.Array
    gain: float = 2.0


class Wrapper(eqx.Module):
    layers: dict
    instrument: eqx.Module


@pytest.mark.float32
def test_adopting_an_undeclared_leaf():
    model = Wrapper({"tilt": Layer(jnp.asarray([0.1, 0.2]))}, simple_instrument())
    path = "instrument.binary.contrast"
    spec = ParamSpec("rad", "Tilt", bounds=(0, None), element_labels=lambda layer: ["x", "y"])
    space = ThetaSpace(model, [path, "layers.*"], overrides={"layers.tilt.angle": spec})
    assert space.labels == ("layers.tilt.angle[x]", "layers.tilt.angle[y]", path)
    assert space.units[0] == "rad" and type(space.bijectors[0]) is Log
    moved = space.unpack(space.pack(model) + 1.0, model)
    assert np.allclose(moved.layers["tilt"].angle, np.e * np.array([0.1, 0.2]))
    with pytest.raises(ParameterError, match="adopt"):
        ThetaSpace(model, ["layers.tilt.angle"])
    with pytest.raises(ParameterError, match="float array"):
        ThetaSpace(model, [path], overrides={"layers.tilt.gain": spec})
    with pytest.raises(ParameterError, match="buffer"):
        ThetaSpace(model, [path], overrides={"instrument.binary.wavelengths_m": spec})


@pytest.mark.float32
def test_a_new_spec_for_a_declared_parameter():
    spec = ParamSpec("arcsec", "Separation", bijector=Identity(), prior=Normal(0, 1), block="star")
    space = make_space(overrides={"binary.separation_as": spec}, priors="spec")
    assert space.index_map.entries[0].block == "star" and type(space.bijectors[0]) is Identity
    assert np.isclose(space.priors[0].std, 1.0)
