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
# # Plate scale against primitives
# A separation is measured in pixels; the plate scale makes it an angle. In a telescope of two mirrors the plate scale
# is no number of its own: it follows from two focal lengths, a distance and the pixel pitch. What should a fit move?
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
from dluxshera.plotting.corner import ellipse

jax.config.update("jax_enable_x64", True)
SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
grid = {"optics.pupil_npix": 128, "optics.psf_npix": 96, "binary.separation_as": 10.0}
small = {"optics.pupil_npix": 32, "optics.psf_npix": 16, "binary.separation_as": 2.0, "binary.n_wavelengths": 3}
model = ds.load_profile("shera_testbed", overrides=small if SMALL else grid)
EXPOSURES = 36_000

# %% [markdown]
# ## It follows
# The derivative of the plate scale by each primitive: a property of the tree, differentiated like anything else.

# %%
slope = eqx.filter_grad(lambda m: jnp.log(m.plate_scale_as))(model)
lengths = {
    "M1 focal length": slope.optics.m1.focal_length,
    "M2 focal length": slope.optics.m2.focal_length,
    "mirror distance": slope.optics.plane_separation,
    "pixel pitch": slope.detector.pixel_pitch,
}
for name, value in lengths.items():
    print(f"{name:16s} {float(value):+12.1f} ppm per µm")

# %% [markdown]
# It has no leaf. Writing it is refused, with the names of what to write instead:

# %%
try:
    eqx.tree_at(lambda m: m.plate_scale_as, model, jnp.asarray(0.36))
except ds.ParameterError as error:
    print(error)

# %% [markdown]
# ## Freeing all of them cannot work
# The image knows one combination of the four, nearly. The forecast says which, and gives infinite errors rather than
# a number.

# %%
primitives = ["optics.m1.focal_length", "optics.m2.focal_length", "optics.plane_separation", "detector.pixel_pitch"]
blind = ds.forecast(model, ds.ThetaSpace(model, ["binary.separation_as", *primitives]), EXPOSURES)
print(blind)
print("degenerate:", blind.identifiability.degenerate)

# %% [markdown]
# ## One of them, or the alias
# `plate_scale_as` is an alias: freeing it moves the mirror distance, solved so that the scale is the one asked for.
# Both fits tell the same about the stars.

# %%
alias = ds.ThetaSpace(model, ["binary.*", "plate_scale_as"])
primitive = ds.ThetaSpace(model, ["binary.*", "optics.plane_separation"])
by_alias, by_primitive = (ds.forecast(model, space, EXPOSURES) for space in (alias, primitive))
for name, found in (("alias", by_alias), ("primitive", by_primitive)):
    print(f"{name:10s} sigma of the separation {1e6 * found.sigma('binary.separation_as'):.4f} µas")
assert np.isclose(by_alias.sigma("binary.separation_as"), by_primitive.sigma("binary.separation_as"), rtol=1e-6)

# %% [markdown]
# ## A fit
# The truth has mirrors a micrometre further apart than the model believes. The error of either quantity comes from
# the same covariance, whichever of them was free.

# %%
truth = eqx.tree_at(lambda m: m.optics.plane_separation, model, model.optics.plane_separation + 1e-6)
observation = ds.simulate(truth, jax.random.key(0), exposures=EXPOSURES)
solution = ds.fit(ds.Objective(model, alias, observation), alias.pack(model))
for name, unit, factor in (("plate_scale_as", "µas/pixel", 1e6), ("optics.plane_separation", "nm", 1e9)):
    error = factor * float(ds.get_value(solution.model, name) - ds.get_value(truth, name))
    print(f"{name:26s} {error:+9.4f} +- {factor * float(solution.sigma(name)):.4f} {unit}")
assert solution.converged

# %% [markdown]
# ## How well must it be known beforehand?
# A prior on the plate scale adds its information. Below a tenth of a part per million it is known as well as it needs
# to be; above some parts per million the image knows better itself: the diffractive pupil makes a pattern whose
# angles are known, wavelength over length. The wider the pair, the more the scale matters.

# %%
row, scale_row = (alias.slice(name).start for name in ("binary.separation_as", "plate_scale_as"))
ppm = np.geomspace(1e-2, 1e3, 60)
sigmas = []
for width in ppm * 1e-6 * float(model.plate_scale_as):
    information = by_alias.information()
    information[scale_row, scale_row] += 1 / width**2
    sigmas.append(1e6 * np.sqrt(np.asarray(ds.covariance(jnp.asarray(information)))[row, row]))
held = 1e6 * by_alias.sigma("binary.separation_as", "+ binary")

# %%
covariance = np.asarray(ds.covariance(jnp.asarray(by_alias.information())))
pair = np.ix_([row, scale_row], [row, scale_row])
units = np.array([1e6, 1e6])
spread = covariance[pair] * np.outer(units, units)
with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for count, alpha in ((1, 1.0), (2, 0.5)):
        left.add_patch(ellipse(spread, count, fill=False, edgecolor="C0", alpha=alpha))
    found = [
        1e6 * float(ds.get_value(solution.model, n) - ds.get_value(truth, n))
        for n in ("binary.separation_as", "plate_scale_as")
    ]
    left.plot(*found, "o", color="C1", label="the fit, less the truth")
    left.plot(0, 0, "k+")
    reach = 3 * np.sqrt(np.diag(spread))
    left.set(xlim=(-reach[0], reach[0]), ylim=(-reach[1], reach[1]))
    left.set(xlabel="separation (µas)", ylabel="plate scale (µas/pixel)", title="they are measured together")
    left.legend()
    right.semilogx(ppm, sigmas, color="C0", label="everything free, with a prior")
    right.axhline(held, color="0.5", linestyle="--", label="plate scale known")
    right.set(xlabel="prior on the plate scale (ppm)", ylabel="sigma of the separation (µas)")
    right.set_title("what prior knowledge is worth")
    right.legend()
plt.show()
