"""Forecasts and samples on the command line."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ._cli_fit import add_image_options, objective_of, read_image
from ._cli_options import (
    DONE,
    FAILED,
    Commands,
    building,
    check_figure,
    check_output,
    positive,
    profile_of,
    stop_on_signal,
    write_npz,
)

HALF_HOUR_S = 1800.0


def add_commands(commands: Commands) -> None:
    """Declare the commands of this file."""
    text = "what precision an observation allows, and what model errors cost"
    forecast = commands.add("forecast", _forecast, text, building())
    forecast.add_argument("profile", nargs="?", help="name of a packaged profile, or a YAML file")
    forecast.add_argument("--free", nargs="+", metavar="PATTERN", help="what is free (default: the profile's list)")
    forecast.add_argument("--exposures", type=positive, metavar="N", help="exposures summed (default: 30 minutes)")
    forecast.add_argument("--priors", action="store_true", help="use the priors of the profile")
    forecast.add_argument("--label", default="binary.separation_as", help="parameter of budget and sensitivities")
    forecast.add_argument("--sensitivities", action="store_true", help="bias per um and nm of every length, too")
    forecast.add_argument("--plot", type=Path, metavar="FILE", help="error budget as a figure (.png, .pdf, .svg)")
    _add_sample(commands)


def _add_sample(commands: Commands) -> None:
    text = "draw from the posterior of an image's parameters (needs the extra `sample`)"
    sample = commands.add("sample", _sample, text, building())
    add_image_options(sample)
    sample.add_argument("-o", "--output", type=Path, metavar="FILE.npz", help="the draws, by parameter")
    sample.add_argument("--method", choices=("nuts", "hmc", "laplace"), default="nuts")
    sample.add_argument("--chains", type=positive, default=4, metavar="N")
    sample.add_argument("--draws", type=positive, default=1000, metavar="N", help="of each chain (default 1000)")
    sample.add_argument("--warmup", type=positive, default=500, metavar="N", help="steps before them (default 500)")


def _sample(arguments: argparse.Namespace, console: Any) -> int:
    from .inference import laplace_samples, sample
    from .inference.samplers import check_sampling
    from .inference.samples import import_blackjax

    if arguments.output is not None:
        check_output(arguments.output, overwrite=True)
    check_sampling(arguments.method, arguments.chains, arguments.draws, arguments.warmup)
    import_blackjax()  # before the work
    observed, profile, start = read_image(arguments, console)
    objective = objective_of(arguments, profile, start, observed)
    solution = _optimum(objective, start, console)
    if solution.result.is_failure:
        return _refuse(solution)
    _warn_of(solution, console)
    warmup = 0 if arguments.method == "laplace" else arguments.warmup
    console.say(f"{solution.result} after {solution.stats['steps']} steps; {arguments.chains} chains of {warmup} + "
                f"{arguments.draws} draws by {arguments.method}")  # fmt: skip
    many = {"draws": arguments.draws, "chains": arguments.chains, "seed": arguments.seed}
    if arguments.method == "laplace":
        drawn = laplace_samples(objective, solution.theta, **many)
    else:
        drawn = sample(objective, solution.theta, method=arguments.method, warmup=arguments.warmup, **many)
    if arguments.output is not None:
        write_npz(arguments.output, drawn.values)
    rows, found = drawn.summary(), solution.stats["reduced_chi_square"]
    ended = {"result": str(solution.result), "converged": solution.converged, "reduced_chi_square": found}
    console.result({"fit": ended, "stats": drawn.stats, "parameters": rows}, lambda: _sample_table(rows))
    return DONE


def _optimum(objective: Any, start: Any, console: Any) -> Any:
    """What to sample about."""
    from .inference import LevenbergMarquardt, fit

    engine = LevenbergMarquardt()
    with console.progress(engine.max_steps) as on_step, stop_on_signal() as should_stop:
        solution = fit(objective, objective.space.pack(start), engine, on_step=on_step, should_stop=should_stop)
    if should_stop():
        raise KeyboardInterrupt
    return solution


def _refuse(solution: Any) -> int:
    """Say why there is nothing to sample about."""
    bad, steps = solution.stats["first_bad"], solution.stats["steps"]
    why = solution.result if bad is None else f"{solution.result}, first by {bad}"
    sys.stderr.write(
        f"dluxshera: no optimum to sample about: the fit failed after {steps} steps: {why}. "
        "Give another start (--guess, --set) or free less (--free).\n"
    )
    return FAILED


def _warn_of(solution: Any, console: Any) -> None:
    """What `fit` would warn of."""
    from .config.runs import fit_summary
    from .inference.fisher import parameter_covariance
    from .inference.verdict import findings

    stats, space = solution.stats, solution.objective.space
    spread = parameter_covariance(solution.objective, solution.theta, solution.covariance)
    sigma = (spread.diagonal() ** 0.5).tolist()  # of θ: all that is asked is whether there is one
    rows = [{"label": label, "sigma": s, "truth": None} for label, s in zip(space.labels, sigma, strict=True)]
    verdict = findings(fit_summary(solution, rows), rows, stats["chi_square"], stats["degrees_of_freedom"])
    for finding in verdict:
        if finding.level != "good":
            console.warn(finding.text)


def _sample_table(rows: list[dict[str, Any]]) -> Any:
    from ._console import plain_table

    header = tuple(rows[0])
    return plain_table(header, [_sample_cells(row) for row in rows])


def _sample_cells(row: dict[str, Any]) -> list[str]:
    """Values to the digits that the spread leaves, diagnostics to four."""
    from .inference.format_values import format_estimate, format_number

    spread = row["sd"]
    of_values = {"mean", *(name for name in row if name.startswith("q"))}
    cells = {name: format_estimate(row[name], spread)[0] for name in of_values}
    cells |= {"label": row["label"], "unit": row["unit"], "sd": format_estimate(row["mean"], spread)[1]}
    return [cells[name] if name in cells else format_number(value, 4) for name, value in row.items()]


def _forecast(arguments: argparse.Namespace, console: Any) -> int:
    from .config import build_instrument, default_space
    from .inference import error_budget, forecast

    check_figure(arguments.plot)
    profile = profile_of(arguments)
    model = build_instrument(profile)
    space = default_space(model, profile, arguments.free, arguments.priors)
    exposure_time = float(model.detector.exposure_time_s)
    exposures = arguments.exposures or HALF_HOUR_S / exposure_time
    found = forecast(model, space, exposures)
    if arguments.label not in space.labels:
        raise ValueError(f"--label: expected one of {', '.join(space.labels)}; got {arguments.label!r}.")
    durations = {"1 exposure": 1.0, "1 s": 1 / exposure_time, "30 min": HALF_HOUR_S / exposure_time}
    bounds = {name: found.scaled(n).sigma(arguments.label, priors=arguments.priors) for name, n in durations.items()}
    budget = error_budget(found, arguments.label, priors=arguments.priors)
    response = _sensitivities(model, space, arguments.label, exposures) if arguments.sensitivities else None
    if arguments.plot is not None:
        from .plotting.budget import plot_error_budget

        plot_error_budget(budget).savefig(arguments.plot, dpi=150)
    data = {"profile": profile.name, "exposures": exposures, "stages": found.stages, "rows": found.rows,
            "durations": bounds, "budget": budget._asdict() | {"terms": [t._asdict() for t in budget.terms]},
            "dead": found.identifiability.dead, "degenerate": found.identifiability.degenerate,
            "sensitivities": response}  # fmt: skip
    console.result(data, lambda: _show(found, bounds, budget, arguments.label, response))
    for line in filter(None, str(found.identifiability).splitlines()):
        console.warn(line)
    return DONE


def _sensitivities(model: Any, space: Any, label: str, exposures: float) -> dict[str, dict[str, float]]:
    """Bias of the label, in its unit per metre, of every length with the detector following and held."""
    from .inference import sensitivities
    from .instrument import geometry_changes

    def of(held: bool) -> dict[str, float]:
        return sensitivities(model, space, geometry_changes(model, held), exposures).of(label)

    following, held = of(False), of(True)
    return {path: {"following": following[path], "held": held[path]} for path in following}


def _show(found: Any, bounds: dict[str, float], budget: Any, label: str, response: dict | None) -> Any:
    from rich.console import Group
    from rich.text import Text

    from ._console import plain_table

    raw = found.units[found.labels.index(label)]
    factor, unit = (1e6, "µas") if raw == "arcsec" else (1.0, raw)
    header, *rows = found.table()
    durations = "  ".join(f"{name}: {factor * sigma:.4g} {unit}" for name, sigma in bounds.items())
    terms = [(term.name, term.kind, f"{term.value:.4g}") for term in budget.terms]
    parts = [
        plain_table(header, rows, f"One-sigma bounds, {found.exposures:g} exposures"),
        Text(f"\n{label}: {durations}\n"),
        plain_table(("term", "kind", unit), terms, f"Error budget of {label}"),
    ]
    return Group(*parts, *([] if response is None else [_response_table(response, label, factor, unit)]))


def _response_table(response: dict[str, dict[str, float]], label: str, factor: float, unit: str) -> Any:
    from ._console import plain_table

    columns = ("length", *(f"{unit} per {per}, {how}" for how in ("following", "held") for per in ("um", "nm")))
    rows = [
        (path, *(f"{factor * slopes[how] * per:.4g}" for how in ("following", "held") for per in (1e-6, 1e-9)))
        for path, slopes in response.items()
    ]
    title = f"\nBias of {label} when a length is not what the model says: detector following the focus, or held"
    return plain_table(columns, rows, title)
