"""The figures of a fit, each from plain arrays: which series share an axis, and in what unit."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .history import plot_panels, plot_signal
from .images import plot_comparison, plot_residual_histogram
from .labels import element_label, group_indices
from .matrices import plot_correlation, plot_spectrum
from .panel import Panel, real_array
from .style import REPORT_WIDTH, new_figure, styled


@styled
def comparison_figure(
    image: ArrayLike, model: ArrayLike, residuals: ArrayLike, mask: ArrayLike, plate_scale_as: float | None
) -> Figure:
    """Draw data, model (electrons) and whitened residual (σ) of shape (n, n), axes in arcsec."""
    axes = new_figure(REPORT_WIDTH, 0.4 * REPORT_WIDTH).subplots(1, 3, sharex=True, sharey=True)
    return plot_comparison(image, model, residuals, mask, plate_scale_as, axes=list(axes))


def residual_figure(residuals: ArrayLike, mask: ArrayLike, degrees_of_freedom: int | None = None) -> Figure:
    """Draw the histogram of whitened residuals (n, n) with the unit Gaussian."""
    return plot_residual_histogram(residuals, mask, degrees_of_freedom)


def lowest_loss(loss: ArrayLike) -> float:
    """Return the lowest finite value of a loss (T,); NaN where there is none."""
    loss = np.asarray(loss, float)
    return float(np.min(loss[np.isfinite(loss)])) if np.isfinite(loss).any() else np.nan


def loss_figure(loss: ArrayLike) -> Figure:
    """Draw a loss (T,), T > 0, minus its lowest value over the steps, on a logarithmic axis."""
    loss = real_array(loss, "a loss", (1,))
    if not loss.size:
        raise ValueError("Expected a loss of one step or more, got none.")
    lowest = lowest_loss(loss)
    best = int(np.argmax(loss == lowest))
    title = f"loss {loss[0]:.8g} to {lowest:.8g}, lowest at step {best}"
    figure = plot_signal(loss - lowest, unit="loss − lowest loss", log=True, title=title)
    figure.axes[0].set_xlim(-0.04 * loss.size, 1.04 * loss.size - 1)  # the lowest itself has no place on the axis
    return figure


def parameter_figure(values: ArrayLike, sigma: ArrayLike, labels: Sequence[str], estimate: ArrayLike) -> Figure:
    """Draw every parameter minus its estimate in units of its sigma, one panel for each group.

    Parameters
    ----------
    values : array (T, D)
        Physical values at each step.
    sigma : array (D,)
        One-sigma errors in the same units; a parameter without a finite one is left out.
    labels : sequence of str (D,)
    estimate : array (D,)

    Raises
    ------
    ValueError
        If no parameter has a finite sigma.
    """
    values, sigma, estimate = (np.asarray(a, float) for a in (values, sigma, estimate))
    shown = np.isfinite(sigma) & (sigma > 0)
    if not shown.any():
        raise ValueError("Expected a finite sigma for at least one parameter, got none.")
    deviation = (values - estimate) / np.where(shown, sigma, 1.0)
    panels = [
        Panel(group, "σ from estimate", series, scale="symlog", linear_within=0.1, band=1.0)
        for group, indices in group_indices(labels).items()
        if (series := {element_label(labels[i]): deviation[:, i] for i in indices if shown[i]})
    ]
    return plot_panels(panels)


def correlation_figure(covariance: ArrayLike, labels: Sequence[str]) -> Figure:
    """Draw the correlations of a covariance (D, D)."""
    return plot_correlation(covariance, labels)


def spectrum_figure(information: ArrayLike) -> Figure:
    """Draw the eigenvalues of an information matrix (D, D) scaled to a unit diagonal."""
    return plot_spectrum(information)
