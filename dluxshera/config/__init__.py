"""Profiles: packaged and user YAML files, and the instruments and θ-spaces built from them."""

from ..params import UnknownPathError as UnknownPathError
from ..params import get_value as get_value
from ..params import set_values as set_values
from .build import build_instrument as build_instrument
from .build import load_profile as load_profile
from .json_schema import profile_json_schema as profile_json_schema
from .origins import value_origins as value_origins
from .profile import Profile as Profile
from .profile import profile_names as profile_names
from .profile import read_profile as read_profile
from .strict_yaml import ConfigError as ConfigError
from .targets import Target as Target
from .targets import target as target
from .targets import target_names as target_names
from .theta import default_space as default_space
