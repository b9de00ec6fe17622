"""Many noise draws, each fitted: scatter against the Cramér-Rao bound, pulls, and coverage of the intervals.

    python benchmarks/noise_draws.py [two_plane|three_plane] [--draws N] [--markdown FILE]

Testbed, 64 px image, 128 px pupil, three Gauss-Legendre wavelengths for data and fit alike, 100 exposures, every
parameter of the profile's list free. Noise is drawn by `simulate`: photons, read noise, dark current, quantisation.
Every fit starts one to three standard deviations from the truth along each axis of the error ellipsoid, never at it.
"""

import argparse
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402

CASES = {"two_plane": ("shera_testbed_two_plane", 2000), "three_plane": ("shera_testbed", 200)}
BATCH = {"two_plane": None, "three_plane": 1}  # images of three planes side by side do not fit into the caches
GRID = {
    "optics.pupil_npix": 128,
    "optics.psf_npix": 64,
    "optics.oversample": 1,
    "binary.n_wavelengths": 3,
    "detector.full_well_e": 1e9,
    "detector.gain_e_per_adu": 1.0,
    "detector.bit_depth": 32,
}
WATCHED = ("binary.separation_as", "plate_scale_as", "binary.contrast", "binary.log_flux_total")
EXPOSURES = 100


def drawn_images(truth, draws):
    """Noisy images, (draws, n, n)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        return np.stack([np.asarray(ds.simulate(truth, seed, exposures=EXPOSURES).image) for seed in range(draws)])


def start_away(objective, theta, draws):
    """Starts (draws, D), one to three sigma from θ along every axis of the error ellipsoid."""
    rng, covariance = np.random.default_rng(1), np.asarray(ds.covariance(ds.fisher_information(objective, theta)))
    sigma = np.sqrt(np.diagonal(covariance))
    variances, axes = np.linalg.eigh(covariance / sigma / sigma[:, None])
    size = rng.uniform(1, 3, (draws, theta.size)) * rng.choice([-1, 1], (draws, theta.size))
    return jnp.asarray(theta + (size * np.sqrt(np.maximum(variances, 0))) @ axes.T * sigma)


def statistics(found, bound, truth, name):
    """Scatter over bound, mean pull and the fraction of draws inside one sigma, with their own one-sigma errors."""
    values, sigma = np.asarray(found.values(name)), np.asarray(found.sigma(name))
    pulls, count = (values - truth) / sigma, len(values)
    return {
        "scatter / bound": (values.std(ddof=1) / bound, 1 / np.sqrt(2 * count)),
        "mean pull": (pulls.mean(), 1 / np.sqrt(count)),
        "inside 1 sigma": ((abs(pulls) < 1).mean(), np.sqrt(0.683 * 0.317 / count)),
    }


def main() -> None:
    """Draw, fit, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    profile, default = CASES[options.case]
    draws = options.draws or default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        truth = ds.load_profile(profile, overrides=GRID)
    space = ds.ThetaSpace(truth, ds.read_profile(profile).get("theta.free"))
    forecast, theta = ds.forecast(truth, space, EXPOSURES), space.pack(truth)
    bound = dict(zip(space.labels, forecast.bounds()[-1], strict=True))
    images = drawn_images(truth, draws)
    objective = ds.Objective(truth, space, ds.Observation(image=images[0], exposures=EXPOSURES))
    started = time.perf_counter()
    starts = start_away(objective, theta, draws)
    engine = ds.LevenbergMarquardt(tolerance=0.01)
    found = ds.fit_many(objective, starts, engine, images=jnp.asarray(images), batch_size=BATCH[options.case])
    seconds = time.perf_counter() - started
    rows = {name: statistics(found, bound[name], float(ds.get_value(truth, name)), name) for name in WATCHED}
    heads = next(iter(rows.values()))
    lines = ["| parameter | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, row in rows.items():
        lines.append(
            f"| `{name}` | " + " | ".join(f"{value:.3f} ± {error:.3f}" for value, error in row.values()) + " |"
        )
    converged, steps = int(found.converged.sum()), np.asarray(found.steps)
    lines.append(f"\n{profile}, {draws} draws, {space.dim} free parameters: {converged} converged, "
                 f"{steps.mean():.1f} steps on average ({steps.max()} at most), {seconds:.0f} s.")  # fmt: skip
    text = "\n".join(lines)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
