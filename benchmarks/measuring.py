"""What every table needs: seconds of a call, memory of a process, the machine, and Markdown."""

import importlib.metadata
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax

PACKAGES = ("jax", "jaxlib", "equinox", "dLux", "numpy", "scipy", "hcipy", "poppy")


class Timing(NamedTuple):
    """Seconds of the first call less a later one (compilation), and of the fastest of the later ones."""

    compilation: float
    steady: float


def timed(call, repeats: int = 5, at_most: float = 6.0) -> Timing:
    """Time a call: once, then `repeats` times or until `at_most` seconds have gone."""
    first, begun, found = _seconds(call), time.perf_counter(), []
    while not found or (len(found) < repeats and time.perf_counter() - begun < at_most):
        found.append(_seconds(call))
    return Timing(max(first - min(found), 0.0), min(found))


def steady(call, repeats: int = 9) -> float:
    """Fastest seconds of a call after the first."""
    return timed(call, repeats).steady


def _seconds(call) -> float:
    started = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - started


def peak_mb() -> float:
    """Largest resident memory of this process so far, in 1e6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def child(script: str, *arguments: str, double: bool = True) -> Any:
    """What a script of this folder prints as JSON, in a process of its own, with nothing compiled before."""
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    environment["JAX_ENABLE_X64"] = str(int(double))
    command = [sys.executable, str(Path(__file__).parent / script), *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"Expected {script} {' '.join(arguments)} to end well, got exit code {done.returncode}.")
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> list[str]:
    """Processor, cores, devices and versions, as lines."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    return [
        f"{processor()}, {os.cpu_count()} cores; JAX on {devices}",
        f"Python {platform.python_version()}, {', '.join(found)}",
    ]


def processor() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    if "model name" not in named:
        return platform.machine()
    return f"{named['model name']} (family {named.get('cpu family')}, model {named.get('model')})"


def load() -> str:
    """Mean number of busy processes over the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def exponent(sizes, seconds) -> float:
    """Slope of log seconds on log size, by least squares."""
    x, y = ([math.log(value) for value in values] for values in (sizes, seconds))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return over / sum((a - mean_x) ** 2 for a in x)


def markdown(header: list[str], rows: list[list]) -> list[str]:
    """A table; numbers with three significant digits."""
    lines = [header, ["---"] * len(header), *([_shown(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _shown(cell) -> str:
    return (
        f"{cell:.3g}"
        if isinstance(cell, float) and abs(cell) < 1000
        else f"{cell:.0f}"
        if isinstance(cell, float)
        else str(cell)
    )
