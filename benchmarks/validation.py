"""The optics against other codes and against closed forms: differences, tolerances, and a page for the docs.

    python benchmarks/validation.py [--page docs/validation.md --figures docs/figures]

Needs the extra `compare` (HCIPy, POPPY). Every difference has a tolerance; one above it is exit code 1. Images are
compared in units of the peak, as they are: no image is moved or scaled, but for the power of a peer that gives none.
"""

import argparse
import logging
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)  # before dLux makes its constants

sys.path.insert(0, str(Path(__file__).parent))
import closed_forms  # noqa: E402
import peers  # noqa: E402

import dluxshera as ds  # noqa: E402
from dluxshera.optics.telescope import Stars  # noqa: E402

WAVELENGTH, NPIX = 550e-9, 64
ZERNIKES = {"optics.m1.zernike_coeffs_nm": [5.0, -8, 3, 2, -4, 6, 1, -2]}
ON_M2 = {"optics.m2.zernike_coeffs_nm": [12.0, 7, -9, 4, 5, -6, 8, 3]}
OFF_AXIS = np.array([0.9, -0.6]) / 206264.806  # radians
# Grids that keep every frequency, where the default keeps those that reach the image: one transform, without padding;
# and Fresnel propagation padded as that of the peers.
WHOLE_BAND = {"optics.pad_npix": 256, "optics.band_npix": 256}
PADDED = {"optics.pad_npix": 1024, "optics.band_npix": 1024}


class Case(NamedTuple):
    """One comparison: largest difference in units of `of`, and what it may be."""

    name: str
    against: str
    difference: float
    tolerance: float
    images: tuple[np.ndarray, np.ndarray] | None = None


def telescope(profile, **overrides):
    """One wavelength, an image as the optics make it, a diffractive pupil of whole steps."""
    grid = {"optics.pupil_npix": 256, "optics.psf_npix": NPIX, "optics.oversample": 1, "binary.n_wavelengths": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        model = ds.load_profile(profile, overrides=grid | ZERNIKES | overrides)
    whole = np.round(np.asarray(model.optics.diffractive_pupil_fraction))  # peers know phases only, not mixtures
    return ds.set_values(model, {"optics.diffractive_pupil_fraction": whole})


def image(model, angle=(0.0, 0.0), pitch=None, centre=None):
    """(NPIX, NPIX) of a star of one photon at an angle, radians."""
    star = Stars(jnp.asarray([angle], float), jnp.ones((1, 1)), jnp.asarray([WAVELENGTH]))
    pitch = model.detector.pixel_pitch if pitch is None else jnp.asarray(pitch)
    centre = None if centre is None else jnp.asarray(centre)
    return np.asarray(jax.jit(lambda m: m.optics.intensity(star, pitch, NPIX, centre))(model))


def compared(name, against, ours, theirs, tolerance):
    """Largest difference of two images, of the peak."""
    return Case(name, against, float(np.abs(ours - theirs).max() / ours.max()), tolerance, (ours, theirs))


def two_planes():
    """A pupil with aberrations and diffractive pupil, to focus."""
    whole, cropped = (telescope("shera_testbed_two_plane", **band) for band in (WHOLE_BAND, {}))
    exact = image(whole, OFF_AXIS)
    name = "two planes, off axis"
    yield compared(name, "dLux", exact, peers.dlux_two_planes(whole, WAVELENGTH, OFF_AXIS, NPIX), 1e-12)
    yield compared(name, "HCIPy", exact, peers.hcipy_two_planes(whole, WAVELENGTH, OFF_AXIS, NPIX), 1e-12)
    on_axis = image(whole)
    yield compared("two planes, on axis", "POPPY", on_axis, peers.poppy_two_planes(whole, WAVELENGTH, NPIX), 1e-12)
    yield compared("two planes, band of the image only", "HCIPy", image(cropped, OFF_AXIS),
                   peers.hcipy_two_planes(cropped, WAVELENGTH, OFF_AXIS, NPIX), 5e-6)  # fmt: skip


def three_planes():
    """M1, Fresnel propagation, M2, focus: without M2's stop through real lenses, and with its stop and aberrations.

    Off axis the peer's grid cuts the tilted spectrum at another edge, so that only a part in 1e6 is asked for.
    """
    for profile in ("shera_testbed", "shera_flight"):
        for grid, kept, tolerances in ((PADDED, "all frequencies", (1e-9, 1e-11)), ({}, "default grid", (5e-6, 5e-6))):
            model = telescope(profile, **grid)
            model = ds.set_values(model, {"optics.m2.diameter": 20 * model.optics.m2.diameter})
            theirs, pitch = peers.poppy_three_planes(model, WAVELENGTH, NPIX)
            ours = image(model, pitch=pitch, centre=(-pitch / 2, -pitch / 2))
            name = f"three planes, {profile}, {kept}"
            yield compared(name, "POPPY, real lenses", ours[1:, 1:], theirs[1:, 1:], tolerances[0])
            bent = telescope(profile, **ON_M2, **grid)
            for angle, where, tolerance in (((0.0, 0.0), "on axis", tolerances[1]), (OFF_AXIS, "off axis", 5e-6)):
                theirs = peers.hcipy_three_planes(bent, WAVELENGTH, angle, NPIX)
                yield compared(f"{name}, errors on M2, {where}", "HCIPy", image(bent, angle), theirs, tolerance)


def energy():
    """All focal points of one period hold all photons."""
    model = telescope("shera_testbed_two_plane", **WHOLE_BAND)
    pitch = WAVELENGTH * model.optics.focal_length / model.optics.m1.diameter
    star = Stars(jnp.zeros((1, 2)), jnp.ones((1, 1)), jnp.asarray([WAVELENGTH]))
    total = float(jax.jit(lambda m: m.optics.intensity(star, pitch, 256).sum())(model))
    yield Case("photons over the whole focal period, two planes", "one", abs(total - 1), 1e-12)


def forms():
    """Free space and Zernike polynomials."""
    for name, against, difference, tolerance in closed_forms.all_of_them():
        yield Case(name, against, difference, tolerance)


def table(cases):
    """Markdown."""
    lines = ["| case | against | largest difference | tolerance |", "|---|---|---|---|"]
    return [*lines, *(f"| {c.name} | {c.against} | {c.difference:.1e} | {c.tolerance:.0e} |" for c in cases)]


def draw(case, path):
    """Image, peer's image and their difference."""
    from matplotlib.figure import Figure

    from dluxshera.plotting.style import style

    ours, theirs = (part / case.images[0].max() for part in case.images)
    with style():
        figure = Figure(figsize=(7.2, 2.4), layout="constrained")
        axes = figure.subplots(1, 3)
        for ax, values, title in zip(axes, (ours, theirs), ("dluxshera", case.against.split(",")[0]), strict=False):
            shown = ax.imshow(np.log10(np.maximum(values, 1e-8)), origin="lower", vmin=-6, vmax=0)
            ax.set_title(title)
            figure.colorbar(shown, ax=ax, shrink=0.8, label="log10 of the peak")
        reach = np.abs(ours - theirs).max()
        shown = axes[2].imshow(ours - theirs, origin="lower", cmap="RdBu_r", vmin=-reach, vmax=reach)
        axes[2].set_title("difference")
        figure.colorbar(shown, ax=axes[2], shrink=0.8, label="of the peak")
        axes[0].set_ylabel("row, pixels")
        for ax in axes:
            ax.set_xlabel("column, pixels")
        figure.savefig(path, dpi=110)


def main() -> int:
    """Compare, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="Markdown file whose part between the two marks is replaced")
    parser.add_argument("--figures", type=Path, help="folder for figures of the differences")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # HCIPy and POPPY speak of every propagation
    cases = []
    for case in (case for part in (two_planes, three_planes, energy, forms) for case in part()):
        cases.append(case)
        print(f"{case.name} | {case.against}: {case.difference:.2e} (at most {case.tolerance:.0e})", flush=True)
    if options.page:
        head, mark, rest = options.page.read_text(encoding="utf-8").partition("<!-- table -->\n")
        _, end, tail = rest.partition("<!-- end of table -->")
        options.page.write_text(head + mark + "\n".join(table(cases)) + "\n" + end + tail, encoding="utf-8")
    if options.figures:
        by_peer = {case.against: case for case in reversed(cases) if case.images is not None}
        for name, peer in {"two_planes": "dLux", "lenses": "POPPY, real lenses", "m2_errors": "HCIPy"}.items():
            draw(by_peer[peer], options.figures / f"validation_{name}.png")
    return int(any(case.difference > case.tolerance for case in cases))


if __name__ == "__main__":
    sys.exit(main())
