"""The three-plane telescope against the same computation written the plain way, as ratios in one run.

    python benchmarks/speed.py DATA_DIR [--small]

Testbed, 256 px pupil and image, 3 wavelengths, 2 stars, 23 parameters, double precision; then what users pay: a whole
fit with the converged spectrum. `--small` takes the 128 px pupil and 64 px image. Agreement is asserted as well.
"""

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import plain_way  # noqa: E402
from reference import load_model  # noqa: E402

FREE = ["binary.*", "optics.m1.zernike_coeffs_nm", "optics.m2.zernike_coeffs_nm", "plate_scale_as"]
EXPOSURES = 36_000
MICRO = 1e6


def timed(function, *arguments, repeats=5):
    """First call (compilation included) and the fastest of the next ones, seconds."""
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    first, best = time.perf_counter() - start, np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        best = min(best, time.perf_counter() - start)
    return first, best


def temporary_bytes(function, *arguments):
    """Memory that the compiled function needs for itself."""
    return jax.jit(function).lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def poisson_loss(expected, data):
    """Minus log-likelihood, up to a constant."""
    return jnp.sum(expected - data * jnp.log(expected))


def row(name, plain, ours):
    """One line of the table: first call and steady time of both, and the ratio."""
    steady = f"{plain[1]:9.4f} s {ours[1]:9.4f} s {plain[1] / ours[1]:8.1f}x"
    print(f"{name:22s} {steady}   first {plain[0]:6.1f} {ours[0]:6.1f} s")


def compare(path, psf_npix):
    """Forward, value-and-gradient and Fisher of both codes on one reference file."""
    model, _ = load_model(path, {"optics.psf_npix": psf_npix})
    geometry, plain_theta, _ = plain_way.load_reference(path, psf_npix)
    space = ds.ThetaSpace(model, FREE)
    theta, data = space.pack(model), model.model()
    plain_image = plain_way.image(plain_theta, geometry)
    error = float(jnp.abs(data - plain_image).sum() / plain_image.sum())
    print(f"\n{path.name}, {psf_npix} px image; L1 difference of the two codes {error:.1e}")
    assert error < 3e-5, error

    def forward(theta, model):
        return space.unpack(theta, model).model()

    def loss(theta, model, data):
        return poisson_loss(forward(theta, model), data)

    objective = ds.Objective(model, space, ds.Observation(image=data))
    print(f"{'':22s} {'plain':>11s} {'ours':>11s} {'ratio':>9s}")
    row("forward", timed(plain_way.image, plain_theta, geometry), timed(jax.jit(forward), theta, model))
    plain = timed(plain_way.value_and_grad, plain_theta, geometry, data)
    row("value and gradient", plain, timed(jax.jit(jax.value_and_grad(loss)), theta, model, data))
    plain_fisher, fisher = plain_way.fisher_hessian, ds.fisher_information
    row("Fisher", timed(plain_fisher, plain_theta, geometry, repeats=1), timed(fisher, objective, theta, repeats=3))
    ours = temporary_bytes(lambda o, t: o.expansion(t).information, objective, theta)
    theirs = temporary_bytes(plain_fisher, plain_theta, geometry)
    print(f"{'Fisher memory':22s} {theirs / 1e9:9.3f} GB {ours / 1e9:8.3f} GB {theirs / ours:8.1f}x")
    _compare_bounds(objective, theta, plain_theta, geometry)


def _compare_bounds(objective, theta, plain_theta, geometry):
    """Separation bounds of the two Fisher matrices agree."""
    labels = objective.space.labels
    ours = np.sqrt(np.asarray(ds.covariance(ds.fisher_information(objective, theta)))[2, 2])
    ours *= float(objective.space.jacobian_diag(theta)[2])
    plain = np.asarray(plain_way.fisher_hessian(plain_theta, geometry))
    scale = 1 / np.sqrt(np.diagonal(plain))
    inverse = np.linalg.inv(scale[:, None] * plain * scale) * scale[:, None] * scale
    plain_sigma = np.sqrt(inverse[2, 2])
    assert labels[2] == "binary.separation_as"
    assert abs(ours / plain_sigma - 1) < 1e-3, (ours, plain_sigma)
    print(f"separation bound, {EXPOSURES} exposures: {MICRO * ours / np.sqrt(EXPOSURES):.3f} uas by both codes")


def whole_fit(small):
    """A 23-parameter fit with the converged spectrum, its accuracy, and the memory of its Fisher matrix."""
    overrides = {"optics.pupil_npix": 128, "optics.psf_npix": 64} if small else {}
    for name in ("shera_testbed", "shera_flight"):
        profile = ds.read_profile(name, overrides)
        model = ds.load_profile(name, overrides)
        space = ds.default_space(model, profile)
        truth = ds.set_values(model, {"binary.separation_as": 10.0003, "binary.x_position_as": 0.002})
        exact = ds.Observation(image=EXPOSURES * truth.model(), exposures=EXPOSURES)
        objective = ds.Objective(model, space, exact)
        first = ds.fit(objective, space.pack(model))
        again = ds.fit(objective, space.pack(model))
        bias = MICRO * (float(again.model.binary.separation_as) - 10.0003)
        memory = temporary_bytes(lambda o, t: o.expansion(t).information, objective, again.theta)
        print(
            f"{name}: {model.binary.wavelengths_m.size} wavelengths, {again.stats['steps']} steps, first fit "
            f"{first.stats['seconds']:.1f} s, next {again.stats['seconds']:.1f} s, noise-free error {bias:+.5f} uas, "
            f"Fisher memory {memory / 1e9:.2f} GB"
        )
        _grid_bias(profile, model, space, again)


def _grid_bias(profile, model, space, solution):
    """What the grids cost: bias of the separation against a model of twice the period and the whole band."""
    fine = {"optics.pad_npix": 3 * model.optics.pupil_npix, "optics.band_npix": 3 * model.optics.pupil_npix}
    exact = ds.load_profile(profile.name, {"optics.psf_npix": model.optics.psf_npix, **_grid(model), **fine})
    exact = space.unpack(solution.theta, exact)
    objective = ds.Objective(
        solution.model, space, ds.Observation(image=EXPOSURES * exact.model(), exposures=EXPOSURES)
    )
    expansion = jax.jit(lambda o, t: o.expansion(t))(objective, solution.theta)
    shift = -np.asarray(ds.covariance(expansion.information)) @ np.asarray(expansion.gradient)
    bias = MICRO * shift[2] * float(space.jacobian_diag(solution.theta)[2])
    print(f"    numerical bias of the separation from its grids: {bias:+.3f} uas")


def _grid(model):
    return {"optics.pupil_npix": model.optics.pupil_npix}


def main():
    """Run and print the whole table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ds.SamplingWarning)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, jax {jax.__version__}, numpy {np.__version__}")
    if arguments.small:
        compare(arguments.data_dir / "testbed_m1m2_pup128_psf64.npz", 64)
    else:
        compare(arguments.data_dir / "testbed_m1m2_pup256_psf128.npz", 256)
    whole_fit(arguments.small)


if __name__ == "__main__":
    main()
