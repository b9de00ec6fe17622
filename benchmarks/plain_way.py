"""The three-plane SHERA telescope written the plain way: the baseline that speed is measured against.

Independent of `dluxshera`: pure JAX functions over one flat vector of 23 parameters, a direct transcription
of the optics, as earlier models of this instrument are. M2's layers are interpolated in every call, the field
goes back to the pupil before the focal transform, that transform is two complex matrix products, and the
Fisher information is the Hessian of the loss. Use it in float64.

Run by hand, `python benchmarks/plain_way.py DATA_DIR` compares it with the reference images.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dLux.utils as dlu
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

NOLL = (4, 5, 6, 7, 8, 9, 10, 11)
POSITIONS = ("x_position_as", "y_position_as", "separation_as", "position_angle_deg")
BINARY = (*POSITIONS, "log_flux_total", "contrast")
LABELS = (*BINARY, *(f"m1.Z{j}" for j in NOLL), *(f"m2.Z{j}" for j in NOLL), "plate_scale_as")


class Geometry(NamedTuple):
    """What does not move in a fit; grid sizes are the shapes of the arrays.

    Attributes
    ----------
    pupil_diameter, m2_diameter, m1_focal_length, m2_focal_length, pixel_pitch : float, metres
    transmission : (N, N), M1's amplitude transmission
    diffractive_pupil : (N, N), metres of OPD
    m1_basis : (8, N, N), Zernikes over the pupil, unit RMS
    m2_basis : (8, M, M), Zernikes over M2's own diameter and pixels
    m2_stop : (M, M), M2's edge on the same pixels
    frequencies : (P,), cycles per metre, those of the padded pupil
    pixels : (n,), metres, pixel centres on the detector
    wavelengths : (k,), metres
    spectral_weights : (2, k), rows sum to one
    """

    pupil_diameter: float
    m2_diameter: float
    m1_focal_length: float
    m2_focal_length: float
    pixel_pitch: float
    transmission: jax.Array
    diffractive_pupil: jax.Array
    m1_basis: jax.Array
    m2_basis: jax.Array
    m2_stop: jax.Array
    frequencies: jax.Array
    pixels: jax.Array
    wavelengths: jax.Array
    spectral_weights: jax.Array


def centred(npix, pitch):
    """Coordinates of `npix` pixel centres about zero."""
    return (jnp.arange(npix) - (npix - 1) / 2) * pitch


def unpack(theta):
    """The parameters in `theta` (23,) by name: arcsec, degrees, log10 photons, nm."""
    n = len(NOLL)
    params = dict(zip(BINARY, theta[:6], strict=True))
    params["m1_zernikes_nm"], params["m2_zernikes_nm"] = theta[6 : 6 + n], theta[6 + n : 6 + 2 * n]
    params["plate_scale_as"] = theta[-1]
    return params


def mirror_geometry(plate_scale_as, geometry):
    """Plane separation behind the plate scale, then the marginal ray height at M2 and the EFL it gives."""
    f1, f2 = geometry.m1_focal_length, geometry.m2_focal_length
    separation = f1 + f2 - f1 * f2 * dlu.arcsec2rad(plate_scale_as) / geometry.pixel_pitch
    height = 1 - separation / f1
    focal_length = 1 / (1 / f1 + 1 / f2 - separation / (f1 * f2))
    return separation, height, focal_length


def sources(params):
    """Angles (2, 2) as (x, y) in radians and fluxes (2,) in photons of stars A and B."""
    centre = dlu.arcsec2rad(jnp.stack([params["x_position_as"], params["y_position_as"]]))
    separation, angle = dlu.arcsec2rad(params["separation_as"]), dlu.deg2rad(params["position_angle_deg"])
    contrast = params["contrast"]
    fluxes = 10 ** params["log_flux_total"] * jnp.stack([contrast, jnp.ones_like(contrast)]) / (1 + contrast)
    return dlu.positions_from_sep(centre, separation, angle), fluxes


def m2_layers(coefficients_nm, height, geometry):
    """OPD (P, P) in metres and stop (P, P) of M2, interpolated from its own pixels to the padded grid."""
    npix, padded = geometry.m2_stop.shape[0], geometry.frequencies.size
    opd = jnp.tensordot(coefficients_nm * 1e-9, geometry.m2_basis, 1)
    pitch = geometry.pupil_diameter / geometry.transmission.shape[0]
    index = centred(padded, pitch) * height / (geometry.m2_diameter / npix) + (npix - 1) / 2
    points = jnp.meshgrid(index, index, indexing="ij")
    resample = partial(map_coordinates, coordinates=points, order=1, mode="constant")
    return resample(opd), resample(geometry.m2_stop)


def transfer_function(distance, wavelength, frequencies):
    """Fresnel transfer function (P, P), the constant phase dropped."""
    squared = frequencies[:, None] ** 2 + frequencies**2
    return jnp.exp(-1j * jnp.pi * wavelength * distance * squared)


def through_m2(field, transfer, m2_transmission):
    """Pupil field (N, N) taken to M2, through it, and back to the pupil."""
    margin = (transfer.shape[0] - field.shape[0]) // 2
    at_m2 = jnp.fft.ifft2(jnp.fft.fft2(jnp.pad(field, margin)) * transfer) * m2_transmission
    back = jnp.fft.ifft2(jnp.fft.fft2(at_m2) * transfer.conj())
    # The crop loses what M2's aberrations scatter out of the pupil: 1e-5 of the image (L1) at 7 nm RMS.
    return back[margin:-margin, margin:-margin]


def monochromatic_psf(angles, wavelength, m1_opd, m2_opd, m2_stop, lengths, geometry):
    """Point-spread function (n, n) of one star at one wavelength; a unit flux enters through M1."""
    separation, height, focal_length = lengths
    wavenumber = 2 * jnp.pi / wavelength
    npix = geometry.transmission.shape[0]
    pitch = geometry.pupil_diameter / npix
    x = centred(npix, pitch)

    tilt = angles[0] * x + angles[1] * x[:, None]
    amplitude = geometry.transmission / jnp.sqrt(jnp.sum(geometry.transmission**2))
    field = amplitude * jnp.exp(1j * wavenumber * (m1_opd + tilt))

    transfer = transfer_function(separation / height, wavelength, geometry.frequencies)
    field = through_m2(field, transfer, m2_stop * jnp.exp(1j * wavenumber * m2_opd))

    kernel = jnp.exp(-1j * wavenumber / focal_length * geometry.pixels[:, None] * x)
    scale = pitch * geometry.pixel_pitch / (wavelength * focal_length)
    return jnp.abs(scale * (kernel @ field @ kernel.T)) ** 2


@jax.jit
def image(theta, geometry):
    """Expected photons per exposure (n, n), one sample per pixel."""
    params = unpack(theta)
    angles, fluxes = sources(params)
    lengths = mirror_geometry(params["plate_scale_as"], geometry)
    m1_opd = geometry.diffractive_pupil + jnp.tensordot(params["m1_zernikes_nm"] * 1e-9, geometry.m1_basis, 1)
    m2_opd, m2_stop = m2_layers(params["m2_zernikes_nm"], lengths[1], geometry)

    def psf(angle, wavelength):
        return monochromatic_psf(angle, wavelength, m1_opd, m2_opd, m2_stop, lengths, geometry)

    psfs = jax.vmap(jax.vmap(psf, (0, None)), (None, 0))(angles, geometry.wavelengths)
    return jnp.einsum("s,sk,ksij->ij", fluxes, geometry.spectral_weights, psfs)


def loss(theta, geometry, data):
    """Negative Poisson log likelihood of counts `data` (n, n), its constant dropped."""
    expected = image(theta, geometry)
    return jnp.sum(expected - data * jnp.log(expected))


value_and_grad = jax.jit(jax.value_and_grad(loss))
_hessian = jax.jit(jax.hessian(loss))


def fisher_hessian(theta, geometry):
    """Fisher information (23, 23): the Hessian of the loss where the data are the expected image."""
    return _hessian(theta, geometry, image(theta, geometry))


def padded_size(npix, footprint):
    """Next multiple of half a pupil that holds M2's `footprint` (in pupil widths), 1.5 pupils or more."""
    return npix // 2 * max(3, int(np.ceil(2 * footprint)))


def build(numbers, arrays, psf_npix):
    """A `Geometry` from the `geometry` record and the arrays of a reference file; M2 sampled like M1."""
    d1, d2, pixel = numbers["p1_diameter"], numbers["p2_diameter"], numbers["pixel_size"]
    npix = arrays["m1_transmission"].shape[0]
    height = 1 - numbers["plane_separation"] / numbers["m1_focal_length"]
    padded = padded_size(npix, d2 / abs(height) / d1)
    m2_points = dlu.pixel_coords(npix, d2)
    soft_edge = jnp.clip((d2 / 2 - jnp.hypot(*m2_points)) * npix / d2 + 0.5, 0, 1)
    return Geometry(
        d1, d2, numbers["m1_focal_length"], numbers["m2_focal_length"], pixel,
        transmission=jnp.asarray(arrays["m1_transmission"]),
        diffractive_pupil=jnp.asarray(arrays["diffractive_pupil_opd_m"]),
        m1_basis=dlu.zernike_basis(NOLL, dlu.pixel_coords(npix, d1), d1),
        m2_basis=dlu.zernike_basis(NOLL, m2_points, d2),
        m2_stop=soft_edge,
        frequencies=jnp.fft.fftfreq(padded, d1 / npix),
        pixels=centred(psf_npix, pixel),
        wavelengths=jnp.asarray(arrays["wavelengths_m"]),
        spectral_weights=jnp.asarray(arrays["spectral_weights"]),
    )  # fmt: skip


def load_reference(path, psf_npix=None):
    """Geometry, parameters (23,) and noiseless image (n, n) of a reference file; another image size if asked for."""
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    meta = json.loads(str(arrays["meta"]))
    values = meta["overrides"]
    zernikes = [values[f"optics.{m}.zernike_coeffs_nm"] for m in ("m1", "m2")]
    scale = meta["derived"]["plate_scale_as"]
    theta = jnp.asarray([*(values[f"binary.{name}"] for name in BINARY), *zernikes[0], *zernikes[1], scale])
    image = jnp.asarray(arrays.get("image", arrays.get("expected")))
    return build(meta["geometry"], arrays, psf_npix or image.shape[0]), theta, image


def main(directory):
    """Print the L1 difference over the total of each reference image in `directory`."""
    jax.config.update("jax_enable_x64", True)
    for path in sorted(Path(directory).glob("*.npz")):
        geometry, theta, reference = load_reference(path)
        difference = jnp.abs(image(theta, geometry) - reference).sum() / reference.sum()
        print(f"{path.name:45s} {geometry.frequencies.size:5d} px padded   L1 {difference:.2e}")


if __name__ == "__main__":
    main(sys.argv[1])
