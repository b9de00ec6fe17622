"""The four-plane telescope: M1, Fresnel propagation to M2, on to a relay, focus."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ..params import ParameterError, derived
from ..params.checks import is_traced
from . import telescope_fields as fields
from .mirrors import PrimaryMirror, Relay, SecondaryMirror
from .paraxial import MarginalRay, marginal_ray, separation_for_focal_length
from .telescope import AbstractTelescope, Focus, Surface

SMALLEST_HEIGHT = 1e-3  # beam over pupil; a plane with a narrower beam is as good as in the focus


class FourPlaneTelescope(AbstractTelescope):
    """Two mirrors and a relay; the relay is a mirror or lens behind M2, before or after the focus of the two.

    A neutral relay (power zero, no aberration, wider than the beam) leaves the three-plane telescope's image,
    whatever its separation, to what the grid resolves. The detector sits at the paraxial focus of the current
    geometry, moved by `focus_shift`. Behind the focus of the mirrors the relay's magnification is negative, and
    where it forms a real image that is inverted: the focal length is negative.

    Raises
    ------
    ParameterError
        At construction, if M2 or the relay lies in a focus.
    """

    m1: PrimaryMirror
    m2: SecondaryMirror
    relay: Relay
    plane_separation: Float[Array, ""] = fields.plane_separation()
    diffractive_pupil_fraction: Float[Array, "n n"] = fields.diffractive_pupil_fraction()
    diffractive_pupil_step_m: Float[Array, ""] = fields.diffractive_pupil_step()
    focus_shift: Float[Array, ""] = fields.focus_shift()
    throughput: Float[Array, ""] = fields.throughput()
    pupil_npix: int = fields.pupil_npix()
    psf_npix: int = fields.psf_npix()
    oversample: int = fields.oversample()
    pad_npix: int = fields.pad_npix()
    band_npix: int = fields.band_npix()
    focal_samples: int = fields.focal_samples()

    def __check_init__(self):
        mirrors = self.m1.focal_length, self.m2.focal_length, self.relay.power
        lengths = (*mirrors, self.plane_separation, self.relay.separation)
        if any(is_traced(v) or not isinstance(v, jax.Array) or v.shape for v in lengths):
            return  # nothing to judge yet, or a field that is refused elsewhere
        with jax.ensure_compile_time_eval():  # numbers, even where a compiled function builds the telescope
            _refuse_focus(self._marginal_ray(), self.plane_separation, self.relay.separation)

    def _marginal_ray(self) -> MarginalRay:
        powers = (1 / self.m1.focal_length, 1 / self.m2.focal_length, self.relay.power)
        return marginal_ray(powers, (self.plane_separation, self.relay.separation))

    @derived(
        "m",
        "System focal length; negative inverts the image.",
        symbol="f",
        follows_from=("m1.focal_length", "m2.focal_length", "plane_separation", "relay.power", "relay.separation"),
        alias="effective_focal_length",
    )
    def focal_length(self) -> Float[Array, ""]:
        """EFL of mirrors and relay, metres."""
        return self._marginal_ray().focal_length

    @derived(
        "",
        "Beam compression between M1 and M2, 1/(1 - d12/f1).",
        symbol="m",
        follows_from=("m1.focal_length", "plane_separation"),
    )
    def magnification(self) -> Float[Array, ""]:
        """Ratio of the beam's diameter at M1 to that at M2."""
        return 1 / self._marginal_ray().heights[0]

    @derived(
        "",
        "Beam compression between M1 and the relay; negative after the mirrors' focus.",
        symbol="m_3",
        follows_from=("m1.focal_length", "m2.focal_length", "plane_separation", "relay.separation"),
    )
    def relay_magnification(self) -> Float[Array, ""]:
        """Ratio of the beam's diameter at M1 to that at the relay, signed."""
        return 1 / self._marginal_ray().heights[1]

    def surfaces(self) -> tuple[Surface, ...]:
        """M2 and the relay, at their collimated-equivalent distances."""
        ray = self._marginal_ray()
        return tuple(map(Surface, ray.distances, ray.heights, (self.m2, self.relay)))

    def focus(self) -> Focus:
        """Back focal distance y3 EFL, from the relay, plus the focus shift."""
        ray = self._marginal_ray()
        return Focus(ray.heights[-1], ray.back_focal_distance + self.focus_shift, ray.back_focal_distance)

    def with_focal_length(self, value: Float[Array, ""]) -> "FourPlaneTelescope":
        """The telescope whose plane separation gives the focal length `value`, metres."""
        relay = self.relay.power, self.relay.separation
        separation = separation_for_focal_length(self.m1.focal_length, self.m2.focal_length, value, *relay)
        return eqx.tree_at(lambda t: t.plane_separation, self, separation)

    @property
    def focal_length_primitive(self) -> str:
        """The plane separation sets the focal length; the relay's never does."""
        return "plane_separation"

    def despace(self, delta: Float[Array, ""]) -> "FourPlaneTelescope":
        """Move M2 by `delta` metres away from M1 with the relay and the detector held where they are.

        The light folds at M2, so the relay, too, is farther from it by `delta`.
        """
        held = self.focus().detector_distance
        separations = self.plane_separation + delta, self.relay.separation + delta
        moved = eqx.tree_at(lambda t: (t.plane_separation, t.relay.separation), self, separations)
        return eqx.tree_at(lambda t: t.focus_shift, moved, held - moved.focus().back_focal_distance)


def _refuse_focus(ray: MarginalRay, plane_separation: Float[Array, ""], relay_separation: Float[Array, ""]) -> None:
    y2, y3 = map(float, ray.heights)
    if not abs(y2) >= SMALLEST_HEIGHT:
        raise ParameterError(
            f"Expected M2 away from the focus of M1, got a beam of {y2:.3g} of the pupil's diameter on it. Change "
            f"optics.plane_separation ({float(plane_separation):.6g} m) or optics.m1.focal_length."
        )
    if not abs(y3) >= SMALLEST_HEIGHT:
        raise ParameterError(
            f"Expected the relay away from the focus of M1 and M2, got a beam of {y3:.3g} of the pupil's diameter "
            f"on it. Change optics.relay.separation ({float(relay_separation):.6g} m) or optics.plane_separation "
            f"({float(plane_separation):.6g} m)."
        )
