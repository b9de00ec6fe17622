"""The diagnostic page of a SHERA fit: which signals share an axis, in the order in which one asks for them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..inference.signals import Signal
from .history import panel_axes, panels_height, plot_panels
from .images import plot_comparison
from .panel import Panel, real_array
from .panel_recipes import PanelRecipe, panels_of
from .style import REPORT_WIDTH, new_figure, styled

SHERA_PANELS = (
    PanelRecipe("Separation and angle", ("binary.separation_error_uas", "binary.position_angle_error_uas")),
    PanelRecipe(
        "Centre",
        ("binary.x_error_uas", "binary.y_error_uas"),
        names={"binary.x_error_uas": "x", "binary.y_error_uas": "y"},
    ),
    PanelRecipe("Plate scale", ("system.plate_scale_error_ppm",)),
    PanelRecipe("Flux of each star", ("binary.raw_flux_error_ppm",)),
    PanelRecipe("Contrast", ("binary.contrast_error_ppm",)),
    PanelRecipe("M1 Zernikes", ("primary.zernike_error_nm",), top=4),
    PanelRecipe("M2 Zernikes", ("secondary.zernike_error_nm",), top=4),
    PanelRecipe("Relay Zernikes", ("relay.zernike_error_nm",), top=4),
    PanelRecipe("Eigenmodes", ("eigen.coefficient_error_sigma",), top=4),
    PanelRecipe("Eigenmodes", ("eigen.coefficient_error",), top=4),
)
SIGNAL_COLUMNS = 2


def signal_panels(signals: Mapping[str, Signal]) -> list[Panel]:
    """Make the panels of a SHERA fit, then one for each signal that no panel of SHERA shows and none sums up."""
    named = {name for recipe in SHERA_PANELS for name in recipe.signals}
    others = [
        PanelRecipe(name, (name,), top=4 if signal.values.ndim == 2 else None)
        for name, signal in signals.items()
        if name not in named and not _sums_up(name, signals)
    ]
    return panels_of(signals, (*SHERA_PANELS, *others))


def _sums_up(name: str, signals: Mapping[str, Signal]) -> bool:
    """Whether a signal is the summary of another one that is there."""
    stems = [name.replace(f"_{word}", "", 1) for word in ("rms", "norm", "mean_abs") if f"_{word}" in name]
    return any(stem in signals for stem in stems)


@styled
def plot_shera_page(
    signals: Mapping[str, Signal],
    loss: ArrayLike,
    images: Sequence[ArrayLike] | None = None,
    plate_scale_as: float | None = None,
    *,
    mask: ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the diagnostic page of a SHERA fit: images, loss, and every error over the steps.

    Parameters
    ----------
    signals : mapping of str to Signal
        `open_run(run_dir).signals()`.
    loss : array (T,)
    images : sequence of three arrays (n, n), optional
        Data and model, electrons, and the whitened residual.
    plate_scale_as : float, arcsec/pixel, optional
    mask : array of bool (n, n), optional
        True where a pixel is used.
    title : str, optional

    Raises
    ------
    ValueError
        If the loss has no step.
    """
    loss = real_array(loss, "a loss", (1,))
    if not loss.size:
        raise ValueError("Expected a loss of one step or more, got none.")
    above = loss - np.min(loss[np.isfinite(loss)], initial=np.inf)
    panels = [Panel(f"Loss: final {loss[-1]:.8g}", "above the lowest", {"loss": above}, scale="log")]
    panels += signal_panels(signals)
    height, width = panels_height(panels, SIGNAL_COLUMNS), REPORT_WIDTH
    image_height = 0.4 * width if images is not None else 0.0
    figure = new_figure(width, height + image_height)
    below = figure
    if images is not None:
        above_part, below = figure.subfigures(2, 1, height_ratios=[image_height, height])
        axes = above_part.subplots(1, 3, sharex=True, sharey=True)
        plot_comparison(*images, mask, plate_scale_as, axes=list(axes))
    plot_panels(panels, columns=SIGNAL_COLUMNS, axes=panel_axes(below, panels, SIGNAL_COLUMNS))
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize="large")
    return figure
