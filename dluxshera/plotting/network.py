"""Networks: the course of a training, and the figures of a dose study."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import (
    COLORS,
    FAINT,
    IMAGE_CMAP,
    PAGE_WIDTH,
    REPORT_WIDTH,
    axes_or_new,
    grey_where_unknown,
    new_figure,
    styled,
)

COURSE = ("train_loss", "val_loss", "learning_rate", "grad_norm", "scale", "dead_fraction")  # of a training
LEAST_COUNT = 0.5  # photons: pixels without any are drawn below one


class DoseRow(NamedTuple):
    """One dose of a study: a pattern, and what each loss made of the scan.

    Attributes
    ----------
    photons : float
        Mean per pattern.
    pattern : array (N, N), photons
        One counted pattern.
    objects : dict of arrays (h, w)
        Amplitude or phase by name of the loss, NaN where nothing is covered.
    truth : array (h, w)
        The same of the truth.
    metrics : dict of dicts
        Numbers by name of the loss, for the panels.
    """

    photons: float
    pattern: np.ndarray
    objects: Mapping[str, np.ndarray]
    truth: np.ndarray
    metrics: Mapping[str, Mapping[str, float | None]]


@styled
def plot_training(history: Mapping[str, Any]) -> Figure:
    """Draw the course of a training: losses, learning rate, gradient, scale and dead units.

    Parameters
    ----------
    history : mapping of lists
        As in `training_history.json`; numbers that are missing (None, NaN) leave a gap.
    """
    history = dict(history) | {name: np.asarray(history[name], float) for name in COURSE}
    epochs = np.arange(1, len(history["val_loss"]) + 1)
    figure = new_figure(PAGE_WIDTH, 0.55 * PAGE_WIDTH)
    panels = figure.subplots(2, 2, sharex=True)
    loss, rate, scale, dead = panels.flat
    for name, color in (("train_loss", COLORS[0]), ("val_loss", COLORS[1])):
        loss.plot(epochs, history[name], ".-", color=color, label=name.replace("_loss", ""))
    if np.nanmin([*history["train_loss"], *history["val_loss"], np.inf]) > 0:
        loss.set_yscale("log")
    loss.set(ylabel="loss per pixel")
    loss.legend()
    rate.plot(epochs, history["learning_rate"], ".-", color=COLORS[0], label="learning rate")
    rate.plot(epochs, history["grad_norm"], ".-", color=COLORS[1], label="norm of the gradient")
    rate.set(yscale="log")
    rate.legend()
    scale.plot(epochs, history["scale"], ".-", color=COLORS[0])
    scale.axhline(1.0, color=FAINT, linewidth=0.9, linestyle="--")
    scale.set(xlabel="epoch", ylabel="scale: √(photons counted / expected)")
    dead.plot(epochs, 100 * history["dead_fraction"], ".-", color=COLORS[0])
    dead.set(xlabel="epoch", ylabel="dead units (%)", ylim=(-2, 102))
    for ax in panels.flat:
        ax.grid(axis="y")
    bad = history.get("first_nonfinite")
    if bad is not None:
        figure.suptitle("not finite from epoch {epoch}, batch {batch} on: {layer}".format(**bad))
    return figure


@styled
def plot_dose_study(rows: Sequence[DoseRow], losses: Sequence[str], quantity: str = "amplitude") -> Figure:
    """Draw a dose study: a row for each dose; one pattern, and what each loss made of the scan.

    Patterns have one logarithmic scale, objects that of the truth.

    Parameters
    ----------
    rows : sequence of DoseRow
    losses : sequence of str
        In the order of the columns.
    quantity : str
        What is drawn of the object, with its unit.
    """
    figure = new_figure(REPORT_WIDTH, REPORT_WIDTH * (0.08 + 1.05 * len(rows) / (1 + len(losses))))
    figure.set_layout_engine("compressed")  # objects of unequal shape keep their titles on the figure
    panels = figure.subplots(len(rows), 1 + len(losses), squeeze=False)
    norm = LogNorm(LEAST_COUNT, max(float(np.max(row.pattern)) for row in rows))
    truth = np.concatenate([row.truth[np.isfinite(row.truth)] for row in rows])
    limits = float(truth.min()), float(truth.max())
    for row, line in zip(rows, panels, strict=True):
        drawn = _draw_pattern(line[0], row, norm)
        for name, ax in zip(losses, line[1:], strict=True):
            shown = _draw_object(ax, row, name, limits)
    figure.colorbar(drawn, ax=list(panels[:, 0]), location="bottom", label="photons per pixel (none: darkest)",
                    aspect=25, shrink=0.9)  # fmt: skip
    figure.colorbar(shown, ax=list(panels[:, 1:].flat), location="bottom", extend="both", aspect=50, shrink=0.9,
                    label=f"{quantity}, on the truth's range; grey: not covered")  # fmt: skip
    return figure


@styled
def plot_dose_sweep(
    photons: ArrayLike,
    errors: Mapping[str, ArrayLike],
    bound: ArrayLike | None = None,
    quantity: str = "rms error of the amplitude",
    ax: Axes | None = None,
) -> Figure:
    """Draw errors against the dose, beside the Cramér-Rao bound.

    Parameters
    ----------
    photons : array (k,)
        Mean per pattern.
    errors : mapping of str to array (k,) or (seeds, k)
        By name; of several seeds the median is drawn, and their range.
    bound : array (k,), optional
    quantity : str
    ax : Axes, optional
    """
    ax = axes_or_new(ax, 0.75 * PAGE_WIDTH, 0.5 * PAGE_WIDTH)
    for color, (name, values) in zip(COLORS, errors.items(), strict=False):
        values = np.atleast_2d(np.asarray(values, float))
        ax.plot(photons, np.nanmedian(values, axis=0), "o-", color=color, label=name)
        if len(values) > 1:
            ax.fill_between(photons, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=color, alpha=0.2, lw=0)
    if bound is not None:
        ax.plot(photons, bound, "--", color=FAINT, label="Cramér-Rao bound, unbiased")
    ax.set(xscale="log", yscale="log", xlabel="photons per pattern", ylabel=quantity)
    ax.grid(which="major")
    ax.legend()
    return ax.figure


def _draw_pattern(ax: Axes, row: DoseRow, norm: LogNorm) -> Any:
    drawn = ax.imshow(np.maximum(row.pattern, LEAST_COUNT), norm=norm, cmap=IMAGE_CMAP, interpolation="nearest")
    ax.set(
        title=f"{row.photons:.3g} photons per pattern".replace("e+0", "e"),
        xlabel="frequency (steps)",
        ylabel="frequency (steps)",
    )
    ax.spines[:].set_visible(True)
    return drawn


def _draw_object(ax: Axes, row: DoseRow, name: str, limits: tuple[float, float]) -> Any:
    image = row.objects[name]
    known = np.isfinite(image)
    box = tuple(slice(int(k.min()), int(k.max()) + 1) for k in np.nonzero(known))
    cmap = grey_where_unknown(IMAGE_CMAP)
    drawn = ax.imshow(image[box], vmin=limits[0], vmax=limits[1], cmap=cmap, interpolation="nearest")
    numbers = [f"{k} {v:#.4g}" for k, v in row.metrics[name].items() if v is not None]
    lines = [name, *("   ".join(numbers[i : i + 2]) for i in range(0, len(numbers), 2))]
    ax.set(title="\n".join(lines), xlabel="x (pixels)", ylabel="y (pixels)")
    ax.spines[:].set_visible(True)
    return drawn
