"""Arrays of a profile: given as they are, or by the name of an .npy file; their shape is checked."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..params.units import slip_problem
from .profile import Profile
from .schema import schema_for
from .schema_check import leaf_at
from .strict_yaml import ConfigError

Shape = tuple[int | str, ...]


def given(profile: Profile, path: str) -> Any:
    """The value at a path; None where the profile says nothing, null or `none`."""
    value = profile.get(path)
    return None if isinstance(value, str) and value == "none" else value


def array(profile: Profile, path: str, shape: Shape, make: Callable[[], Any]) -> Any:
    """The array at a path, or what `make` makes.

    Names in `shape` stand for any size, the same for the same name.

    Raises
    ------
    ConfigError
        If a file cannot be read or is not in the declared unit, or the shape is not the expected one.
    """
    value, where = given(profile, path), f"{profile.origin(path)}: {path}"
    if value is None:
        return make()
    if isinstance(value, str):
        value = _read_npy(value, where)
        wrong = slip_problem(value, leaf_at(path, schema_for(profile.system)).spec)
        if wrong:
            raise ConfigError(f"{where}: {wrong}")
    if not _fits(np.shape(value), shape):
        expected = ", ".join(map(str, shape))
        raise ConfigError(f"{where}: expected shape ({expected}), got {np.shape(value)}.")
    return value


def _fits(found: tuple[int, ...], shape: Shape) -> bool:
    sizes: dict[int | str, int] = {size: size for size in shape if isinstance(size, int)}
    return len(found) == len(shape) and all(
        sizes.setdefault(size, n) == n for size, n in zip(shape, found, strict=True)
    )


def _read_npy(path: str, where: str) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{where}: cannot read {path}: {error}.") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
        raise ConfigError(f"{where}: {path}: expected an .npy file with an array of numbers.")
    return found
