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
# # Environment check
# Is everything here, is it precise, and is it fast? Run this first on a new machine, and send what it prints with a
# report of a fault.

# %%
import importlib.metadata
import importlib.util
import os
import platform
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import dluxshera as ds
from dluxshera import plotting

jax.config.update("jax_enable_x64", True)  # before anything is computed

# %% [markdown]
# ## Versions and extras

# %%
print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
for name in ("dluxshera", "jax", "jaxlib", "equinox", "dLux", "dLuxToliman", "optax", "numpy", "astropy", "matplotlib"):
    print(f"{name:12s} {importlib.metadata.version(name)}")
extras = {"sample": "blackjax", "ptycho": "h5py", "table": "pyarrow", "dask": "distributed", "arviz": "arviz"}
for extra, module in extras.items():
    there = importlib.util.find_spec(module) is not None
    print(f"[{extra}]".ljust(12), "there" if there else f"pip install 'dluxshera[{extra}]'")

# %% [markdown]
# ## Devices and precision
# Neighbouring numbers at 10 arcsec must be far closer than a micro-arcsecond.

# %%
print(jax.devices())
step = float(jnp.nextafter(jnp.asarray(10.0), jnp.inf) - 10.0)
print(f"a step at 10 arcsec is {1e6 * step:.1e} µas")
assert step < 1e-12

# %% [markdown]
# ## Speed
# Time of the second call: the first one compiles.

# %%
small = {"optics.pupil_npix": 64, "optics.psf_npix": 32, "binary.separation_as": 4.0}
model = ds.load_profile("shera_testbed_two_plane", overrides=small)


def seconds(function, *arguments, repeats=5):
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - begin)
    return min(times)


@eqx.filter_jit
def sharpness(model):
    return jnp.sum(model.model() ** 2)


square = jnp.ones((1024, 1024))
print(f"image {1e3 * seconds(lambda m: m.model(), model):.1f} ms")
print(f"matrix product {2 * 1024**3 / seconds(jax.jit(jnp.matmul), square, square) / 1e9:.1f} GFLOP/s")
print(f"FFT of 1024 x 1024 {1e3 * seconds(jax.jit(jnp.fft.fft2), square):.1f} ms")

# %% [markdown]
# ## Gradients
# The gradient by the separation, against central differences. Their error falls with the square of the step until
# rounding, one over the step, takes over: a sharp V is a healthy machine.

# %%
slope = float(eqx.filter_jit(eqx.filter_grad(sharpness))(model).binary.separation_as)


def at(separation):
    return float(sharpness(eqx.tree_at(lambda m: m.binary.separation_as, model, jnp.asarray(separation))))


steps = np.logspace(-8, -1, 15)
differences = np.array([(at(4.0 + h) - at(4.0 - h)) / (2 * h) for h in steps])
error = np.abs(differences / slope - 1)
print(f"best agreement {error.min():.1e}")
assert error.min() < 1e-7

# %%
with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    plotting.plot_image(model.model(), float(model.plate_scale_as), ax=left, title="one exposure")
    right.loglog(steps, error, "o-")
    right.loglog(steps, error[-1] * (steps / steps[-1]) ** 2, "--", color="0.6", label="step squared")
    right.set(xlabel="step (arcsec)", ylabel="relative error", title="gradient against differences")
    right.set_ylim(error.min() / 3, 10 * error.max())
    right.legend()
plt.show()
