"""The warning that pixels were left out because they saturate."""

import warnings


class SaturationWarning(UserWarning):
    """Pixels reach the full well or the converter's limit and are masked; the message says how many."""


def warn_saturated(count: int, where: str) -> None:
    """Warn about `count` masked pixels of `where`, if there are any."""
    if count:
        message = f"{where}: {count} pixels saturate and are masked. Shorten the exposure or spread the light."
        warnings.warn(message, SaturationWarning, stacklevel=3)
