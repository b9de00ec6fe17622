"""How large an experiment may be, asked before anything of that size is made; numbers as a description gives them."""

import sys
from typing import Any

from ..config import ConfigError

MOST_ROWS = 100_000  # of one experiment: its manifest names them all
MOST_SETTINGS = 2_000_000  # of all its rows together: about what a manifest may hold


def check_size(rows: int, names: int, where: str) -> None:
    """Refuse so many rows of so many settings each, where a manifest could not name them.

    Raises
    ------
    ConfigError
        Beginning with `where`.
    """
    if rows > MOST_ROWS:
        raise ConfigError(f"{where}: expected at most {MOST_ROWS} runs, got {rows}. Divide the campaign.")
    if rows * names > MOST_SETTINGS:
        raise ConfigError(
            f"{where}: expected at most {MOST_SETTINGS} settings over all runs, got {names} in each of {rows}. "
            "Divide the campaign, or vary less at once."
        )


def counted(value: Any, where: str) -> int:
    """A number of rows: a whole number from 1 to `MOST_ROWS`.

    Raises
    ------
    ConfigError
        For anything else.
    """
    check_size(whole(value, where, 1), 1, where)
    return value


def whole(value: Any, where: str, least: int = 0) -> int:
    """A whole number of at least `least`.

    Raises
    ------
    ConfigError
        For anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{where}: expected a whole number of at least {least}, got {value!r:.80}.")
    return value


def is_number(value: Any) -> bool:
    """Whether a value is one finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
