"""The main job on the command line: demo, describe, simulate, fit, report."""

import argparse
from pathlib import Path
from typing import Any

from ._cli_options import (
    DONE,
    INTERRUPTED,
    Commands,
    building,
    check_output,
    check_run,
    name_or_number,
    positive,
    profile_of,
    stop_on_signal,
)

_OPTIONS = {
    "unit": "--unit",
    "gain_e_per_adu": "--gain",
    "exposure_time_s": "--exposure-time",
    "exposures": "--exposures",
    "extension": "--extension",
}
DEMO_PROFILE, DEMO_EXPOSURES = "shera_flight", 36_000


def add_commands(commands: Commands) -> None:
    """Declare the commands of this file."""
    demo = commands.add("demo", _demo, "simulate a SHERA image, fit it and report", building())
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    describe = commands.add("describe", _describe, "list every parameter of a profile", building())
    describe.add_argument("profile", nargs="?", help="name of a packaged profile, or a YAML file")
    simulate = commands.add("simulate", _simulate, "make an image with noise", building())
    simulate.add_argument("profile", nargs="?", help="name of a packaged profile, or a YAML file")
    simulate.add_argument("-o", "--output", type=Path, required=True, metavar="OBS", help=".fits or .npz")
    simulate.add_argument("--exposures", type=positive, default=1, metavar="N", help="exposures summed (default 1)")
    simulate.add_argument("--noiseless", action="store_true", help="the expected image")
    _add_fit_options(commands.add("fit", _fit, "fit an image", building()))
    report = commands.add("report", _report, "write report.html into a run directory")
    report.add_argument("run_dir", type=Path, metavar="RUN_DIR")


def _add_fit_options(fit: argparse.ArgumentParser) -> None:
    fit.add_argument("observation", type=Path, metavar="OBS", help=".fits or .npz")
    fit.add_argument("--profile", help="name of a packaged profile, or a YAML file")
    fit.add_argument("-o", "--output", type=Path, required=True, metavar="RUN_DIR")
    fit.add_argument("--free", nargs="+", metavar="PATTERN", help="what moves (default: the profile's list)")
    fit.add_argument("--engine", choices=("lm", "gd"), help="lm: Levenberg-Marquardt (default); gd: gradient descent")
    fit.add_argument("--max-steps", type=positive, metavar="N", help="step limit of the engine")
    fit.add_argument("--likelihood", choices=("poisson", "gaussian", "gaussian_model"), default="poisson")
    fit.add_argument("--guess", action="store_true", help="find the start in the image, not in the profile")
    fit.add_argument("--priors", action="store_true", help="use the priors of the profile")
    fit.add_argument("--overwrite", action="store_true", help="replace an existing run")
    fit.add_argument("--extension", type=name_or_number, metavar="NAME|N", help="FITS extension of the image")
    fit.add_argument("--unit", choices=("electron", "adu", "electron/s", "adu/s"), help="where the file has no BUNIT")
    fit.add_argument("--gain", type=float, metavar="E_PER_ADU", help="where the file has no GAIN")
    fit.add_argument("--exposures", type=positive, metavar="N", help="where the file has no NEXP")
    fit.add_argument("--exposure-time", type=float, metavar="SECONDS", help="where the file has no EXPTIME")


def _describe(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument
    from .params import describe

    table = describe(build_instrument(profile_of(arguments)))
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


def _fit(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument
    from .instrument import Observation, with_guess

    check_run(arguments.output, arguments.overwrite)
    options = {"extension": arguments.extension, "unit": arguments.unit, "gain_e_per_adu": arguments.gain,
               "exposures": arguments.exposures, "exposure_time_s": arguments.exposure_time}  # fmt: skip
    try:
        observed = Observation.read(arguments.observation, **options)
    except ValueError as error:
        raise ValueError(_in_words_of_the_command_line(str(error))) from error
    profile = profile_of(arguments, {"optics.psf_npix": observed.image.shape[0]})
    start = build_instrument(profile)
    if arguments.guess:
        start = with_guess(start, observed)
    return _fit_and_save(arguments, console, profile, start, observed, arguments.output)


def _in_words_of_the_command_line(message: str) -> str:
    """A message about an argument of `Observation.read`, naming the option that gives it."""
    for argument, option in _OPTIONS.items():
        message = message.replace(f"{argument}=", f"{option} ")
    return message


def _fit_and_save(arguments, console, profile, start, observed, run_dir: Path, truth=None) -> int:
    """Fit, print the table, write the run; the rest of `fit` and `demo`."""
    from ._console import parameter_table as show_table
    from .config import default_space
    from .config.runs import fit_summary, parameter_table, save_fit
    from .config.settings import engine_of
    from .inference import Objective, fit
    from .inference.verdict import findings

    option = vars(arguments).get
    engine = engine_of(profile, option("engine"), option("max_steps"))
    likelihood, free, priors = option("likelihood", "poisson"), option("free"), option("priors", False)
    space = default_space(start, profile, free, priors)
    objective = Objective(start, space, observed, likelihood)
    with console.progress(engine.max_steps) as on_step, stop_on_signal() as should_stop:
        solution = fit(objective, space.pack(start), engine, on_step=on_step, should_stop=should_stop)
    overwrite = option("overwrite", True)
    save_fit(run_dir, solution, profile, observed, free=free, priors=priors, start=start, truth=truth,
             likelihood=likelihood, overwrite=overwrite)  # fmt: skip
    rows, stats = parameter_table(solution, start, truth), solution.stats
    verdict = findings(fit_summary(solution, rows), rows, stats["chi_square"], stats["degrees_of_freedom"])
    for finding in verdict:
        if finding.level != "good":
            console.warn(finding.text)
    result = {"run": str(run_dir), "result": str(solution.result), "converged": solution.converged, **stats}
    console.result({**result, "parameters": rows}, lambda: show_table(rows))
    console.say(
        f"{solution.result} after {stats['steps']} steps in {stats['seconds']:.1f} s; reduced chi-square "
        f"{stats['reduced_chi_square']:.4f}; run in {run_dir}"
    )
    return INTERRUPTED if solution.result == "interrupted" else DONE


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
    code = _fit_and_save(arguments, console, profile, start, observed, folder / "run", truth)
    console.say(f"report in {_write_report(folder / 'run')}")
    return code


def _report(arguments: argparse.Namespace, console: Any) -> int:
    page = _write_report(arguments.run_dir)
    console.result({"report": str(page)}, lambda: str(page))
    return DONE


def _write_report(run_dir: Path) -> Path:
    from ._report import write_report

    return write_report(run_dir)
