"""The report of an experiment: one self-contained HTML page of many runs."""

from . import _experiment_sections as sections
from ._experiment_js import SCRIPT
from ._experiment_table import runs
from ._sections import settings
from .experiment_record import ExperimentReport
from .report import page


def experiment_report(context: ExperimentReport) -> str:
    """Write the page of one experiment.

    Parameters
    ----------
    context : ExperimentReport

    Returns
    -------
    str
        HTML with its figures inside; it asks nothing of any network. Its one script sorts and filters the table.
    """
    parts = {
        "Summary": sections.summary(context),
        "Errors against settings": sections.dependence(context),
        "Errors against sigmas": sections.distributions(context),
        "Runs": runs(context),
        "Failures": sections.failures(context),
        "Settings": settings(context.description),
    }
    shown = {name: part for name, part in parts.items() if part}
    about = f"{len(context.done)} of {len(context.rows)} runs ended well"
    return page(f"Experiment {context.name}", about, context.created_at, shown, SCRIPT)
