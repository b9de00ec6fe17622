"""Files that appear complete or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .scan_errors import ScanError


@contextmanager
def whole_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` when what is inside succeeds.

    Raises
    ------
    ScanError
        Naming the file, if its folder does not exist, or it exists and `overwrite` is False.
    """
    if not path.parent.is_dir():
        raise ScanError(f"{path}: Expected an existing folder, got {path.parent}. Create it first.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ScanError(f"{path}: Expected a new file, got one that exists. Choose another name or overwrite it.")
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
