"""Forecasts against inverted information, biases against refits, and what is not determined."""

import jax.numpy as jnp
import numpy as np
import pytest
from decay import decay
from tiny import edit, tiny
from toy import spots

import dluxshera as ds
from dluxshera.plotting.budget import plot_error_budget, plot_sweep

NAMES = ["x", "separation", "log_flux", "contrast", "shape"]


@pytest.fixture(scope="module")
def model():
    return spots(read_noise=3.0)


@pytest.fixture(scope="module")
def space(model):
    return ds.ThetaSpace(model, NAMES, overrides={"separation": {"prior": ds.Normal(4.0, 1e-3)}})


@pytest.fixture(scope="module")
def found(model, space):
    return ds.forecast(model, space, 100, groups={"flux": ["log_flux", "contrast"], "lamp": ["shape"]})


@pytest.fixture(scope="module")
def jacobian(model, space):
    """By central differences in the physical values, (D, pixels)."""
    values = np.asarray(space.physical(space.pack(model)))
    image = lambda v: np.asarray(space.unpack(space.from_physical(jnp.asarray(v)), model).model()).ravel()  # noqa: E731
    steps = 1e-5 * np.eye(values.size)
    return np.stack([(image(values + h) - image(values - h)) / 2e-5 for h in steps])


def test_stages_are_inverses_of_what_is_free(found, model, jacobian):
    expected = np.asarray(model.model()).ravel()
    information = 100 * (jacobian / (expected + 9.0)) @ jacobian.T
    flux, lamp = [2, 3], [4, 5]
    for label, i in (("separation", 1), ("x", 0), ("log_flux", 2)):
        for stage, others in (("alone", []), ("+ flux", flux), ("+ lamp", flux + lamp)):
            free = sorted({i, *others})
            bound = np.sqrt(np.linalg.inv(information[np.ix_(free, free)])[free.index(i), free.index(i)])
            assert found.sigma(label, stage) == pytest.approx(bound, rel=1e-6)
    assert found.stages == ("alone", "+ flux", "+ lamp")


def test_all_free_is_the_fit_s_own_covariance(model, space):
    """The default groups cover everything, so that the last stage is the inverse of the whole information."""
    found = ds.forecast(model, space)
    information = found.information()
    assert found.bounds()[-1] == pytest.approx(np.sqrt(np.diagonal(np.linalg.inv(information))), rel=1e-9)
    assert (np.diff(found.bounds(), axis=0) > -1e-12).all()  # freeing more never helps


def test_noise_and_exposures(found):
    assert (found.bounds("photon") < found.bounds()).all()
    np.testing.assert_allclose(found.scaled(400).bounds(), found.bounds() / 2, rtol=1e-12)
    with pytest.raises(ValueError, match="exposures above zero"):
        found.scaled(0)
    with pytest.raises(ValueError, match="noise of 'photon' or 'detector'"):
        found.bounds("thermal")


def test_priors_are_kept_apart(found):
    with_prior, without = found.sigma("separation", priors=True), found.sigma("separation")
    assert with_prior < 1e-3 < without * 10
    assert found.rows[1]["with priors"] == with_prior
    data = 1 / found.sigma("separation", "alone") ** 2
    assert found.bounds(priors=True)[0, 1] == pytest.approx((data + 1e6) ** -0.5, rel=1e-6)


def test_what_is_not_determined_is_infinite(model):
    found = ds.forecast(model, ds.ThetaSpace(model, ["x", "log_flux", "throughput", "silent"]))
    assert np.isinf([found.sigma(name) for name in ("log_flux", "throughput", "silent")]).all()
    assert np.isfinite(found.sigma("x")) and np.isfinite(found.sigma("log_flux", "alone"))
    assert np.isinf(found.sigma("silent", "alone"))
    assert found.identifiability.dead == ("silent",)
    assert "inf" in str(found)
    budget = ds.error_budget(found, "log_flux")
    assert np.isinf(budget.total)
    added = [term.value for term in budget.terms[1:-1]]
    first = int(np.argmax(np.isinf(added)))
    assert np.isfinite(added[:first]).all() and np.isinf(added[first])
    assert len(added) > first + 1 and np.isnan(added[first + 1 :]).all()  # nothing can be added to infinity
    assert "not determined" in {text.get_text() for text in plot_error_budget(budget).axes[0].texts}


def test_names_that_do_not_exist(found, model, space):
    with pytest.raises(ds.ParameterError, match="a label among x, separation.*'y'"):
        found.sigma("y")
    with pytest.raises(ds.ParameterError, match="a stage among alone.*'all'"):
        found.sigma("x", "all")
    with pytest.raises(ds.ParameterError, match="got 'nothing'"):
        ds.forecast(model, space, groups={"g": ["nothing"]})
    with pytest.raises(ds.ParameterError, match="a label among"):
        ds.error_budget(found, "y")


def test_the_budget_adds_up_to_the_bound(found):
    budget = ds.error_budget(found, "separation", {"knowledge of x": -0.01})
    names = [term.name for term in budget.terms]
    assert names == ["photon noise", "freeing flux", "freeing lamp", "read noise and quantisation", "knowledge of x",
                     "total"]  # fmt: skip
    assert budget.total == pytest.approx(np.hypot(found.sigma("separation"), 0.01))
    assert str(budget).count("\n") == len(names)


def test_the_budget_with_priors_adds_up_to_the_bound_with_priors(found):
    budget = ds.error_budget(found, "separation", priors=True)
    terms = {term.name: term for term in budget.terms}
    assert budget.total == pytest.approx(found.sigma("separation", priors=True))
    share = terms["of these, the priors' own error"]
    assert share.kind == "share" and 0 < share.value < budget.total
    alone = ds.error_budget(found.scaled(1e12), "separation", priors=True)  # data without end
    assert alone.terms[-2].value < 1e-3 * alone.total


def test_noise_and_priors_share_the_variance(model):
    """One parameter, a prior as narrow as the data: half of the variance each."""
    space = ds.ThetaSpace(model, ["x"])
    sigma = ds.forecast(model, space).sigma("x")
    prior = {"x": ds.Normal(float(model.x), sigma)}
    found = ds.forecast(model, ds.ThetaSpace(model, ["x"], priors=prior))
    assert found.prior_share("x") == pytest.approx(0.5, rel=1e-6)
    assert ds.forecast(model, space).prior_share("x") == 0


def test_bias_is_that_of_a_refit_and_grows_with_the_error(model):
    space = ds.ThetaSpace(model, ["x", "separation", "log_flux", "contrast"])
    biases = []
    for error in (1e-3, 1e-2, -1e-2):
        truth = ds.set_values(model, {"shape[0]": 0.1 + error})
        found = ds.bias_forecast(model, space, truth, refit=True)
        np.testing.assert_allclose(found.linear, found.refit, rtol=0.05, atol=1e-3 * abs(found.linear).max())
        biases.append(found.of("separation"))
    assert biases[1] / biases[0] == pytest.approx(10, rel=0.02)
    assert biases[2] == pytest.approx(-biases[1], rel=0.02)
    assert found.rows[1]["refit"] == pytest.approx(biases[2], rel=0.05)


def test_bias_of_what_is_not_determined_is_unknown(model):
    space = ds.ThetaSpace(model, ["x", "log_flux", "throughput"])
    found = ds.bias_forecast(model, space, ds.set_values(model, {"separation": 4.01}))
    assert np.isfinite(found.of("x")) and np.isnan(found.of("throughput"))
    with pytest.warns(ds.IdentifiabilityWarning):
        checked = ds.bias_forecast(model, space, ds.set_values(model, {"separation": 4.01}), refit=True)
    np.testing.assert_array_equal(np.isnan(checked.refit), np.isnan(found.linear))


@pytest.mark.parametrize("exposures", [0, -1, np.nan])
def test_a_bias_needs_light(exposures, model, space):
    with pytest.raises(ValueError, match="exposures above zero"):
        ds.bias_forecast(model, space, model, exposures)
    with pytest.raises(ValueError, match="exposures above zero"):
        ds.sensitivities(model, space, {}, exposures)


def test_sensitivities_are_the_slope_of_the_bias(model):
    space = ds.ThetaSpace(model, ["x", "separation", "log_flux", "contrast"])
    changes = {
        "lamp": lambda m, a: edit(m, {"shape": m.shape + jnp.array([a, 0.0])}),
        "area": lambda m, a: edit(m, {"area": m.area + a}),
    }
    found = ds.sensitivities(model, space, changes)
    for name, change in changes.items():
        up, down = (ds.bias_forecast(model, space, change(model, h)).linear for h in (1e-4, -1e-4))
        row = found.matrix[list(changes).index(name)]
        np.testing.assert_allclose(row, (up - down) / 2e-4, rtol=1e-4, atol=1e-6 * abs(row).max())
    assert found.of("separation")["area"] == found.matrix[1, 1]
    with pytest.raises(ds.ParameterError, match="got 'y'"):
        found.of("y")


def test_a_sweep_follows_the_parabola_at_the_optimum(model, space):
    objective = ds.Objective(model, space, ds.Observation(model.model()))
    theta = space.pack(model)
    sigma = ds.forecast(model, space).sigma("x", "alone")
    near = ds.sweep(objective, theta, "x", 0.3 + sigma * np.linspace(-1, 1, 5))
    np.testing.assert_allclose(near.loss - near.loss[2], near.parabola - near.loss[2], atol=0.01)
    np.testing.assert_allclose(near.parabola - near.parabola[2], 0.5 * np.array([1, 0.25, 0, 0.25, 1]), rtol=1e-3)
    assert near.unit == "pixel" and len(plot_sweep(near).axes[0].lines) == 2
    with pytest.raises(ValueError, match="one element"):
        ds.sweep(objective, theta, "shape", [0.1])
    with pytest.raises(ds.ParameterError, match="separation: Expected a value strictly between"):
        ds.sweep(objective, theta, "separation", [-1.0])
    for values in ([], 1.0):
        with pytest.raises(ValueError, match="one at least"):
            ds.sweep(objective, theta, "x", values)


@pytest.mark.parametrize("name", ["shera_flight", "shera_flight_two_plane", "shera_flight_four_plane"])
def test_a_held_detector_stays_where_it_is(name):
    model = tiny(name)
    held, following = ds.geometry_changes(model, True), ds.geometry_changes(model, False)
    assert held.keys() == following.keys() >= {"optics.m1.diameter", "detector.pixel_pitch", "optics.focus_shift"}
    before, amount = model.optics.focus(), jnp.asarray(1e-6)
    moves = {"optics.plane_separation": 0.0 if "four" in name else 1e-6, "optics.relay.separation": -1e-6}
    for path in held.keys() - {"optics.focus_shift"}:
        changed = held[path](model, amount)
        distance = changed.optics.focus().detector_distance
        assert distance == pytest.approx(float(before.detector_distance) + moves.get(path, 0.0), abs=1e-12)
        assert ds.get_value(changed, path) == pytest.approx(float(ds.get_value(model, path)) + 1e-6, abs=1e-14)
        moved = following[path](model, amount)
        assert moved.optics.focus_shift == model.optics.focus_shift


def test_a_refit_that_has_not_converged_is_said(model):
    space, truth = ds.ThetaSpace(model, ["x", "separation"]), ds.set_values(model, {"shape[0]": 0.2})
    with pytest.warns(ds.ConvergenceWarning, match="step limit reached after 1 steps"):
        short = ds.bias_forecast(model, space, truth, refit=True, engine=ds.GaussNewton(max_steps=1, line_search=False))
    assert short.refit_result == "step limit reached" and np.isfinite(short.refit).all()
    whole = ds.bias_forecast(model, space, truth, refit=True)
    assert whole.refit_result.is_convergence
    assert ds.bias_forecast(model, space, truth).refit_result is None


def test_a_signal_that_is_not_finite_is_no_dead_parameter():
    dark = decay(rate=-1.0)
    space = ds.ThetaSpace(dark, ["level", "rate"])
    for ask in (ds.forecast, lambda m, s: ds.bias_forecast(m, s, m)):
        with pytest.raises(ValueError, match="finite image of the model, got 36 pixels"):
            ask(dark, space)
