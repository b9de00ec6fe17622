# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Inference by gradient, with your own loss
# A telescope is a tree of modules. Edit it with `eqx.tree_at`, differentiate any loss of it with `eqx.filter_grad`, and
# hand the same loss to `ds.fit`. Set `DLUXSHERA_SMALL=1` for grids that are quick.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import dluxshera as ds

jax.config.update("jax_enable_x64", True)
small = os.environ.get("DLUXSHERA_SMALL") == "1"
grid = {
    "optics.pupil_npix": 32 if small else 128,
    "optics.psf_npix": 24 if small else 64,
    "optics.oversample": 1,
    "binary.n_wavelengths": 3 if small else 7,
    "binary.separation_as": 4.0,
}
model = ds.load_profile("shera_testbed_two_plane", overrides=grid)

# %% [markdown]
# ## Data with an outlier
# The truth differs from the model in separation and defocus. A cosmic ray hits one pixel.

# %%
truth = eqx.tree_at(lambda m: m.binary.separation_as, model, jnp.asarray(4.002))
truth = ds.set_values(truth, {"optics.m1.zernike_coeffs_nm[Z4]": 5.0})
exposures = 3600
counts = np.random.default_rng(0).poisson(exposures * np.asarray(truth.model())).astype(float)
n = counts.shape[0]
counts[n // 4, n // 3] += 30 * np.sqrt(counts.max())

# %% [markdown]
# ## A custom loss over the whole tree
# Data are a field of the loss, so that they are an argument of the compiled function.


# %%
class Huber(eqx.Module):
    image: jax.Array

    def __call__(self, model):
        expected = exposures * model.model()
        residual = (self.image - expected) / jnp.sqrt(jnp.maximum(expected, 1.0))
        return jnp.sum(optax.losses.huber_loss(residual, delta=3.0))


huber = Huber(jnp.asarray(counts))
moving, rest = eqx.partition(model, ds.parameter_mask(model))
gradient = eqx.filter_jit(eqx.filter_grad(lambda part: huber(eqx.combine(part, rest))))(moving)
print("d loss / d separation:", float(gradient.binary.separation_as))
print("d loss / d Zernikes:", np.asarray(gradient.optics.m1.zernike_coeffs_nm))

# %% [markdown]
# ## Fit it beside the Poisson likelihood
# A plain function of θ has no expected information, hence no error bars; the Poisson objective has both, and is pulled
# by the outlier.

# %%
space = ds.ThetaSpace(
    model,
    [
        "binary.x_position_as",
        "binary.y_position_as",
        "binary.separation_as",
        "binary.log_flux_total",
        "optics.m1.zernike_coeffs_nm[Z4]",
    ],
)
poisson = ds.fit(ds.Objective(model, space, ds.Observation(counts, exposures=exposures)), space.pack(model))
robust = ds.fit(lambda theta: huber(space.unpack(theta, model)), poisson.theta)
fitted = space.unpack(robust.theta, model)
sigma = float(poisson.sigma("binary.separation_as"))
models = {"Poisson": poisson.model, "Huber": fitted}
pull = {name: (float(m.binary.separation_as) - 4.002) / sigma for name, m in models.items()}
print(pull)

# %% [markdown]
# ## What the robust fit leaves

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
axes[0].imshow(np.log10(np.maximum(counts, 1)), origin="lower")
axes[0].set_title("data, log10 electrons")
for ax, (name, m) in zip(axes[1:], models.items(), strict=True):
    expected = exposures * np.asarray(m.model())
    shown = ax.imshow((counts - expected) / np.sqrt(expected), vmin=-5, vmax=5, cmap="RdBu_r", origin="lower")
    ax.set_title(f"{name}: separation {pull[name]:+.1f} σ off")
figure.colorbar(shown, ax=axes[1:], label="residual, σ")
plt.show()
