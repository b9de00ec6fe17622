"""Names of the earlier toolkit over the new tree, so that old scripts run; new ones use `load_profile`."""

from .models import SheraThreePlane_Model as SheraThreePlane_Model
from .models import SheraTwoPlane_Model as SheraTwoPlane_Model
from .names import LegacyKeyMap as LegacyKeyMap
from .names import ParamsProxy as ParamsProxy
from .names import UnknownNameError as UnknownNameError
from .parameters import SheraThreePlaneParams as SheraThreePlaneParams
from .parameters import SheraTwoPlaneParams as SheraTwoPlaneParams
