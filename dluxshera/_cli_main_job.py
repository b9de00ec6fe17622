"""The main job on the command line: demo, describe, simulate, fit, report."""

import argparse
from pathlib import Path
from typing import Any

from ._cli_fit import fit_and_save
from ._cli_options import (
    DONE,
    Commands,
    building,
    check_output,
    check_run,
    positive,
    profile_of,
)

DEMO_PROFILE, DEMO_EXPOSURES = "shera_flight", 36_000


def add_commands(commands: Commands) -> None:
    """Declare the commands of this file."""
    demo = commands.add("demo", _demo, "simulate a SHERA image, fit it and report", building())
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    describe = commands.add("describe", _describe, "list every parameter of a profile", building())
    describe.add_argument("profile", nargs="?", help="name of a packaged profile, or a YAML file")
    describe.add_argument("--origin", action="store_true", help="where each value comes from, too")
    describe.add_argument("--schema", action="store_true", help="the JSON schema of profiles, for editors")
    simulate = commands.add("simulate", _simulate, "make an image with noise", building())
    simulate.add_argument("profile", nargs="?", help="name of a packaged profile, or a YAML file")
    simulate.add_argument("-o", "--output", type=Path, required=True, metavar="OBS", help=".fits or .npz")
    simulate.add_argument("--exposures", type=positive, default=1, metavar="N", help="exposures summed (default 1)")
    simulate.add_argument("--noiseless", action="store_true", help="the expected image")
    report = commands.add("report", _report, "write report.html into a run directory or an experiment")
    report.add_argument("run_dir", type=Path, metavar="RUN_DIR|EXPERIMENT")


def _describe(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument, profile_json_schema, value_origins
    from .params import describe

    if arguments.schema:
        console.document(profile_json_schema())
        return DONE
    profile = profile_of(arguments)
    model = build_instrument(profile)
    table = describe(model, value_origins(profile, model) if arguments.origin else None)
    rows = [row | {"prior": None if row["prior"] is None else str(row["prior"])} for row in table.rows]
    console.result(rows, table.to_rich)
    return DONE


def _simulate(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument
    from .instrument import simulate

    check_output(arguments.output, overwrite=True)
    model = build_instrument(profile_of(arguments))
    observed = simulate(model, arguments.seed, exposures=arguments.exposures, noise=not arguments.noiseless)
    observed.write(arguments.output)
    facts = {"file": str(arguments.output), "shape": list(observed.image.shape), "exposures": arguments.exposures,
             "electrons": float(observed.image.sum()), "masked_pixels": observed.masked_count}  # fmt: skip
    console.result(facts, lambda: f"{facts['file']}: {facts['electrons']:.6g} electrons in {facts['shape']} pixels")
    return DONE


def _demo(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument
    from .config.demo import drawn_truth
    from .instrument import simulate

    folder = arguments.output
    check_output(folder, overwrite=True)
    if folder.exists():
        check_run(folder / "run", overwrite=(folder / "observation.fits").exists())
    arguments.profile = None if arguments.config else DEMO_PROFILE
    profile = profile_of(arguments)
    start = build_instrument(profile)
    truth = drawn_truth(profile, start, arguments.seed)
    console.say(f"{profile.name}: {DEMO_EXPOSURES} exposures of a binary star, drawn about the profile's values")
    observed = simulate(truth, arguments.seed, exposures=DEMO_EXPOSURES)
    folder.mkdir(exist_ok=True)
    observed.write(folder / "observation.fits")
    code = fit_and_save(arguments, console, profile, start, observed, folder / "run", truth)
    console.say(f"report in {_write_report(folder / 'run')}")
    return code


def _report(arguments: argparse.Namespace, console: Any) -> int:
    page = _write_report(arguments.run_dir)
    console.result({"report": str(page)}, lambda: str(page))
    return DONE


def _write_report(run_dir: Path) -> Path:
    from ._report import write_report

    return write_report(run_dir)
