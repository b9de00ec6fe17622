"""The full counts, and the table of what was done."""

import argparse
import errno
import sys
import tempfile
import time
import warnings
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

from . import campaigns, damage, faults, kills, races, scan_problem  # noqa: E402

SHARES = {"small": 0.03, "full": 1.0}


def trials(share, say):
    """What is done, as name and function of an empty folder, for a share of the full counts."""
    count = lambda full: max(1, round(share * full))  # noqa: E731
    codes = faults.ERRORS if share == 1 else (errno.ENOSPC,)
    step = 1 if share == 1 else 7
    return {
        "SIGKILL of a fit at a random moment": lambda at: kills.kills(count(200), at, say=say),
        "SIGKILL of a reconstruction at a random moment": lambda at: kills.kills(
            count(100), at, say=say, what=scan_problem
        ),
        "every call of a commit struck": lambda at: faults.faults(at, codes, step),
        "every call of a fit struck, then resumed": lambda at: faults.faults_of_a_fit(at, 1 if share == 1 else 29),
        "every call refused: read-only folder": faults.read_only,
        "odd names": faults.odd_places,
        "truncation and bit flips": lambda at: damage.damage(at, count(200)),
        "truncation and bit flips of an experiment's manifest": lambda at: damage.damage_of_an_experiment(
            at, count(200)
        ),
        "damage, then resumed from the generation before": damage.fall_back,
        "two writers racing": lambda at: races.races(count(50), at),
        "a reader beside a writer": lambda at: races.reader_beside_writer(60 * share, at),
        "clock stepped backwards": races.clock_backwards,
        "campaign: workers that exit, hang, raise, print": campaigns.bad_workers,
        "campaign: coordinator killed, in one process": lambda at: campaigns.killed_coordinators(
            at / "local", count(500), count(50), "local"
        ),
        "campaign: coordinator killed, with workers": lambda at: campaigns.killed_coordinators(
            at / "workers", count(500), count(20), "processes"
        ),
        "campaign: two of four workers of Dask killed": lambda at: campaigns.killed_workers(at / "dask", count(1000)),
    }


def main():
    """Do everything, print a row each, and fail if anything did."""
    parser = argparse.ArgumentParser(prog="reliability", description=__doc__)
    parser.add_argument("--counts", choices=tuple(SHARES), default="full")
    parser.add_argument("--only", metavar="TEXT", default="", help="what has this in its name")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    print("| trial | result | seconds |\n|---|---|---|", flush=True)
    for name, act in trials(SHARES[arguments.counts], lambda text: print(text, file=sys.stderr, flush=True)).items():
        if arguments.only in name:
            failed += not _row(name, act)
    return failed


def _row(name, act):
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            result, sound = _told(act(Path(folder))), True
        except (AssertionError, ValueError, OSError) as error:
            result, sound = f"FAILED: {' '.join(str(error).split())}", False
    print(f"| {name} | {result} | {time.perf_counter() - begun:.0f} |", flush=True)
    return sound


def _told(result):
    flat = {}
    for key, value in result.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return ", ".join(f"{key} {value}" for key, value in flat.items())


if __name__ == "__main__":
    sys.exit(min(main(), 1))
