"""The command line: a thin shell over the package, with imports where they are used."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_OPTIONS = {
    "unit": "--unit",
    "gain_e_per_adu": "--gain",
    "exposure_time_s": "--exposure-time",
    "exposures": "--exposures",
    "extension": "--extension",
}
DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
DEMO_PROFILE, DEMO_EXPOSURES = "shera_flight", 36_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code: 0 done, 1 failed, 2 bad usage or input, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what is under way as Ctrl-C does
    try:
        import jax

        jax.config.update("jax_enable_x64", True)  # micro-arcseconds need double precision
        from ._console import Console

        console = Console(arguments.quiet, arguments.json)
        with console.plain_warnings():
            return arguments.run(arguments, console)
    except KeyboardInterrupt:
        return _complain("interrupted before there was anything to keep", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away; Python would complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, TypeError, OSError) as error:
        return _complain(str(error), BAD_INPUT)
    finally:
        signal.signal(signal.SIGTERM, before)


def _complain(message: str, code: int) -> int:
    sys.stderr.write("dluxshera: " + " ".join(message.split()) + "\n")
    return code


def _version() -> str:
    try:
        return f"dluxshera {version('dluxshera')}"
    except PackageNotFoundError:
        return "dluxshera, not installed"


class _Parser(argparse.ArgumentParser):
    """Reports a wrong usage in one line."""

    def error(self, message: str) -> None:
        self.exit(BAD_INPUT, f"{self.prog}: {message}. Try --help.\n")


def _natural(text: str) -> int:
    """A whole number of zero or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of zero or more, got {text}")
    return value


def _positive(text: str) -> int:
    """A whole number of one or more."""
    if _natural(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of one or more, got {text}")
    return int(text)


def _name_or_number(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="no progress, remarks or warnings")
    common.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    building = argparse.ArgumentParser(add_help=False)
    building.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="override of the profile")
    building.add_argument("--config", type=Path, metavar="FILE.yaml", help="keys: profile, overrides, theta, engine")
    building.add_argument("--seed", type=_natural, default=0, metavar="N", help="seed of the noise (default 0)")
    parser = _Parser(prog="dluxshera", description="Model coherent imaging instruments and fit their images.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, parents: list, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common, *parents], help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    demo = command("demo", _demo, [building], "simulate a SHERA image, fit it and report")
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    describe = command("describe", _describe, [building], "list every parameter of a profile")
    describe.add_argument("profile", nargs="?", help="name of a packaged profile, or a YAML file")
    simulate = command("simulate", _simulate, [building], "make an image with noise")
    simulate.add_argument("profile", nargs="?", help="name of a packaged profile, or a YAML file")
    simulate.add_argument("-o", "--output", type=Path, required=True, metavar="OBS", help=".fits or .npz")
    simulate.add_argument("--exposures", type=_positive, default=1, metavar="N", help="exposures summed (default 1)")
    simulate.add_argument("--noiseless", action="store_true", help="the expected image")
    _add_fit_options(command("fit", _fit, [building], "fit an image"))
    report = command("report", _report, [], "write report.html into a run directory")
    report.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    return parser


def _add_fit_options(fit: argparse.ArgumentParser) -> None:
    fit.add_argument("observation", type=Path, metavar="OBS", help=".fits or .npz")
    fit.add_argument("--profile", help="name of a packaged profile, or a YAML file")
    fit.add_argument("-o", "--output", type=Path, required=True, metavar="RUN_DIR")
    fit.add_argument("--free", nargs="+", metavar="PATTERN", help="what moves (default: the profile's list)")
    fit.add_argument("--engine", choices=("lm", "gd"), help="lm: Levenberg-Marquardt (default); gd: gradient descent")
    fit.add_argument("--max-steps", type=_positive, metavar="N", help="step limit of the engine")
    fit.add_argument("--likelihood", choices=("poisson", "gaussian", "gaussian_model"), default="poisson")
    fit.add_argument("--guess", action="store_true", help="find the start in the image, not in the profile")
    fit.add_argument("--priors", action="store_true", help="use the priors of the profile")
    fit.add_argument("--overwrite", action="store_true", help="replace an existing run")
    fit.add_argument("--extension", type=_name_or_number, metavar="NAME|N", help="FITS extension of the image")
    fit.add_argument("--unit", choices=("electron", "adu", "electron/s", "adu/s"), help="where the file has no BUNIT")
    fit.add_argument("--gain", type=float, metavar="E_PER_ADU", help="where the file has no GAIN")
    fit.add_argument("--exposures", type=_positive, metavar="N", help="where the file has no NEXP")
    fit.add_argument("--exposure-time", type=float, metavar="SECONDS", help="where the file has no EXPTIME")


def _profile(arguments: argparse.Namespace, extra: dict[str, Any] | None = None) -> Any:
    """The profile that the options name: config file, then command line; `extra` gives way to both."""
    from .config.settings import read_settings

    return read_settings(getattr(arguments, "profile", None), arguments.config, arguments.set, extra)


def _describe(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument
    from .params import describe

    table = describe(build_instrument(_profile(arguments)))
    rows = [row | {"prior": None if row["prior"] is None else str(row["prior"])} for row in table.rows]
    console.result(rows, table.to_rich)
    return DONE


def _simulate(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument
    from .instrument import simulate

    _check_output(arguments.output, overwrite=True)
    model = build_instrument(_profile(arguments))
    observed = simulate(model, arguments.seed, exposures=arguments.exposures, noise=not arguments.noiseless)
    observed.write(arguments.output)
    facts = {"file": str(arguments.output), "shape": list(observed.image.shape), "exposures": arguments.exposures,
             "electrons": float(observed.image.sum()), "masked_pixels": observed.masked_count}  # fmt: skip
    console.result(facts, lambda: f"{facts['file']}: {facts['electrons']:.6g} electrons in {facts['shape']} pixels")
    return DONE


def _fit(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument
    from .instrument import Observation, with_guess

    _check_run(arguments.output, arguments.overwrite)
    options = {"extension": arguments.extension, "unit": arguments.unit, "gain_e_per_adu": arguments.gain,
               "exposures": arguments.exposures, "exposure_time_s": arguments.exposure_time}  # fmt: skip
    try:
        observed = Observation.read(arguments.observation, **options)
    except ValueError as error:
        raise ValueError(_in_words_of_the_command_line(str(error))) from error
    profile = _profile(arguments, {"optics.psf_npix": observed.image.shape[0]})
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
    with console.progress(engine.max_steps) as on_step, _stop_on_signal() as should_stop:
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
    _check_output(folder, overwrite=True)
    if folder.exists():
        _check_run(folder / "run", overwrite=(folder / "observation.fits").exists())
    arguments.profile = None if arguments.config else DEMO_PROFILE
    profile = _profile(arguments)
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


def _check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that could not be written, before any work is done."""
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: the folder {path.absolute().parent} does not exist. Make it first.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: exists already. Choose another name, or give --overwrite.")


def _check_run(run_dir: Path, overwrite: bool) -> None:
    """Refuse a run directory that could not be written; only an empty folder or a run is ever replaced."""
    empty = run_dir.is_dir() and not any(run_dir.iterdir())
    _check_output(run_dir, overwrite or empty)
    if run_dir.exists() and not (empty or (run_dir / "MANIFEST.json").is_file()):
        raise ValueError(f"{run_dir}: exists and is not a run directory. Choose another name.")


class _stop_on_signal:  # noqa: N801 - a context manager, used like a function
    """Turn SIGINT and SIGTERM into a question that `fit` asks after each step; a second one acts at once."""

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        self.before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return lambda: self.asked

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        sys.stderr.write("stopping after this step\n")

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
