"""Paraxial geometry of a train of mirrors: heights, powers, focal length, and its inverse.

With powers phi_j = 1/f_j and separations d, the marginal ray of height 1 at the first mirror has height y_j at
the others; a plane's magnification is 1/y_j. All lengths in metres, signed.
"""

from typing import NamedTuple

from jaxtyping import Array, Float


class TwoMirrors(NamedTuple):
    """Derived paraxial numbers of a two-mirror telescope.

    Attributes
    ----------
    height : Array ()
        Marginal-ray height y2 at the second mirror, for unit height at the first.
    power : Array (), 1/metres
        1/EFL, signed; negative inverts the image.
    distance : Array (), metres
        Collimated-equivalent propagation distance z12 = d12 / y2.
    """

    height: Float[Array, ""]
    power: Float[Array, ""]
    distance: Float[Array, ""]


def two_mirrors(f1: Float[Array, ""], f2: Float[Array, ""], separation: Float[Array, ""]) -> TwoMirrors:
    """Height, power and reduced distance for focal lengths `f1`, `f2` and their `separation` (metres)."""
    height = 1 - separation / f1
    return TwoMirrors(height, 1 / f1 + 1 / f2 - separation / (f1 * f2), separation / height)


def separation_for_focal_length(
    f1: Float[Array, ""], f2: Float[Array, ""], focal_length: Float[Array, ""]
) -> Float[Array, ""]:
    """Separation d12 = f1 + f2 - f1 f2 / EFL that gives two mirrors the system `focal_length` (metres)."""
    return f1 + f2 - f1 * f2 / focal_length
