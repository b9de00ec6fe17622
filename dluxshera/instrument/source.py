"""The binary star."""

import dLux.utils as dlu
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..optics import Stars
from ..params import Model, buffer, derived, param


def _with_raw_fluxes(binary: "BinarySource", value: Float[Array, "2"]) -> "BinarySource":
    """The binary whose stars give `value` photons per exposure."""
    solved = jnp.log10(value[0] + value[1]), value[0] / value[1]
    return eqx.tree_at(lambda b: (b.log_flux_total, b.contrast), binary, solved)


def _with_positions(binary: "BinarySource", value: Float[Array, "2 2"]) -> "BinarySource":
    """The binary whose stars lie at `value`, arcsec; the position angle takes the turn nearest to the present one."""
    (x, y), (dx, dy) = (value[0] + value[1]) / 2, value[0] - value[1]
    angle, present = dlu.rad2deg(jnp.arctan2(dx, dy)), binary.position_angle_deg
    angle = present + jnp.mod(angle - present + 180, 360) - 180
    where = lambda b: (b.x_position_as, b.y_position_as, b.separation_as, b.position_angle_deg)  # noqa: E731
    return eqx.tree_at(where, binary, (x, y, jnp.hypot(dx, dy), angle))


class BinarySource(Model):
    """Two point sources about a common centre, in dLux's convention.

    Star A lies half the separation from the centre in the direction of the position angle, which turns from +row
    (+y) towards +column (+x); star B opposite.
    """

    x_position_as: Float[Array, ""] = param(
        "arcsec", "Column position of the binary's centre.", symbol="x", slip_above=3600.0
    )
    y_position_as: Float[Array, ""] = param(
        "arcsec", "Row position of the binary's centre.", symbol="y", slip_above=3600.0
    )
    separation_as: Float[Array, ""] = param(
        "arcsec", "Distance between the stars.", symbol="s", bounds=(0.0, None), slip_above=3600.0
    )
    position_angle_deg: Float[Array, ""] = param(
        "deg", "Direction of star A, from +row towards +column.", symbol=r"\theta"
    )
    log_flux_total: Float[Array, ""] = param(
        "",
        "log10 of the photons per exposure through the aperture, both stars.",
        symbol=r"\log F",
        bounds=(-5.0, 20.0),
    )
    contrast: Float[Array, ""] = param("", "Flux of star A over star B.", symbol="c", bounds=(0.0, None))
    wavelengths_m: Float[Array, " k"] = buffer(
        "Wavelengths at which the spectrum is sampled.", unit="m", slip_above=1e-4
    )
    spectral_weights: Float[Array, "..."] = buffer(
        "Photon weights, (k,) for both stars or (2, k) for one row each; rows are normalised where used."
    )

    @derived(
        "",
        "Photons of star A and star B per exposure.",
        symbol="F_{A,B}",
        bounds=(0.0, None),
        solve=_with_raw_fluxes,
        solves_for=lambda binary: ("log_flux_total", "contrast"),
    )
    def raw_fluxes(self) -> Float[Array, "2"]:
        """Shape (2,)."""
        return dlu.fluxes_from_contrast(10**self.log_flux_total / 2, self.contrast)

    @derived(
        "arcsec",
        "Positions (x, y) of star A and star B.",
        symbol=r"\mathbf{r}_{A,B}",
        solve=_with_positions,
        solves_for=lambda binary: ("x_position_as", "y_position_as", "separation_as", "position_angle_deg"),
    )
    def positions_as(self) -> Float[Array, "2 2"]:
        """Shape (2, 2): one row per star."""
        centre = jnp.stack([self.x_position_as, self.y_position_as])
        return dlu.positions_from_sep(centre, self.separation_as, dlu.deg2rad(self.position_angle_deg))

    def stars(self) -> Stars:
        """The two stars as the optics take them: radians, photons by wavelength, metres."""
        weights = jnp.broadcast_to(self.spectral_weights, (2, self.wavelengths_m.shape[0]))
        weights = weights / weights.sum(axis=1, keepdims=True)
        return Stars(dlu.arcsec2rad(self.positions_as), self.raw_fluxes[:, None] * weights, self.wavelengths_m)
