"""How many wavelengths: Cramér-Rao bounds, and the separation's bias against a converged spectrum, two-plane models.

python benchmarks/wavelengths.py
"""

import warnings

import jax
import jax.numpy as jnp

import dluxshera as ds

EXPOSURES, MICRO = 36_000, 1e6  # 30 minutes at 20 Hz
BINARY = [f"binary.{name}" for name in ("x_position_as", "y_position_as", "separation_as", "position_angle_deg")]
PHOTONS = ["binary.log_flux_total", "binary.contrast"]
CASES = {  # profile, exposures in 30 minutes
    "shera_flight_two_plane": EXPOSURES,
    "shera_testbed_two_plane": EXPOSURES,
    "toliman": EXPOSURES // 2,
}


def photon_limited(profile, overrides=None):
    """The profile with 1 nm on every Zernike and nothing but photon noise."""
    quiet = {"detector.read_noise_e": 0.0, "detector.dark_current_e": 0.0, "detector.gain_e_per_adu": 0.0}
    return ds.load_profile(profile, {"optics.m1.zernike_coeffs_nm": [1.0] * 8, **quiet, **(overrides or {})})


def bound(model, names, exposures):
    """Cramér-Rao bound of the separation (micro-arcsec) with `names` free."""
    space = ds.ThetaSpace(model, names)
    theta = space.pack(model)
    objective = ds.Objective(model, space, ds.Observation(image=model.model()))
    variance = jnp.diagonal(ds.covariance(ds.fisher_information(objective, theta))) / exposures
    index = space.labels.index("binary.separation_as")
    return MICRO * float(jnp.sqrt(variance[index]) * space.jacobian_diag(theta)[index])


def bounds(profile, exposures):
    """The bound alone, with the binary's other numbers free, and with the plate scale too."""
    model = photon_limited(profile)
    free = (["binary.separation_as"], BINARY + PHOTONS, [*BINARY, *PHOTONS, "plate_scale_as"])
    return [bound(model, names, exposures) for names in free]


def spectral_bias(profile, count, converged, free=(*BINARY, *PHOTONS, "plate_scale_as"), grid=None):
    """Bias of the separation (micro-arcsec) of a fit with `count` nodes to an image with `converged` ones."""
    model, exact = (photon_limited(profile, {"binary.n_wavelengths": n, **(grid or {})}) for n in (count, converged))
    space = ds.ThetaSpace(model, list(free))
    theta = space.pack(model)
    objective = ds.Objective(model, space, ds.Observation(image=exact.model()))
    solution = ds.fit(objective, theta, ds.LevenbergMarquardt(tolerance=1e-6))
    return MICRO * float(solution.model.binary.separation_as - exact.binary.separation_as)


def main():
    """Print both tables."""
    jax.config.update("jax_enable_x64", True)  # not where this is imported: tests share its functions
    warnings.simplefilter("ignore", ds.SamplingWarning)
    print("Cramér-Rao bound of the separation, 30 min, uas: alone / binary free / and plate scale")
    for profile, exposures in CASES.items():
        print(f"{profile:26s}", *(f"{value:8.3f}" for value in bounds(profile, exposures)))
    print("\nbias of the separation against a converged spectrum, uas, by number of wavelengths")
    for profile, counts, converged in (
        ("shera_flight_two_plane", (3, 5, 7), 15),
        ("shera_testbed_two_plane", (3, 9, 11, 15), 25),
    ):
        biases = [f"{n}: {spectral_bias(profile, n, converged):+.2f}" for n in counts]
        print(f"{profile:26s}", "  ".join(biases))


if __name__ == "__main__":
    main()
