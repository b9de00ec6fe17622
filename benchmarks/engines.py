"""Steps, seconds and final error of the engines, on the parameters, on eigenmodes and on whitened eigenmodes.

    python benchmarks/engines.py [--case three_plane|two_plane] [--pupil 256] [--psf 256] [--adam-steps N]

Testbed, three Gauss-Legendre wavelengths, one noisy 30-minute image, start ten standard deviations off in every
parameter (signs alternate). The error is the largest distance from the optimum over all parameters, in units of each
one's own sigma; the optimum is that of a Levenberg-Marquardt fit to a thousandth of a sigma from another start. Seconds
are those of a second run of the same compiled functions.
"""

import argparse
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402
from dluxshera.config.settings import adam_in_sigmas  # noqa: E402

PROFILES = {"three_plane": "shera_testbed", "two_plane": "shera_testbed_two_plane"}
EXPOSURES, OFF = 36_000, 10.0
# Adam's first rate, which falls along a cosine: the best of 0.3, 3, 30, 300 and 3000 standard deviations on images of
# 64 px; marginal ones on the parameters, each mode's own on eigenmodes.
ADAM_RATES = {"three_plane": {"parameters": 3.0, "modes": 300.0}, "two_plane": {"parameters": 3.0, "modes": 3.0}}


def problem(case, pupil, psf):
    """Objective, start and sigma (D,) of θ."""
    grid = {"optics.pupil_npix": pupil, "optics.psf_npix": psf, "optics.oversample": 1, "binary.n_wavelengths": 3}
    grid |= {"detector.full_well_e": 1e9, "detector.gain_e_per_adu": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        truth = ds.load_profile(PROFILES[case], overrides=grid)
        seen = ds.simulate(truth, 0, exposures=EXPOSURES)
    space = ds.ThetaSpace(truth, ds.read_profile(PROFILES[case]).get("theta.free"))
    objective, theta = ds.Objective(truth, space, seen), space.pack(truth)
    sigma = jnp.sqrt(jnp.diagonal(ds.covariance(ds.fisher_information(objective, theta))))
    return objective, theta + OFF * sigma * (-1.0) ** jnp.arange(theta.size), theta, sigma


def timed_fit(objective, theta, engine):
    """Solution and seconds of a run whose functions are compiled already."""
    ds.fit(objective, theta, engine, should_stop=lambda: True)
    started = time.perf_counter()
    solution = ds.fit(objective, theta, engine)
    return solution, time.perf_counter() - started


def row(name, objective, space, optimum, sigma, solution, seconds):
    """One line: steps, seconds, seconds to come within 0.1 and 0.01 sigma, final error, how it ended."""
    thetas = np.asarray(space.decode(solution.trace.theta))
    error = np.abs((thetas - np.asarray(optimum)) / np.asarray(sigma)).max(1)
    steps = len(error) - 1

    def reached(level):
        inside = np.flatnonzero(error < level)
        return f"{inside[0] * seconds / max(steps, 1):.1f}" if inside.size else "not reached"

    ended = np.abs((np.asarray(space.decode(solution.theta)) - np.asarray(optimum)) / np.asarray(sigma)).max()
    return f"| {name} | {steps} | {seconds:.1f} | {reached(0.1)} | {reached(0.01)} | {ended:.2g} | {solution.result} |"


def main() -> None:
    """Run every engine on every coordinate system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=PROFILES, default="three_plane")
    parser.add_argument("--pupil", type=int, default=256)
    parser.add_argument("--psf", type=int, default=256)
    parser.add_argument("--adam-steps", type=int, default=1000)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    objective, start, truth, sigma = problem(options.case, options.pupil, options.psf)
    other = truth - 3 * sigma
    optimum = ds.fit(objective, other, ds.LevenbergMarquardt(tolerance=1e-3)).theta
    eigen = ds.EigenSpace.of(objective, start)
    whitened = ds.EigenSpace.of(objective, start, whiten=True)
    rates = ADAM_RATES[options.case]
    units = {"parameters": rates["parameters"] * sigma,
             "eigenmodes": rates["modes"] / jnp.sqrt(eigen.eigenvalues),
             "whitened eigenmodes": rates["modes"] * jnp.ones(whitened.dim)}  # fmt: skip
    spaces = {"parameters": objective.space, "eigenmodes": eigen, "whitened eigenmodes": whitened}
    lines = ["| engine | steps | s | s to 0.1 σ | s to 0.01 σ | final error, σ | ended |", "|---" * 7 + "|"]

    def run(name, coordinates, engine):
        space = spaces[coordinates]
        goal = objective if coordinates == "parameters" else objective.with_space(space)
        solution, seconds = timed_fit(goal, space.encode(start), engine)
        lines.append(row(f"{name}, {coordinates}", goal, space, optimum, sigma, solution, seconds))
        print(lines[-1], flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.IdentifiabilityWarning)
        run("Levenberg-Marquardt", "parameters", ds.LevenbergMarquardt())
        run("Gauss-Newton", "parameters", ds.GaussNewton())
        run("dogleg", "parameters", ds.Dogleg())
        run("gradient descent, 200 steps", "whitened eigenmodes", ds.SimpleGD(max_steps=200))
        run("L-BFGS", "whitened eigenmodes", ds.LBFGS(max_steps=200))
        run("diagonal preconditioning", "parameters", ds.PreconditionedGD(max_steps=options.adam_steps))
        for coordinates in spaces:
            run("Adam", coordinates, adam_in_sigmas(units[coordinates], 1.0, options.adam_steps))
        constant = ds.OptaxEngine(optax.adam(1e-5), None, options.adam_steps, "adam")
        run("Adam, one rate of 1e-5", "parameters", constant)
    grid = f"{PROFILES[options.case]}, pupil {options.pupil}, image {options.psf}, {start.size} parameters"
    lines.append(f"\n{grid}, start {OFF:g} σ off in each.")
    print(lines[-1])
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
