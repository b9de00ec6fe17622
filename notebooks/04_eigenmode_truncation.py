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
# # Eigenmode truncation, and how to fool oneself with it
# Few modes carry almost all of the information, so why not fit only those? Because what is cut away stays where the
# fit began. In a simulation that begins at the truth, that is the truth, and the result looks far better than it is.
# `DLUXSHERA_SMALL=1` takes grids that are quick.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import dluxshera as ds
from dluxshera import plotting

jax.config.update("jax_enable_x64", True)
SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
grid = {"optics.pupil_npix": 128, "optics.psf_npix": 64, "binary.separation_as": 4.0}
small = {"optics.pupil_npix": 32, "optics.psf_npix": 16, "binary.separation_as": 2.0, "binary.n_wavelengths": 3}
model = ds.load_profile("shera_testbed_two_plane", overrides=small if SMALL else grid)
names = ["binary.*", "optics.m1.zernike_coeffs_nm", "plate_scale_as"]
priors = {
    "binary.x_position_as": ds.Normal(0.0, 1e-2),
    "binary.y_position_as": ds.Normal(0.0, 1e-2),
    "binary.separation_as": ds.Normal(4.0, 1e-3),
    "binary.position_angle_deg": ds.Normal(90.0, 1e-2),
    "binary.log_flux_total": ds.Normal(model.binary.log_flux_total, 1e-3),
    "binary.contrast": ds.Normal(3.37, 1e-2),
    "optics.m1.zernike_coeffs_nm": ds.Normal(0.0, 5.0),
    "plate_scale_as": ds.Normal(model.plate_scale_as, 1e-5),
}
space = ds.ThetaSpace(model, names, priors=priors)

# %% [markdown]
# ## Data
# The model is what we believe; the truth is one draw from the priors. Thirty minutes, without noise, so that every
# error below is one of the method.

# %%
centre = space.pack(model)
scale = 1 / jnp.sqrt(space.prior_information(centre))
offset = scale * jax.random.normal(jax.random.key(3), (space.dim,))
truth = space.unpack(centre + offset, model)
data = ds.simulate(truth, 0, exposures=36_000, noise=False)
objective = ds.Objective(
    model, ds.ThetaSpace(model, names), data
)  # the priors choose the modes; they do not enter the fit

# %% [markdown]
# How much of the misfit do the aberrations make? Set them right by hand, and look at loss and slope.


# %%
@eqx.filter_jit
@eqx.filter_value_and_grad
def misfit(model, objective):
    return objective.signal_loss(objective.exposures * model.model())


focused = eqx.tree_at(lambda m: m.optics.m1.zernike_coeffs_nm, model, truth.optics.m1.zernike_coeffs_nm)
for name, guess in (("start", model), ("aberrations right", focused)):
    loss, slope = misfit(guess, objective)
    print(f"{name:18s} loss {float(loss):.3g}, slope by separation {float(slope.binary.separation_as):+.3g} per arcsec")

# %% [markdown]
# ## The modes
# Eigenvectors of S F S, with S the widths of the priors: an eigenvalue is what the data know of a mode over what we
# knew before.

# %%
fisher = ds.fisher_information(objective, centre)
modes = ds.EigenSpace(space, fisher, centre=centre)
print(modes.describe(largest=3))
plotting.plot_modes(modes.vectors, space.labels, modes.eigenvalues, symbols=plotting.symbols_of(model))

# %% [markdown]
# ## Cut, fit, look at the error
# Modes do not disturb one another, to first order: the error of a truncated fit is the part of (start - truth) that
# lies along what was cut. That is a line of algebra for every number of modes. Two centres: the start, and (the
# mistake) the truth.

# %%
start, true = centre, centre + offset
row = space.slice("binary.separation_as").start
to_uas = 1e6 * float(space.jacobian_diag(centre)[row])
parts = np.asarray(modes.vectors[row] * scale[row] * modes.encode(true))  # of (truth - centre), mode by mode
whole = parts.sum()
predicted = np.array([to_uas * (parts[:k].sum() - whole) for k in range(1, space.dim + 1)])

# %% [markdown]
# Fits, to check it. The last one keeps all modes; a Newton-like engine then needs no truncation at all.

# %%
kept = (8, 15) if SMALL else (8, 11, 13, 15)


def separation_error(k, middle, begin):
    """Error (µas) of the separation, with the modes about `middle`, from `begin`."""
    cut = ds.EigenSpace(objective.space, fisher, centre=middle, truncate=k, whiten=True, scale=scale)
    solution = ds.fit(objective.with_space(cut), cut.encode(begin))
    return 1e6 * float(solution.model.binary.separation_as - truth.binary.separation_as)


honest = [separation_error(k, start, start) for k in kept]
fooled = [separation_error(k, true, start) for k in kept]
for k, a, b in zip(kept, honest, fooled, strict=True):
    print(f"{k:2d} modes: {a:+12.3f} µas about the start, {b:+9.4f} µas about the truth")

# %% [markdown]
# Beside them the noise: the Cramér-Rao bound with everything free.

# %%
bound = 1e6 * np.sqrt(np.asarray(ds.covariance(fisher))[row, row]) * float(space.jacobian_diag(centre)[row])
print(f"Cramér-Rao bound with everything free: {bound:.2f} µas")
assert abs(honest[-1]) < 0.1 * bound

# %% [markdown]
# ## The figure
# About the truth, any number of modes looks excellent. About the start, the error falls below the noise only when
# nearly all of the modes are there.

# %%
with plotting.style():
    figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    tiny = 1e-3  # what is smaller is drawn here
    ax.semilogy(range(1, space.dim), np.abs(predicted[:-1]), color="C0", alpha=0.5, label="predicted")
    ax.semilogy(kept, np.maximum(np.abs(honest), tiny), "o", color="C0", label="cut modes stay at the start")
    ax.semilogy(kept, np.maximum(np.abs(fooled), tiny), "s", color="C1", label="cut modes stay at the truth")
    ax.axhline(bound, color="0.4", linestyle="--", label="one sigma of the noise, everything free")
    ax.set(xlabel="modes kept", ylabel="error of the separation (µas)", title="What is cut away does not go away")
    ax.legend()
plt.show()
