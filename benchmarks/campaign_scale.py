"""Cost of a campaign for each run and for each row of its table, against the number of runs.

    python benchmarks/campaign_scale.py [--fits 10 100 1000] [--rows 10 100 1000 10000] [--folder DIR]

`fits` are real ones: two parameters of a 16 pixel image, simulated, fitted, saved. `rows` are those of a made-up work
that saves a run of two steps: what planning, saving, checking and the table cost by themselves.
"""

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from campaigns.tiny_campaign import values  # noqa: E402
from reliability.campaign_work import toy, toy_campaign  # noqa: E402

from dluxshera.campaigns import Campaign, Experiment, read_table, resume_campaign  # noqa: E402
from dluxshera.campaigns.work import fit_rows  # noqa: E402


def timed(function, *arguments, **options):
    """Seconds that a call takes, and what it gives."""
    started = time.perf_counter()
    found = function(*arguments, **options)
    return time.perf_counter() - started, found


def fits(count):
    """A campaign of real fits."""
    return Campaign(values(vary=[{"seeds": count}], batch=10))


def measure(campaign, work, folder):
    """Milliseconds for each run, of each part, and bytes."""
    count = len(campaign.rows)
    planning, experiment = timed(Experiment.create, Campaign(campaign.values), folder / "experiment")
    before = time.process_time()
    running, progress = timed(resume_campaign, experiment, work=work)
    busy = time.process_time() - before
    assert progress.done == count, progress
    again, resumed = timed(resume_campaign, experiment, work=work)
    assert resumed.there == count, resumed
    table, _ = timed(experiment.table)
    reading, _ = timed(read_table, experiment.folder)
    size = sum(path.stat().st_size for path in experiment.runs.rglob("*") if path.is_file())
    each = {
        "plan": planning,
        "run": running,
        "run, CPU": busy,
        "resume when done": again,
        "table": table,
        "read table": reading,
    }
    return {name: 1e3 * seconds / count for name, seconds in each.items()} | {"kB": size / count / 1e3}


def show(title, counts, make, work, folder):
    """A table of one kind of work."""
    print(f"\n{title}: milliseconds for each run\n")
    header = None
    for count in counts:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            found = measure(make(count), work, Path(place))
        if header is None:
            header = found
            print("| runs | " + " | ".join(found) + " |\n|---:|" + "---:|" * len(found))
        print(f"| {count} | " + " | ".join(f"{value:.3g}" for value in found.values()) + " |", flush=True)


def main():
    """Measure both kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--rows", type=int, nargs="*", default=[10, 100, 1000, 10000])
    parser.add_argument("--folder", type=Path, help="where the experiments are made, and removed again")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    show("Bookkeeping alone", arguments.rows, toy_campaign, toy, arguments.folder)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:  # compiles what the fits below share
        measure(fits(10), fit_rows, Path(place))
    show("Fits of two parameters to 16 x 16 pixels", arguments.fits, fits, fit_rows, arguments.folder)


if __name__ == "__main__":
    main()
