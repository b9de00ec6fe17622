"""Paraxial geometry of a train of mirrors: heights, powers, focal length, and its inverse.

With powers phi_j = 1/f_j and separations d, the marginal ray of height 1 at the first mirror has height y_j at
the others; a plane's magnification is 1/y_j. All lengths in metres, signed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Array, Float


class MarginalRay(NamedTuple):
    """The ray that enters at height 1, parallel to the axis.

    Attributes
    ----------
    heights : tuple of Array ()
        Heights y_j at the planes after the first.
    distances : tuple of Array (), metres
        Collimated-equivalent propagation distances d / (y y') to those planes, signed.
    power : Array (), 1/metres
        1/EFL, signed; negative inverts the image.
    """

    heights: tuple[Float[Array, ""], ...]
    distances: tuple[Float[Array, ""], ...]
    power: Float[Array, ""]

    @property
    def focal_length(self) -> Float[Array, ""]:
        """EFL, metres."""
        return 1 / self.power

    @property
    def back_focal_distance(self) -> Float[Array, ""]:
        """Distance from the last plane to the focus, metres: its height times EFL."""
        return self.heights[-1] / self.power


def marginal_ray(
    powers: Sequence[Float[Array, ""]], separations: Sequence[Float[Array, ""] | float | int]
) -> MarginalRay:
    """Trace planes of `powers` (1/metres), one more than there are `separations` (metres)."""
    height, power = 1.0, powers[0]
    heights, distances = [], []
    for separation, added in zip(separations, powers[1:], strict=True):
        before, height = height, height - separation * power
        heights.append(height)
        distances.append(separation / (before * height))
        power = power + height * added
    return MarginalRay(tuple(heights), tuple(distances), power)


def separation_for_focal_length(
    f1: Float[Array, ""],
    f2: Float[Array, ""],
    focal_length: Float[Array, ""],
    relay_power: Float[Array, ""] | float = 0.0,
    relay_separation: Float[Array, ""] | float = 0.0,
) -> Float[Array, ""]:
    """Separation d12 of the first two mirrors that gives the system its `focal_length` (metres).

    The system's power is linear in d12; without a relay d12 = f1 + f2 - f1 f2 / EFL. The relay is `relay_power`
    (1/metres), `relay_separation` metres behind the second mirror.
    """
    passed = 1 - relay_separation * relay_power
    difference = relay_power - 1 / focal_length
    return ((f1 + f2) * passed + f1 * f2 * difference) / (passed + f2 * relay_power)
