"""Calls to the system that fail or never return, one after another; folders that cannot be written."""

import builtins
import contextlib
import errno
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

from dluxshera.inference.run_artifacts import verify

from .problem import fitted, generation_of, record, resumed, written

CALLS = ("open", "fsync", "rename", "replace", "link", "mkdir", "unlink", "rmdir")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)
LOCK_CALLS = ("write", "ftruncate")  # of a lock file, on its descriptor
ODD_NAMES = ("with spaces", "Bärenstern α Cen ★", 'quote\'s "x" [1]', "x" * 100, "é" * 100)


class Killed(BaseException):
    """Stands for the death of the process: from the call that raises it on, no call has any effect."""


class System:
    """Counts the calls that change the disk; the one after `last` fails with `code`, or the process dies there.

    With `only`, the calls of one kind are counted.
    """

    def __init__(self, last, code=None, only=None):
        self.count, self.last, self.code, self.only, self.kinds = 0, last, code, only, Counter()

    @contextlib.contextmanager
    def in_place(self):
        """With the calls of `os` and `open` counted."""
        with contextlib.ExitStack() as stack:
            for name in CALLS:
                stack.enter_context(mock.patch.object(os, name, self._mortal(name, getattr(os, name))))
            for name in LOCK_CALLS:
                stack.enter_context(mock.patch.object(os, name, self._mortal(f"{name} of a lock", getattr(os, name))))
            stack.enter_context(mock.patch.object(builtins, "open", self._opening(builtins.open)))
            yield self

    def strike(self, kind):
        """Count a call; raise if its time has come."""
        counts = self.only in (None, kind)
        self.count += counts
        self.kinds[kind] += 1
        if self.code is None and self.count > self.last:
            raise Killed
        if self.code is not None and counts and self.count == self.last + 1:
            raise OSError(self.code, os.strerror(self.code))

    def _mortal(self, name, call):
        def wrapped(*args, **kwargs):
            self.strike(name)
            return call(*args, **kwargs)

        return wrapped

    def _opening(self, call):
        def wrapped(path, mode="r", *args, **kwargs):
            if "x" not in mode:
                return call(path, mode, *args, **kwargs)
            self.strike("open")
            return _Torn(call(path, mode, *args, **kwargs), self)

        return wrapped


class _Torn:
    """A file whose write may fail half way."""

    def __init__(self, stream, system):
        self.stream, self.system = stream, system

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stream.close()

    def write(self, data):
        try:
            self.system.strike("write")
        except BaseException:
            self.stream.write(data[: len(data) // 2])
            self.stream.flush()
            raise
        return self.stream.write(data)

    def flush(self):
        self.stream.flush()

    def fileno(self):
        return self.stream.fileno()


def at_each_call(act, prepare, check, code, step=1, only=None):
    """`act(n)` with its first, second, ... call struck, each after `prepare(n)`; `check(n)` after each."""
    kinds, struck = Counter(), 0
    for last in range(0, 100_000, step):
        prepare(last)
        with System(last, code, only).in_place() as system, contextlib.suppress(Killed, OSError):
            act(last)
        check(last)
        if system.count <= last:
            return {"calls": struck, "kinds": dict(kinds)}
        kinds, struck = kinds | system.kinds, struck + 1
    raise AssertionError("it does not end")


def faults(folder, codes=ERRORS, step=1):
    """Strike every call of a first commit and of a later one: the old state or the new one, and nothing else.

    Returns
    -------
    dict
        Number of injected failures by how, and of the calls of each kind in one pass.
    """
    tally, kinds = Counter(), Counter()
    for code in (None, *codes):
        how = "killed" if code is None else errno.errorcode[code]
        for later in (False, True):
            place = folder / f"{how}-{later}"
            place.mkdir()
            found = strike_commits(place, later, code, step)
            tally[how] += found["calls"]
            kinds |= Counter(found["kinds"])
    return {"injected": dict(tally), "calls of one pass": dict(kinds)}


def strike_commits(place, later, code, step, only=None):
    """Every call, or those of one kind, of commit 1 after 0, or of commits 0 and 1 to nothing."""
    if later:
        written(place / "template", 3, 4)

    def prepare(n):
        if later:
            shutil.copytree(place / "template", place / f"run{n}")

    def act(n):
        written(place / f"run{n}", 5, overwrite=later)

    def check(n):
        run = place / f"run{n}"
        if run.exists():
            assert verify(run) == [], verify(run)
            assert generation_of(run) in ((4, 5) if later else (5,))
        else:
            assert not later
        written(run, 6, overwrite=run.exists())
        assert generation_of(run) == 6 and verify(run) == []
        assert not list(run.glob(".generations/*.tmp"))
        assert {p.name for p in place.iterdir() if p.name.startswith(f".run{n}.")} == set()
        shutil.rmtree(run)

    return at_each_call(act, prepare, check, code, step, only)


def faults_of_a_fit(folder, step=1, codes=(None, errno.ENOSPC)):
    """Strike the calls of a whole fit: what is left must resume to the fit that nothing happened to."""
    fitted(folder / "whole", "bfgs", save_every=10)
    wanted, tally, warned = record(folder / "whole"), Counter(), Counter()
    for code in codes:
        how = "killed" if code is None else errno.errorcode[code]

        def act(n):
            fitted(folder / f"run{n}", "bfgs", save_every=10)

        def check(n):
            run = folder / f"run{n}"
            if not run.exists():
                warned["absent"] += 1
                return
            assert verify(run) == []
            if record(run)["summary"]["status"] != "ok":
                resumed(run, "bfgs")
                warned["resumed"] += 1
            assert record(run) == wanted
            shutil.rmtree(run)

        tally[how] += at_each_call(act, lambda n: None, check, code, step)["calls"]
    return {"injected": dict(tally), **warned}


def read_only(_=None):
    """Write into a folder that cannot be written: one clear error, and what was there stays as it was."""
    folder = Path(tempfile.mkdtemp())  # where those without privileges can come, too
    run = written(folder / "run", 1)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    folder.chmod(0o555), run.chmod(0o555)
    refused, user = Counter(), os.geteuid()
    if user == 0:  # who may write everywhere
        os.seteuid(65534)
    try:
        for name in ("run", "new"):
            try:
                written(folder / name, 2, overwrite=True)
            except OSError as error:
                assert str(folder) in str(error) and error.errno in (errno.EACCES, errno.EROFS)
                refused[name] += 1
    finally:
        os.seteuid(user)
    assert refused == {"run": 1, "new": 1}
    assert generation_of(run) == 1 and verify(run) == []
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    folder.chmod(0o755), run.chmod(0o755)
    shutil.rmtree(folder)
    return {"refused": sum(refused.values())}


def odd_places(folder):
    """Run directories with spaces, quotes, other letters and long names."""
    for name in ODD_NAMES:
        written(folder / name, 1, 2)
        assert generation_of(folder / name) == 2 and verify(folder / name) == []
        inner = folder / f"in {name[:80]}"
        inner.mkdir()
        written(inner / "run", 3)
        assert generation_of(inner / "run") == 3
    return {"names": len(ODD_NAMES)}
