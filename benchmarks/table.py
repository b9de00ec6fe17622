"""The table of this package's costs on this machine: one run, one Markdown file.

    python benchmarks/table.py [--device gpu] [--small] [--output docs/tables/benchmarks.md]

Each operation runs in a process of its own. `--device gpu` makes the same table on a GPU; where JAX sees none it says
so, and measures the processor.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import costs  # noqa: E402
import limit  # noqa: E402
import scaling  # noqa: E402
import single_precision  # noqa: E402
from measuring import child, load, machine, markdown  # noqa: E402

PROFILES = ("shera_testbed", "shera_flight")
SMALL = ("--set", "optics.pupil_npix=64", "--set", "optics.psf_npix=32", "--set", "binary.n_wavelengths=3")
HALF = ("--set", "optics.pupil_npix=128", "--set", "optics.psf_npix=64")
HCIPY_GRID = ("--set", "optics.pad_npix=512", "--set", "optics.band_npix=512", "--set", "binary.n_wavelengths=3",
              "--set", "optics.oversample=1")  # fmt: skip


def sections(small: bool):
    """Title and lines of each part, as they come."""
    overrides = list(SMALL) if small else []
    profiles = PROFILES[:1] if small else PROFILES
    yield "Costs", markdown(costs.HEADER, costs.rows(profiles, overrides))
    yield "Import", costs.imports(1 if small else 3)
    yield from _limits(profiles[:1], overrides, small)
    rows = [child("single_precision.py", profile, *(SMALL if small else HALF)) for profile in profiles]
    yield "What single precision does to the separation", markdown(single_precision.HEADER, rows)
    yield "Scaling", markdown(scaling.HEADER, child("scaling.py", *(["--small"] if small else [])))


def _limits(profiles, overrides: list[str], small: bool):
    found = [child("limit.py", profile, *overrides) for profile in profiles]
    found += [] if small else [child("limit.py", profiles[0], *HCIPY_GRID)]
    yield "How near the limit", markdown(limit.LIMIT, [tables["limit"] for tables in found])
    for tables, grid in zip(found, ("default grid", "512 x 512 frequencies"), strict=False):
        yield f"Where the time of an image goes: {profiles[0]}, {grid}", markdown(limit.STAGES, tables["stages"])
        yield f"Rates of this machine: {profiles[0]}, {grid}", markdown(limit.RATES, tables["throughput"])


def has_gpu() -> bool:
    """Whether JAX sees a GPU, asked in another process."""
    text = "import jax; jax.devices('gpu')"
    return subprocess.run([sys.executable, "-c", text], stderr=subprocess.DEVNULL).returncode == 0


def chosen_device(asked: str) -> str:
    """What the processes will run on."""
    if asked == "gpu" and not has_gpu():
        print("No GPU is present (or JAX was installed without one): this is a table of the processor.", flush=True)
        return "cpu"
    return asked


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--small", action="store_true", help="small grids and one profile: whether it runs")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if chosen_device(options.device) == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    before, begun, lines = load(), time.perf_counter(), []
    for title, table in sections(options.small):
        lines += ["", f"## {title}", "", *table]
        print("\n".join(lines[-len(table) - 3 :]), flush=True)
        ran = f"Load {before} before, {load()} after; {time.perf_counter() - begun:.0f} s in all."
        head = ["# Benchmarks", "", *(f"* {line}" for line in [*machine(), ran])]
        if options.output:
            options.output.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    print("\n".join(["", *head]))


if __name__ == "__main__":
    main()
