"""A campaign on an instrument that compiles in seconds."""

from dluxshera.campaigns import Campaign

TINY = {
    "optics.pupil_npix": 32,
    "optics.psf_npix": 16,
    "optics.oversample": 1,
    "binary.n_wavelengths": 4,
    "binary.separation_as": 0.8,
    "binary.position_angle_deg": 60.0,
    "detector.gain_e_per_adu": 0.0,
    "detector.full_well_e": 1e6,
}
FREE = ["binary.separation_as", "binary.log_flux_total"]


def values(**changes):
    """The description; keyword arguments replace keys of it."""
    usual = {
        "name": "tiny",
        "profile": "shera_flight_two_plane",
        "overrides": TINY,
        "free": FREE,
        "exposures": 1000,
        "batch": 2,
    }
    return usual | changes


def tiny_campaign(**changes):
    """The campaign of `values`."""
    return Campaign(values(**changes))
