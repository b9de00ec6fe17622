"""A model of four numbers that compiles in no time, and the engines, for tests that cross one with the other."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import dluxshera as ds

SIDE = 6


class Decay(ds.Model):
    """A signal that falls off over 36 pixels; NaN where the rate is below zero."""

    level: Float[Array, ""] = ds.param("electron", "Signal of the first pixel.", bounds=(0.0, None))
    rate: Float[Array, ""] = ds.param("", "Fall over the image.")
    slope: Float[Array, ""] = ds.param("electron", "Rise over the image.")
    factor: Float[Array, ""] = ds.param("", "Of the level: only the product is seen.")
    silent: Float[Array, ""] = ds.param("", "Changes nothing.")

    def model(self):
        """Expected electrons."""
        t = jnp.linspace(0.0, 1.0, SIDE**2).reshape(SIDE, SIDE)
        fall = jnp.where(self.rate < 0, jnp.nan, jnp.exp(-self.rate * t))
        return self.factor * self.level * fall + self.slope * t + 50.0 + 0 * self.silent

    def variance(self, expected):
        """Photon noise."""
        return expected


def decay(**values):
    """The model at its usual values."""
    return Decay(**({"level": 400.0, "rate": 2.0, "slope": 30.0, "factor": 1.0, "silent": 0.0} | values))


def counts(model, seed=0):
    """An image drawn from a model."""
    return np.random.default_rng(seed).poisson(np.asarray(model.model())).astype(float)


def objective(free=("level", "rate", "slope"), seed=0, truth=None, **options):
    """Objective of a Gaussian likelihood with the variance of the truth."""
    truth = decay() if truth is None else truth
    observation = ds.Observation(counts(truth, seed), truth.model())
    return ds.Objective(decay(), ds.ThetaSpace(decay(), list(free), **options), observation, "gaussian")


def engines(max_steps=400):
    """Every engine, with rates that suit the model."""
    return {
        "lm": ds.LevenbergMarquardt(max_steps=min(max_steps, 60)),
        "gauss_newton": ds.GaussNewton(max_steps=min(max_steps, 60)),
        "undamped": ds.GaussNewton(max_steps=min(max_steps, 60), line_search=False),
        "dogleg": ds.Dogleg(max_steps=min(max_steps, 60)),
        "bfgs": ds.BFGS(max_steps=max_steps),
        "lbfgs": ds.LBFGS(max_steps=max_steps),
        "gd": ds.SimpleGD(max_steps=max_steps),
        "adam": ds.adam(0.02, max_steps=max_steps),
        "sgd": ds.sgd(2e-5, max_steps=max_steps, momentum=0.9),
    }


NAMES = tuple(engines())
SECOND_ORDER = ("lm", "gauss_newton", "undamped", "dogleg")
QUASI_NEWTON = ("bfgs", "lbfgs")
