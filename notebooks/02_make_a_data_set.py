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
# # Make a synthetic data set
# Frames of a drifting telescope with a real detector's faults: written as FITS, read back, and checked against the
# noise that the model expects. `DLUXSHERA_SMALL=1` takes few frames on small grids.

# %%
import os
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import dluxshera as ds
from dluxshera import plotting

jax.config.update("jax_enable_x64", True)
SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
frames = 40 if SMALL else 200
grid = {"optics.pupil_npix": 128, "optics.psf_npix": 64, "binary.separation_as": 4.0}
small = {"optics.pupil_npix": 32, "optics.psf_npix": 16, "binary.separation_as": 2.0, "binary.n_wavelengths": 3}
model = ds.load_profile("shera_testbed_two_plane", overrides=small if SMALL else grid)

# %% [markdown]
# ## How many photons?
# From the star's flux, the clear area, the band and the exposure time.

# %%
from dluxshera.instrument import clear_area  # noqa: E402

area = clear_area(model.optics.m1.transmission, model.optics.m1.diameter)
budget = ds.photon_budget(1.7227e11, area, 110e-9, float(model.detector.exposure_time_s))
model = ds.set_values(model, {"binary.log_flux_total": budget.log_flux_total})
print(budget)

# %% [markdown]
# ## Faults of the detector
# Pixels that respond differently by one per cent, some hundredth of a pixel out of place, and a smear of the
# pointing. Buffers are leaves: `eqx.tree_at` puts arrays of your own in their place.

# %%
generator = np.random.default_rng(0)
n = model.detector.npix
truth = eqx.tree_at(
    lambda m: (m.detector.pixel_response, m.detector.pixel_offsets),
    model,
    (jnp.asarray(1 + 0.01 * generator.normal(size=(n, n))), jnp.asarray(0.01 * generator.normal(size=(n, n, 2)))),
)
truth = ds.set_values(truth, {"detector.jitter_sigma_as": "50 mas", "optics.m1.zernike_coeffs_nm[Z5]": 4.0})

# %% [markdown]
# ## Frames
# The pointing walks at random. Each frame has a key of its own, so that any of them can be made again alone.

# %%
walk = np.cumsum(generator.normal(scale=2e-3, size=(frames, 2)), axis=0)
keys = jax.random.split(jax.random.key(1), frames)


def pointed(x, y):
    return eqx.tree_at(
        lambda m: (m.binary.x_position_as, m.binary.y_position_as), truth, (jnp.asarray(x), jnp.asarray(y))
    )


stack = [ds.simulate(pointed(x, y), key) for (x, y), key in zip(walk, keys, strict=True)]
images = np.stack([np.asarray(frame.image) for frame in stack])
print(images.shape, f"brightest pixel {images.max():.0f} e-, well {truth.detector.full_well_e:.0f} e-")

# %% [markdown]
# How near is saturation, and what would bring it nearer? The gradient of the brightest pixel by the whole tree.

# %%
peak, slope = eqx.filter_jit(eqx.filter_value_and_grad(lambda m: m.model().max()))(truth)
margin = float(truth.detector.full_well_e / peak)
print(f"brightest pixel {float(peak):.0f} e-: the star may be {margin:.1f} times brighter")
print("by a nanometre of each Zernike, e-:", np.asarray(slope.optics.m1.zernike_coeffs_nm).round(1))

# %% [markdown]
# ## Files
# FITS with unit, number of exposures, variance and mask; what is read is what was written.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "frame_000.fits"
    stack[0].write(path)
    again = ds.Observation.read(path)
assert np.array_equal(again.image, stack[0].image) and np.array_equal(again.mask, stack[0].mask)

# %% [markdown]
# ## A long observation
# Thirty minutes are 36 000 frames. They are drawn as one sum; a pixel that is likely to saturate in one of them is
# masked.

# %%
long = ds.simulate(truth, jax.random.key(2), exposures=36_000)
print(f"{np.asarray(long.image).sum():.4g} electrons, {long.masked_count} pixels masked")

# %% [markdown]
# ## Is the noise what the model says?
# Without the walk: frames of one pointing, and of a star a thousand times fainter. The variance of each pixel against
# its mean: photon noise is the diagonal, read noise and quantisation the floor.

# %%
dim = ds.set_values(truth, {"binary.log_flux_total": truth.binary.log_flux_total - 3})
transfer = {}
for name, scene in {"bright": truth, "faint": dim}.items():
    still = np.stack([np.asarray(ds.simulate(scene, key).image) for key in keys])
    expected = np.asarray(scene.model())
    chi_square = np.mean((still - expected) ** 2 / np.asarray(scene.variance(expected)))
    print(f"{name}: squared residuals over the expected variance {chi_square:.4f}")
    assert abs(chi_square - 1) < 6 * np.sqrt(2 / still.size)
    transfer[name] = still.mean(0).ravel(), still.var(0, ddof=1).ravel()

# %%
with plotting.style():
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.1), layout="constrained")
    scale = float(truth.plate_scale_as)
    plotting.plot_image(images[0], scale, ax=axes[0], title="one exposure, 50 ms")
    plotting.plot_image(long.image, scale, ax=axes[1], mask=long.mask, title="36 000 exposures")
    for name, (mean, variance) in transfer.items():
        axes[2].loglog(np.maximum(mean, 1e-2), variance, ".", markersize=2, alpha=0.5, label=f"{name}, {frames} frames")
    signal = np.geomspace(0.03, 1.5 * images.max(), 100)
    floor = float(truth.detector.read_variance)
    axes[2].loglog(signal, signal + floor, color="k", label="photons, read noise, quantisation")
    axes[2].loglog(signal, signal, "--", color="0.6", label="photons alone")
    axes[2].set(xlabel="mean (electrons)", ylabel="variance (electrons²)", title="photon transfer", ylim=(0.5, None))
    axes[2].set_xlim(0.03, None)
    axes[2].legend()
plt.show()
