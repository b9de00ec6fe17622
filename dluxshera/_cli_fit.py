"""Fits on the command line: read the image, build the start, fit, save, show."""

import argparse
import re
from pathlib import Path
from typing import Any

from ._cli_options import (
    DONE,
    FAILED,
    INTERRUPTED,
    Commands,
    building,
    check_run,
    name_or_number,
    positive,
    profile_of,
    stop_on_signal,
)

LIKELIHOODS = ("poisson", "gaussian", "gaussian_model")
UNITS = ("electron", "adu", "electron/s", "adu/s", "DN", "DN/s", "counts", "counts/s")
ENGINES = {
    "lm": "Levenberg-Marquardt (default)",
    "gn": "Gauss-Newton",
    "dogleg": "Powell's dogleg",
    "gd": "gradient descent",
    "pgd": "preconditioned gradient descent",
    "adam": "Adam, each parameter in units of its own sigma",
    "bfgs": "BFGS",
    "lbfgs": "L-BFGS",
}
_OPTIONS = {
    "unit": "--unit",
    "gain_e_per_adu": "--gain",
    "exposure_time_s": "--exposure-time",
    "exposures": "--exposures",
    "extension": "--extension",
    "bad_pixels": "--bad-pixels",
    "crop": "--crop",
    "centre": "--centre",
}


def add_commands(commands: Commands) -> None:
    """Declare the commands of this file."""
    fit = commands.add("fit", _fit, "fit an image", building())
    add_image_options(fit)
    fit.add_argument("-o", "--output", type=Path, required=True, metavar="RUN_DIR")
    engines = "; ".join(f"{name}: {text}" for name, text in ENGINES.items())
    fit.add_argument("--engine", choices=tuple(ENGINES), help=engines)
    fit.add_argument("--max-steps", type=positive, metavar="N", help="step limit of the engine")
    fit.add_argument("--eigen", nargs="?", const="all", metavar="N|FRACTION",
                     help="move along whitened eigenmodes: all, the first N, or those with a fraction")  # fmt: skip
    fit.add_argument("--overwrite", action="store_true", help="replace an existing run")
    fit.add_argument("--save", type=_names, default=(), metavar="LIST",
                     help="records of single steps: diag, precond, grads, parted by commas")  # fmt: skip
    fit.add_argument("--save-every", type=positive, default=10, metavar="N", help="steps between them (default 10)")


def add_image_options(command: argparse.ArgumentParser) -> None:
    """Options of commands that compare a model with an image."""
    command.add_argument("observation", type=Path, metavar="OBS", help=".fits or .npz")
    command.add_argument("--profile", help="name of a packaged profile, or a YAML file")
    command.add_argument("--free", nargs="+", metavar="PATTERN", help="what moves (default: the profile's list)")
    command.add_argument("--likelihood", choices=LIKELIHOODS, default="poisson")
    command.add_argument("--guess", action="store_true", help="find the start in the image, not in the profile")
    command.add_argument("--priors", action="store_true", help="use the priors of the profile")
    command.add_argument("--extension", type=name_or_number, metavar="NAME|N", help="FITS extension of the image")
    command.add_argument("--bad-pixels", type=name_or_number, metavar="FILE|NAME|N", help="map; not zero is bad")
    command.add_argument("--crop", type=positive, metavar="N", help="cut N x N pixels out, about the light")
    command.add_argument("--centre", type=_pair, metavar="X,Y", help="cut about this column and row instead")
    command.add_argument("--unit", choices=UNITS, help="where the file has no BUNIT")
    command.add_argument("--gain", type=float, metavar="E_PER_ADU", help="where the file has no GAIN")
    command.add_argument("--exposures", type=positive, metavar="N", help="where the file has no NEXP")
    command.add_argument("--exposure-time", type=float, metavar="SECONDS", help="where the file has no EXPTIME")


def _names(text: str) -> tuple[str, ...]:
    """Names, parted by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pair(text: str) -> tuple[float, float]:
    """Two numbers, parted by a comma."""
    column, row = (float(number) for number in text.split(","))
    return column, row


def read_image(arguments: argparse.Namespace, console: Any) -> tuple[Any, Any, Any]:
    """The observation, the profile that fits it, and the model to start with.

    Raises
    ------
    ValueError
        In the words of the command line.
    """
    from .config import build_instrument
    from .instrument import Observation, with_guess

    options = {"extension": arguments.extension, "bad_pixels": arguments.bad_pixels, "crop": arguments.crop,
               "centre": arguments.centre, "unit": arguments.unit, "gain_e_per_adu": arguments.gain,
               "exposures": arguments.exposures, "exposure_time_s": arguments.exposure_time}  # fmt: skip
    try:
        observed = Observation.read(arguments.observation, **options)
    except ValueError as error:
        raise ValueError(_in_words_of_the_command_line(str(error))) from error
    if arguments.crop is not None:
        x, y = observed.centre
        console.say(f"cut {arguments.crop} x {arguments.crop} pixels about column {x:g}, row {y:g}")
    profile = profile_of(arguments, observed.overrides)
    start = build_instrument(profile)
    _warn_of_a_sum(observed, start, console)
    return observed, profile, with_guess(start, observed) if arguments.guess else start


def _in_words_of_the_command_line(message: str) -> str:
    """A message about an argument of `Observation.read`, naming the option that gives it."""
    for argument, option in _OPTIONS.items():
        message = re.sub(rf"\b{argument}=(?=\w|['\"(])", f"{option} ", message)
        message = re.sub(rf"\b{argument}=", option, message)
    return message


def _warn_of_a_sum(observed: Any, start: Any, console: Any) -> None:
    """One exposure cannot hold more than the well does; that the number is wrong shows nowhere but in the flux."""
    well, brightest = float(start.detector.full_well_e), float(observed.image[observed.mask].max(initial=0.0))
    if observed.exposures == 1 and brightest > well:
        console.warn(f"{brightest:.3g} electrons in a pixel are above the full well of one exposure, {well:.3g}. "
                     "If the image is a sum, say of how many: --exposures, or NEXP in the header.")  # fmt: skip


def _fit(arguments: argparse.Namespace, console: Any) -> int:
    check_run(arguments.output, arguments.overwrite)
    observed, profile, start = read_image(arguments, console)
    return fit_and_save(arguments, console, profile, start, observed, arguments.output)


def objective_of(arguments: argparse.Namespace, profile: Any, start: Any, observed: Any) -> Any:
    """The objective that the options ask for."""
    from .config import default_space
    from .inference import Objective

    option = vars(arguments).get
    space = default_space(start, profile, option("free"), option("priors", False))
    return Objective(start, space, observed, option("likelihood", "poisson"))


def fit_and_save(arguments, console, profile, start, observed, run_dir: Path, truth=None) -> int:
    """Fit, save the run, show the table; the rest of `fit` and `demo`."""
    from .config.fit_runs import fit_to_run
    from .config.settings import engine_of

    option = vars(arguments).get
    objective = objective_of(arguments, profile, start, observed)
    theta = objective.space.pack(start)
    if option("eigen") is not None:
        objective, theta = _in_eigenmodes(objective, theta, arguments.eigen)
    choice = (option("engine"), option("max_steps"))
    engine = engine_of(profile, *choice, objective, theta)
    known = {"profile": profile, "observation": observed, "free": option("free"), "truth": truth}
    asked = {"priors": option("priors", False), "likelihood": option("likelihood", "poisson"), "engine_choice": choice,
             "save": option("save", ()), "save_every": option("save_every", 1)}  # fmt: skip
    with console.progress(engine.max_steps) as on_step, stop_on_signal() as should_stop:
        calls = {"on_step": on_step, "should_stop": should_stop, "overwrite": option("overwrite", True)}
        solution = fit_to_run(run_dir, objective, theta, engine, **known, **asked, **calls)
    return conclude(console, solution, start, truth, run_dir)


def conclude(console: Any, solution: Any, start: Any, truth: Any, run_dir: Path) -> int:
    """Show what a fit has found, and give its exit code."""
    _show(console, solution, start, truth, run_dir)
    if solution.result.is_failure:
        return FAILED
    return INTERRUPTED if solution.result == "interrupted" else DONE


def _in_eigenmodes(objective: Any, theta: Any, text: str) -> tuple[Any, Any]:
    """The objective over whitened eigenmodes about the start, and the start there."""
    from .inference import EigenSpace

    modes = EigenSpace.of(objective, theta, truncate=_truncation(text), whiten=True)
    return objective.with_space(modes), modes.encode(theta)


def _truncation(text: str) -> int | dict[str, float] | None:
    if text == "all":
        return None
    try:
        return int(text) if text.isdigit() else {"information": float(text)}
    except ValueError:
        raise ValueError(f"--eigen: expected a number of modes or a fraction, got {text!r}.") from None


def _show(console: Any, solution: Any, start: Any, truth: Any, run_dir: Path) -> None:
    """The verdict, the table and how it ended."""
    from ._console import parameter_table as show_table
    from .config.derived_table import derived_table
    from .config.runs import fit_summary, parameter_table
    from .inference.verdict import findings

    rows, stats = parameter_table(solution, start, truth), solution.stats
    derived = derived_table(solution, start, truth)
    verdict = findings(fit_summary(solution, rows), rows, stats["chi_square"], stats["degrees_of_freedom"])
    for finding in verdict:
        if finding.level != "good":
            console.warn(finding.text)
    result = {"run": str(run_dir), "result": str(solution.result), "converged": solution.converged, **stats}
    console.result({**result, "parameters": rows, "derived": derived}, lambda: show_table([*rows, *derived]))
    console.say(
        f"{solution.result} after {stats['steps']} steps in {stats['seconds']:.1f} s; reduced chi-square "
        f"{stats['reduced_chi_square']:.4f}; run in {run_dir}"
    )
