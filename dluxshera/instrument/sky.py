"""From the detector to the sky: the direction of +row, the sense of the turn to +column, and position angles.

A direction on the detector has an angle from +row towards +column. Its angle on the sky, from north through east, is
`roll + parity * angle`: `roll` is where +row points, and `parity` is 1 where +column then points east (at a roll of
zero), -1 where it points west, as in the usual picture with north up and east to the left.
"""

import warnings
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

_OUR_ROLL, _PARITY = "SKYROLL", "PARITY"
_ROLLS = (_OUR_ROLL, "ROLL", "ORIENTAT", "PA_APER", "PA_V3")  # degrees; each is taken for the direction of +row


class Sky(NamedTuple):
    """What a header says of the orientation; None where it is silent.

    Attributes
    ----------
    sky_roll_deg : float, degrees
    parity : int
        1 or -1.
    """

    sky_roll_deg: float | None = None
    parity: int | None = None


def north_east_angle(
    position_angle_deg: ArrayLike, sky_roll_deg: ArrayLike, parity: ArrayLike = 1
) -> Float[Array, "..."]:
    """Position angle (degrees, in [0, 360)) of star B from star A, from north through east.

    Parameters
    ----------
    position_angle_deg : float, degrees
        Direction of star A from the centre, from +row towards +column: dLux's position angle. Catalogues give the
        direction of the companion from the primary, which is the opposite one.
    sky_roll_deg : float, degrees
        Direction of +row, from north through east.
    parity : int
        1 or -1.
    """
    return jnp.mod(jnp.asarray(sky_roll_deg) + parity * jnp.asarray(position_angle_deg) + 180.0, 360.0)


def detector_angle(north_east_deg: ArrayLike, sky_roll_deg: ArrayLike, parity: ArrayLike = 1) -> Float[Array, "..."]:
    """The inverse of `north_east_angle`: `binary.position_angle_deg`, in [0, 360) degrees."""
    return jnp.mod(parity * (jnp.asarray(north_east_deg) - jnp.asarray(sky_roll_deg) - 180.0), 360.0)


def sky_of_header(header: Any) -> Sky:
    """Roll and parity that a FITS header gives; never guessed.

    SKYROLL comes first, then a celestial WCS (CD or PC matrix, or CROTA2), which gives both, then ROLL, ORIENTAT,
    PA_APER and PA_V3. PARITY overrides that of the WCS.

    Raises
    ------
    ValueError
        Naming the keyword, if it holds something else.
    """
    wcs = Sky() if _OUR_ROLL in header else _sky_of_wcs(header)
    rolls = (_number(header, key) for key in _ROLLS if header.get(key) is not None)
    parity = wcs.parity if header.get(_PARITY) is None else _parity(header[_PARITY])
    return Sky(next(rolls, None) if wcs.sky_roll_deg is None else wcs.sky_roll_deg, parity)


def sky_of_matrix(matrix: np.ndarray) -> Sky:
    """Orientation from a matrix (2, 2) whose columns are the steps (east, north) of one column and of one row.

    Raises
    ------
    ValueError
        If it is singular.
    """
    determinant = np.linalg.det(matrix)
    if not (np.isfinite(matrix).all() and determinant != 0):
        raise ValueError("Expected a WCS whose matrix can be inverted. Correct or remove its CD, PC or CDELT.")
    east, north = matrix[:, 1]
    return Sky(float(np.degrees(np.arctan2(east, north)) % 360), 1 if determinant > 0 else -1)


def _sky_of_wcs(header: Any) -> Sky:
    if not any(str(header.get(f"CTYPE{axis}", "")).strip() for axis in (1, 2)):
        return Sky()
    from astropy.wcs import WCS, FITSFixedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # dates and the like, put right by astropy
        try:
            wcs = WCS(header, naxis=2)
        except (ValueError, TypeError, KeyError, AssertionError, MemoryError) as error:
            text = " ".join(str(error).split())
            raise ValueError(f"Expected a WCS that astropy can read, got: {text}. Correct or remove it.") from error
    if not wcs.has_celestial:
        return Sky()
    return sky_of_matrix(wcs.pixel_scale_matrix[[wcs.wcs.lng, wcs.wcs.lat]])


def _number(header: Any, keyword: str) -> float:
    value = header[keyword]
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"Expected degrees for {keyword}, got {value!r}. Correct or remove it.")
    return float(value)


def _parity(value: Any) -> int:
    if isinstance(value, bool) or value not in (1, -1):
        raise ValueError(f"Expected 1 or -1 for {_PARITY}, got {value!r}. Correct or remove it.")
    return int(value)
