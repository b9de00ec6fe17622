# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Error budget and bias forecast
# Before an observation: how well will it measure the separation, what limits it, and what must be how stable? No data
# are needed, only derivatives of the expected image. `DLUXSHERA_SMALL=1` takes grids that are quick.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import dluxshera as ds
from dluxshera import plotting
from dluxshera.optics import power_law_map

jax.config.update("jax_enable_x64", True)
SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
grid = {"optics.pupil_npix": 128, "optics.psf_npix": 64, "binary.separation_as": 4.0}
small = {"optics.pupil_npix": 32, "optics.psf_npix": 16, "binary.separation_as": 2.0, "binary.n_wavelengths": 3}
model = ds.load_profile("shera_testbed_two_plane", overrides=small if SMALL else grid)
space = ds.ThetaSpace(model, ["binary.*", "optics.m1.zernike_coeffs_nm", "plate_scale_as"])
EXPOSURES = 36_000  # 30 minutes

# %% [markdown]
# ## The bound
# Cramér-Rao: nobody does better. Nuisances are freed group by group.

# %%
forecast = ds.forecast(model, space, EXPOSURES)
print(forecast)

# %% [markdown]
# ## What the fit does not know
# Each change makes a truth that differs from the fitted model: buffers by `eqx.tree_at`, parameters by path. The size
# of each is a guess at how well it may be calibrated.

# %%
n, q = model.detector.npix, model.optics.pupil_npix
generator = np.random.default_rng(0)
response = 1 + 1e-4 * generator.normal(size=(n, n))
offsets = 1e-4 * generator.normal(size=(n, n, 2))
ripple = power_law_map(q, 0.05, 2.5, seed=1)
truths = {
    "pixel response, 1e-4": eqx.tree_at(lambda m: m.detector.pixel_response, model, jnp.asarray(response)),
    "pixel positions, 1e-4 px": eqx.tree_at(lambda m: m.detector.pixel_offsets, model, jnp.asarray(offsets)),
    "wavefront map, 0.05 nm": eqx.tree_at(lambda m: m.optics.m1.wavefront_error_m, model, jnp.asarray(ripple)),
    "step height, 0.1 nm": ds.set_values(model, {"optics.diffractive_pupil_step_m": "275.1 nm"}),
    "jitter of 1 mas": ds.set_values(model, {"detector.jitter_sigma_as": "1 mas"}),
    "band, 1 pm redder": ds.set_values(model, {"binary.wavelengths_m": model.binary.wavelengths_m + 1e-12}),
}
biases = {name: ds.bias_forecast(model, space, truth, EXPOSURES) for name, truth in truths.items()}
for name, bias in biases.items():
    print(f"{name:26s} {1e6 * bias.of('binary.separation_as'):+9.4f} µas")

# %% [markdown]
# ## Is first order enough?
# `refit=True` fits the noiseless data of each truth.

# %%
name = "wavefront map, 0.05 nm"
checked = ds.bias_forecast(model, space, truths[name], EXPOSURES, refit=True)
row = next(row for row in checked.rows if row["label"] == "binary.separation_as")
print(f"{name}: forecast {1e6 * row['linear']:+.4f}, refit {1e6 * row['refit']:+.4f} µas")
assert abs(row["refit"] / row["linear"] - 1) < 0.2

# %% [markdown]
# ## What must be how stable
# Micro-arcseconds per nanometre of each length, everything above refitted, the detector held where it stands.

# %%
lengths = ds.sensitivities(model, space, ds.geometry_changes(model, detector_held=True))
for label, slope in lengths.of("binary.separation_as").items():
    print(f"{label:34s} {1e6 * 1e-9 * slope:+10.4g} µas/nm")

# %% [markdown]
# The loss of your own science case differentiates in the same way: how does the *sum of squares of the image*, a
# measure of its sharpness, depend on every number of the instrument?

# %%
slope = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(m.model() ** 2)))(model)
print("sharpness by the step height, per nm:", 1e-9 * float(slope.optics.diffractive_pupil_step_m))

# %% [markdown]
# ## The budget

# %%
budget = ds.error_budget(
    forecast, "binary.separation_as", {name: bias.of("binary.separation_as") for name, bias in biases.items()}
)
print(budget)

# %%
exposures = np.geomspace(36, 3.6e6, 40)
random = np.array([1e6 * forecast.scaled(count).sigma("binary.separation_as") for count in exposures])
floor = np.sqrt(sum((1e6 * bias.of("binary.separation_as")) ** 2 for bias in biases.values()))
with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained", width_ratios=(1.2, 1))
    plotting.plot_error_budget(budget, ax=left)
    left.set_title("error budget of the separation, 30 minutes")
    right.loglog(exposures * 0.05 / 60, random, label="noise")
    right.axhline(floor, color="C1", label="biases")
    right.loglog(exposures * 0.05 / 60, np.hypot(random, floor), color="k", label="total")
    right.set(xlabel="minutes", ylabel="error of the separation (µas)", title="where more photons stop helping")
    right.legend()
plt.show()
