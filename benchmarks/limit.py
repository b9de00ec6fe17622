"""How near an image comes to what this machine's Fourier transforms and matrix products allow, and where its time goes.

    python benchmarks/limit.py PROFILE [--set path=value ...]

Prints one line of JSON: tables `throughput`, `stages` and `limit`. Operations are counted from the sizes of the grids:
a transform of N numbers is 5 N log2 N, a real product (a, b) (b, c) is 2 a b c; what is done sample by sample (phases,
stops, squares) counts as nothing. The limit is the time that the counted work takes at the best rate found for
the same shapes in the same run.
"""

import argparse
import json
import math
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from measuring import steady  # noqa: E402

import dluxshera as ds  # noqa: E402
from dluxshera.instrument.pixels import MARGIN_NPIX, integrate_pixels  # noqa: E402
from dluxshera.optics.focal import focal_field  # noqa: E402
from dluxshera.optics.phasor import wave  # noqa: E402
from dluxshera.optics.propagation import Lattice, band_spectrum  # noqa: E402

RATES = ["work of", "numbers", "count", "by", "Gflop/s"]
STAGES = ["stage, alone", "each, ms", "times", "in all, ms"]


class Sizes(NamedTuple):
    """Grids of an image: pupil, period, band, focal points; wavelengths and stars; planes after the pupil."""

    pupil: int
    pad: int
    band: int
    points: int
    wavelengths: int
    stars: int
    surfaces: int

    @property
    def transforms(self) -> dict[str, tuple[tuple[int, ...], int]]:
        """One-dimensional transforms, by shape (how many, of what length), and how often."""
        rows, columns = (self.pupil, self.pad), (self.band, self.pad)
        planes = max(1, 2 * self.surfaces - 1)
        return {"padded pupil, rows": (rows, 1), "padded pupil, columns": (columns, 1),
                "between planes": ((self.band, self.band), 2 * planes)}  # fmt: skip

    @property
    def products(self) -> dict[str, tuple[tuple[int, int, int], int]]:
        """Real matrix products, by shape (a, b, c) of (a, b) (b, c), and how often."""
        half, points = (self.band + 1) // 2, (self.points + 1) // 2
        return {"to focus, columns": ((self.band, half, points), 4), "to focus, rows": ((points, half, self.points), 4)}


def sizes_of(model) -> Sizes:
    """The grids of a model's image."""
    optics = model.optics
    count = optics.focal_samples
    points = optics.psf_npix * count if count > 1 or optics.oversample == 1 else optics.psf_npix + 2 * MARGIN_NPIX
    stars = model.binary.stars()
    return Sizes(optics.pupil_npix, optics.pad_npix, optics.band_npix, points, len(stars.wavelengths),
                 len(stars.positions), len(optics.surfaces()))  # fmt: skip


def random(*shape: int) -> np.ndarray:
    """Complex numbers."""
    parts = np.random.default_rng(0).normal(size=(2, *shape))
    return parts[0] + 1j * parts[1]


def transform_rates(shape: tuple[int, int]) -> dict[str, float]:
    """Operations per second of transforms along the last axis."""
    import scipy.fft

    field, work = random(*shape), 5 * shape[0] * shape[1] * math.log2(shape[1])
    ours, by_jax = jnp.asarray(field), jax.jit(jnp.fft.fft)
    calls = {"jax.numpy.fft": lambda: by_jax(ours), "scipy.fft, one thread": lambda: scipy.fft.fft(field),
             "scipy.fft, all cores": lambda: scipy.fft.fft(field, workers=os.cpu_count())}  # fmt: skip
    return {name: work / steady(call) for name, call in calls.items()}


def product_rates(shape: tuple[int, int, int]) -> dict[str, float]:
    """Operations per second of products of matrices: real, and complex as the libraries have it (8 a b c)."""
    a, b, c = shape
    found = {}
    for kind, count, part in (("real", 2, np.real), ("complex", 8, np.asarray)):
        left, right = np.ascontiguousarray(part(random(a, b))), np.ascontiguousarray(part(random(b, c)))
        mine, other, by_jax = jnp.asarray(left), jnp.asarray(right), jax.jit(jnp.matmul)
        found[f"numpy, {kind}"] = count * a * b * c / steady(lambda x=left, y=right: x @ y)
        found[f"jax, {kind}"] = count * a * b * c / steady(lambda f=by_jax, x=mine, y=other: f(x, y))
    return found


def throughput(sizes: Sizes) -> tuple[list[list], float, float]:
    """Rows of rates, and seconds of an image's transforms and products at the best of them."""
    rows, seconds = [], [0.0, 0.0]
    for name, (shape, count) in sizes.transforms.items():
        rates = transform_rates(shape)
        rows += [[name, f"{shape[0]} x {shape[1]}", count, by, rate / 1e9] for by, rate in rates.items()]
        seconds[0] += count * 5 * math.prod(shape) * math.log2(shape[1]) / max(rates.values()) * sizes.wavelengths
    for name, (shape, count) in sizes.products.items():
        rates = product_rates(shape)
        rows += [[name, " x ".join(map(str, shape)), count, by, rate / 1e9] for by, rate in rates.items()]
        best = max(rate for by, rate in rates.items() if "real" in by)
        seconds[1] += count * 2 * math.prod(shape) / best * sizes.wavelengths * sizes.stars
    return rows, *seconds


def stages(model, sizes: Sizes) -> list[list]:
    """Seconds of each part of an image by itself, compiled alone."""
    grid, optics = Lattice(sizes.pupil, sizes.pad, sizes.band), model.optics
    pupil, band = jnp.asarray(random(sizes.pupil, sizes.pupil)), jnp.asarray(random(sizes.band, sizes.band))
    wavelength, step = model.binary.stars().wavelengths[0], jnp.asarray(0.0015)
    offsets, samples = model.detector.pixel_offsets, jnp.ones((sizes.points, sizes.points))
    once, per_star = sizes.wavelengths, sizes.wavelengths * sizes.stars
    parts = [
        ("pupil field", lambda p: optics.pupil_field(p, wavelength), (optics.pupil().padded(sizes.pad),), once),
        ("transform of the padded pupil", lambda f: band_spectrum(f, grid), (pupil,), once),
        ("transform to the next plane", jnp.fft.ifft2, (band,), once * max(1, 2 * sizes.surfaces - 1)),
        ("phase and stop of a surface", lambda f: f * wave(f.real, f.imag), (band,), per_star * sizes.surfaces),
        ("to focus", lambda f: focal_field(f, step, grid, sizes.points), (band,), per_star),
    ]
    if sizes.points > optics.psf_npix and optics.focal_samples == 1:
        parts.append(("pixels", lambda s: integrate_pixels(s, optics.oversample, offsets), (samples,), 1))
    rows = []
    for name, function, arguments, count in parts:
        compiled = jax.jit(function)
        each = 1e3 * steady(lambda f=compiled, a=arguments: f(*a))
        rows.append([name, each, count, each * count])
    return rows


def measure(profile: str, overrides: dict) -> dict:
    """All three tables."""
    model = ds.load_profile(profile, overrides)
    sizes, image = sizes_of(model), jax.jit(lambda m: m.model())
    whole = steady(lambda: image(model))
    rates, transforms, products = throughput(sizes)
    parts = stages(model, sizes)
    parts += [["sum", "", "", sum(row[-1] for row in parts)], ["the image", 1e3 * whole, 1, 1e3 * whole]]
    limit = [profile, " / ".join(map(str, sizes[:4])), f"{sizes.wavelengths} x {sizes.stars}", 1e3 * transforms,
             1e3 * products, 1e3 * whole, f"{(transforms + products) / whole:.0%}"]  # fmt: skip
    return {"throughput": rates, "stages": parts, "limit": limit}


LIMIT = ["profile", "pupil / period / band / points", "wavelengths x stars", "transforms at best, ms",
         "products at best, ms", "image, ms", "of the limit"]  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    overrides = {path: int(value) for path, value in (item.split("=") for item in options.set)}
    print(json.dumps(measure(options.profile, overrides)))


if __name__ == "__main__":
    main()
