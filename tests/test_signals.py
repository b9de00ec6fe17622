"""Signals: hand-computed values in primitive and eigen traces, registration, summaries, storage."""

import functools
import importlib
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

import dluxshera as ds
from dluxshera.config.run_signals import STANDARD_SIGNALS, signal_definitions, with_summaries
from dluxshera.inference import function_state
from dluxshera.inference import signals as registry
from dluxshera.inference.signal_arrays import key_of, signal_arrays, signal_key, signals_from_arrays
from dluxshera.inference.signal_summaries import hybrid, summarise
from dluxshera.inference.signals import (
    Signal,
    SignalDefinition,
    SignalWarning,
    decode_signals,
    register_signal,
    unit_of,
    with_word,
)
from dluxshera.instrument import signals as standard

SCALE = 3.0
TRUTH = toy.spots(x=0.1, separation=4.0, contrast=2.0, shape=[0.0, 0.5])
DEFINITIONS = (
    SignalDefinition("spots.x_error_um", lambda model, truth: 18 * (model.x - truth.x)),
    SignalDefinition("spots.width_pixel", lambda model: model.width),
    SignalDefinition("spots.flux_error_ppm", lambda m, t: 1e6 * (m.fluxes / t.fluxes - 1), labels=("left", "right")),
    SignalDefinition("spots.shape_error", lambda m, t: m.shape - t.shape, labels_of="shape"),
    SignalDefinition("spots.tilt_error_nm", lambda m, t: m.tilt - t.tilt, needs=("tilt",)),
)


@pytest.fixture(scope="module")
def space():
    return ds.ThetaSpace(TRUTH, ["x", "separation", "contrast", "shape"])


@pytest.fixture(scope="module")
def physical():
    """Three rows of x, separation, contrast and shape."""
    return np.array([[0.6, 5.0, 1.0, 0.3, 0.1], [0.2, 4.5, 1.5, 0.1, 0.4], [0.1, 4.0, 2.0, 0.0, 0.5]])


@pytest.fixture(scope="module")
def theta(space, physical):
    return np.stack([np.asarray(space.from_physical(row)) for row in physical])


@pytest.fixture(scope="module")
def modes(space):
    factor = np.random.default_rng(0).normal(size=(5, 5))
    return ds.EigenSpace(space, factor @ factor.T + np.eye(5), centre=space.pack(toy.spots()), whiten=True)


@pytest.fixture
def clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})


def by_hand(physical):
    """What `DEFINITIONS` come to."""
    x, _, contrast, *shape = physical.T
    share = contrast / (1 + contrast)
    flux = 1e6 * np.stack([share / (2 / 3) - 1, (1 - share) / (1 / 3) - 1], axis=1)
    return {
        "spots.x_error_um": 18 * (x - 0.1),
        "spots.width_pixel": np.full(3, np.sqrt(2.0)),
        "spots.flux_error_ppm": flux,
        "spots.shape_error": np.stack(shape, axis=1) - [0.0, 0.5],
    }


def test_a_trace_of_parameters_is_decoded(space, theta, physical):
    found = decode_signals(DEFINITIONS, theta, space, TRUTH, TRUTH)
    expected = by_hand(physical)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].values, values, rtol=1e-9, atol=1e-9, err_msg=name)
    assert found["spots.flux_error_ppm"].labels == ("left", "right")
    assert found["spots.shape_error"].labels == ("0", "1")


def test_a_trace_of_eigenmodes_gives_the_same_signals_and_its_own_residuals(space, modes, theta, physical):
    found = decode_signals(DEFINITIONS, np.asarray(modes.encode(theta)), modes, TRUTH, TRUTH)
    for name, values in by_hand(physical).items():
        np.testing.assert_allclose(found[name].values, values, rtol=1e-7, atol=1e-6, err_msg=name)
    residual = found["eigen.coefficient_error_sigma"]
    basis = np.asarray(modes.scale[:, None] * modes.vectors * modes.step)
    np.testing.assert_allclose(residual.values @ basis.T, theta - theta[-1], atol=1e-9)
    assert residual.labels == tuple(f"mode {i}" for i in range(1, 6)) and residual.unit == "σ"


def test_modes_without_a_unit_have_a_name_without_one(space, modes, theta):
    plain = ds.EigenSpace(space, np.eye(5), centre=modes.centre)
    found = decode_signals((), np.asarray(plain.encode(theta)), plain, TRUTH, TRUTH)
    assert [signal.unit for signal in found.values()] == [""] and list(found) == ["eigen.coefficient_error"]


def test_a_truth_on_a_bound_has_no_coefficients(modes):
    on_bound = toy.spots(contrast=0.0)
    assert "eigen.coefficient_error_sigma" not in decode_signals((), np.zeros((2, 5)), modes, TRUTH, on_bound)


def test_truth_is_zero_for_a_residual_and_the_value_there_for_the_rest(space, theta):
    found = decode_signals(DEFINITIONS, theta, space, TRUTH, TRUTH)
    assert found["spots.x_error_um"].truth == 0
    assert found["spots.width_pixel"].truth == pytest.approx(np.sqrt(2.0))
    assert [name for name, signal in found.items() if signal.is_silent] == ["spots.width_pixel"]


def test_without_the_truth_there_are_no_residuals(space, modes, theta):
    found = decode_signals(DEFINITIONS, theta, space, TRUTH)
    assert list(found) == ["spots.width_pixel"] and found["spots.width_pixel"].truth is None
    assert "eigen.coefficient_error_sigma" not in decode_signals((), np.zeros((1, 5)), modes, TRUTH)


def test_a_row_that_is_not_finite_stays_so(space, theta):
    broken = theta.copy()
    broken[1] = np.nan
    values = decode_signals(DEFINITIONS, broken, space, TRUTH, TRUTH)["spots.x_error_um"].values
    assert np.isnan(values[1]) and np.isfinite(values[[0, 2]]).all()


def raises(model):
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("function", "labels", "message"),
    [
        (lambda model: np.asarray(model.x) + 1, (), "jax.numpy"),
        (lambda model: jnp.ones((2, 2)), (), r"\(2, 2\)"),
        (raises, (), "KeyError, 'oops'"),
        (lambda model: model.nothing, (), "AttributeError.*nothing"),
        (lambda model: None, (), "None"),
        (lambda model: "text", (), "text"),
        (lambda model: model.x + 1j, (), "real numbers"),
        (lambda model: jnp.ones(2), ("a",), "label"),
        (lambda model: model.x, ("a", "b"), "label"),
    ],
)
def test_a_function_that_fails_is_named_and_costs_its_own_signal(space, theta, function, labels, message):
    bad, good = (
        SignalDefinition("spots.bad", function, labels=labels),
        SignalDefinition("spots.x", lambda model: model.x),
    )
    with pytest.warns(SignalWarning, match=f"spots.bad.*{message}") as told:
        found = decode_signals([bad, good], theta, space, TRUTH)
    assert len(told) == 1 and list(found) == ["spots.x"]


def test_what_does_not_fit_the_space_is_no_fault_of_a_signal(space):
    with pytest.raises(ValueError):
        decode_signals(DEFINITIONS, np.zeros((2, 99)), space, TRUTH, TRUTH)


def test_a_function_that_sees_something_else_now_is_compiled_again(space, theta, monkeypatch):
    definition = SignalDefinition("spots.scaled", lambda model: SCALE * model.x)
    before = decode_signals([definition], theta, space, TRUTH)["spots.scaled"].values
    monkeypatch.setitem(globals(), "SCALE", 10 * SCALE)
    after = decode_signals([definition], theta, space, TRUTH)["spots.scaled"].values
    np.testing.assert_allclose(after, 10 * before)


# ---- names and records


@pytest.mark.parametrize(
    ("name", "unit"),
    [("a.x_uas", "µas"), ("a.x_as", "arcsec"), ("a.flux_ppm", "ppm"), ("a.m", ""), ("a.b_rms_nm", "nm"), ("a.b_c", "")],
)
def test_the_last_word_of_a_name_is_its_unit(name, unit):
    assert unit_of(name) == unit


def test_a_word_goes_before_the_unit():
    assert with_word("primary.zernike_error_nm", "rms") == "primary.zernike_error_rms_nm"
    assert with_word("eigen.coefficient_error", "rms") == "eigen.coefficient_error_rms"


@pytest.mark.parametrize("name", ["x_uas", "a.", "a b.c_nm", "a.b-c", "../a.b", "a.b:c", "µ.x"])
def test_a_name_that_is_not_qualified_is_refused(name):
    with pytest.raises(ValueError, match="fully qualified"):
        Signal(name, np.zeros(2))
    with pytest.raises(ValueError, match="fully qualified"):
        register_signal(name)(lambda model: model.x)


@pytest.mark.parametrize(
    ("values", "labels", "truth", "message"),
    [
        (np.zeros((2, 2, 2)), (), None, "shape"),
        (np.zeros((2, 3)), ("a",), None, "label"),
        (np.zeros(2), ("a",), None, "label"),
        (np.zeros((2, 2)), ("a", "b"), np.zeros(3), "truth"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(values, labels, truth, message):
    with pytest.raises(ValueError, match=message):
        Signal("a.b", values, labels, truth)


# ---- registration


def test_a_registered_signal_is_among_those_of_a_run(clean_registry, space, theta, physical):
    @register_signal("spots.area_error", labels_of=None)
    def area_error(model, truth):
        return model.separation**2 - truth.separation**2

    assert signal_definitions()[-1].name == "spots.area_error"
    found = decode_signals(signal_definitions()[len(STANDARD_SIGNALS) :], theta, space, TRUTH, TRUTH)
    np.testing.assert_allclose(found["spots.area_error"].values, physical[:, 1] ** 2 - 16, atol=1e-9)
    assert float(area_error(TRUTH, TRUTH)) == 0  # the function is as it was


def test_a_later_function_of_a_name_takes_its_place(clean_registry):
    register_signal("binary.x_error_uas")(lambda model, truth: model.x)
    register_signal("binary.x_error_uas")(lambda model, truth: -model.x)
    names = [definition.name for definition in signal_definitions()]
    assert names.count("binary.x_error_uas") == 1 and len(names) == len(STANDARD_SIGNALS)


@pytest.mark.parametrize(
    "function",
    [lambda model, truth, other: model.x, lambda model, truth=None: model.x, lambda *models: 1.0,
     lambda: 1.0, lambda model, *, truth: 1.0, max],
)  # fmt: skip
def test_a_function_of_something_else_is_refused(clean_registry, function):
    with pytest.raises(ValueError, match=r"\(model\) or \(model, truth\) for spots.bad"):
        register_signal("spots.bad")(function)
    assert registry.registered_signals() == ()


def test_an_argument_with_a_default_is_the_function_s_own(clean_registry, space, theta, physical):
    @register_signal("spots.scaled")
    def scaled(model, scale=2.0):
        return scale * model.x

    (definition,) = registry.registered_signals()
    assert not definition.is_residual
    found = decode_signals([definition], theta, space, TRUTH, TRUTH)["spots.scaled"]
    np.testing.assert_allclose(found.values, 2 * physical[:, 0], rtol=1e-9)


@pytest.mark.parametrize("given", [{"needs": "binary.separation_as"}, {"labels": "AB"}])
def test_one_text_in_place_of_a_list_is_refused(clean_registry, given):
    with pytest.raises(TypeError, match=f"{next(iter(given))} of spots.bad"):
        register_signal("spots.bad", **given)(lambda model: model.x)
    assert registry.registered_signals() == ()


@pytest.mark.parametrize(
    "names",
    [
        ["spots.shape_nm", "spots.shape_rms_nm"],
        ["spots.shape_rms_nm", "spots.shape_nm"],
        ["binary.raw_flux_error_rms_ppm"],  # of a standard one
        ["eigen.coefficient_error_rms_sigma"],
    ],
)
def test_the_name_of_an_automatic_summary_is_refused(clean_registry, names):
    *before, last = names
    for name in before:
        register_signal(name)(lambda model: model.x)
    with pytest.raises(ValueError, match=r"_rms_\w+, which is what the automatic summary"):
        register_signal(last)(lambda model: model.x)
    assert [definition.name for definition in registry.registered_signals()] == before


def test_a_summary_takes_the_place_of_nothing(vector):
    other = Signal("primary.zernike_error_rms_nm", np.zeros(2))
    with pytest.raises(ValueError, match="primary.zernike_error_rms_nm"):
        with_summaries({vector.name: vector, other.name: other})


# ---- summaries


@pytest.fixture
def vector():
    values = np.array([[3.0, 4.0, 0.0, 0.0], [1.0, -1.0, 5.0, 1.0]])
    return Signal("primary.zernike_error_nm", values, ("Z4", "Z5", "Z6", "Z7"), np.zeros(()))


@pytest.mark.parametrize(
    ("how", "expected"), [("rms", [2.5, np.sqrt(7.0)]), ("norm", [5.0, np.sqrt(28.0)]), ("mean_abs", [1.75, 2.0])]
)
def test_summaries_of_a_vector(vector, how, expected):
    found = summarise(vector, how)
    np.testing.assert_allclose(found.values, expected)
    assert (found.name, found.unit) == (f"primary.zernike_error_{how}_nm", "nm")


def test_a_summary_is_about_the_truth():
    signal = Signal("a.b_nm", np.array([[3.0, 1.0]]), ("p", "q"), np.array([2.0, 1.0]))
    assert summarise(signal, "norm").values == pytest.approx([1.0])


def test_a_hybrid_has_the_total_and_the_components_that_end_largest(vector):
    found = hybrid(vector, top=2)
    assert found.labels == ("RMS", "Z6", "Z4")  # of equal ones the first
    np.testing.assert_allclose(found.values, [[2.5, 0.0, 3.0], [np.sqrt(7.0), 5.0, 1.0]])
    assert hybrid(vector, top=9).values.shape == (2, 5)


def test_a_hybrid_of_no_step_or_of_fewer_than_none_is_refused(vector):
    with pytest.raises(ValueError, match="got top=-1"):
        hybrid(vector, top=-1)
    with pytest.raises(ValueError, match="got no step"):
        hybrid(Signal("a.b_nm", np.zeros((0, 2)), ("p", "q")))
    assert hybrid(vector, top=0).labels == ("RMS",)


def test_what_has_no_components_has_no_summary(vector):
    with pytest.raises(ValueError, match="vector"):
        summarise(Signal("a.b", np.zeros(3)))
    with pytest.raises(ValueError, match="median"):
        summarise(vector, "median")


def test_each_vector_has_its_summary_after_it(vector):
    scalar = Signal("binary.x_error_uas", np.zeros(2))
    found = with_summaries({vector.name: vector, scalar.name: scalar}, ("rms", "norm"))
    assert list(found) == [
        "primary.zernike_error_nm",
        "primary.zernike_error_rms_nm",
        "primary.zernike_error_norm_nm",
        "binary.x_error_uas",
    ]


# ---- storage


def test_signals_come_back_from_plain_arrays(space, theta):
    signals = with_summaries(decode_signals(DEFINITIONS, theta, space, TRUTH, TRUTH))
    arrays = signal_arrays(signals, "abc")
    assert key_of(arrays) == "abc" and not any(array.dtype.hasobject for array in arrays.values())
    back = signals_from_arrays(arrays)
    assert list(back) == list(signals)
    for name, signal in signals.items():
        np.testing.assert_array_equal(back[name].values, signal.values)
        assert (back[name].labels, back[name].truth) == (signal.labels, signal.truth)


def test_the_key_follows_the_trace_and_what_the_functions_do(theta):
    key = signal_key({"theta": theta}, DEFINITIONS)
    assert key == signal_key({"theta": theta.copy()}, DEFINITIONS)
    moved = theta.copy()
    moved[-1, 0] = np.nextafter(moved[-1, 0], 1)
    other = SignalDefinition("spots.x_error_um", lambda model, truth: 19 * (model.x - truth.x))
    keys = {
        key,
        signal_key({"theta": moved}, DEFINITIONS),
        signal_key({"theta": theta}, DEFINITIONS[1:]),
        signal_key({"theta": theta}, (other, *DEFINITIONS[1:])),
    }
    assert len(keys) == 4


def closing_over(value):
    return lambda model: value * model.x


def with_default(value):
    def function(model, scale=value):
        return scale * model.x

    return function


def keyword(value):
    def function(model, *, scale=value):
        return scale * model.x

    return function


def helped(model):
    return SCALE * model.x


class Opaque:
    """Nobody can tell what it holds."""

    def __rmul__(self, other):
        return other


def key_with(function, **fields):
    return signal_key({"theta": np.zeros((1, 1))}, [SignalDefinition("spots.a_nm", function, **fields)])


@pytest.mark.parametrize(
    "pair",
    [
        (closing_over(1.0), closing_over(1000.0)),
        (closing_over(1), closing_over(True)),
        (closing_over({"a": [1.0]}), closing_over({"a": [2.0]})),
        (closing_over(np.arange(2.0)), closing_over(np.arange(1.0, 3.0))),
        (closing_over(jnp.ones(2)), closing_over(jnp.zeros(2))),
        (closing_over(closing_over(1.0)), closing_over(closing_over(2.0))),
        (with_default(1.0), with_default(2.0)),
        (keyword(1.0), keyword(2.0)),
        (functools.partial(jnp.sum, axis=0), functools.partial(jnp.sum, axis=1)),
        (lambda model: sum(x * 2.0 for x in [model]), lambda model: sum(x * 3.0 for x in [model])),
        (lambda model: (lambda x: (lambda y: y + 1)(x))(model), lambda model: (lambda x: (lambda y: y + 2)(x))(model)),
        (lambda model: model if model in {1, 2} else 0, lambda model: model if model in {1, 3} else 0),
        (lambda model: jnp.sin(model.x), lambda model: jnp.cos(model.x)),
    ],
)
def test_the_key_follows_what_a_function_sees(pair):
    keys = [key_with(function) for function in pair]
    assert "" not in keys and keys[0] != keys[1]
    assert keys == [key_with(function) for function in pair]


def test_the_key_follows_globals_and_the_functions_that_are_called(monkeypatch):
    key = key_with(lambda model: helped(model))
    monkeypatch.setitem(globals(), "SCALE", 5 * SCALE)
    assert "" != key != key_with(lambda model: helped(model))


def test_the_key_follows_what_is_kept_on_a_function():
    def function(model):
        return function.scale * model.x

    function.scale = 1.0
    key = key_with(function)
    function.scale = 2.0
    assert "" != key != key_with(function)


def test_the_key_follows_the_other_fields():
    fields = [{}, {"labels": ("A",)}, {"labels": ("B",)}, {"labels_of": "a.b"}, {"labels_of": "a.c"}, {"needs": ("a",)}]
    assert len({key_with(helped, **given) for given in fields}) == len(fields)


def test_the_same_function_made_again_has_the_same_key():
    assert key_with(closing_over(2.0)) == key_with(closing_over(2.0)) != ""


def nested(depth):
    value = 1.0
    for _ in range(depth):
        value = [value]
    return value


class Pair(NamedTuple):
    """What a property of it gives is not among its values."""

    a: float

    @property
    def twice(self):
        return 2 * self.a


UNTOLD = {"object": Opaque(), "class": Opaque, "list": [Opaque()], "model": TRUTH, "module": toy,
          "masked": np.ma.array([1.0, 2.0], mask=[False, True]), "named tuple": Pair(1.0), "key": jax.random.key(0),
          "deep": nested(5000)}  # fmt: skip


@pytest.mark.parametrize("value", UNTOLD.values(), ids=UNTOLD)
def test_what_sees_something_that_cannot_be_told_has_no_key(value):
    assert key_with(closing_over(value)) == ""


def imports_its_own(model):
    from toy import NPIX

    return NPIX * model.x


def imports_a_library(model):
    import jax.numpy

    return jax.numpy.sin(model.x)


def looks_anywhere(model):
    return globals()["SCALE"] * model.x


def test_what_leads_out_of_the_code_has_no_key():
    assert key_with(imports_its_own) == key_with(looks_anywhere) == key_with(lambda model: open(model)) == ""
    assert key_with(imports_a_library) != ""


def test_a_module_of_the_user_s_is_not_python_s_for_its_name(monkeypatch, tmp_path):
    (tmp_path / "profile.py").write_text("def f(model):\n    return 2 * model.x\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "profile", raising=False)
    function_state._is_pythons_own.cache_clear()
    own = importlib.import_module("profile").f
    monkeypatch.delitem(sys.modules, "profile")
    state = function_state.function_state(own)
    function_state._is_pythons_own.cache_clear()
    assert sys.version not in "".join(function_state._told(own, {})) and state


def test_names_of_arguments_count():
    def of(code):
        found = {}
        exec(f"def helper({code}): return a - b\ndef f(model): return helper(a=model.x, b=1.0)", found)
        return found["f"]

    assert key_with(of("a, b")) != key_with(of("b, a"))


def test_what_is_compiled_has_no_key():
    assert key_with(jax.jit(lambda model: model.x)) == ""


# ---- the standard ones, on an instrument


@pytest.fixture(scope="module")
def pair():
    """An instrument and its truth."""
    from small_instrument import small_instrument

    truth = small_instrument()
    changed = {
        "binary.x_position_as": 0.0200021,
        "binary.y_position_as": -0.0300007,
        "binary.separation_as": 0.8000005,
        "binary.position_angle_deg": 60.002 - 360.0,
        "binary.log_flux_total": 5.0 + np.log10(1.001),
        "binary.contrast": 3.37 * 1.002,
        "optics.m1.zernike_coeffs_nm": [1.0, -2.0, 0.5],
        "optics.m2.zernike_coeffs_nm": [0.0, 3.0, -4.0],
        "plate_scale_as": float(truth.plate_scale_as) * (1 + 250e-6),
    }
    return ds.set_values(truth, changed), truth


EXPECTED = {
    "binary.x_error_uas": 2.1,
    "binary.y_error_uas": -0.7,
    "binary.separation_error_uas": 0.5,
    "binary.position_angle_error_uas": 0.8e6 * np.deg2rad(0.002),  # the arc at the separation, about 27.9
    "system.plate_scale_error_ppm": 250.0,
    "binary.raw_flux_error_ppm": [
        1e6 * (1.001 * (3.37 * 1.002 / (1 + 3.37 * 1.002)) / (3.37 / 4.37) - 1),
        1e6 * (1.001 * (1 / (1 + 3.37 * 1.002)) / (1 / 4.37) - 1),
    ],
    "binary.contrast_error_ppm": 2000.0,
    "primary.zernike_error_nm": [1.0, -2.0, 0.5],
    "secondary.zernike_error_nm": [0.0, 3.0, -4.0],
}


def test_the_library_of_an_instrument_by_hand(pair):
    functions = {definition.name: definition.function for definition in STANDARD_SIGNALS}
    for name, expected in EXPECTED.items():
        np.testing.assert_allclose(functions[name](*pair), expected, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(functions[name](pair[1], pair[1]), 0.0, atol=1e-12, err_msg=name)


def test_the_library_along_a_trace(pair):
    model, truth = pair
    names = ["binary.*", "optics.m1.zernike_coeffs_nm", "optics.m2.zernike_coeffs_nm", "plate_scale_as"]
    space = ds.ThetaSpace(truth, names)
    theta = np.stack([np.asarray(space.pack(model)), np.asarray(space.pack(truth))])
    found = decode_signals(STANDARD_SIGNALS, theta, space, truth, truth)
    assert list(found) == list(EXPECTED)
    for name, expected in EXPECTED.items():
        np.testing.assert_allclose(found[name].values[0], expected, rtol=1e-6, err_msg=name)
    assert found["primary.zernike_error_nm"].labels == ("Z4", "Z5", "Z6")
    assert found["binary.raw_flux_error_ppm"].labels == ("A", "B")


def test_the_shorter_way_round(pair):
    truth = pair[1]
    for turn, expected in ((179.0, 179.0), (181.0, -179.0), (-360.5, -0.5)):
        model = ds.set_values(truth, {"binary.position_angle_deg": 60.0 + turn})
        arc = standard.position_angle_error_uas(model, truth)
        assert float(arc) == pytest.approx(0.8e6 * np.deg2rad(expected), rel=1e-9)
