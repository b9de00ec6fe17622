"""Where a run comes from: the time, the commit of the package's checkout, and the versions around it."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_PACKAGES = ("dluxshera", "jax", "jaxlib", "equinox", "dLux", "optax", "optimistix", "lineax", "numpy")


def utc_now() -> str:
    """Give the present time, ISO-8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@functools.cache
def package_version(name: str) -> str | None:
    """Give the version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> dict:
    """Give Python's version, the platform, and the versions of the packages that make the numbers."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: package_version(name) for name in _PACKAGES},
    }


def git_state(checkout: Path = _CHECKOUT) -> dict:
    """Give ``{commit, dirty}`` of the package's checkout; both None where there is no git or no checkout.

    Parameters
    ----------
    checkout : Path
        Root of the working tree; the repository must be its own, not one around it.
    """
    if not (checkout / ".git").exists():
        return {"commit": None, "dirty": None}
    status = _git(checkout, "status", "--porcelain")
    return {
        "commit": _git(checkout, "rev-parse", "--verify", "--quiet", "HEAD"),
        "dirty": None if status is None else status != "",
    }


def _git(checkout: Path, *arguments: str) -> str | None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}  # hooks set GIT_DIR
    command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
