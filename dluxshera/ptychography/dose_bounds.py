"""What a dose allows: Cramér-Rao bounds of the amplitude and phase of every pixel of an object."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from .information import dense_information, information_times, most_information
from .model import Ptychography, build_model
from .scan_errors import ScanError
from .stitching import coverage_mask

METHODS = ("auto", "dense", "matrix_free", "floor")
DENSE = 32**2  # pixels of the largest object whose information is kept as a matrix
LIT = 1e-6  # of the largest information: dimmer pixels change no counts, and are taken as known
TINY = 1e-300
UNSURE = 0.7  # relative standard error of a variance from which it is not given
UNTOLD = 1e-3  # share of an unconstrained direction from which a pixel is unconstrained
RIDGE = 1e-5  # of a pixel's information, added to it where systems are solved by iteration: they end
TOGETHER, STEPS = 8, 1000  # systems solved at once, and most steps of each


class DoseBounds(NamedTuple):
    """Smallest errors that an unbiased reconstruction can have, with probe and positions known.

    Attributes
    ----------
    amplitude_sigma, phase_sigma : array (h, w)
        One sigma, of the transmission's amplitude and of its phase in radians; infinite where the scan does not tell,
        NaN where too few random vectors were used to tell it.
        The phase is that relative to the object's mean phase, weighted by information.
    covered : array of bool (h, w)
        Where the light is at least a twentieth of its largest value.
    standard_error : array (2, h, w)
        Of `amplitude_sigma` and `phase_sigma`, from the random vectors of the estimate; zero where they are exact,
        NaN as they are.
    amplitude_floor, phase_floor : array (h, w)
        Bounds if every other pixel were known, which are cheap and always lower.
    method : str
        "dense", "matrix_free" or "floor".
    residual : float
        Largest relative residual of the linear systems; zero for other methods.
    photons : float
        Mean per pattern, without the background.
    """

    amplitude_sigma: np.ndarray
    phase_sigma: np.ndarray
    covered: np.ndarray
    standard_error: np.ndarray
    amplitude_floor: np.ndarray
    phase_floor: np.ndarray
    method: str
    residual: float
    photons: float


def dose_bounds(
    object: ArrayLike,
    probe: ArrayLike,
    corners: ArrayLike,
    photons: float | int | None = None,
    background: ArrayLike | float | int = 0.0,
    *,
    mask: ArrayLike | None = None,
    method: str = "auto",
    probes: int = 32,
    seed: int = 0,
    tolerance: float = 1e-4,
    batch: int = 32,
) -> DoseBounds:
    r"""Cramér-Rao bounds of amplitude and phase of an object, for a scan at a given dose.

    The information of Poisson counts, J^T diag(1/lambda) J, is inverted over all pixels that light falls on. Probe and
    positions are taken as known: the only freedom left is then the global phase, which is taken out; there is no
    freedom of scale. Where they are refined too, errors can only be larger.

    "dense" inverts a matrix. Directions about which the counts say nothing make the pixels they touch infinite.
    "matrix_free" estimates the diagonal of the inverse (C. Bekas et al., Appl. Numer. Math. 57, 1214, 2007) from random
    signs z as the mean of z (F^-1 z), each by conjugate gradients; the relative error of a sigma is about
    sqrt(sum_j rho_ij^2 / probes) / 2, with rho the correlations with other pixels, and is reported. A
    ridge keeps sigmas below about 300 times what the mean information of the pixel gives: nothing is infinite but the
    dark, and sigmas come out lower, by 0.01 % in the median and by some per cent from 50 times that on.

    Parameters
    ----------
    object : complex array (h, w)
        At which the bounds hold, on the canvas.
    probe : complex array (N, N) or (M, N, N), sqrt(photons)
        Incoherent modes.
    corners : array (n, 2), pixels
        (y, x) of each window's corner on the canvas.
    photons : float, optional
        Mean per pattern behind the object: the probe is scaled to it. By default the probe is as it is given.
    background : float or array (N, N), photons per pixel
    mask : array of bool (N, N), optional
        True where the detector has a pixel.
    method : str
        "dense", "matrix_free", or "auto": dense for at most 32 x 32 pixels. "floor" stops at the floors and gives them
        as sigmas, at the cost of one look at every pattern.
    probes : int
        Random vectors, for "matrix_free".
    seed : int
        Of these.
    tolerance : float
        Relative residual at which a linear system is solved.
    batch : int
        Patterns that are computed together.

    Raises
    ------
    ScanError
        For a method that does not exist, fewer than two probes, photons that are not above zero, or a dark scan.
    """
    _check(method, probes, photons)
    model = build_model(object, probe, np.asarray(corners, float) + np.shape(probe)[-1] // 2, background, batch=batch)
    model = _scaled(model, photons)
    used = jnp.ones((model.probe.npix,) * 2, bool) if mask is None else jnp.asarray(np.asarray(mask, bool))
    mean, diagonal = most_information(model, used)
    if not float(jnp.max(mean)) > 0:
        raise ScanError("Expected light on the object and on the detector, got none.")
    lit = mean > LIT * jnp.max(mean)
    if method == "auto":
        method = "dense" if mean.size <= DENSE else "matrix_free"
    variance, error, residual = _variances(method, model, used, mean, diagonal, lit, probes, seed, tolerance)
    return _in_units(model, variance, error, diagonal, lit, mean, method, float(residual))


def _variances(method, model, used, mean, diagonal, lit, probes, seed, tolerance) -> tuple:
    """Variances (2, h, w) of the moves, their standard errors, and the residual."""
    nothing = np.zeros(diagonal.shape)
    if method == "floor":
        return 1 / np.maximum(np.asarray(diagonal, float), TINY), nothing, 0.0
    if method == "dense":
        return _dense(model, used, mean, lit), nothing, 0.0
    keys = jax.random.split(jax.random.key(seed), probes)
    return _estimated(model, used, mean, lit, keys, jnp.asarray(tolerance))


def _in_units(model, variance, error, diagonal, lit, mean, method, residual) -> DoseBounds:
    """Maps of one sigma from variances of moves along and across the amplitude; infinite in the dark."""
    amplitude = np.asarray(model.sample.amplitude)
    unit = np.stack([np.ones_like(amplitude), np.where(amplitude > 0, amplitude, np.nan)])
    to_map = lambda values: np.where(np.asarray(lit) & np.isfinite(unit), values / unit, np.inf)  # noqa: E731
    sigma = np.sqrt(np.asarray(variance))
    known = np.isfinite(to_map(sigma))
    error = np.where(known, np.asarray(error) / (2 * np.where(known, sigma * unit, 1.0)), 0.0)
    floor = to_map(1 / np.sqrt(np.maximum(np.asarray(diagonal, float), TINY)))
    return DoseBounds(
        *to_map(sigma),
        covered=coverage_mask(mean),
        standard_error=np.where(np.isnan(to_map(sigma)), np.nan, error),
        amplitude_floor=floor[0],
        phase_floor=floor[1],
        method=method,
        residual=residual,
        photons=float(model.dose),
    )


def _dense(model: Ptychography, used: Array, mean: Array, lit: Array) -> np.ndarray:
    """Variances (2, h, w) from the eigenvectors of the information, in coordinates of its mean."""
    keep = np.broadcast_to(np.asarray(lit), (2, *lit.shape)).ravel()
    information = np.asarray(dense_information(model, used, jnp.asarray(np.flatnonzero(keep))), float)
    scale = np.asarray(_scale(mean, lit), float).ravel()[keep]
    null, reference = (np.asarray(x, float).ravel()[keep] for x in _gauge(model, mean, lit))
    free = null / scale / np.linalg.norm(null / scale)
    values, vectors = np.linalg.eigh(scale[:, None] * information * scale + np.outer(free, free))
    least = np.finfo(model.sample.object_real.dtype).eps ** 0.6 * values[-1]
    moves = scale[:, None] * vectors
    moves = moves - np.outer(null, reference @ moves)
    told = values > least
    variance = np.sum(moves[:, told] ** 2 / values[told], axis=1)
    untold = np.sum(vectors[:, ~told] ** 2, axis=1) > UNTOLD**2
    found = np.full(keep.size, np.inf)
    found[keep] = np.where(untold, np.inf, variance)
    return found.reshape(2, *lit.shape)


@eqx.filter_jit
def _estimated(
    model: Ptychography,
    used: Bool[Array, "N N"],
    mean: Float[Array, "h w"],
    lit: Bool[Array, "h w"],
    keys: Array,
    tolerance: Float[Array, ""],
) -> tuple[Float[Array, "2 h w"], Float[Array, "2 h w"], Float[Array, ""]]:
    """Variances, their standard errors, and the largest residual."""
    scale = _scale(mean, lit)
    null, reference = _gauge(model, mean, lit)
    free = jnp.where(lit, null / jnp.where(lit, scale, 1.0), 0.0)
    free = free / jnp.linalg.norm(free)

    def product(x):
        return scale * information_times(model, used, scale * x) + RIDGE * x + free * jnp.sum(free * x)

    def one(key):
        signs = jnp.where(lit, jax.random.rademacher(key, free.shape, free.dtype), 0.0)
        inverse = jnp.where(lit, 1 / jnp.where(lit, scale, 1.0), 0.0)
        right = scale * (inverse * signs - reference * jnp.sum(null * inverse * signs))
        x, _ = jax.scipy.sparse.linalg.cg(product, right, tol=tolerance, maxiter=STEPS)
        residual = jnp.linalg.norm(right - product(x)) / jnp.linalg.norm(right)
        moved = scale * x
        return signs * scale * (moved - null * jnp.sum(reference * moved)), residual

    samples, residuals = jax.lax.map(one, keys, batch_size=TOGETHER)
    number = keys.shape[0]
    mean, error = jnp.mean(samples, axis=0), jnp.std(samples, axis=0, ddof=1) / jnp.sqrt(number)
    variance = jnp.where(error > UNSURE * mean, jnp.nan, mean)
    return variance, error, jnp.max(residuals)


def _scale(mean: Float[Array, "h w"], lit: Bool[Array, "h w"]) -> Float[Array, "2 h w"]:
    """Moves of one sigma, about; zero in the dark, where nothing is free."""
    scale = jnp.where(lit, 1 / jnp.sqrt(jnp.where(lit, mean, 1.0)), 0.0)
    return jnp.stack([scale, scale])


def _gauge(model: Ptychography, mean: Array, lit: Array) -> tuple[Float[Array, "2 h w"], Float[Array, "2 h w"]]:
    """The move that turns the global phase, and the weights whose sum with any move is its mean phase."""
    amplitude = jnp.where(lit, model.sample.amplitude, 0.0)
    nothing = jnp.zeros_like(amplitude)
    weight = mean * amplitude
    return jnp.stack([nothing, amplitude]), jnp.stack([nothing, weight / jnp.sum(weight * amplitude)])


def _scaled(model: Ptychography, photons: float | int | None) -> Ptychography:
    if photons is None:
        return model
    factor = jnp.sqrt(photons / jnp.maximum(model.dose, jnp.finfo(model.dose.dtype).tiny))
    modes = lambda m: (m.probe.modes_real, m.probe.modes_imag)  # noqa: E731
    return eqx.tree_at(modes, model, tuple(factor * mode for mode in modes(model)))


def _check(method: str, probes: int, photons: float | int | None) -> None:
    if method not in METHODS:
        raise ScanError(f"Expected method among {', '.join(METHODS)}, got {method!r}.")
    if isinstance(probes, bool) or not isinstance(probes, int) or probes < 2:
        raise ScanError(f"Expected probes of 2 or more, got {probes!r}.")
    if photons is not None and not 0 < photons < np.inf:
        raise ScanError(f"Expected photons above zero per pattern, got {photons}.")
