"""What the memory of this machine could never hold is refused in words; the system would end it without any."""

import os
import sys

import numpy as np

from .scan_errors import ScanError


def check_memory(needed: float | int, what: str, hint: str) -> None:
    """Refuse what needs more memory than there is.

    Parameters
    ----------
    needed : float, bytes
    what : str
        That needs them, after "Expected".
    hint : str
        What to do.

    Raises
    ------
    ScanError
    """
    there = memory()
    if needed > there:
        limit, asked = (f"{size / 1e9:.3g} GB" for size in (there, needed))
        raise ScanError(f"Expected {what} that {limit} of memory can hold, got {asked}. {hint}")


def memory() -> float:
    """Memory of this machine, bytes; infinite where that is not told."""
    return np.inf if sys.platform == "win32" else float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
