"""NUTS against the Fisher sigmas: two-plane testbed, 64 px image, photon noise of one exposure.

    python benchmarks/nuts.py [--draws 500] [--warmup 150] [--wavelengths 3] [--exposures 1]

Prints sigma of the sampler over sigma of the fit for every parameter, R-hat and effective numbers of draws; asserts
agreement to 10 % and R-hat below 1.01.
"""

import argparse
import os
import warnings

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402

GRID = {"optics.pupil_npix": 128, "optics.psf_npix": 64, "optics.oversample": 2}


def main():
    """Fit, sample, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("draws", 500), ("warmup", 150), ("wavelengths", 3), ("exposures", 1), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ds.SamplingWarning)
    profile = ds.read_profile("shera_testbed_two_plane", GRID | {"binary.n_wavelengths": arguments.wavelengths})
    model = ds.load_profile("shera_testbed_two_plane", GRID | {"binary.n_wavelengths": arguments.wavelengths})
    counts = np.random.default_rng(arguments.seed).poisson(arguments.exposures * np.asarray(model.model()))
    observation = ds.Observation(image=counts.astype(float), exposures=arguments.exposures)
    objective = ds.Objective(model, ds.default_space(model, profile), observation)
    solution = ds.fit(objective, objective.space.pack(model))
    samples = ds.sample(objective, solution.theta, draws=arguments.draws, warmup=arguments.warmup, seed=arguments.seed)
    report(solution, samples)


def report(solution, samples):
    """Print the table; stop if it is not what it must be."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, fit {solution.stats['seconds']:.1f} s")
    stats = samples.stats
    print(
        f"{samples.log_prob.size} draws in {stats['seconds']:.0f} s, {stats['divergences']} divergences, "
        f"{stats['leapfrogs']:.1f} leapfrog steps a draw, acceptance {stats['acceptance'].mean():.2f}"
    )
    slope = np.asarray(samples.space.jacobian_diag(solution.theta))
    sigma = slope * np.sqrt(np.diagonal(np.asarray(solution.covariance)))
    rows = samples.summary()
    for row, fisher in zip(rows, sigma, strict=True):
        print(
            f"{row['label']:36s} sd/sigma {row['sd'] / fisher:.3f}  R-hat {row['r_hat']:.4f}  ESS {row['ess_bulk']:.0f}"
        )
    ratios = np.array([row["sd"] for row in rows]) / sigma
    worst = max(row["r_hat"] for row in rows)
    print(f"sd/sigma {ratios.min():.3f} to {ratios.max():.3f}, largest R-hat {worst:.4f}")
    assert np.abs(ratios - 1).max() < 0.1 and worst < 1.01


if __name__ == "__main__":
    main()
