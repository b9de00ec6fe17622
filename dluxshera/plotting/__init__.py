"""Figures and the report of a fit, from plain arrays; the only part that imports matplotlib.

Figures are returned, never shown or saved, and belong to no global state.
"""

from .budget import plot_error_budget as plot_error_budget
from .budget import plot_sweep as plot_sweep
from .corner import plot_corner as plot_corner
from .dose_bounds import plot_dose_bounds as plot_dose_bounds
from .dose_bounds import plot_dose_curve as plot_dose_curve
from .ensembles import plot_dependence as plot_dependence
from .ensembles import plot_pulls as plot_pulls
from .experiment_record import ExperimentReport as ExperimentReport
from .experiment_report import experiment_report as experiment_report
from .history import plot_panels as plot_panels
from .history import plot_signal as plot_signal
from .images import plot_comparison as plot_comparison
from .images import plot_image as plot_image
from .images import plot_residual_histogram as plot_residual_histogram
from .labels import symbols_of as symbols_of
from .matrices import correlation_matrix as correlation_matrix
from .matrices import plot_correlation as plot_correlation
from .matrices import plot_fisher as plot_fisher
from .matrices import plot_spectrum as plot_spectrum
from .modes import plot_modes as plot_modes
from .optics import plot_opd as plot_opd
from .optics import plot_pupil as plot_pupil
from .panel import Panel as Panel
from .panel_recipes import PanelRecipe as PanelRecipe
from .panel_recipes import panels_of as panels_of
from .ptychography import plot_complex as plot_complex
from .ptychography import plot_judgement as plot_judgement
from .ptychography import plot_ring_correlation as plot_ring_correlation
from .ptychography import plot_scan as plot_scan
from .ptychography_diagnosis import plot_bias as plot_bias
from .ptychography_diagnosis import plot_canvas as plot_canvas
from .ptychography_diagnosis import plot_groups as plot_groups
from .ptychography_diagnosis import plot_intensity_chain as plot_intensity_chain
from .ptychography_diagnosis import plot_probes as plot_probes
from .radial import plot_radial_profile as plot_radial_profile
from .radial import radial_profile as radial_profile
from .report import fit_report as fit_report
from .report_record import FitReport as FitReport
from .run_difference import plot_run_difference as plot_run_difference
from .shera import SHERA_PANELS as SHERA_PANELS
from .shera import plot_shera_page as plot_shera_page
from .style import STYLE as STYLE
from .style import style as style
