"""How cost grows with each size of the three-plane testbed, one size at a time, double precision.

    python benchmarks/scaling.py [--small]

Prints one line of JSON: rows of the table.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from costs import operation, problem  # noqa: E402
from measuring import exponent, steady  # noqa: E402

import dluxshera as ds  # noqa: E402
from dluxshera.inference.frame_stack import Frames  # noqa: E402

PROFILE = "shera_testbed"
BASE = {"optics.pupil_npix": 128, "optics.psf_npix": 64, "binary.n_wavelengths": 3}
FITTED = {"optics.pupil_npix": 64, "optics.psf_npix": 32, "binary.n_wavelengths": 3}
GRIDS = {
    "pupil pixels": ("optics.pupil_npix", (64, 128, 256, 512)),
    "image pixels": ("optics.psf_npix", (32, 64, 128, 256)),
    "wavelengths": ("binary.n_wavelengths", (1, 3, 9)),
}
ZERNIKES = ["optics.m1.zernike_coeffs_nm", "optics.m2.zernike_coeffs_nm"]
POSITION = [f"binary.{name}" for name in ("x_position_as", "y_position_as", "separation_as")]
FREE = (POSITION, ["binary.*", ZERNIKES[0]], ["binary.*", *ZERNIKES, "plate_scale_as"])
MANY = tuple(range(4, 24))  # Noll indices on each mirror: 47 parameters
OWN = ["binary.x_position_as", "binary.y_position_as", "binary.log_flux_total"]
HEADER = ["size", "values", "what", "time, s", "growth per doubling", "exponent"]


def grids(base: dict, axes: dict):
    """Image, and value and gradient, along each grid size."""
    for name, (path, sizes) in axes.items():
        problems = [problem(PROFILE, {**base, path: size}) for size in sizes]
        for what in ("image", "value and gradient"):
            yield row(name, sizes, what, [steady(operation(what, *each)) for each in problems])


def parameters(base: dict, many: tuple[int, ...] = MANY):
    """Value and gradient, and Fisher, along the number of free parameters."""
    model = ds.load_profile(PROFILE, base)
    wide = ds.load_profile(PROFILE, {**base, **{f"optics.{m}.noll_indices": many for m in ("m1", "m2")}})
    problems = [(model, names) for names in FREE] + [(wide, FREE[-1])]
    problems = [(model, ds.ThetaSpace(model, names)) for model, names in problems]
    sizes = [space.pack(model).size for model, space in problems]
    for what in ("value and gradient", "Fisher"):
        seconds = []
        for model, space in problems:
            objective = ds.Objective(model, space, ds.Observation(image=model.model()))
            seconds.append(steady(operation(what, objective, space.pack(model)), repeats=3))
        yield row("free parameters", sizes, what, seconds)


def frames(base: dict, sizes=(8, 16, 32), batch: int = 4):
    """One pass over a stack of frames: loss, gradient and information, as each step of `fit_frames` takes it."""
    model = ds.load_profile(PROFILE, base)
    space = ds.ThetaSpace(model, ["binary.*", "plate_scale_as"])
    seconds = []
    for count in sizes:
        images = np.tile(np.asarray(model.model()), (count, 1, 1))
        stack = ds.FrameStack(
            model, space, Frames(images, None, np.ones(images.shape, bool), np.ones(count)), OWN, batch=batch
        )
        shared, own = stack.reference[np.array(stack.shared)], stack.reference[np.array(stack.own)]
        own, expand = jnp.tile(own, (count, 1)), eqx.filter_jit(lambda s, a, b: s.expansion(a, b)[1].shared)
        seconds.append(steady(lambda e=expand, s=stack, a=shared, b=own: e(s, a, b), repeats=3))
    yield row("frames", sizes, f"loss, gradient and Fisher, {batch} at once", seconds)


def batches(base: dict, sizes=(1, 4, 16), steps: int = 3):
    """A vmapped Levenberg-Marquardt fit of many starts, all at once."""
    objective, theta = problem(PROFILE, base)
    engine, seconds = ds.LevenbergMarquardt(max_steps=steps), []
    for count in sizes:
        starts = jnp.tile(theta, (count, 1))
        call = lambda starts=starts: ds.fit_many(objective, starts, engine).theta  # noqa: E731
        seconds.append(steady(call, repeats=2))
    yield row("batch of fits", sizes, f"{theta.size} parameters, {steps} steps each", seconds)


def row(name: str, sizes, what: str, seconds) -> list:
    """One line: how much a doubling costs at the upper end, and the exponent over all."""
    last = exponent(sizes[-2:], seconds[-2:])
    times = ", ".join(f"{second:.3g}" for second in seconds)
    return [name, ", ".join(map(str, sizes)), what, times, f"{2**last:.2f}x", f"{exponent(sizes, seconds):.2f}"]


def rows(small: bool) -> list[list]:
    """All axes."""
    base, fitted, axes = BASE, FITTED, GRIDS
    if small:
        base = fitted = {"optics.pupil_npix": 32, "optics.psf_npix": 16, "binary.n_wavelengths": 1}
        axes = {"image pixels": ("optics.psf_npix", (16, 32))}
        return [*grids(base, axes), *frames(fitted, (2, 4), 2)]
    return [*grids(base, axes), *parameters(base), *frames(fitted), *batches(fitted)]


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    warnings.simplefilter("ignore")
    print(json.dumps(rows(parser.parse_args().small)))


if __name__ == "__main__":
    main()
