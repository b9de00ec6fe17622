"""What can be wrong with a run directory, and the sizes above which nothing is read."""

MAX_BYTES = 2**30  # of one file, and of what the arrays of one archive unpack to
MAX_JSON_BYTES = 2**26  # parsed JSON takes several times its size in memory


class CorruptArtifact(ValueError):
    """A file of a run directory is missing, damaged, or not what its manifest says."""


class SchemaError(ValueError):
    """The content of a run, to be saved or loaded, does not fit the schema of run artifacts."""


class RunExists(ValueError, FileExistsError):
    """A run directory is there already and overwriting it was not asked for."""


class RunLocked(ValueError):
    """Another writer has the run directory."""
