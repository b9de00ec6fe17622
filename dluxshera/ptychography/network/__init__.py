"""A physics-informed network: patterns in, patches of the object out, trained on the counts alone."""

from .bundle import Bundle as Bundle
from .bundle import load_bundle as load_bundle
from .bundle import save_bundle as save_bundle
from .forward import PhysicsNetwork as PhysicsNetwork
from .inferring import Inferred as Inferred
from .inferring import ProbeWarning as ProbeWarning
from .inferring import infer as infer
from .inferring import probe_overlap as probe_overlap
from .network import PatchNetwork as PatchNetwork
from .settings import Architecture as Architecture
from .settings import LossWeights as LossWeights
from .settings import TrainingSettings as TrainingSettings
from .training import Trained as Trained
from .training import TrainingState as TrainingState
from .training import train as train
