"""The two-plane telescope: pupil to focus, with the focal length as its own parameter."""

import equinox as eqx
from jaxtyping import Array, Float

from ..params import param
from . import telescope_fields as fields
from .mirrors import EntrancePupil, nonzero
from .telescope import AbstractTelescope, Focus, Surface


class TwoPlaneTelescope(AbstractTelescope):
    """A single lens: all aberrations sit in the pupil."""

    m1: EntrancePupil
    focal_length: Float[Array, ""] = param(
        "m", "System focal length; negative inverts the image.", symbol="f", validator=nonzero, slip_above=1000.0
    )
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

    def surfaces(self) -> tuple[Surface, ...]:
        """No mirror after the pupil."""
        return ()

    def focus(self) -> Focus:
        """The detector stands one focal length behind the pupil, plus the focus shift."""
        return Focus(self.focal_length / self.focal_length, self.focal_length + self.focus_shift, self.focal_length)

    def with_focal_length(self, value: Float[Array, ""]) -> "TwoPlaneTelescope":
        """The telescope with focal length `value`, metres."""
        return eqx.tree_at(lambda t: t.focal_length, self, value)

    @property
    def focal_length_primitive(self) -> str:
        """The focal length is a parameter of its own."""
        return "focal_length"
