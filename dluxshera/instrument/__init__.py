"""Instruments: source, optics and detector in one image; observations, simulated and read."""

from .detector import Detector as Detector
from .geometry_changes import geometry_changes as geometry_changes
from .guess import Guess as Guess
from .guess import guess as guess
from .guess import with_guess as with_guess
from .instrument import Instrument as Instrument
from .observation import Observation as Observation
from .photon_budget import PhotonBudget as PhotonBudget
from .photon_budget import clear_area as clear_area
from .photon_budget import photon_budget as photon_budget
from .saturation import SaturationWarning as SaturationWarning
from .simulate import simulate as simulate
from .sky import detector_angle as detector_angle
from .sky import north_east_angle as north_east_angle
from .source import BinarySource as BinarySource
from .spectrum import SpectralTable as SpectralTable
from .spectrum import blackbody_photons as blackbody_photons
from .spectrum import gauss_legendre_band as gauss_legendre_band
from .spectrum import read_table as read_table
from .spectrum import spectral_weights as spectral_weights
from .spikes import spike_centres as spike_centres
from .spikes import spikes as spikes
