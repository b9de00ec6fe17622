"""The binary star."""

import dLux.utils as dlu
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..optics import Stars
from ..params import Model, buffer, derived, param


class BinarySource(Model):
    """Two point sources about a common centre, in dLux's convention.

    Star A lies half the separation from the centre in the direction of the position angle, which turns from +row
    (+y) towards +column (+x); star B opposite.
    """

    x_position_as: Float[Array, ""] = param("arcsec", "Column position of the binary's centre.", symbol="x")
    y_position_as: Float[Array, ""] = param("arcsec", "Row position of the binary's centre.", symbol="y")
    separation_as: Float[Array, ""] = param("arcsec", "Distance between the stars.", symbol="s", bounds=(0.0, None))
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
    wavelengths_m: Float[Array, " k"] = buffer("Wavelengths at which the spectrum is sampled.", unit="m")
    spectral_weights: Float[Array, "..."] = buffer(
        "Photon weights, (k,) for both stars or (2, k) for one row each; rows are normalised where used."
    )

    @derived("", "Photons of star A and star B per exposure.", symbol="F_{A,B}")
    def raw_fluxes(self) -> Float[Array, "2"]:
        """Shape (2,)."""
        return dlu.fluxes_from_contrast(10**self.log_flux_total / 2, self.contrast)

    @derived("arcsec", "Positions (x, y) of star A and star B.", symbol=r"\mathbf{r}_{A,B}")
    def positions_as(self) -> Float[Array, "2 2"]:
        """Shape (2, 2): one row per star."""
        centre = jnp.stack([self.x_position_as, self.y_position_as])
        return dlu.positions_from_sep(centre, self.separation_as, dlu.deg2rad(self.position_angle_deg))

    def stars(self) -> Stars:
        """The two stars as the optics take them: radians, photons by wavelength, metres."""
        weights = jnp.broadcast_to(self.spectral_weights, (2, self.wavelengths_m.shape[0]))
        weights = weights / weights.sum(axis=1, keepdims=True)
        return Stars(dlu.arcsec2rad(self.positions_as), self.raw_fluxes[:, None] * weights, self.wavelengths_m)
