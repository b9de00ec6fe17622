"""exp(i x) for real x, written so that the compiler can vectorise it."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

# pi/2 in parts, all but the last with trailing zeros so that products with small integers are exact (fdlibm, Cephes).
_HALF_PI = {
    8: (1.57079632673412561417e00, 6.07710050650619224932e-11),
    4: (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8),
}
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(9)]


def _polynomial(coefficients: list[float], z: Float[Array, "..."]) -> Float[Array, "..."]:
    value = jnp.full_like(z, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * z + coefficient
    return value


@jax.custom_jvp
def phasor(x: Float[Array, "..."]) -> Complex[Array, "..."]:
    """exp(i x), x in radians, good to rounding for |x| below 1e6 (double) or 1e3 (single precision).

    XLA calls a scalar library routine for sine and cosine in double precision; Taylor polynomials after a
    reduction by multiples of pi/2 run several times faster and are as accurate.
    """
    quarter = jnp.round(x * (2 / math.pi))
    reduced = x
    for part in _HALF_PI[x.dtype.itemsize]:
        reduced = reduced - quarter * part
    square = reduced * reduced
    sine, cosine = reduced * _polynomial(_SINE, square), _polynomial(_COSINE, square)
    quadrant = quarter - 4 * jnp.floor(quarter / 4)
    swapped = (quadrant == 1) | (quadrant == 3)
    real, imag = jnp.where(swapped, sine, cosine), jnp.where(swapped, cosine, sine)
    real = jnp.where((quadrant == 1) | (quadrant == 2), -real, real)
    return jax.lax.complex(real, jnp.where(quadrant >= 2, -imag, imag))


@phasor.defjvp
def _phasor_jvp(primals, tangents):
    value = phasor(*primals)
    (x_dot,) = tangents
    return value, jax.lax.complex(-value.imag * x_dot, value.real * x_dot)


def wave(amplitude: Float[Array, "..."], phase: Float[Array, "..."]) -> Complex[Array, "..."]:
    """amplitude exp(i phase), with two real products for a complex one; nor is the amplitude stored as complex."""
    unit = phasor(phase)
    return jax.lax.complex(amplitude * unit.real, amplitude * unit.imag)
