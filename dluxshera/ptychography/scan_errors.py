"""What can be wrong with the data of a scan."""


class ScanError(ValueError):
    """The data of a scan, or the file that should hold them, cannot be used; the message names file and key."""


class UncalibratedWarning(UserWarning):
    """The dose of a scan is not known, so that its counts and its probe are relative."""
