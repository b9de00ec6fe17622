"""The three-plane telescope: M1, Fresnel propagation to M2, focus."""

import equinox as eqx
from jaxtyping import Array, Float

from ..params import derived
from . import telescope_fields as fields
from .mirrors import PrimaryMirror, SecondaryMirror
from .paraxial import MarginalRay, marginal_ray, separation_for_focal_length
from .telescope import AbstractTelescope, Focus, Surface


class ThreePlaneTelescope(AbstractTelescope):
    """Two mirrors; the focal length, magnification and diffraction follow from their powers and separation.

    The detector sits at the paraxial focus of the current geometry, moved by `focus_shift`.
    """

    m1: PrimaryMirror
    m2: SecondaryMirror
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

    def _marginal_ray(self) -> MarginalRay:
        return marginal_ray((1 / self.m1.focal_length, 1 / self.m2.focal_length), (self.plane_separation,))

    @derived(
        "m",
        "System focal length; negative inverts the image.",
        symbol="f",
        follows_from=("m1.focal_length", "m2.focal_length", "plane_separation"),
        alias="effective_focal_length",
    )
    def focal_length(self) -> Float[Array, ""]:
        """EFL = 1/(1/f1 + 1/f2 - d12/(f1 f2)), metres."""
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

    def surfaces(self) -> tuple[Surface, ...]:
        """M2, at its collimated-equivalent distance."""
        ray = self._marginal_ray()
        return (Surface(ray.distances[0], ray.heights[0], self.m2),)

    def focus(self) -> Focus:
        """Back focal distance y2 EFL, plus the focus shift."""
        ray = self._marginal_ray()
        return Focus(ray.heights[-1], ray.back_focal_distance + self.focus_shift, ray.back_focal_distance)

    def with_focal_length(self, value: Float[Array, ""]) -> "ThreePlaneTelescope":
        """The telescope whose plane separation gives the focal length `value`, metres."""
        separation = separation_for_focal_length(self.m1.focal_length, self.m2.focal_length, value)
        return eqx.tree_at(lambda t: t.plane_separation, self, separation)

    @property
    def focal_length_primitive(self) -> str:
        """The plane separation sets the focal length."""
        return "plane_separation"

    def despace(self, delta: Float[Array, ""]) -> "ThreePlaneTelescope":
        """Move M2 by `delta` metres away from M1 with the detector held where it is.

        The light folds at M2, so the detector is farther from it by `delta`, whatever the new paraxial focus is.
        """
        held = self.focus().detector_distance + delta
        moved = eqx.tree_at(lambda t: t.plane_separation, self, self.plane_separation + delta)
        return eqx.tree_at(lambda t: t.focus_shift, moved, held - moved.focus().back_focal_distance)
