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
# # Dose study: which loss, when photons are few?
#
# The same object is scanned along the same path with 1e9 and with 1e4 photons per pattern. We see what the dose does to
# the counts, where each loss has its minimum, and what networks make of the counts that were trained by one loss or the
# other, without ever being shown an object.
#
# Patterns of 32 x 32 pixels keep this at a minute; `dluxshera ptycho study` does the same at full size.
# `DLUXSHERA_SMALL=1` takes fewer patterns and epochs.

# %%
import os

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from dluxshera import plotting
from dluxshera import ptychography as pt
from dluxshera.plotting.network import DoseRow, plot_dose_study
from dluxshera.ptychography import network as nn

SMALL = os.environ.get("DLUXSHERA_SMALL", "0") not in ("", "0")
DOSES = (1e9, 1e4)
LOSSES = {"mae": "MAE", "squared": "squared amplitude error", "poisson": "Poisson likelihood"}
NPIX, NUMBER, EPOCHS = (16, 96, 2) if SMALL else (32, 320, 12)

# %% [markdown]
# ## Two doses of one scan
#
# Same seed, same object and path. What is kept is counts: they differ by 1e5, their root mean square amplitude by
# sqrt(1e5) = 316. The *mean* amplitude differs by more, for at the low dose most pixels are empty.

# %%
scans = {dose: pt.make_scan("lines", size=3 * NPIX, npix=NPIX, number=NUMBER, photons=dose, seed=0) for dose in DOSES}
high, low = (np.asarray(scans[dose].counts, float) for dose in DOSES)
print(f"counts {high.mean() / low.mean():.3g}")
print(f"rms amplitude {np.sqrt(high.mean() / low.mean()):.0f}, mean {np.sqrt(high).mean() / np.sqrt(low).mean():.0f}")
print(f"empty pixels at {DOSES[1]:.0e}: {np.mean(low == 0):.0%}")

# %% [markdown]
# ## What does each loss ask for?
#
# A pixel in which `expected` photons are due shows a Poisson number of them. The model value with the least mean loss
# is, for the likelihood, the mean; for the squared error of amplitudes, the square of the mean root; for the absolute
# error the *median*, which is zero wherever less than 0.69 photons are due.

# %%
expected = np.geomspace(0.02, 30, 200)
numbers = np.arange(120)
factorials = np.concatenate([[0.0], np.cumsum(np.log(numbers[1:]))])
chance = np.exp(numbers * np.log(expected)[:, None] - expected[:, None] - factorials)
asked = {
    "mae": np.argmax(np.cumsum(chance, axis=1) >= 0.5, axis=1).astype(float),
    "squared": (chance @ np.sqrt(numbers)) ** 2,
    "poisson": chance @ numbers,
}

# %% [markdown]
# ## The truth under three losses
#
# The true model is a tree. One `eqx.tree_at` makes its object one per cent brighter: even at the low dose the
# likelihood notices.


# %%
def pixel_losses(counts, model):
    """What the three losses are, sums over all pixels."""
    error = jnp.sqrt(counts + 1e-3) - jnp.sqrt(model + 1e-3)
    poisson = jnp.where(model > 0, model - counts * jnp.log(jnp.maximum(model, 1e-12)), 0.0)
    return {"mae": jnp.sum(jnp.abs(error)), "squared": jnp.sum(error**2), "poisson": jnp.sum(poisson)}


def parts(model):
    """The object's leaves."""
    return model.sample.object_real, model.sample.object_imag


truth, _ = pt.starting_model(scans[DOSES[1]], from_object=True)
brighter = eqx.tree_at(parts, truth, tuple(1.01 * part for part in parts(truth)))
losses = eqx.filter_jit(lambda model: pixel_losses(jnp.asarray(low), model.model()))
rise = losses(brighter)["poisson"] - losses(truth)["poisson"]
print(f"one per cent brighter: {rise:.0f} in log-likelihood, {np.sqrt(2 * rise):.0f} standard deviations")

# %% [markdown]
# At the truth a fair loss pulls the object neither up nor down, but for noise. `eqx.filter_grad` gives the slope by the
# whole tree; here it is taken along the object itself, pattern by pattern, over the scatter of its mean.


# %%
@eqx.filter_jit
def pull(model, index, name):
    """Slope of one pattern's loss along the amplitude of the object."""
    slope = eqx.filter_grad(lambda m: pixel_losses(jnp.asarray(low)[index], m.patterns(index))[name])(model)
    return sum(jnp.sum(by * part) for by, part in zip(parts(slope), parts(model), strict=True))


for name, title in LOSSES.items():
    along = np.array([float(pull(truth, jnp.asarray([k]), name)) for k in range(48)])
    print(f"{title}: {along.mean() / (along.std() / np.sqrt(len(along))):+.1f} standard errors from fair")

# %% [markdown]
# ## Networks
#
# One network for each dose and loss. A corner of the scan, a sixth of the patterns, is held back.

# %%
distance = np.hypot(*(scans[1e9].positions - scans[1e9].positions.min(axis=0)).T)
held = distance <= np.sort(distance)[NUMBER // 6]
architecture = nn.Architecture(npix=NPIX, gridsize=2, sweeps=4, with_phase=False)
trained, found = {}, {}
for dose, scan in scans.items():
    for name in LOSSES:
        settings = nn.TrainingSettings(
            architecture, nn.LossWeights.named(name), epochs=EPOCHS, batch=8, neighbours=5, seed=0
        )
        trained[dose, name] = nn.train(scan.select(~held), settings)
        found[dose, name] = nn.infer(trained[dose, name].bundle, scan.select(held))

# %% [markdown]
# ## Which one is right?
#
# Judged only where the held-back patterns cover the object. Nothing is rescaled: a scale of 1 means that the amplitude
# is right as it stands.

# %%
judged = {}
for (dose, name), each in found.items():
    made = each.reconstruction
    judged[dose, name] = pt.judge_scan(scans[dose].select(held), made.object, made.positions, made.coverage)
    seen = judged[dose, name].record["amplitude"]
    print(f"{dose:.0e} {LOSSES[name]:24} scale {seen['scale']:.3f}  MAE {seen['mae']:.3f}  SSIM {seen['ssim']:.3f}")


# %%
def amplitude(image, covered):
    """|O| where covered."""
    return np.where(covered, np.abs(image), np.nan)


def row(dose):
    """One dose of the figure."""
    seen = {name: judged[dose, name] for name in LOSSES}
    objects = {LOSSES[n]: amplitude(j.registered.object, j.registered.covered) for n, j in seen.items()}
    metrics = {
        LOSSES[n]: {"SSIM": j.record["amplitude"]["ssim"], "scale": j.record["amplitude"]["scale"]}
        for n, j in seen.items()
    }
    reference = amplitude(seen["poisson"].registered.reference, seen["poisson"].registered.covered)
    return DoseRow(dose, np.asarray(scans[dose].counts[0], float), objects, reference, metrics)


# %% [markdown]
# ## The figure
#
# What each loss asks for, then patterns and reconstructions at both doses.

# %%
with plotting.style():
    figure, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
    for name, title in LOSSES.items():
        ax.plot(expected, asked[name], label=title)
    ax.set(xscale="log", xlabel="photons due in a pixel", ylabel="photons the loss asks for")
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_ylim(-0.02, 40)
    ax.legend()
plt.show()

# %%
plot_dose_study([row(dose) for dose in DOSES], list(LOSSES.values()))
