"""Fit many exposures at once: shared parameters, and pointing and flux of each frame.

    python benchmarks/many_frames.py [--frames 1000] [--pupil 64] [--batch 4]

Two-plane testbed, 64 px images, 3 wavelengths, double precision, photon and read noise. The start is away from the
truth. Prints what the fit costs by frame, that the cost is linear in the frames, and how far the estimates are from
the truth in units of their errors.
"""

import argparse
import os
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import equinox as eqx  # noqa: E402

import dluxshera as ds  # noqa: E402
from dluxshera.inference.frame_stack import Frames  # noqa: E402

SHARED = ["binary.separation_as", "binary.position_angle_deg", "binary.contrast", "plate_scale_as"]
OWN = ["binary.x_position_as", "binary.y_position_as", "binary.log_flux_total"]
POINTING_AS, FLUX_DEX = 0.02, 0.01  # scatter of the frames
START = {"binary.separation_as": 10.002, "binary.contrast": 3.40, "plate_scale_as": 0.35505}
SIZES = (32, 64, 128)


def load(pupil_npix):
    """The model of one frame."""
    overrides = {"optics.pupil_npix": pupil_npix, "optics.psf_npix": 64, "binary.n_wavelengths": 3}
    return ds.load_profile("shera_testbed_two_plane", overrides)


def true_frames(model, space, count, rng):
    """θ (F, D) of every frame."""
    theta, own = space.pack(model), [space.slice(name).start for name in OWN]
    values = np.tile(space.physical(theta), (count, 1))
    values[:, own] += rng.normal(size=(count, 3)) * [POINTING_AS, POINTING_AS, FLUX_DEX]
    return jax.vmap(space.from_physical)(jnp.asarray(values))


@eqx.filter_jit
def expected(model, space, thetas):
    """Images (F, n, n), a few at a time."""
    return jax.lax.map(lambda theta: space.unpack(theta, model).model(), thetas, batch_size=8)


def simulated(model, space, thetas, rng):
    """Counts with photon and read noise."""
    clean = np.asarray(expected(model, space, thetas))
    read = np.sqrt(float(model.detector.read_variance))
    noisy = rng.poisson(clean) + read * rng.normal(size=clean.shape)
    return Frames(noisy, None, np.ones(clean.shape, bool), np.ones(len(clean)))


def part(frames, count):
    """The first frames."""
    return jax.tree.map(lambda leaf: leaf[:count], frames)


def linear_cost(model, space, frames, batch):
    """Seconds of one pass over more and more frames."""
    for count in SIZES:
        stack = ds.FrameStack(model, space, part(frames, count), OWN, batch=batch)
        shared = stack.reference[np.array(stack.shared)]
        own = jnp.tile(stack.reference[np.array(stack.own)], (count, 1))
        expand = eqx.filter_jit(lambda s, a, b: s.expansion(a, b)[1].shared)
        jax.block_until_ready(expand(stack, shared, own))
        best = np.inf
        for _ in range(2):
            begun = time.perf_counter()
            jax.block_until_ready(expand(stack, shared, own))
            best = min(best, time.perf_counter() - begun)
        print(f"  {count:5d} frames: {best:7.2f} s, {1e3 * best / count:6.1f} ms each")


def report(found, thetas, seconds, cpu):
    """What it cost and how good it is."""
    stack, stats = found.stack, found.stats
    count, passes = stack.num_observations, stats["steps"] + 1
    print(f"{found.result} after {stats['steps']} steps, {seconds:.1f} s ({cpu:.1f} s of processor) with compilation")
    print(
        f"  {count / seconds:.1f} frames per second in all, {passes * count / seconds:.1f} frame expansions per second"
    )
    reduced = float(found.chi_square.sum()) / stats["degrees_of_freedom"]
    scatter = np.sqrt(2 / stats["degrees_of_freedom"])
    print(f"  reduced chi-square {reduced:.5f}, {(reduced - 1) / scatter:+.1f} standard deviations from one")
    truth = jax.vmap(stack.space.physical)(thetas)
    for name in SHARED:
        sigma, true = float(found.sigma(name)), float(truth[0, stack.space.slice(name).start])
        print(f"  {name:28s} sigma {sigma:.3e}, pull {(float(found.value(name)) - true) / sigma:+.2f}")
    print(f"  separation: {1e6 * float(found.sigma('binary.separation_as')):.1f} uas")
    for name in OWN:
        pulls = (found.value(name) - truth[:, stack.space.slice(name).start]) / found.sigma(name)
        print(f"  {name:28s} pulls: mean {float(pulls.mean()):+.3f}, scatter {float(pulls.std()):.3f}")


def main():
    """Simulate, fit, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--pupil", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ds.SamplingWarning)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, jax {jax.__version__}; {options.frames} frames")
    model, rng = load(options.pupil), np.random.default_rng(0)
    space = ds.ThetaSpace(model, [*SHARED, *OWN])
    thetas = true_frames(model, space, options.frames, rng)
    begun = time.perf_counter()
    frames = simulated(model, space, thetas, rng)
    print(f"simulated in {time.perf_counter() - begun:.1f} s")
    stack = ds.FrameStack(model, space, frames, OWN, batch=options.batch)
    start = space.pack(ds.set_values(model, START))
    begun, processor = time.perf_counter(), time.process_time()
    found = ds.fit_frames(stack, start)
    report(found, thetas, time.perf_counter() - begun, time.process_time() - processor)
    print("one pass (loss, gradient, information), which is linear in the frames:")
    linear_cost(model, space, frames, options.batch)


if __name__ == "__main__":
    main()
