"""A weak grating in the pupil: it sends some light to the corners of the detector, spread by wavelength."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..params import Model, param

_NANOMETRE = 1e-9
_POINTS = 128  # of the Bessel integral; exact to rounding for phases up to some 50 radians


class Grating(Model):
    """Two crossed sinusoidal phase gratings, their lines along the diagonals of the pupil.

    The field is multiplied by exp(i m [sin(2 pi u / period) + sin(2 pi v / period)]) with u, v = (x +- y) / sqrt(2)
    and m = pi depth / wavelength. Order (p, q) then has the amplitude J_p(m) J_q(m) (Goodman, Introduction to
    Fourier Optics, section 4.4) and leaves at the angle wavelength / period times p along u and q along v.
    """

    depth_nm: Float[Array, ""] = param(
        "nm", "Optical path difference between crest and valley of each sinusoid.", symbol="h_g", bounds=(0.0, 5000.0)
    )
    period: Float[Array, ""] = param("m", "Period of each sinusoid.", symbol=r"\Lambda", bounds=(1e-6, None))

    def central_efficiency(self, wavelengths: Float[Array, "..."]) -> Float[Array, "..."]:
        """Fraction (...) of the light that goes straight on, J_0^4; `wavelengths` (...) in metres."""
        return bessel(0, self._phase(wavelengths)) ** 4

    def corner_efficiency(self, wavelengths: Float[Array, "..."]) -> Float[Array, "..."]:
        """Fraction (...) of the light that goes to each corner, J_0^2 J_1^2; `wavelengths` (...) in metres."""
        phase = self._phase(wavelengths)
        return bessel(0, phase) ** 2 * bessel(1, phase) ** 2

    def deflection(self, wavelengths: Float[Array, "..."]) -> Float[Array, "..."]:
        """Angle (...), radians, of a corner from the centre along either axis; `wavelengths` (...) in metres."""
        return wavelengths / (jnp.sqrt(2.0) * self.period)

    def _phase(self, wavelengths: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.pi * _NANOMETRE * self.depth_nm / wavelengths


def bessel(order: int, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Bessel function of the first kind, the mean of cos(order t - x sin t) over a turn (Bessel's integral)."""
    t = jnp.asarray(2 * np.pi * np.arange(_POINTS) / _POINTS, x.dtype)
    return jnp.cos(order * t - x[..., None] * jnp.sin(t)).mean(-1)
