"""Optics: pure functions of propagation, and the telescope variants that hold their numbers."""

from . import telescope_fields as telescope_fields
from .apertures import ApertureShape as ApertureShape
from .apertures import pupil_transmission as pupil_transmission
from .diffractive_pupil import diffractive_pupil_fraction as diffractive_pupil_fraction
from .four_plane import FourPlaneTelescope as FourPlaneTelescope
from .grating import Grating as Grating
from .mirrors import EntrancePupil as EntrancePupil
from .mirrors import PrimaryMirror as PrimaryMirror
from .mirrors import Relay as Relay
from .mirrors import SecondaryMirror as SecondaryMirror
from .paraxial import MarginalRay as MarginalRay
from .paraxial import marginal_ray as marginal_ray
from .sampling import SamplingWarning as SamplingWarning
from .sampling import plan_grid as plan_grid
from .sampling import sampling_problems as sampling_problems
from .sampling import wavelength_count as wavelength_count
from .telescope import AbstractTelescope as AbstractTelescope
from .telescope import Focus as Focus
from .telescope import Stars as Stars
from .telescope import Surface as Surface
from .three_plane import ThreePlaneTelescope as ThreePlaneTelescope
from .two_plane import TwoPlaneTelescope as TwoPlaneTelescope
from .wavefront_error import power_law_map as power_law_map
