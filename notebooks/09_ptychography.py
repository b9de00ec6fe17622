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
# # Ptychography: from a measured file to a figure
#
# A Siemens star was scanned through a zone plate's focus at a synchrotron. We read the file, look at it, play with the
# model as a tree, reconstruct object, probe and positions, see whether the fit is to be trusted, and draw the result.
#
# Without the file, a small scan of lines is simulated instead. `DLUXSHERA_SMALL=1` takes few patterns and epochs.

# %%
import os
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import dluxshera as ds
from dluxshera import plotting
from dluxshera import ptychography as pt
from dluxshera.plotting import ptychography_result as pictures

SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
FILES = [Path(up) / "shared/data/siemens_star.npz" for up in ("..", "../..")]

# %% [markdown]
# ## The file
#
# `read_scan` checks what it reads. `info` is what `dluxshera ptycho info` prints.


# %%
def from_middle(positions):
    """Patterns from the middle of a scan outwards."""
    return np.argsort(np.hypot(*(positions - np.median(positions, axis=0)).T))


file = next((path for path in FILES if path.is_file()), None)
if file is not None:
    data = pt.read_scan(file)
else:
    size, npix, number = (64, 32, 60) if SMALL else (160, 64, 300)
    simulated = pt.make_scan("mixed", size=size, npix=npix, number=number, photons=1e5, seed=0)
    data = pt.ScanData(simulated.counts, simulated.positions, simulated.probe)  # what a measurement would know
if SMALL:
    data = data.select(np.sort(from_middle(data.positions)[:40]))
pt.table_rows(pt.info(data))

# %%
plotting.plot_scan(data.mean_pattern, data.positions, data.probe)

# %% [markdown]
# ## The model is a tree
#
# Parameters are leaves with units; `describe` lists them. An edit is `eqx.tree_at`, a gradient `eqx.filter_grad`.

# %%
start, origin = pt.starting_model(data, modes=1, batch=16)
ds.describe(start)

# %% [markdown]
# How much does the first guess, a transparent object, miss? And would a more defocused probe explain the same patterns
# better?

# %%
few = np.sort(from_middle(data.positions)[:32])
counts = jnp.asarray(np.asarray(data.counts[few]), float)


@eqx.filter_jit
def misfit(model):
    """Mean squared error of the amplitudes of a few patterns."""
    return jnp.mean((jnp.sqrt(model.patterns(few) + 0.1) - jnp.sqrt(counts + 0.1)) ** 2)


curved = pt.defocused_probe(start.probe.modes, 0.5)
other = eqx.tree_at(
    lambda m: (m.probe.modes_real, m.probe.modes_imag), start, (jnp.asarray(curved.real), jnp.asarray(curved.imag))
)
float(misfit(start)), float(misfit(other))

# %% [markdown]
# The gradient by the whole tree has the model's own shape. That by the object, divided by the light on each pixel, is
# the first step of a reconstruction, and already hints at the sample.

# %%
slope = eqx.filter_jit(eqx.filter_grad(misfit))(start)
light = pt.illumination(start.probe.modes, np.asarray(start.corners)[few], start.sample.object.shape)
lit = pt.coverage_mask(light)
step = -np.asarray(slope.sample.object_real + 1j * slope.sample.object_imag) / np.where(lit, light, np.inf)
rows, columns = (np.flatnonzero(lit.any(axis)) for axis in (1, 0))
plotting.plot_complex(step[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], "first step of the object")

# %% [markdown]
# ## Reconstruct
#
# Two incoherent modes; probe, positions and background are refined; five per cent of the pixels are kept out of the
# likelihood.

# %%
modes, epochs = (1, 8) if SMALL else (2, 100)
found = pt.reconstruct(data, modes=modes, epochs=epochs, hold_out=0.05, seed=0)
print(f"deviance per pixel {found.deviance:.3f}, held out {found.held_out_deviance:.3f}")
print(f"{found.history['seconds'][-1]:.1f} seconds of optimisation")

# %%
history = found.history
pictures.plot_deviance(history["seconds"], history["deviance"], history["stage"], found.deviance)

# %%
pictures.plot_modes_of_probe(found.probe)

# %% [markdown]
# ## May it be trusted?
#
# Counts drawn from the fitted model have the smallest deviance that any model could reach: the noise floor. Pixels that
# the fit has not seen should be close to those that it has.

# %%
expected = np.asarray(found.model().patterns(few), float)
drawn = np.random.default_rng(0).poisson(expected)
floor = float(pt.mean_deviance(jnp.asarray(drawn, float), jnp.asarray(expected, float)))
print(f"noise floor {floor:.3f}; all {found.deviance:.3f}; held out {found.held_out_deviance:.3f}")

# %% [markdown]
# What does the dose allow? The floor of the Cramér-Rao bound is cheap: no reconstruction can know a pixel better. Here
# the mode that carries most of the light stands for the probe.

# %%
bounds = pt.dose_bounds(found.object, found.probe[:1], found.positions, method="floor")
covered = bounds.covered
print(f"phase: at least {np.median(bounds.phase_sigma[covered]):.3f} rad in the median pixel")

# %% [markdown]
# ## The figure
#
# Amplitude and phase where the sample was lit, the probe, how far positions moved, and what the dose allows.

# %%
rows, columns = (np.flatnonzero(covered.any(axis)) for axis in (1, 0))
box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
turned = found.object * np.exp(-1j * np.angle(np.sum(found.object[covered])))
lit = np.where(covered, turned, np.nan)[box]

with plotting.style():
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 4.9), layout="constrained")
    images = (
        (np.abs(lit), "amplitude", "gray"),
        (np.angle(lit), "phase (radians)", "gray"),
        (np.log10(np.where(covered, bounds.phase_sigma, np.nan))[box], "log10 of least phase error", "viridis"),
    )
    for ax, (image, title, colors) in zip(axes[0], images, strict=True):
        low, high = np.nanpercentile(image, (0.5, 99.5))
        drawn_image = ax.imshow(image, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
        figure.colorbar(drawn_image, ax=ax, location="bottom", shrink=0.8)
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    plotting.plot_complex(found.probe[0], "probe: hue is phase", ax=axes[1, 0])
    moved = found.positions + data.npix // 2 + found.origin - data.positions
    moved = moved - np.median(moved, axis=0)
    (y, x), (dy, dx) = data.positions.T, moved.T
    axes[1, 1].quiver(x, y, dx, dy, angles="xy", scale_units="xy", scale=0.1, color=plotting.STYLE["text.color"])
    axes[1, 1].set(title=f"positions moved by {moved.std():.2f} px (x 10)", aspect="equal")
    axes[1, 1].invert_yaxis()
    axes[1, 2].semilogy(history["seconds"], history["deviance"], ".-")
    axes[1, 2].axhline(floor, color="0.5", linestyle="--")
    axes[1, 2].set(title="deviance; noise floor dashed", xlabel="seconds")
plt.show()
