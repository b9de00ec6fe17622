"""Inference: objectives, information, engines and fits over a vector θ; nothing here knows an instrument."""

from .engines import AbstractEngine as AbstractEngine
from .engines import FitResult as FitResult
from .engines import run_simple_gd as run_simple_gd
from .fisher import covariance as covariance
from .fisher import fisher_information as fisher_information
from .fisher import identifiability as identifiability
from .fit import IdentifiabilityWarning as IdentifiabilityWarning
from .fit import PrecisionWarning as PrecisionWarning
from .fit import Solution as Solution
from .fit import fit as fit
from .gradient_descent import SimpleGD as SimpleGD
from .levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
from .objective import Objective as Objective
from .trace import Trace as Trace
