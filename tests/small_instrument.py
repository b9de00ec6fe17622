"""A tiny three-plane instrument that compiles in seconds, for tests that need any instrument at all."""

import numpy as np

from dluxshera.instrument.detector import Detector
from dluxshera.instrument.instrument import Instrument
from dluxshera.instrument.pixels import MARGIN_NPIX
from dluxshera.instrument.source import BinarySource
from dluxshera.instrument.spectrum import gauss_legendre_band
from dluxshera.optics import (
    ApertureShape,
    PrimaryMirror,
    SecondaryMirror,
    ThreePlaneTelescope,
    plan_grid,
    pupil_transmission,
)

PUPIL_NPIX, PSF_NPIX = 32, 16
BAND = (550e-9, 41e-9)
DIAMETER, PITCH = 0.22, 4.6e-6
M1_FOCAL_LENGTH, M2_FOCAL_LENGTH, PLANE_SEPARATION, FOCAL_LENGTH = 0.604353, -0.0545, 0.55413, 7.70101
NOLL_INDICES = (4, 5, 6)


def small_instrument(
    *, psf_npix: int = PSF_NPIX, wavelength_count: int = 4, log_flux_total: float = 5.0, **detector_values
) -> Instrument:
    """The flight geometry on tiny grids: a binary 0.8 arcsec apart, well sampled, photon noise only.

    Keyword arguments beyond the named ones are fields of the detector, such as `read_noise_e=1.0`.
    Four wavelengths are the fewest that the sampling check accepts without a `SamplingWarning`.
    """
    wavelengths, weights = gauss_legendre_band(*BAND, wavelength_count)
    binary = BinarySource(
        0.02, -0.03, 0.8, 60.0, log_flux_total, 3.37, wavelengths_m=wavelengths, spectral_weights=weights
    )
    return Instrument(binary, _telescope(psf_npix, wavelengths), _detector(psf_npix, **detector_values))


def _telescope(psf_npix: int, wavelengths: np.ndarray) -> ThreePlaneTelescope:
    height = 1 - PLANE_SEPARATION / M1_FOCAL_LENGTH
    plan = plan_grid(
        PUPIL_NPIX,
        psf_npix,
        3,
        diameter=DIAMETER,
        distances=(PLANE_SEPARATION / height,),
        focal_length=FOCAL_LENGTH,
        pixel_pitch=PITCH,
        wavelengths=(wavelengths.min(), wavelengths.max()),
        star_angle=1 / 206265,
        margin_npix=MARGIN_NPIX,
    )
    pupil = pupil_transmission(ApertureShape(0.025 / DIAMETER, 4, 0.002 / DIAMETER, -45.0), PUPIL_NPIX)
    return ThreePlaneTelescope(
        m1=PrimaryMirror(DIAMETER, M1_FOCAL_LENGTH, np.zeros(3), pupil, noll_indices=NOLL_INDICES),
        m2=SecondaryMirror(0.025, M2_FOCAL_LENGTH, np.zeros(3), noll_indices=NOLL_INDICES),
        plane_separation=PLANE_SEPARATION,
        diffractive_pupil_fraction=_step_map(),
        diffractive_pupil_step_m=BAND[0] / 2,
        focus_shift=0.0,
        throughput=1.0,
        pupil_npix=PUPIL_NPIX,
        psf_npix=psf_npix,
        oversample=3,
        pad_npix=plan.pad_npix,
        band_npix=plan.band_npix,
        focal_samples=plan.focal_samples,
    )


def _step_map() -> np.ndarray:
    # One patch off the centre: the pupil is not even, so that even Zernikes have a gradient at zero.
    rows, columns = np.indices((PUPIL_NPIX, PUPIL_NPIX))
    return (np.hypot(rows - 12, columns - 21) < 6).astype(float)


def _detector(psf_npix: int, **values) -> Detector:
    defaults = {
        "pixel_pitch": PITCH,
        "exposure_time_s": 0.05,
        "jitter_sigma_as": 0.0,
        "read_noise_e": 0.0,
        "dark_current_e": 0.0,
        "gain_e_per_adu": 0.0,
        "full_well_e": 1e9,
        "quantum_efficiency": 1.0,
        "background_e": 0.0,
        "bit_depth": 12,
    }
    response, offsets = np.ones((psf_npix, psf_npix)), np.zeros((psf_npix, psf_npix, 2))
    return Detector(**{"pixel_response": response, "pixel_offsets": offsets, **defaults, **values})
