"""Noll Zernike polynomials as polynomials in x and y, evaluated on separable grids.

A sum of Zernikes is one bivariate polynomial, so on a grid `x` by `y` it is two thin matrix products: no
basis cube is stored, coordinates may be traced, and nothing is singular at the centre.
"""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def noll_to_nm(noll_index: int) -> tuple[int, int]:
    """Radial order n and signed azimuthal order m of a Noll index (Noll 1976; m < 0 for sine terms)."""
    if noll_index < 1:
        raise ValueError(f"Expected a Noll index of 1 or more, got {noll_index}.")
    n = (math.isqrt(8 * noll_index - 7) - 1) // 2
    position = noll_index - n * (n + 1) // 2 - 1
    m = 2 * ((position + 1) // 2) if n % 2 == 0 else 2 * (position // 2) + 1
    return n, m if noll_index % 2 == 0 else -m


def _power_of_z(m: int, size: int) -> np.ndarray:
    """Coefficients [a, b] of (x + i y)^m, complex, on monomials x^a y^b."""
    table = np.zeros((size, size), complex)
    for b in range(m + 1):
        table[m - b, b] = math.comb(m, b) * 1j**b
    return table


def _times_r_squared(table: np.ndarray) -> np.ndarray:
    shifted = np.zeros_like(table)
    shifted[2:, :] += table[:-2, :]
    shifted[:, 2:] += table[:, :-2]
    return shifted


def _monomials(noll_index: int, size: int) -> np.ndarray:
    """Coefficients [a, b] of one Noll Zernike of unit RMS over the unit disk."""
    n, signed_m = noll_to_nm(noll_index)
    m = abs(signed_m)
    power, total = _power_of_z(m, size), np.zeros((size, size), complex)
    for p in range((n - m) // 2 + 1):  # r^(m + 2p), from Noll's radial polynomial with k = (n - m)/2 - p
        k = (n - m) // 2 - p
        weight = (-1) ** k * math.factorial(n - k)
        weight /= math.factorial(k) * math.factorial((n + m) // 2 - k) * math.factorial((n - m) // 2 - k)
        total += weight * power
        power = _times_r_squared(power) if p < (n - m) // 2 else power
    norm = math.sqrt(n + 1) if m == 0 else math.sqrt(2 * (n + 1))
    return norm * (total.imag if signed_m < 0 else total.real)


@functools.lru_cache(maxsize=64)
def noll_monomials(noll_indices: tuple[int, ...]) -> np.ndarray:
    """Coefficients [k, a, b] of the Zernikes `noll_indices` on the monomials x^a y^b."""
    size = 1 + max((noll_to_nm(j)[0] for j in noll_indices), default=0)
    return np.array([_monomials(j, size) for j in noll_indices]).reshape(-1, size, size)


def _powers(x: Float[Array, " n"], count: int) -> Float[Array, "n count"]:
    columns = [jnp.ones_like(x)]
    for _ in range(count - 1):
        columns.append(columns[-1] * x)
    return jnp.stack(columns, axis=1)


def zernike_sum(
    coefficients: Float[Array, " k"],
    noll_indices: tuple[int, ...],
    x: Float[Array, " nx"],
    y: Float[Array, " ny"],
) -> Float[Array, "ny nx"]:
    """Sum of Noll Zernikes on the grid of columns `x` and rows `y`.

    Parameters
    ----------
    coefficients : Array (k,)
        In any unit; the sum has the same (each Zernike has unit RMS over the unit disk).
    noll_indices : tuple of int
        Noll (1976) indices, one per coefficient.
    x, y : Array (nx,), (ny,)
        Coordinates in units of the radius. Outside the unit disk the polynomials simply go on.
    """
    table = noll_monomials(noll_indices)
    combined = jnp.tensordot(coefficients, jnp.asarray(table, x.dtype), 1)
    size = table.shape[-1]
    return _powers(y, size) @ combined.T @ _powers(x, size).T
