"""Every figure against a picture of it.

`pytest tests/test_figures.py --mpl-generate-path tests/baseline` makes the pictures anew. The arrays come from fixed
numbers, not from a model, so that only the figures can change. Each version of matplotlib sets text in its own way, and
with it everything around: the pictures are compared by the one that made them.
"""

import matplotlib
import numpy as np
import pytest

from dluxshera.inference.error_budget import BudgetTerm, ErrorBudget
from dluxshera.inference.signals import Signal
from dluxshera.inference.sweep import Sweep
from dluxshera.plotting import (
    SHERA_PANELS,
    Panel,
    PanelRecipe,
    panels_of,
    plot_comparison,
    plot_corner,
    plot_correlation,
    plot_dependence,
    plot_error_budget,
    plot_fisher,
    plot_image,
    plot_modes,
    plot_opd,
    plot_panels,
    plot_pulls,
    plot_pupil,
    plot_radial_profile,
    plot_residual_histogram,
    plot_run_difference,
    plot_shera_page,
    plot_signal,
    plot_spectrum,
    plot_sweep,
)

MADE_BY = "3.11"
pytestmark = pytest.mark.skipif(
    not matplotlib.__version__.startswith(f"{MADE_BY}."), reason=f"the pictures are those of matplotlib {MADE_BY}"
)
NPIX, PLATE_SCALE = 48, 0.355
LABELS = [
    *("binary.x_position_as", "binary.separation_as", "binary.contrast"),
    *(f"optics.m1.zernike_coeffs_nm[Z{i}]" for i in (4, 5, 6)),
    "plate_scale_as",
]
SYMBOLS = {
    "binary.x_position_as": "x",
    "binary.separation_as": "s",
    "binary.contrast": "c",
    "optics.m1.zernike_coeffs_nm": "a_1",
    "plate_scale_as": "p_s",
}
compared = pytest.mark.mpl_image_compare(
    baseline_dir="baseline", style="default", tolerance=2, savefig_kwargs={"dpi": 60}, deterministic=True
)


def noise(seed, *shape):
    """Normal numbers of a generator that is frozen: the same everywhere."""
    return np.random.RandomState(seed).normal(size=shape)


@pytest.fixture(scope="module")
def scene():
    """Data, model, whitened residual and mask of two stars, with three masked pixels."""
    y, x = np.indices((NPIX, NPIX)) - (NPIX - 1) / 2
    star = lambda cx, cy: np.sinc(np.hypot(x - cx, y - cy) / 4) ** 2  # noqa: E731
    model = 2e4 * star(-7, 3) + 6e3 * star(8, -4) + 20.0
    residual = noise(1, NPIX, NPIX)
    mask = np.ones((NPIX, NPIX), bool)
    mask[5, 7:10] = False
    return model + residual * np.sqrt(model), model, residual, mask


@pytest.fixture(scope="module")
def pupil():
    """Amplitude of an annulus with three struts, and its radius and angle."""
    y, x = (np.indices((64, 64)) - 31.5) / 32
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    strut = np.abs(np.sin(1.5 * angle)) * radius < 0.06
    return ((radius < 1) & (radius > 0.3) & ~strut).astype(float), radius, angle


@pytest.fixture(scope="module")
def signals():
    """The errors of a fit of fifteen steps."""
    steps = np.arange(16)
    fall = 10.0 ** (-0.55 * steps)

    def error(name, start, end, labels=(), seed=0):
        shape = (16, len(labels)) if labels else (16,)
        decay = fall[:, None] if labels else fall
        last = end * noise(seed, *shape[1:]) if labels else end
        first = start * noise(seed + 7, *shape[1:]) if labels else start
        return Signal(name, first * decay + last, tuple(labels), np.zeros(()))

    noll = [f"Z{i}" for i in range(4, 12)]
    found = [
        error("binary.x_error_uas", 900.0, 0.31),
        error("binary.y_error_uas", -1500.0, -0.17),
        error("binary.separation_error_uas", 4000.0, 0.42),
        error("binary.position_angle_error_uas", -700.0, 0.83),
        error("system.plate_scale_error_ppm", 120.0, -0.05),
        error("binary.raw_flux_error_ppm", 3000.0, 25.0, ("A", "B"), 3),
        error("binary.contrast_error_ppm", 5000.0, -40.0),
        error("primary.zernike_error_nm", 12.0, 0.05, noll, 4),
        error("secondary.zernike_error_nm", 12.0, 0.08, noll, 5),
    ]
    return {signal.name: signal for signal in found}


@pytest.fixture(scope="module")
def information():
    factor = noise(2, len(LABELS), 9)
    size = 10.0 ** np.array([6, 6, 3, 0, 0, 0, 4])
    return (factor @ factor.T) * np.outer(size, size)


@compared
def test_signal(signals):
    return plot_signal(signals["binary.separation_error_uas"], symlog=True, label="separation")


@compared
def test_signal_of_components(signals):
    return plot_signal(signals["binary.raw_flux_error_ppm"].values[8:], np.arange(8, 16), unit="ppm", labels=("A", "B"))


@compared
def test_panels(signals):
    more = (PanelRecipe("Astrometry", ("binary.x_error_uas", "binary.y_error_uas"), scale="linear"),)
    loss = Panel("Loss", "", {"loss": 10.0 ** np.linspace(4, 0, 16)}, scale="log")
    return plot_panels([loss, *panels_of(signals, (*more, SHERA_PANELS[5]))], title="Fit of one frame")


@compared
def test_shera_page(signals, scene):
    data, model, residual, mask = scene
    loss = 4.2e3 + 1e5 * 10.0 ** (-0.7 * np.arange(16))
    return plot_shera_page(signals, loss, (data, model, residual), PLATE_SCALE, mask=mask)


@compared
def test_psf(scene):
    return plot_image(scene[0], PLATE_SCALE, mask=scene[3])


@compared
def test_comparison(scene):
    return plot_comparison(*scene, PLATE_SCALE)


@compared
def test_opd(pupil):
    transmission, radius, angle = pupil
    return plot_opd(2.4e-8 * radius**2 * np.cos(2 * angle) + 1e-8 * radius**3 * np.sin(3 * angle), transmission, 0.09)


@compared
def test_pupil(pupil):
    return plot_pupil(pupil[0], 0.09)


@compared
def test_residual_histogram(scene):
    return plot_residual_histogram(scene[2] * 1.1, scene[3], 2280)


@compared
def test_radial_profile(scene):
    images = {"data": scene[0], "model": scene[1]}
    return plot_radial_profile(images, PLATE_SCALE, (-7 * PLATE_SCALE, 3 * PLATE_SCALE), mask=scene[3])


@compared
def test_corner(information):
    covariance = np.linalg.inv(information[:4, :4])
    draws = noise(9, 1200, 4) @ np.linalg.cholesky(covariance).T
    estimate, units = np.array([0.02, 10.0, 3.4, 1.0]), ("arcsec", "arcsec", "", "nm")
    truth = estimate + 0.7 * np.sqrt(np.diagonal(covariance))
    labels = LABELS[:4]
    return plot_corner(estimate, covariance, labels, units, samples=estimate + draws, truth=truth, symbols=SYMBOLS)


@compared
def test_fisher(information):
    return plot_fisher(information, LABELS, symbols=SYMBOLS)


@compared
def test_correlation(information):
    return plot_correlation(np.linalg.inv(information), LABELS)


@compared
def test_spectrum(information):
    return plot_spectrum(information)


@compared
def test_modes(information):
    scale = 1 / np.sqrt(np.diagonal(information))
    values, vectors = np.linalg.eigh(scale[:, None] * information * scale)
    return plot_modes(vectors[:, ::-1], LABELS, values[::-1], symbols=SYMBOLS)


@compared
def test_sweep():
    values = np.linspace(9.9999, 10.0001, 11)
    step = (values - 10.0) / 4e-5
    return plot_sweep(Sweep("binary.separation_as", "arcsec", values, step**2 + 0.1 * step**3 + 7e4, step**2 + 7e4))


@compared
def test_dependence():
    contrast = np.repeat([1.0, 2.0, 4.0, 8.0, 16.0], 6)
    sigma = 1e-6 * np.sqrt(1 + contrast)
    error = sigma * noise(6, 30)
    return plot_dependence(contrast, error, sigma, x_label="contrast", label="separation", unit="arcsec", log=True)


@compared
def test_pulls():
    return plot_pulls({"separation": noise(7, 400)})


@compared
def test_pulls_of_groups():
    return plot_pulls({name: noise(i, 60) for i, name in enumerate(("binary", "M1", "M2"), 10)})


@compared
def test_error_budget():
    terms = [("photon noise", "random", 0.31), ("freeing M1 Zernikes", "random", 0.22), ("read noise", "random", 0.05)]
    terms += [("pixel positions", "bias", 0.4), ("jitter", "bias", np.inf), ("total", "total", 0.55)]
    return plot_error_budget(ErrorBudget("binary.separation_as", "µas", tuple(BudgetTerm(*term) for term in terms)))


@compared
def test_run_difference():
    losses = 1e3 + 1e5 * 0.03 ** np.arange(6.0), 1e3 + 2e5 * 0.5 ** np.arange(14.0)
    sigmas = [*noise(11, len(LABELS) - 1), None]
    rows = [{"label": label, "sigmas": value} for label, value in zip(LABELS, sigmas, strict=True)]
    return plot_run_difference(("runs/lm", "runs/adam"), losses, rows)


@compared
def test_run_difference_of_runs_that_share_nothing():
    return plot_run_difference(("a", "b"), ([3.0, 2.0, 2.0], [5.0, np.nan, 2.5]), [])
