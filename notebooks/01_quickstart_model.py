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
# # Quickstart: the model
# Build the SHERA testbed, look at it, edit it, differentiate it. `DLUXSHERA_SMALL=1` takes grids that are quick.

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
grid = {"optics.pupil_npix": 48 if SMALL else 192, "optics.psf_npix": 32 if SMALL else 96}
model = ds.load_profile("shera_testbed", overrides=grid | {"binary.separation_as": 4.0 if SMALL else 10.0})

# %% [markdown]
# ## What is in it
# Three planes: M1 with the diffractive pupil, M2, and the detector in the focus. Every number is a leaf of the tree,
# with unit, bounds and description.

# %%
ds.describe(model)

# %%
optics = model.optics
print(f"focal length {optics.focal_length:.4f} m, magnification {optics.magnification:.3f}")
print(f"plate scale {model.plate_scale_as:.6f} arcsec per pixel")

# %% [markdown]
# ## The image

# %%
image = model.model()
print(f"{image.sum():.4g} of {10**model.binary.log_flux_total:.4g} photons fall into the window")
plotting.plot_image(image, float(model.plate_scale_as), title="expected photo-electrons, one exposure")

# %% [markdown]
# ## Edit it
# `eqx.tree_at` gives a new tree and leaves the old one alone. Derived quantities follow: half a millimetre between
# the mirrors changes the plate scale by more than a tenth, because the detector follows the focus.

# %%
closer = eqx.tree_at(lambda m: m.optics.plane_separation, model, optics.plane_separation - 0.5e-3)
print(f"plate scale {closer.plate_scale_as / model.plate_scale_as:.4f} times the old one")

# %% [markdown]
# `set_values` does the same by path, converts units and checks. A derived quantity is set through its alias, which is
# solved for a primitive.

# %%
edited = ds.set_values(model, {"binary.separation_as": "3900 mas", "plate_scale_as": 0.356})
print(f"mirrors {1e3 * edited.optics.plane_separation:.4f} mm apart for 0.356 arcsec per pixel")

# %% [markdown]
# ## Differentiate it
# The gradient of any number by the whole tree has the tree's own shape. How does the sharpness of the image change?


# %%
@eqx.filter_jit
@eqx.filter_grad
def slope_of_sharpness(model):
    return jnp.sum(model.model() ** 2)


slope = slope_of_sharpness(model)
print("by separation", float(slope.binary.separation_as), "by mirror distance", float(slope.optics.plane_separation))
print("by Zernikes of M1", np.asarray(slope.optics.m1.zernike_coeffs_nm).round(-3))

# %% [markdown]
# ## What each parameter does to the image
# One forward derivative for each. These are the columns of the Jacobian on which every error bar rests: two
# parameters whose pictures are alike cannot be told apart.

# %%
shown = {
    "binary.separation_as": "separation",
    "binary.position_angle_deg": "position angle",
    "binary.contrast": "contrast",
    "plate_scale_as": "plate scale",
    "optics.m1.zernike_coeffs_nm[Z4]": "defocus on M1",
    "optics.m2.zernike_coeffs_nm[Z4]": "defocus on M2",
    "optics.m1.zernike_coeffs_nm[Z8]": "coma on M1",
    "optics.m1.zernike_coeffs_nm[Z11]": "spherical on M1",
}
space = ds.ThetaSpace(model, list(shown))
theta = space.pack(model)


@eqx.filter_jit
def derivative(direction, model, theta):
    return jax.jvp(lambda t: space.unpack(t, model).model(), (theta,), (direction,))[1]


pictures = {name: derivative(jnp.eye(space.dim)[space.slice(name).start], model, theta) for name in shown}

# %%
with plotting.style():
    figure, axes = plt.subplots(2, 4, figsize=(9.6, 5.0), layout="constrained")
    for ax, (name, title) in zip(axes.flat, shown.items(), strict=True):
        picture = np.asarray(pictures[name]) / np.sqrt(np.asarray(image))  # in units of the photon noise
        limit = np.percentile(np.abs(picture), 99.8)
        ax.imshow(picture, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower")
        ax.set(title=title, xticks=[], yticks=[])
    figure.suptitle("change of the image, over its photon noise")
plt.show()
