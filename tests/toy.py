"""Two blurred spots in closed form: a model of a dozen lines that compiles at once, for tests of inference."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import dluxshera as ds

NPIX = 12
FREE = ["x", "separation", "log_flux", "contrast", "shape"]


def _solve_width(spots, value):
    return ds.params.replace_paths(spots, {"area": value**2})


class Spots(ds.Model):
    """Two Gaussian spots on a row, with what an instrument has: bounds, vectors, a dead and a redundant parameter."""

    x: Float[Array, ""] = ds.param("pixel", "Position of their centre.")
    separation: Float[Array, ""] = ds.param("pixel", "Distance between them.", bounds=(0.0, None))
    log_flux: Float[Array, ""] = ds.param("", "log10 of all electrons.", bounds=(-5.0, 20.0))
    contrast: Float[Array, ""] = ds.param("", "Flux of the left one over the right one.", bounds=(0.0, None))
    area: Float[Array, ""] = ds.param("pixel2", "Variance of a spot.", bounds=(0.1, None))
    throughput: Float[Array, ""] = ds.param("", "Fraction passed; redundant with the flux.", bounds=(0.0, 1.0))
    silent: Float[Array, ""] = ds.param("", "Changes nothing.")
    shape: Float[Array, " k"] = ds.param("", "Logarithmic curvature of the illumination, by column and row.")
    read_noise: Float[Array, ""] = ds.param("electron", "Read noise.", bounds=(0.0, None))
    background: Float[Array, "n n"] = ds.buffer("Electrons under the spots.")
    exponent: int = ds.static("Power of the distance.")

    @ds.derived("pixel", "Standard deviation of a spot.", solve=_solve_width, solves_for=lambda spots: ("area",))
    def width(self) -> Float[Array, ""]:
        """Square root of the area."""
        return jnp.sqrt(self.area)

    @ds.derived("electron", "Electrons of the two.")
    def fluxes(self) -> Float[Array, "2"]:
        """Shape (2,)."""
        share = self.contrast / (1 + self.contrast)
        return 10**self.log_flux * jnp.stack([share, 1 - share])

    def model(self) -> Float[Array, "n n"]:
        """Expected electrons of one exposure."""
        at = jnp.arange(float(NPIX)) - (NPIX - 1) / 2
        spot = lambda x: jnp.exp(-(jnp.abs(at - x) ** self.exponent) / (2 * self.area))  # noqa: E731
        left, right = (spot(self.x + side * self.separation / 2) for side in (-1, 1))
        row = self.fluxes[0] * left + self.fluxes[1] * right
        tilt = jnp.exp(self.shape[0] * (at / NPIX) ** 2 + self.shape[1] * (at[:, None] / NPIX) ** 2)
        return self.throughput * spot(0.0)[:, None] * row * tilt / (2 * jnp.pi * self.area) + self.background

    def variance(self, expected: Float[Array, "..."]) -> Float[Array, "..."]:
        """Photon and read noise."""
        return expected + self.read_noise**2


def spots(**values):
    """The model at its usual values; keyword arguments replace some."""
    usual = {
        "x": 0.3,
        "separation": 4.0,
        "log_flux": 5.0,
        "contrast": 2.0,
        "area": 2.0,
        "throughput": 0.9,
        "silent": 0.0,
        "shape": [0.1, -0.2],
        "read_noise": 0.0,
        "background": jnp.ones((NPIX, NPIX)),
        "exponent": 2,
    }
    return Spots(**(usual | values))


def poisson(model, seed=0, exposures=1):
    """Counts drawn from a model."""
    counts = np.random.default_rng(seed).poisson(exposures * np.asarray(model.model())).astype(float)
    return ds.Observation(counts, exposures * model.variance(model.model()), exposures=exposures)
