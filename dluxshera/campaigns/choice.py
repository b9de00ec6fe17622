"""The executor that a description and the command line ask for."""

from collections.abc import Mapping
from typing import Any

from ..config import ConfigError
from .dask_executor import DaskExecutor
from .description import EXECUTORS, KEYS
from .executors import AbstractExecutor, InProcess
from .processes import Processes

_KEYS = {
    "local": (),
    "processes": ("workers", "timeout_s"),
    "dask": ("workers", "timeout_s", "address", "slurm", "wait_s"),
}


def executor_of(settings: Mapping[str, Any]) -> AbstractExecutor:
    """The executor that settings describe.

    Parameters
    ----------
    settings : mapping
        `name`, one of `EXECUTORS` (default local), and its options: `workers`, `timeout_s`, `address`, `slurm`,
        `wait_s`.

    Raises
    ------
    ConfigError
        For an unknown executor, an option that it does not have, or a value that makes no sense.
    """
    options = {key: value for key, value in settings.items() if value is not None}
    name = options.pop("name", "local")
    if name not in EXECUTORS:
        raise ConfigError(f"executor: expected a name of {', '.join(EXECUTORS)}, got {name!r}.")
    wrong = [key for key in options if key not in _KEYS[name]]
    if wrong:
        known = ", ".join(_KEYS[name]) or "no options"
        raise ConfigError(f"executor: {wrong[0]}: {name} has {known}.")
    _, fine, what = KEYS["executor"]
    if not fine(options):
        raise ConfigError(f"executor: expected {what}, got {options!r:.120}.")
    if name == "local":
        return InProcess()
    return Processes(**options) if name == "processes" else DaskExecutor(**options)
