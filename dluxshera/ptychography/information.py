r"""Fisher information of a scan's counts about its object, with probe and positions known.

A move of the object is (2, h, w): along the amplitude and across it, O -> O + t (u + i v) with t = O/|O|, so that v/|O|
is a change of phase. Counts are Poisson, so that the information is J^T diag(1/lambda) J; it is taken at the object,
and has no counts in it. Windows are bilinear.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from .batches import split_evenly, sum_batches
from .model import Ptychography
from .propagation import cut_windows, expected_counts, windows_transposed

JACOBIAN = 2**24  # numbers in a block of it


def directions(object: Complex[Array, "h w"]) -> Complex[Array, "h w"]:
    """Phase factor of every pixel; one where the object is zero."""
    size = jnp.abs(object)
    return jnp.where(size > 0, object / jnp.where(size > 0, size, 1.0), 1.0)


def information_times(
    model: Ptychography, used: Bool[Array, "N N"], vector: Float[Array, "2 h w"]
) -> Float[Array, "2 h w"]:
    """Product of the information and a move, batch by batch, without a matrix.

    Parameters
    ----------
    model : Ptychography
    used : Array of bool (N, N)
        True where the detector has a pixel.
    vector : Array (2, h, w)
    """

    def part(index, real):
        weight, push = _linearised(model, used, index, real)
        return jax.linear_transpose(push, vector)(weight * push(vector))[0]

    return sum_batches(part, model.corners.shape[0], model.batch)


@eqx.filter_jit
def dense_information(model: Ptychography, used: Bool[Array, "N N"], elements: Int[Array, " D"]) -> Float[Array, "D D"]:
    """The information about some elements of a move, as a matrix.

    Parameters
    ----------
    model : Ptychography
    used : Array of bool (N, N)
    elements : Array of int (D,)
        Indices into the flat move.
    """
    shape = (2, *model.sample.object_real.shape)
    size = elements.shape[0]
    index, real = split_evenly(model.corners.shape[0], max(1, JACOBIAN // (size * model.probe.npix**2)))
    column = lambda element: jnp.zeros(math.prod(shape)).at[element].set(1.0).reshape(shape)  # noqa: E731

    def add(total, batch):
        weight, push = _linearised(model, used, *batch)
        jacobian = jax.vmap(lambda element: push(column(element)).ravel())(elements)
        return total + (jacobian * weight.ravel()) @ jacobian.T, None

    return jax.lax.scan(add, jnp.zeros((size, size)), (jnp.asarray(index), jnp.asarray(real)))[0]


@eqx.filter_jit
def most_information(
    model: Ptychography, used: Bool[Array, "N N"]
) -> tuple[Float[Array, "h w"], Float[Array, "2 h w"]]:
    r"""Mean information about the two moves of each pixel, and the information about each, if all else were known.

    With psi the far field of a window and f_x that of its pixel x alone, counts change by 2 Re(t conj(psi) f_x). The
    sum over the detector of the square of that over lambda is a mean, the same along and across, plus or minus the real
    part of t^2 times a Fourier transform of conj(psi)^2/lambda, taken at 2x. Exact for whole-pixel positions; between
    pixels it is an upper bound, by the convexity of the information in the weights of neighbours.

    Returns
    -------
    mean : Array (h, w)
    diagonal : Array (2, h, w)
        At least the diagonal of the information.
    """
    canvas, modes, npix = model.sample.object, model.probe.modes, model.probe.npix
    double = (2 * jnp.arange(npix)) % npix

    def part(index, real):
        corners = model.corners[index]
        waves = jnp.fft.fft2(modes * cut_windows(canvas, corners, npix)[:, None], norm="ortho")
        expected = jnp.sum(jnp.abs(waves) ** 2, axis=1) + jnp.fft.ifftshift(_full(model.background, npix))
        weight = _inverse(expected, jnp.fft.ifftshift(used), real)[:, None, None]
        pairs = waves[:, :, None].conj() * waves[:, None]
        even = jnp.einsum("kmn,myx,nyx->kyx", jnp.mean(weight * pairs, axis=(-2, -1)), modes, modes.conj()).real
        turned = jnp.fft.fft2(weight * (waves[:, :, None] * waves[:, None]).conj())[..., double[:, None], double]
        odd = jnp.einsum("kmnyx,myx,nyx->kyx", turned, modes, modes) / npix**2
        add = lambda patches: windows_transposed(patches, corners, canvas.shape)  # noqa: E731
        return add(even), add(odd)

    even, odd = sum_batches(part, model.corners.shape[0], model.batch)
    odd = (directions(canvas) ** 2 * odd).real
    return 2 * even, 2 * jnp.stack([even + odd, even - odd])


def _linearised(model: Ptychography, used: Bool[Array, "N N"], index: Int[Array, " b"], real: Bool[Array, " b"]) -> Any:
    """Inverse variance of some patterns' counts, and the linear function from moves of the object to them."""
    canvas, modes, corners = model.sample.object, model.probe.modes, model.corners[index]
    turn = directions(canvas)

    def expected(move):
        return expected_counts(canvas + turn * (move[0] + 1j * move[1]), modes, corners, model.background)

    here, push = jax.linearize(expected, jnp.zeros((2, *canvas.shape), model.sample.object_real.dtype))
    return _inverse(here, used, real), push


def _inverse(expected: Float[Array, "b N N"], used: Bool[Array, "N N"], real: Bool[Array, " b"]) -> Array:
    """1/lambda where pixels are used and expect anything; a pixel that expects nothing does not change either."""
    counted = used & real[:, None, None] & (expected > 0)
    return jnp.where(counted, 1 / jnp.where(counted, expected, 1.0), 0.0)


def _full(background: Float[Array, "..."], npix: int) -> Float[Array, "N N"]:
    return jnp.broadcast_to(background, (npix, npix))
