"""A scan small enough to differentiate in an instant."""

import functools

import numpy as np

from dluxshera.ptychography import ScanObjective, build_model, disc_probe, simulate_scan

NPIX, PATTERNS = 16, 11


def smooth_object(size=32, seed=0):
    """Complex object of soft blobs, amplitude about one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    waves = [np.sin(2 * np.pi * (a * y + b * x) / size + c) for a, b, c in rng.uniform(-2, 2, (4, 3))]
    return (1 + 0.2 * waves[0] * waves[1]) * np.exp(0.5j * (waves[2] + waves[3]))


def small_probe(modes=1):
    """Disk with a curved phase; a second mode is its left half."""
    y, x = np.mgrid[-8:8, -8:8]
    first = disc_probe(NPIX, 4.0) * np.exp(0.03j * (y**2 + x**2))
    return np.stack([first, 0.4 * first * np.sign(x + 0.5)][:modes])


def small_model(modes=2, seed=1, number=PATTERNS, photons=1e4, **options):
    """Model with random positions between pixels, scaled to a dose."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform(8.2, 22.8, (number, 2))
    object = smooth_object()
    model = build_model(object, small_probe(modes), positions, **{"batch": 4, **options})
    scale = np.sqrt(photons / float(model.dose))
    return build_model(object, scale * small_probe(modes), positions, **{"batch": 4, **options})


@functools.cache
def small_data(number=60, photons=1e5, modes=1, noise=True):
    """A simulated scan whose positions cover a square of 16 pixels."""
    rng = np.random.default_rng(3)
    positions = rng.uniform(8, 23, (number, 2))
    return simulate_scan(smooth_object(), small_probe(modes), positions, photons, seed=4, noise=noise)


def small_objective(model, refine=("object", "probe", "positions"), likelihood="poisson", seed=5, **options):
    """Objective of Poisson counts of a model."""
    counts = np.random.default_rng(seed).poisson(np.asarray(model.model()))
    return ScanObjective(model, counts, refine, likelihood, **options)
