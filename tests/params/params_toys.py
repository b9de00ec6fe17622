"""Small nested models on which the parameter tests work."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from dluxshera.params import Model, Normal, Uniform, buffer, derived, param, static


def noll_labels(mirror):
    return [f"Z{index}" for index in mirror.noll_indices]


class Mirror(Model):
    focal_length: Float[Array, ""] = param("m", "Focal length", symbol="f", bounds=(None, None))
    zernike_coeffs_nm: Float[Array, " n"] = param(
        "nm", "Zernike coefficients", shape=("noll_indices",), element_labels=noll_labels
    )
    transmission: Float[Array, "n n"] = buffer("Pupil mask")
    wavefront_error_m: Float[Array, "n n"] | None = buffer("Map", unit="m", optional=True)
    noll_indices: tuple[int, ...] = static("Noll indices", default=(4, 5, 6))


class AbstractTelescope(Model):
    focal_length: eqx.AbstractVar[Float[Array, ""]]


class SimpleTelescope(AbstractTelescope):
    focal_length: Float[Array, ""] = param("m", "Focal length", bounds=(0, None), default=10.0)
    m1: Mirror = eqx.field(default_factory=lambda: mirror())


def solve_separation(telescope, value):
    f1, f2 = telescope.m1.focal_length, telescope.m2.focal_length
    separation = f1 + f2 - f1 * f2 / value
    return eqx.tree_at(lambda t: t.plane_separation, telescope, separation)


class TwoMirrorTelescope(AbstractTelescope):
    m1: Mirror
    m2: Mirror
    plane_separation: Float[Array, ""] = param("m", "Distance of the mirrors", bounds=(0.0, 5.0))

    @derived(
        "m",
        "System focal length",
        "F",
        solve=solve_separation,
        solves_for=lambda telescope: ("plane_separation",),
    )
    def focal_length(self) -> Float[Array, ""]:
        f1, f2 = self.m1.focal_length, self.m2.focal_length
        return f1 * f2 / (f1 + f2 - self.plane_separation)


class Binary(Model):
    separation_as: Float[Array, ""] = param(
        "arcsec", "Separation", bounds=(0, None), prior=Normal(10.0, 0.1), default=10.0
    )
    position_angle_deg: Float[Array, ""] = param("deg", "Position angle", default=90.0)
    contrast: Float[Array, ""] = param("", "Flux ratio", bounds=(0.1, 10.0), prior=Uniform(0.1, 10.0), default=3.0)
    wavelengths_m: Float[Array, " n"] = buffer("Wavelengths", unit="m", default=[5e-7, 6e-7])

    @derived("arcsec", "Half the separation")
    def half_separation_as(self) -> Float[Array, ""]:
        return self.separation_as / 2


class Instrument(Model):
    binary: Binary
    optics: AbstractTelescope
    pixel_pitch: Float[Array, ""] = param("m", "Pixel pitch", bounds=(1e-7, 1e-3), default=1e-5, block="detector")

    @derived(
        "rad",
        "Plate scale",
        bounds=(0, None),
        solve=lambda instrument, value: solve_scale(instrument, value),
        solves_for=lambda instrument: scale_primitives(instrument),
    )
    def plate_scale(self) -> Float[Array, ""]:
        return self.pixel_pitch / self.optics.focal_length

    @derived("m", "The mirror's focal length, a nested leaf as it is")
    def shortcut(self) -> Float[Array, ""]:
        return self.optics.m1.focal_length


def scale_primitives(instrument):
    names = {SimpleTelescope: "optics.focal_length", TwoMirrorTelescope: "optics.plane_separation"}
    return (names[type(instrument.optics)],)


def solve_scale(instrument, value):
    focal_length = instrument.pixel_pitch / value
    if type(instrument.optics) is SimpleTelescope:
        return eqx.tree_at(lambda i: i.optics.focal_length, instrument, focal_length)
    return eqx.tree_at(lambda i: i.optics, instrument, solve_separation(instrument.optics, focal_length))


def mirror(focal_length=1.3, nolls=(4, 5, 6)):
    coefficients = jnp.arange(1.0, len(nolls) + 1)
    return Mirror(focal_length, coefficients, jnp.ones((4, 4)), noll_indices=nolls)


def simple_instrument():
    return Instrument(Binary(), SimpleTelescope())


def two_mirror_instrument(**binary):
    optics = TwoMirrorTelescope(m1=mirror(), m2=mirror(-0.3, (4, 6)), plane_separation=1.05)
    return Instrument(Binary(**binary), optics)
