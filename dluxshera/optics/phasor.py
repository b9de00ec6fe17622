"""exp(i x) for real x, written so that the compiler can vectorise it."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

# pi/2 in two parts, the first with trailing zeros so that a product with a small integer is exact (fdlibm).
_HALF_PI_HIGH, _HALF_PI_LOW = 1.57079632673412561417e00, 6.07710050650619224932e-11
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(9)]


def _polynomial(coefficients: list[float], z: Float[Array, "..."]) -> Float[Array, "..."]:
    value = jnp.full_like(z, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * z + coefficient
    return value


@jax.custom_jvp
def phasor(x: Float[Array, "..."]) -> Complex[Array, "..."]:
    """exp(i x), x in radians, good to rounding for |x| below 1e6.

    XLA calls a scalar library routine for sine and cosine in double precision; Taylor polynomials after a
    two-part reduction by pi/2 run several times faster and are as accurate.
    """
    quarter = jnp.round(x * (2 / math.pi))
    reduced = (x - quarter * _HALF_PI_HIGH) - quarter * _HALF_PI_LOW
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
