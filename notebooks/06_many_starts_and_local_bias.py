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
# # Many starts and local bias
# How far away may a fit begin, what does it find from too far, and is what it finds near the truth free of bias?
# `fit_many` takes hundreds of starts or images through one compiled function. `DLUXSHERA_SMALL=1` takes few.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import dluxshera as ds
from dluxshera import plotting
from dluxshera.instrument import guess

jax.config.update("jax_enable_x64", True)
SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
side, draws = (5, 16) if SMALL else (11, 150)
grid = {"optics.pupil_npix": 64, "optics.psf_npix": 32, "binary.separation_as": 4.0}
small = {"optics.pupil_npix": 32, "optics.psf_npix": 16, "binary.separation_as": 2.0, "binary.n_wavelengths": 3}
model = ds.load_profile("shera_testbed_two_plane", overrides=small if SMALL else grid)
space = ds.ThetaSpace(model, ["binary.*", "plate_scale_as"])
EXPOSURES = 3600

# %% [markdown]
# ## The landscape
# The truth is the model itself. First a look: the loss along the column position, and its slope, by
# `eqx.filter_value_and_grad` over the whole tree. A start is a tree edited by `eqx.tree_at`.

# %%
truth = model
observation = ds.simulate(truth, jax.random.key(0), exposures=EXPOSURES)
objective = ds.Objective(model, space, observation)
theta = space.pack(truth)
pixel = float(model.plate_scale_as)


def displaced(x, y):
    return eqx.tree_at(
        lambda m: (m.binary.x_position_as, m.binary.y_position_as), model, (jnp.asarray(x), jnp.asarray(y))
    )


@eqx.filter_jit
@eqx.filter_value_and_grad
def loss(model, objective):
    return objective.signal_loss(objective.exposures * model.model())


along = np.linspace(-4, 4, 41)
losses, slopes = [], []
for x in along * pixel:
    value, slope = loss(displaced(x, 0.0), objective)
    losses.append(float(value))
    slopes.append(float(slope.binary.x_position_as))
leads_home = np.sign(slopes) == np.sign(along)
print(f"a pixel is {pixel:.3f} arcsec; the slope leads home from {leads_home.sum()} of these {along.size} places")

# %% [markdown]
# ## Starts all over the image
# The binary begins displaced by up to four pixels either way, and its position is fitted.

# %%
offsets = np.linspace(-4, 4, side) * pixel
columns, rows = (axis.ravel() for axis in np.meshgrid(offsets, offsets))
place = ds.ThetaSpace(model, ["binary.x_position_as", "binary.y_position_as"])
where = ds.Objective(model, place, observation)
starts = jnp.stack([place.pack(displaced(x, y)) for x, y in zip(columns, rows, strict=True)])
many = ds.fit_many(where, starts, ds.LevenbergMarquardt(max_steps=12))
away = np.hypot(*np.asarray(many.theta).T) / pixel
home = away < 0.01
print(f"{home.sum()} of {home.size} starts come home; the others end {np.median(away[~home]):.1f} pixels away")

# %% [markdown]
# None of this needs a search: the pixels themselves tell where the stars are.

# %%
found = guess(displaced(1.0, -0.5), observation)
print(f"guess: x {found.x_position_as:+.4f}, y {found.y_position_as:+.4f} arcsec, separation {found.separation_as:.4f}")

# %% [markdown]
# ## Bias, near the truth
# Images of the same truth with noise of their own, each fitted from a start some sigma away. Estimates less the
# truth, over their sigmas, should be a unit Gaussian.

# %%
keys = jax.random.split(jax.random.key(1), draws)
images = jnp.stack([ds.simulate(truth, key, exposures=EXPOSURES).image for key in keys])
sigma = np.sqrt(np.diag(np.asarray(ds.covariance(ds.fisher_information(objective, theta)))))
begin = theta + 3 * sigma * jax.random.normal(jax.random.key(2), (draws, space.dim))
noisy = ds.fit_many(objective, begin, images=images)
names = ("binary.separation_as", "plate_scale_as", "binary.contrast")
pulls = {
    name: np.asarray((noisy.values(name) - ds.get_value(truth, name)) / noisy.sigma(name)).ravel() for name in names
}
for name, values in pulls.items():
    print(f"{name:24s} mean {values.mean():+.3f} ± {values.std() / np.sqrt(draws):.3f}, scatter {values.std():.3f}")
assert bool(np.all(noisy.converged))
assert all(abs(values.mean()) < 5 / np.sqrt(draws) for values in pulls.values())

# %%
with plotting.style():
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.3), layout="constrained")
    left.plot(along, losses)
    left.set(xlabel="column position (pixels)", ylabel="loss", title="the loss, all else at the truth", yscale="log")
    shown = middle.scatter(
        columns / pixel, rows / pixel, c=np.minimum(away, 4), cmap="viridis", s=1200 / side, marker="s"
    )
    middle.set(xlabel="start, columns (pixels)", ylabel="rows", title="where starts end", aspect="equal")
    figure.colorbar(shown, ax=middle, label="end, pixels from the truth")
    plotting.plot_pulls(pulls, ax=right)
    right.set_title("errors from near starts")
plt.show()
