"""Figures and the report of a fit, from plain arrays; the only part that imports matplotlib.

Figures are returned, never shown or saved, and belong to no global state.
"""

from .history import Panel as Panel
from .history import plot_panels as plot_panels
from .history import plot_signal as plot_signal
from .images import plot_comparison as plot_comparison
from .images import plot_image as plot_image
from .images import plot_residual_histogram as plot_residual_histogram
from .matrices import correlation_matrix as correlation_matrix
from .matrices import plot_correlation as plot_correlation
from .matrices import plot_spectrum as plot_spectrum
from .report import fit_report as fit_report
from .report_record import FitReport as FitReport
from .style import STYLE as STYLE
from .style import style as style
