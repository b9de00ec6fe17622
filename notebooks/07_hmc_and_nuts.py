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
# # HMC and NUTS
# With photons by the million a posterior is normal, and the covariance of a fit says everything. Here there are few:
# two stars that overlap, a faint companion, one exposure. `DLUXSHERA_SMALL=1` takes short chains. Needs `pip install
# 'dluxshera[sample]'`.

# %%
import os
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import dluxshera as ds
from dluxshera import plotting

jax.config.update("jax_enable_x64", True)
SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
chains, draws, warmup = (2, 30, 30) if SMALL else (4, 200, 150)
grid = {
    "optics.pupil_npix": 32 if SMALL else 64,
    "optics.psf_npix": 16,
    "binary.separation_as": 0.9,
    "binary.contrast": 8.0,
    "binary.log_flux_total": 4.3,
    "binary.n_wavelengths": 3,
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ds.SamplingWarning)  # a small grid, on purpose
    model = ds.load_profile("shera_testbed_two_plane", overrides=grid)
    observation = ds.simulate(model, jax.random.key(4))
print(f"{np.asarray(observation.image).sum():.0f} electrons; a pixel is {model.plate_scale_as:.3f} arcsec")

# %% [markdown]
# ## A model to fit
# Separation, contrast and flux are free. The contrast has a prior: one knows what kind of star a companion can be. θ
# is unconstrained, log contrast and log separation; draws come back in physical units.

# %%
space = ds.ThetaSpace(
    model,
    ["binary.separation_as", "binary.contrast", "binary.log_flux_total"],
    priors={"binary.contrast": ds.LogNormal(np.log(8.0), 1.0)},
)
objective = ds.Objective(model, space, observation)
start = space.pack(eqx.tree_at(lambda m: m.binary.separation_as, model, jnp.asarray(0.8)))
solution = ds.fit(objective, start)
for name in space.names:
    print(f"{name:24s} {float(ds.get_value(solution.model, name)):.4f} +- {float(solution.sigma(name)):.4f}")

# %% [markdown]
# The gradient that a sampler follows is that of the whole tree:

# %%
slope = eqx.filter_grad(lambda m: objective.signal_loss(objective.exposures * m.model()))(solution.model)
print("d loss / d separation at the best:", float(slope.binary.separation_as))

# %% [markdown]
# ## NUTS
# Chains run side by side in coordinates whitened by the information, from points wider than the posterior.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ds.SamplerWarning)  # short chains are for show
    nuts = ds.sample(objective, solution.theta, method="nuts", chains=chains, draws=draws, warmup=warmup, seed=0)
for row in nuts.summary():
    print(row)
print("divergences:", nuts.stats["divergences"], " leapfrogs per draw:", nuts.stats["leapfrogs"])

# %% [markdown]
# ## HMC
# With trajectories of random length in place of the no-U-turn rule. It must agree.

# %%
if not SMALL:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplerWarning)
        hmc = ds.sample(objective, solution.theta, method="hmc", chains=chains, draws=draws, warmup=warmup, seed=1)
    means = np.stack([samples.physical.reshape(-1, space.dim).mean(0) for samples in (nuts, hmc)])
    spread = nuts.physical.reshape(-1, space.dim).std(0)
    print("difference of the means, in standard deviations:", ((means[1] - means[0]) / spread).round(3))
    assert np.all(np.abs(means[1] - means[0]) < 0.3 * spread)

# %% [markdown]
# ## Against the fit's covariance
# The Laplace approximation is normal in θ: skewed in physical units, as the draws are, but not by as much. The truth
# is dotted.

# %%
laplace = ds.laplace_samples(objective, solution.theta, draws=4000)
for samples, name in ((nuts, "NUTS"), (laplace, "Laplace")):
    contrast = samples.physical[..., space.labels.index("binary.contrast")]
    low, middle, high = np.percentile(contrast, (16, 50, 84))
    print(f"{name:8s} contrast {middle:.2f} +{high - middle:.2f} -{middle - low:.2f}")

# %%
estimate = np.asarray(space.physical(solution.theta))
slope = np.asarray(space.jacobian_diag(solution.theta))
covariance = np.asarray(solution.covariance) * np.outer(slope, slope)
truth = np.asarray(space.physical(space.pack(model)))
plotting.plot_corner(
    estimate,
    covariance,
    space.labels,
    space.units,
    samples=nuts.physical.reshape(-1, 3),
    truth=truth,
    symbols=plotting.symbols_of(model),
)
