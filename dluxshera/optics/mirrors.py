"""Pupil and mirrors: what each adds to the wavefront, and where its stop lies."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..params import Model, buffer, derived, param, static
from .apertures import pixel_centres, soft_circle
from .zernikes import zernike_sum

_NANOMETRE = 1e-9


def _noll_labels(mirror) -> list[str]:
    return [f"Z{j}" for j in mirror.noll_indices]


def nonzero(value) -> str | None:
    """Validator of a focal length."""
    return None if np.all(np.asarray(value) != 0) else "a focal length is not zero"


def _diameter(symbol: str):
    return param("m", "Clear diameter.", symbol=symbol, bounds=(1e-4, None), slip_above=100.0)


def _focal_length(symbol: str):
    doc = "Focal length; negative for a convex mirror."
    return param("m", doc, symbol=symbol, validator=nonzero, slip_above=100.0)


def _zernikes(symbol: str, doc: str):
    return param("nm", doc, symbol=symbol, shape=("noll_indices",), element_labels=_noll_labels)


def _transmission():
    return buffer("Amplitude transmission of the pupil.")


def _noll_indices():
    return static("Noll index of each Zernike coefficient.")


def _pupil_map():
    return buffer("Wavefront error map over the pupil.", unit="m", optional=True, slip_above=1e-3)


def _mirror_map():
    return buffer("Wavefront error map over the mirror's own diameter.", unit="m", optional=True, slip_above=1e-3)


_PUPIL_ZERNIKES = "Noll Zernike coefficients of the wavefront, unit RMS over the full circle."
_MIRROR_ZERNIKES = "Noll Zernike coefficients of the wavefront, unit RMS over the mirror's own full circle."


class EntrancePupil(Model):
    """The pupil of a single lens: mask, aberrations and map, on a grid that spans its diameter."""

    diameter: Float[Array, ""] = _diameter("D_1")
    zernike_coeffs_nm: Float[Array, " k"] = _zernikes("a_1", _PUPIL_ZERNIKES)
    transmission: Float[Array, "n n"] = _transmission()
    noll_indices: tuple[int, ...] = _noll_indices()
    wavefront_error_m: Float[Array, "n n"] | None = _pupil_map()

    def wavefront(self) -> Float[Array, "n n"]:
        """Optical path difference (n, n), metres."""
        return _pupil_wavefront(self)


class PrimaryMirror(Model):
    """The entrance pupil where it is a mirror of a train: an `EntrancePupil` with a focal length."""

    diameter: Float[Array, ""] = _diameter("D_1")
    focal_length: Float[Array, ""] = _focal_length("f_1")
    zernike_coeffs_nm: Float[Array, " k"] = _zernikes("a_1", _PUPIL_ZERNIKES)
    transmission: Float[Array, "n n"] = _transmission()
    noll_indices: tuple[int, ...] = _noll_indices()
    wavefront_error_m: Float[Array, "n n"] | None = _pupil_map()

    def wavefront(self) -> Float[Array, "n n"]:
        """Optical path difference (n, n), metres."""
        return _pupil_wavefront(self)


def _pupil_wavefront(pupil: EntrancePupil | PrimaryMirror) -> Float[Array, "n n"]:
    """Zernikes, zero beyond the unit circle as in dLux, and the map.

    The grid spans the diameter, so that scaling the diameter scales the obscuration and struts with it.
    """
    u = 2 * pixel_centres(pupil.transmission.shape[0])
    inside = jnp.asarray(np.hypot(u[:, None], u[None, :]) <= 1)
    u = jnp.asarray(u, pupil.zernike_coeffs_nm.dtype)
    error = jnp.where(inside, zernike_sum(pupil.zernike_coeffs_nm * _NANOMETRE, pupil.noll_indices, u, u), 0.0)
    return error if pupil.wavefront_error_m is None else error + pupil.wavefront_error_m


class SecondaryMirror(Model):
    """A mirror after the pupil: a circular stop, aberrations and a map over its own diameter."""

    diameter: Float[Array, ""] = _diameter("D_2")
    focal_length: Float[Array, ""] = _focal_length("f_2")
    zernike_coeffs_nm: Float[Array, " k"] = _zernikes("a_2", _MIRROR_ZERNIKES)
    noll_indices: tuple[int, ...] = _noll_indices()
    wavefront_error_m: Float[Array, "q q"] | None = _mirror_map()

    def surface(
        self, x: Float[Array, " m"], y: Float[Array, " m"], edge: Float[Array, ""]
    ) -> tuple[Float[Array, "m m"], Float[Array, "m m"]]:
        """Stop transmission and optical path difference (metres) at columns `x` and rows `y` on the mirror (metres).

        `edge` is the width of the stop's soft edge, in metres on the mirror.
        """
        return _mirror_surface(self, x, y, edge)


def _with_focal_length(relay: "Relay", value: Float[Array, ""]) -> "Relay":
    return eqx.tree_at(lambda r: r.power, relay, 1 / value)


class Relay(Model):
    """The mirror or lens between M2 and the focus; neutral where its power and aberrations are zero.

    A stop wider than the beam passes exactly all of it, so a relay without one is a relay with a wide one.
    """

    power: Float[Array, ""] = param("1/m", "Power; zero for a neutral relay.", symbol=r"\varphi_3")
    separation: Float[Array, ""] = param(
        "m", "Distance from M2.", symbol="d_{23}", bounds=(0.0, None), slip_above=100.0
    )
    diameter: Float[Array, ""] = _diameter("D_3")
    zernike_coeffs_nm: Float[Array, " k"] = _zernikes("a_3", _MIRROR_ZERNIKES)
    noll_indices: tuple[int, ...] = _noll_indices()
    wavefront_error_m: Float[Array, "q q"] | None = _mirror_map()

    @derived(
        "m",
        "Focal length; infinite for a neutral relay.",
        symbol="f_3",
        solve=_with_focal_length,
        solves_for=lambda relay: ("power",),
    )
    def focal_length(self) -> Float[Array, ""]:
        """One over the power, metres."""
        return 1 / jnp.asarray(self.power)

    def surface(
        self, x: Float[Array, " m"], y: Float[Array, " m"], edge: Float[Array, ""]
    ) -> tuple[Float[Array, "m m"], Float[Array, "m m"]]:
        """Stop transmission and optical path difference (metres), as for `SecondaryMirror`."""
        return _mirror_surface(self, x, y, edge)


def _mirror_surface(
    mirror: SecondaryMirror | Relay, x: Float[Array, " m"], y: Float[Array, " m"], edge: Float[Array, ""]
) -> tuple[Float[Array, "m m"], Float[Array, "m m"]]:
    radius = mirror.diameter / 2
    error = zernike_sum(mirror.zernike_coeffs_nm * _NANOMETRE, mirror.noll_indices, x / radius, y / radius)
    if mirror.wavefront_error_m is not None:
        error = error + _interpolated(mirror.wavefront_error_m, x / mirror.diameter, y / mirror.diameter)
    return soft_circle(x, y, radius, edge), error


def _interpolated(error: Float[Array, "q q"], x: Float[Array, " m"], y: Float[Array, " m"]) -> Float[Array, "m m"]:
    """Bilinear interpolation of a map one unit wide, as two products with hat-function weights; zero outside it."""
    npix = error.shape[0]
    rows, columns = (npix * c + (npix - 1) / 2 for c in (y, x))
    return _hats(rows, npix) @ error @ _hats(columns, npix).T


def _hats(position: Float[Array, " m"], npix: int) -> Float[Array, "m npix"]:
    return jnp.clip(1 - jnp.abs(position[:, None] - jnp.arange(npix)), 0, None)
