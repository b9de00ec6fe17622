"""Profiles: packaged and user YAML files, and the instruments and θ-spaces built from them."""

from .build import build_instrument as build_instrument
from .build import load_profile as load_profile
from .profile import Profile as Profile
from .profile import profile_names as profile_names
from .profile import read_profile as read_profile
from .strict_yaml import ConfigError as ConfigError
from .theta import default_space as default_space
