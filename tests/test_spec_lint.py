"""Declarations of all profiles: units, descriptions, symbols, bounds, priors; and the page that lists them."""

import importlib.util
from pathlib import Path

import equinox as eqx
import numpy as np
import pytest
from jaxtyping import Array, Float
from tiny import TINY, load

import dluxshera as ds
from dluxshera.config import default_space, read_profile
from dluxshera.params import LogNormal, Model, Normal, TruncatedNormal, Uniform, conflicting_units, derived, lint, param

pytestmark = pytest.mark.filterwarnings("ignore::dluxshera.optics.SamplingWarning")
PAGE = Path(__file__).parents[1] / "docs" / "parameters.py"


@pytest.fixture(scope="module")
def models():
    return {name: load(name, TINY) for name in ds.profile_names()}


@pytest.mark.parametrize("name", ds.profile_names())
def test_declarations_and_priors_of_a_profile(models, name):
    space = default_space(models[name], read_profile(name, TINY), priors=True)
    priors = {path: prior for path, prior in zip(space.names, space.priors, strict=True) if prior is not None}
    assert len(priors) >= 7
    assert lint(models[name], priors) == []


def test_a_name_has_one_unit_in_all_systems(models):
    assert conflicting_units(models.values()) == []


def test_every_parameter_is_listed_once(models):
    for model in models.values():
        paths = [row["path"] for row in ds.describe(model).rows]
        assert len(paths) == len(set(paths)) > 20


# ---- the lint itself finds what is wrong


class Good(Model):
    width_nm: Float[Array, ""] = param("nm", "Width.", symbol="w", bounds=(0.0, 10.0), default=1.0)


def broken(name="width_nm", unit="nm", doc="Width.", value=1.0, **declared):
    """A model with one parameter."""
    declared = {"symbol": "w", "bounds": (0.0, 10.0)} | declared
    fields = {"__annotations__": {name: Float[Array, ""]}, name: param(unit, doc, **declared), "__module__": __name__}
    return type("Broken", (Model,), fields)(value)


BROKEN = [
    (dict(doc=""), "ends in a full stop, got ''"),
    (dict(doc="Width"), "ends in a full stop, got 'Width'"),
    (dict(symbol=None), "Expected a symbol, got none"),
    (dict(unit="nanometers per flush"), "a unit that astropy knows"),
    (dict(unit="m"), "Expected a unit of ('nm',) for this name, got 'm'"),
    (dict(name="width", unit="nm"), "for this name, got 'nm'"),
    (dict(name="width_as", unit="deg"), "for this name, got 'deg'"),
    (dict(value=11.0), "Expected a value in [0, 10], got 11"),
    (dict(default=-1.0), "The default: Expected a value in [0, 10], got -1"),
    (dict(prior=Normal(0.5, 0.2)), "Expected a prior inside the bounds [0, 10]"),
    (dict(prior=Uniform(0.0, 10.1)), "Expected a prior inside the bounds"),
    (dict(prior=TruncatedNormal(1.0, 1e-3, -1.0, 2.0)), "Expected a prior inside the bounds"),
    (dict(prior=LogNormal(2.0, 1.0)), "Expected a prior inside the bounds"),
]


@pytest.mark.parametrize(("declared", "message"), BROKEN)
def test_what_is_wrong_is_said(declared, message):
    (found,) = lint(broken(**declared))
    assert message in found and found.startswith(declared.get("name", "width_nm") + ": ")


@pytest.mark.parametrize("prior", [Normal(5.0, 0.5), Uniform(0.0, 10.0), LogNormal(0.0, 0.1), Normal([4.0, 5.0], 0.5)])
def test_what_is_fine_is_fine(prior):
    assert lint(broken(prior=prior)) == [] and lint(Good(), {"width_nm": prior}) == []


def test_priors_given_besides_and_strangers():
    assert len(lint(Good(), {"width_nm": Normal(0.0, 1.0)})) == 1
    assert lint(Good(), {"height_nm": Normal(5.0, 1.0)}) == ["height_nm: a prior of something that is no parameter."]


def test_one_name_with_two_units_is_found():
    class Other(Model):
        @derived("m", "Width.", symbol="w")
        def width_nm(self):
            return np.ones(())

    (found,) = conflicting_units([Good(), Other()])
    assert found == "width_nm: Good.width_nm in 'nm', Other.width_nm in 'm'."


@pytest.mark.parametrize(
    "prior", [Normal(1.0, 0.5), TruncatedNormal(1.0, 0.5, 0.2, 1.7), LogNormal(0.1, 0.4), Uniform(0.2, 1.7)]
)
def test_the_distribution_function_is_the_integral_of_the_density(prior):
    x = np.linspace(-3, 6, 9001)
    density = np.exp(np.asarray(prior.log_prob(x)))
    integral = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    np.testing.assert_allclose(eqx.filter_jit(type(prior).cdf)(prior, x), integral, atol=1e-3)


# ---- the page


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("parameters_page", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page()


def test_the_committed_page_is_up_to_date(page):
    assert PAGE.with_suffix(".md").read_text(encoding="utf-8") == page, "run python docs/parameters.py"


def test_the_page_lists_every_parameter_of_every_profile(models, page):
    for name, model in models.items():
        assert name in page
        for row in ds.describe(model).rows:
            assert f"`{row['path']}`" in page and row["doc"] in page, row["path"]
