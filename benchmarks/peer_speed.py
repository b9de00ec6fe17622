"""Images and gradients against dLux, HCIPy and POPPY on the same work, as ratios in one run.

    python benchmarks/peer_speed.py [--pupil 256] [--psf 256] [--markdown FILE]

Needs the extra `compare`. Double precision; the fastest of twelve calls, ours and the peer's in turn. What does not
change from image to image (masks, kernels, transfer functions) is made before, for peers too. Three wavelengths are
500, 550 and 600 nm. `same grid` pads ours as the peer's and keeps all frequencies; `default grid` is what a profile
builds.
"""

import argparse
import logging
import os
import sys
import time
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

sys.path.insert(0, str(Path(__file__).parent))
import peers  # noqa: E402

import dluxshera as ds  # noqa: E402
from dluxshera.optics.telescope import Stars  # noqa: E402
from dluxshera.optics.zernikes import zernike_sum  # noqa: E402

WAVELENGTHS = jnp.asarray([500e-9, 550e-9, 600e-9])
ANGLES = np.array([[2.0, 1.0], [-2.0, -1.0]]) / 206264.806
PADDED = 512


def side_by_side(mine, theirs, turns=4):
    """Fastest seconds of two calls, which take turns so that both meet the same machine.

    A pause before each turn lets the other's threads go to sleep (those of a BLAS wait for more work, at full speed),
    and its first call is not counted.
    """
    found = {mine: [], theirs: []}
    for _ in range(turns):
        for call, seconds in found.items():
            time.sleep(0.2)
            jax.block_until_ready(call())
            seconds += [_seconds(call) for _ in range(3)]
    return min(found[mine]), min(found[theirs])


def _seconds(call):
    started = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - started


def telescope(profile, pupil, psf, **overrides):
    """A model whose diffractive pupil has whole steps, as peers have them."""
    grid = {"optics.pupil_npix": pupil, "optics.psf_npix": psf, "optics.oversample": 1, "binary.n_wavelengths": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        model = ds.load_profile(profile, overrides=grid | overrides)
    whole = np.round(np.asarray(model.optics.diffractive_pupil_fraction))
    return ds.set_values(model, {"optics.diffractive_pupil_fraction": whole})


def ours(model, stars, wavelengths):
    """Calls for an image, and for a sum of squares of it with its gradient by M1's Zernikes."""
    photons = jnp.ones((stars, len(wavelengths)))
    light = Stars(jnp.asarray(ANGLES[:stars]), photons, wavelengths)
    npix, pitch = model.optics.psf_npix, model.detector.pixel_pitch
    image = lambda optics: optics.intensity(light, pitch, npix)  # noqa: E731
    loss = lambda zernikes, optics: jnp.sum(image(_with(optics, zernikes)) ** 2)  # noqa: E731
    forward, gradient = jax.jit(image), jax.jit(jax.value_and_grad(loss))
    start = model.optics.m1.zernike_coeffs_nm
    return lambda: forward(model.optics), lambda: gradient(start, model.optics)


def _with(optics, zernikes):
    return eqx.tree_at(lambda o: o.m1.zernike_coeffs_nm, optics, zernikes)


def dlux(model, stars, wavelengths):
    """The same two of dLux's system: Zernikes as a basis, the diffractive pupil as a fixed path difference."""
    import dLux as dl

    optics, npix = model.optics, model.optics.pupil_npix
    x = (jnp.arange(npix) - (npix - 1) / 2) / (npix / 2)
    modes = jnp.stack([zernike_sum(row, optics.m1.noll_indices, x, x) for row in jnp.eye(len(optics.m1.noll_indices))])
    step = optics.diffractive_pupil_fraction * optics.diffractive_pupil_step_m
    layer = dl.BasisOptic(modes * 1e-9, optics.m1.transmission, optics.m1.zernike_coeffs_nm, normalise=True)
    system = peers.dlux_system(model, model.optics.psf_npix, layer)
    system = system.insert_layer(("step", dl.Optic(opd=step)), 1)

    def image(system):
        one = lambda angle: system.propagate(wavelengths, offset=angle)  # noqa: E731
        return jnp.sum(jax.vmap(one)(jnp.asarray(ANGLES[:stars])), axis=0)

    def loss(zernikes, system):
        return jnp.sum(image(system.set("pupil.coefficients", zernikes)) ** 2)

    forward, gradient = (eqx.filter_jit(f) for f in (image, eqx.filter_value_and_grad(loss)))
    start = optics.m1.zernike_coeffs_nm
    return lambda: forward(system), lambda: gradient(start, system)


def hcipy_three_planes(model, stars, wavelengths):
    """Call for an image; propagators and pupil fields are made before."""
    fields = [[peers._hcipy_pupil_field(model, float(w), angle, PADDED)[1] for angle in ANGLES[:stars]]
              for w in wavelengths]  # fmt: skip
    npix = model.optics.psf_npix
    chains = [peers.hcipy_three_plane_propagation(model, float(w), npix, PADDED) for w in wavelengths]
    return lambda: sum(chain(field) for chain, row in zip(chains, fields, strict=True) for field in row)


def poppy_three_planes(model, wavelengths):
    """Call for an image of one star."""
    system = peers.poppy_three_plane_system(model, model.optics.pupil_npix / PADDED)

    def images():
        return [system.calc_psf(wavelength=float(w), return_final=True)[1][-1].intensity for w in wavelengths]

    return images


def rows(pupil, psf):
    """Work, peer, seconds of both."""
    whole = {"optics.pad_npix": pupil, "optics.band_npix": pupil}
    for stars, count in ((1, 1), (2, 3)):
        waves = WAVELENGTHS[:count]
        work = f"two planes, {count} wavelength{'s'[: count - 1]}, {stars} star{'s'[: stars - 1]}"
        for grid, name in ((whole, "same grid"), ({}, "default grid")):
            model = telescope("shera_testbed_two_plane", pupil, psf, **grid)
            calls = zip(ours(model, stars, waves), dlux(model, stars, waves), strict=True)
            for what, (mine, theirs) in zip(("image", "value and gradient"), calls, strict=True):
                yield f"{work}, {what}, {name}", "dLux", *side_by_side(mine, theirs)
    same = {"optics.pad_npix": PADDED, "optics.band_npix": PADDED}
    for grid, name in ((same, "same grid"), ({}, "default grid")):
        model = telescope("shera_testbed", pupil, psf, **grid)
        work = "three planes, 3 wavelengths"
        mine, theirs = ours(model, 2, WAVELENGTHS)[0], hcipy_three_planes(model, 2, WAVELENGTHS)
        yield f"{work}, 2 stars, image, {name}", "HCIPy", *side_by_side(mine, theirs)
        mine, theirs = ours(model, 1, WAVELENGTHS)[0], poppy_three_planes(model, WAVELENGTHS)
        yield f"{work}, 1 star, image, {name}", "POPPY", *side_by_side(mine, theirs)


def main() -> None:
    """Time everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pupil", type=int, default=256)
    parser.add_argument("--psf", type=int, default=256)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    lines = ["| work | peer | ours, s | peer's, s | ratio |", "|---|---|---|---|---|"]
    for work, peer, mine, theirs in rows(options.pupil, options.psf):
        lines.append(f"| {work} | {peer} | {mine:.4f} | {theirs:.4f} | {theirs / mine:.1f} |")
        print(lines[-1], flush=True)
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    lines.append(f"\nPupil {options.pupil}, image {options.psf}; {machine}.")
    print(lines[-1])
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
