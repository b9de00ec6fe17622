"""One writer per run directory: a lock file beside it, which the system itself takes back from a dead process.

The lock is `flock` on ``.<name>.lock`` in the parent folder: it ends with its process, however that ends, so that no
clock, process number or age decides whether a lock still counts. What the file says is for people and listings only.
Readers neither need nor take it.
"""

import contextlib
import errno
import fcntl
import json
import os
import platform
import time
from pathlib import Path

from dluxshera.inference._artifact_errors import RunLocked
from dluxshera.inference._artifact_provenance import utc_now
from dluxshera.inference._artifact_storage import hidden_beside

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_MOST_BYTES = 4096


class RunLock:
    """The right to write a run directory, for a `with` block.

    Parameters
    ----------
    run_dir : path
        It need not exist; its parent must.

    Raises
    ------
    RunLocked
        On entering, if another writer, of this process or another, has it; names who.
    OSError
        If the parent folder cannot be written to, has no locks, or is full.
    """

    def __init__(self, run_dir: str | os.PathLike):
        self.run_dir = Path(run_dir).absolute()
        self.path = lock_path(self.run_dir)

    def __enter__(self) -> "RunLock":
        while True:
            self._descriptor = self._locked()
            if self._is_current():
                break
            os.close(self._descriptor)  # the writer before us took the file away when it ended
        try:
            self._sign()
        except BaseException:
            self.__exit__()  # or nobody could write the run while this process lives
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            with contextlib.suppress(OSError):  # a file that stays is no lock
                self.path.unlink()  # while it is still ours: nobody else can hold what we remove
        finally:
            os.close(self._descriptor)

    def _sign(self) -> None:
        """Say in the file who has the lock."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, json.dumps(_myself()).encode())
        except OSError as error:
            raise OSError(error.errno, f"Could not write the lock file {self.path}: {error.strerror}") from error

    def _locked(self) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            reason = f"Expected a folder that can be written to, got {self.run_dir.parent}: {error.strerror}"
            raise OSError(error.errno, reason) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            self._refuse(error)
        return descriptor

    def _refuse(self, error: OSError) -> None:
        if error.errno in _UNSUPPORTED:
            reason = f"Expected a file system with locks (flock) under {self.run_dir.parent}. Choose another folder"
            raise OSError(error.errno, reason) from error
        raise RunLocked(
            f"Expected to be the only writer of {self.run_dir}, which {_named(self._holder())} is writing. "
            "Wait for it, or stop it."
        ) from error

    def _holder(self) -> dict:
        for _ in range(20):  # who has just taken the lock is about to say who it is
            found = _content(self.path)
            if found:
                return found
            time.sleep(0.01)
        return {}

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False


def lock_path(run_dir: Path) -> Path:
    """Give the file that the writer of a run directory locks."""
    return hidden_beside(run_dir, "lock")


def writer_of(run_dir: str | os.PathLike) -> dict | None:
    """Give who is writing a run, ``{pid, host, started, since}``, as far as can be told without a lock; or None.

    A process of another machine is taken to be there still.
    """
    found = _content(lock_path(Path(run_dir).absolute()))
    if not found or found.get("host") != platform.node():
        return found or None
    pid = found.get("pid")
    if not isinstance(pid, int) or pid <= 0 or not _is_alive(pid):
        return None
    return found if _start_of(pid) == found.get("started") else None


def _myself() -> dict:
    return {"pid": os.getpid(), "host": platform.node(), "started": _start_of(os.getpid()), "since": utc_now()}


def _named(holder: dict) -> str:
    if not holder:
        return "another process"
    return f"process {holder.get('pid')} on {holder.get('host')} (since {holder.get('since')})"


def _content(path: Path) -> dict:
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read(_MOST_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _start_of(pid: int) -> int | None:
    """Start of a process in ticks since the machine's, which no clock can change; None where it is not told."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
