"""The transform from the last plane to the focus, in real products of a quarter of the size.

Samples x and points p lie symmetrically about their middles. So exp(-2 pi i p x) joins the even part of a field to the
even part of its transform by a cosine, and the odd parts by a sine: real matrices, over the upper halves of both
axes. That takes a third of the operations of a complex product written as three real ones.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Complex, Float

from .phasor import phasor
from .propagation import Lattice

_ROWS, _COLUMNS = 0, 1


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def focal_field(
    field: Complex[Array, "m m"], phase_step: Float[Array, ""], grid: Lattice, npix: int
) -> Complex[Array, "n n"]:
    """Matrix Fourier transform to `npix` x `npix` focal points: sum of field exp(-2 pi i phase_step p x).

    Parameters
    ----------
    field : Array (band_npix, band_npix)
        On the lattice `grid`.
    phase_step : Array ()
        Cycles per pupil pixel and focal point: pixel * pitch / (wavelength * focal length).
    grid : Lattice
        Its samples x count from their middle here: a shift of them all is a phase of unit modulus.
    npix : int
        Focal points p per side, centred on the axis.
    """
    kernel = _half_kernel(phase_step, grid, npix)
    return _transformed(_transformed(field, kernel, npix, _COLUMNS), kernel, npix, _ROWS)


def _focal_field_jvp(grid, npix, primals, tangents):
    """The step is one number, so its derivative costs five products once, however many tangents there are."""
    (field, phase_step), (field_dot, step_dot) = primals, tangents
    kernel = _half_kernel(phase_step, grid, npix)
    half = _transformed(field, kernel, npix, _COLUMNS)
    value = _transformed(half, kernel, npix, _ROWS)
    change = jnp.zeros_like(value)
    if type(field_dot) is not SymbolicZero:
        change = focal_field(field_dot, phase_step, grid, npix)
    if type(step_dot) is not SymbolicZero:
        x, p = (jnp.asarray(part, phase_step.dtype) for part in (grid.centred_steps, _centred(npix)))
        by_rows = p[:, None] * _transformed(half * x[:, None], kernel, npix, _ROWS)
        by_columns = _transformed(_transformed(field * x, kernel, npix, _COLUMNS), kernel, npix, _ROWS) * p
        slope = -2j * jnp.pi * (by_rows + by_columns)
        change = change + step_dot * slope
    return value, change


focal_field.defjvp(_focal_field_jvp, symbolic_zeros=True)


def _transformed(field: Complex[Array, "y x"], kernel, npix: int, axis: int) -> Complex[Array, "q p"]:
    """The transform along one axis."""
    cosine, sine = kernel
    middle, count = field.shape[axis] // 2, field.shape[axis]
    upper = jax.lax.slice_in_dim(field, middle, count, axis=axis)
    lower = jnp.flip(jax.lax.slice_in_dim(field, 0, count - middle, axis=axis), axis)
    even = _real_product(cosine, upper + lower, axis)
    odd = -1j * _real_product(sine, upper - lower, axis)
    below = jnp.flip(even - odd, axis)
    return jnp.concatenate([jax.lax.slice_in_dim(below, 0, npix // 2, axis=axis), even + odd], axis)


def _real_product(matrix: Float[Array, "q h"], field: Complex[Array, "..."], axis: int) -> Complex[Array, "..."]:
    if axis == _ROWS:
        return jax.lax.complex(matrix @ field.real, matrix @ field.imag)
    return jax.lax.complex(field.real @ matrix.T, field.imag @ matrix.T)


def _half_kernel(
    phase_step: Float[Array, ""], grid: Lattice, npix: int
) -> tuple[Float[Array, "q h"], Float[Array, "q h"]]:
    """Cosine and sine between the upper halves. A sample in the middle is folded onto itself: it counts half."""
    x, p = grid.centred_steps[grid.band_npix // 2 :], _centred(npix)[npix // 2 :]
    wave = phasor(2 * jnp.pi * phase_step * jnp.asarray(np.outer(p, x), phase_step.dtype))
    return wave.real * jnp.asarray(np.where(x == 0, 0.5, 1.0), phase_step.dtype), wave.imag


def _centred(npix: int) -> np.ndarray:
    return np.arange(npix) - (npix - 1) / 2
