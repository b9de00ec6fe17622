"""What one operation of a profile costs: compilation, time, memory. One process each where memory counts.

    python benchmarks/costs.py PROFILE OPERATION [OPERATION ...] [--set path=value ...]

Prints one line of JSON. Precision is JAX's: JAX_ENABLE_X64=1 for double.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).parent))
from measuring import child, markdown, peak_mb, timed  # noqa: E402

import dluxshera as ds  # noqa: E402

EXPOSURES = 36_000
MOVED = {"binary.separation_as": 10.0003, "binary.x_position_as": 0.002}
OPERATIONS = ("image", "value and gradient", "Fisher", "fit")
HEADER = ["profile", "operation", "compilation, s", "time, s", "peak memory, MB", "float32, s", "float64 / float32"]


def problem(profile: str, overrides: dict):
    """Objective and θ: noise-free data of a binary a little off the start, the profile's own free parameters."""
    model = ds.load_profile(profile, overrides)
    space = ds.default_space(model, ds.read_profile(profile, overrides))
    observed = ds.Observation(image=EXPOSURES * ds.set_values(model, MOVED).model(), exposures=EXPOSURES)
    return ds.Objective(model, space, observed), space.pack(model)


def operation(name: str, objective, theta):
    """Function without arguments."""
    if name == "image":
        image = jax.jit(lambda model: model.model())
        return lambda: image(objective.model)
    if name == "value and gradient":
        slope = jax.jit(lambda o, t: jax.value_and_grad(o.loss)(t))
        return lambda: slope(objective, theta)
    if name == "Fisher":
        return lambda: ds.fisher_information(objective, theta)
    return lambda: ds.fit(objective, theta).theta


def measure(profile: str, name: str, overrides: dict) -> dict:
    """Timing, peak memory of the process, number of parameters."""
    objective, theta = problem(profile, overrides)
    timing = timed(operation(name, objective, theta), at_most=1.5)
    return {**timing._asdict(), "peak_mb": peak_mb(), "parameters": theta.size}


def rows(profiles, overrides: list[str]) -> list[list]:
    """The table: each operation in a process of its own, and in single precision all but the fit in one."""
    found = []
    for profile in profiles:
        single = [each["steady"] for each in child("costs.py", profile, *OPERATIONS[:-1], *overrides, double=False)]
        for name, other in zip(OPERATIONS, [*single, None], strict=True):
            (double,) = child("costs.py", profile, name, *overrides)
            row = [profile, name, double["compilation"], double["steady"], double["peak_mb"]]
            found.append(row + ["-", "-"] if other is None else row + [other, double["steady"] / other])
    return found


def imports(repeats: int = 5) -> list[str]:
    """Import time of the package beside those of what it is built on, each in fresh processes."""
    lines = []
    for modules in ("jax", "jax, equinox, optimistix, dLux", "dluxshera"):
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
            seconds.append(time.perf_counter() - started)
        lines.append([f"`import {modules}`", min(seconds)])
    return markdown(["process", "time, s"], lines)


def main() -> None:
    """Measure operations of one profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile")
    parser.add_argument("operation", nargs="+", choices=OPERATIONS)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    overrides = {path: int(value) for path, value in (item.split("=") for item in options.set)}
    print(json.dumps([measure(options.profile, name, overrides) for name in options.operation]))


if __name__ == "__main__":
    main()
