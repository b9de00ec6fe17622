"""Field declarations that every telescope variant repeats."""

from ..params import buffer, param, static


def diffractive_pupil_fraction():
    """Field of the diffractive pupil's map."""
    return buffer("Fraction of each pupil pixel that carries the phase step.")


def diffractive_pupil_step():
    """Field of the step height."""
    doc = "Optical path difference of the diffractive pupil's step."
    return param("m", doc, symbol="h", slip_above=1e-4)


def plane_separation():
    """Field of the distance between the mirrors."""
    return param("m", "Distance from M1 to M2.", symbol="d_{12}", bounds=(0.0, None), slip_above=100.0)


def focus_shift():
    """Field of the detector's distance from the paraxial focus."""
    return param("m", "Distance of the detector behind the paraxial focus.", symbol=r"\Delta z", slip_above=1.0)


def throughput():
    """Field of the optical throughput."""
    return param("", "Fraction of the aperture's photons that the optics pass.", symbol="T", bounds=(0.0, 1.0))


def pupil_npix():
    """Field of the pupil grid size."""
    return static("Pixels across the pupil.")


def psf_npix():
    """Field of the image size."""
    return static("Pixels across the image.")


def oversample():
    """Field of the pixel-integration order."""
    return static("Samples per pixel and axis in the pixel integral; 1 takes the pixel's centre.")


def pad_npix():
    """Field of the padded period."""
    return static("Period of the propagation grid, in pupil pixels.")


def band_npix():
    """Field of the band kept."""
    return static("Frequencies kept per axis after the first transform; the period's own count keeps all.")


def focal_samples():
    """Field of the transform's sampling."""
    return static("Focal samples per pixel and axis: 1 (pixel integral by a band-limited filter) or `oversample`.")
