"""A scan and a network small enough to be trained in an instant."""

import functools

import numpy as np

from dluxshera import ptychography as pt
from dluxshera.ptychography import network as nn

NPIX, PATTERNS = 16, 24
BACKGROUND = 20.0  # photons per pixel of `dark_scan`


@functools.cache
def small_scan(photons=1e6, noise=True, number=PATTERNS, kind="lines"):
    """Overlapping patterns of 16 x 16 pixels, between whole pixels."""
    return pt.make_scan(kind, size=36, npix=NPIX, number=number, margin=10, photons=photons, seed=3, noise=noise)


@functools.cache
def dark_scan(photons=1e4):
    """The same scan with few photons, half as many again of them background."""
    return pt.make_scan("lines", size=36, npix=NPIX, number=PATTERNS, margin=10, photons=photons, seed=3,
                        background=BACKGROUND)  # fmt: skip


def small_settings(epochs=3, **options):
    """Settings of a training of seconds; options of the architecture are told by their names."""
    of_architecture = {"gridsize", "inputs", "sweeps", "activation", "normalisation", "support", "with_phase", "width"}
    architecture = {k: options.pop(k) for k in of_architecture & set(options)}
    architecture = nn.Architecture(npix=NPIX, **{"width": 0.25, "sweeps": 2, **architecture})
    given = {"neighbours": 5, "batch": 6, "validation": 0.2, "seed": 1, **options}
    return nn.TrainingSettings(architecture, epochs=epochs, **given)


@functools.cache
def trained(epochs=3):
    """What a short training gives, and its states."""
    states = []
    return nn.train(small_scan(), small_settings(epochs), on_epoch=states.append), states


def same_arrays(first, second):
    """Whether two mappings of arrays are the same, bit for bit."""
    return first.keys() == second.keys() and all(
        first[k].dtype == second[k].dtype and np.array_equal(first[k], second[k], equal_nan=first[k].dtype.kind in "fc")
        for k in first
    )
