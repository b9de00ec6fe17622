"""Pages of networks: of one training, and of a dose study."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from . import _sections as sections
from ._html import escape, figure_html, table_html
from .network import plot_training
from .report import page


def training_report(
    title: str,
    run_id: str,
    summary: Mapping[str, Any],
    history: Mapping[str, Any],
    settings: Mapping[str, Any],
    notice: str = "",
) -> str:
    """Write the page of one training.

    Parameters
    ----------
    title, run_id : str
    summary : mapping
        Of the run: `status`, `message`, `epochs`, `best_epoch`, `val_loss`, `num_parameters`, `runtime_total_s`.
    history : mapping of lists
    settings : mapping
    notice : str
        What a reader must know first, such as which file of the run is damaged.

    Returns
    -------
    str
        HTML with its figures inside; it asks nothing of any network and runs no script.
    """
    facts = {
        "Status": f"{summary.get('status')}: {summary.get('message')}",
        "Parameters": f"{summary['num_parameters']}",
        "Epochs": f"{summary['epochs']}, the best {summary['best_epoch']}",
        "Validation loss": f"{summary['val_loss']:.6g}, at the start {history['start_val_loss']:.6g}",
        "Run time": f"{summary['runtime_total_s']:.4g} s",
    }
    parts = {"Result": _facts(facts)}
    if history["val_loss"]:
        parts["Course"] = figure_html(
            plot_training(history),
            f"Losses, learning rate, scale and dead units over {len(history['val_loss'])} epochs.",
            "Losses are means over pixels; the scale is the root of the photons counted over those expected, without "
            "the background: one where amplitudes are right.",
        )
    parts["Settings"] = sections.settings(settings)
    return page(title, run_id, summary.get("created_at"), parts, notice=notice)


def study_report(
    title: str,
    name: str,
    figures: Mapping[str, tuple[Figure, str]],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> str:
    """Write the page of a study.

    Parameters
    ----------
    title, name : str
    figures : mapping of str to (figure, str)
        By heading, each with its caption.
    header, rows : sequences of str
        Of the table of metrics.
    settings : mapping
    notes : sequence of str
        What a reader must know, such as arms that failed.
    """
    parts = {"Remarks": "".join(f"<p>{escape(note)}</p>" for note in notes)} if notes else {}
    for heading, (figure, caption) in figures.items():
        parts[heading] = figure_html(figure, caption, caption, kind="png")
    parts["Metrics"] = table_html(header, rows, "Every arm", text_columns=1)
    parts["Settings"] = sections.settings(settings)
    return page(title, name, None, parts)


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    return f'<dl class="facts">{rows}</dl>'
