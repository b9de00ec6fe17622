"""Run directories on the command line: verify, resume, ls, show, diff."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _cli_network, _cli_ptycho
from ._cli_options import DONE, FAILED, Commands, check_figure, positive, stop_on_signal


def add_commands(commands: Commands) -> None:
    """Declare the commands of this file."""
    verify = commands.add("verify", _verify, "check every committed file of runs; exit code 1 on damage")
    verify.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR")
    resume = commands.add(
        "resume", _resume, "go on with a fit or reconstruction that was killed, interrupted, or ended at its step limit"
    )
    resume.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    resume.add_argument(
        "--max-steps", type=positive, metavar="N", help="step limit, counted from the start; epochs for a scan"
    )
    listing = commands.add("ls", _ls, "list runs and their states, damaged ones too")
    listing.add_argument(
        "folders", type=Path, nargs="*", default=[Path()], metavar="DIR", help="runs, or folders of them"
    )
    show = commands.add("show", _show, "what a run was and what it found")
    show.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    diff = commands.add("diff", _diff, "settings, parameters and losses of two runs")
    diff.add_argument("run_dirs", type=Path, nargs=2, metavar="RUN_DIR")
    diff.add_argument("--plot", type=Path, metavar="FILE", help="losses and estimates as a figure (.png, .pdf, .svg)")


def _check_there(run_dir: Path) -> None:
    from .inference.run_listing import looks_like_a_run

    if not looks_like_a_run(run_dir):
        raise ValueError(f"{run_dir}: expected a run directory. There is none.")


def _verify(arguments: argparse.Namespace, console: Any) -> int:
    from .inference.run_artifacts import verify

    for run_dir in arguments.run_dirs:
        _check_there(run_dir)
    rows = [{"run": str(run_dir), "problems": verify(run_dir)} for run_dir in arguments.run_dirs]
    rows = [{"run": row["run"], "sound": not row["problems"], "problems": row["problems"]} for row in rows]
    lines = [line for row in rows for line in (row["problems"] or [f"{row['run']} is sound."])]
    console.result(rows if len(rows) > 1 else rows[0], lambda: _text("\n".join(lines)), whole_lines=True)
    return DONE if all(row["sound"] for row in rows) else FAILED


def _text(text: str) -> Any:
    """Text as it is: no markup, no wrapping."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ignore")


def _resume(arguments: argparse.Namespace, console: Any) -> int:
    from ._cli_fit import conclude
    from .config.fit_runs import resume_run
    from .config.runs import open_run

    run_dir = arguments.run_dir
    _check_there(run_dir)
    if _is_scan(run_dir):
        return _cli_ptycho.resume(run_dir, arguments.max_steps, console)
    if _is_network(run_dir):
        return _cli_network.resume(run_dir, arguments.max_steps, console)
    with console.progress(arguments.max_steps) as on_step, stop_on_signal() as should_stop:
        solution = resume_run(run_dir, max_steps=arguments.max_steps, on_step=on_step, should_stop=should_stop)
    run = open_run(run_dir)
    return conclude(console, solution, run.start_model(), run.truth_model(), run_dir)


def _is_scan(run_dir: Path) -> bool:
    from .config.scan_runs import is_scan_run
    from .inference.run_artifacts import newest_usable

    return is_scan_run(newest_usable(run_dir)[0])


def _is_network(run_dir: Path) -> bool:
    from .config.network_runs import is_network_run
    from .inference.run_artifacts import newest_usable

    return is_network_run(newest_usable(run_dir)[0])


def _ls(arguments: argparse.Namespace, console: Any) -> int:
    from .inference.run_listing import list_runs

    rows = list_runs(arguments.folders)
    if not rows:
        console.say("no runs in " + ", ".join(str(folder) for folder in arguments.folders))
    console.result(
        rows, lambda: _text("\n".join(_aligned(_LS_HEADER, [_ls_cells(row) for row in rows]))), whole_lines=True
    )
    damaged = sum(row["state"] == "damaged" for row in rows)
    if damaged:
        console.warn(f"{damaged} of {len(rows)} runs {'is' if damaged == 1 else 'are'} damaged")
    return DONE


_LS_HEADER = ("run", "state", "steps", "converged", "best loss", "chi2/dof", "seconds", "created")


def _ls_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["problem"]:
        return row["path"], row["state"], row["problem"]
    steps, created = row["num_steps_completed"], row["created_at"] or ""
    converged = {True: "yes", False: "no"}.get(row["converged"], "")
    seconds = _short(row["runtime_total_s"], 3)
    losses = _short(row["loss_best"], 8), _short(row["reduced_chi_square"], 5)
    return row["path"], row["state"], "" if steps is None else str(steps), converged, *losses, seconds, created[:19]


def _short(value: Any, digits: int) -> str:
    from .inference.format_values import format_number

    return format_number(float(value), digits) if isinstance(value, int | float) else ""


def _aligned(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; a last cell that stands alone may be as long as it likes."""
    full = [header, *(cells for cells in body if len(cells) == len(header))]
    widths = [max(len(cells[i]) for cells in full) for i in range(len(header))]
    widths[:2] = [max([width, *(len(cells[i]) for cells in body)]) for i, width in enumerate(widths[:2])]
    return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip()
            for cells in (header, *body)]  # fmt: skip


def _readable(run_dir: Path, console: Any, *needed: str) -> Path:
    """The newest generation of which these files can be read, with a warning that names what is damaged."""
    from .inference.run_fall_back import readable_generation

    _check_there(run_dir)
    folder, notice = readable_generation(run_dir, needed)
    if notice:
        console.warn(notice)
    return folder


def _show(arguments: argparse.Namespace, console: Any) -> int:
    from .inference.run_artifacts import load_meta, load_summary
    from .inference.run_listing import state_of

    run_dir = arguments.run_dir
    folder = _readable(run_dir, console, "meta.json", "summary.json")
    meta, summary = load_meta(folder), load_summary(folder)
    state = state_of(run_dir, summary)
    console.result({"run": str(run_dir), "state": state, "summary": summary, "meta": meta},
                   lambda: _shown(run_dir, state, meta, summary), whole_lines=True)  # fmt: skip
    return DONE


def _shown(run_dir: Path, state: str, meta: Mapping[str, Any], summary: Mapping[str, Any]) -> Any:
    from rich.console import Group

    from ._console import parameter_table

    facts = [fact for fact in _facts(run_dir, state, meta, summary) if fact[1]]
    head = _text("\n".join(_aligned(("run", str(summary["run_id"])), facts)))
    rows = [*(summary.get("parameters") or ()), *(summary.get("derived") or ())]
    return Group(head, "", parameter_table(rows)) if rows else head


def _facts(run_dir: Path, state: str, meta: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    optimizer, commit = meta["optimizer"], meta["git"].get("commit")
    profile, theta = meta.get("profile") or {}, meta["theta"]
    dirty = ", with changes" if meta["git"].get("dirty") else ""
    return [
        ("directory", str(run_dir)),
        ("state", state),
        ("message", str(summary.get("message") or "")),
        ("created", meta["created_at"]),
        ("commit", "" if commit is None else f"{commit[:12]}{dirty}"),
        ("profile", str(profile.get("name") or "")),
        ("overrides", ", ".join(f"{path}={value}" for path, value in (profile.get("overrides") or {}).items())),
        ("engine", str(optimizer.get("name") or "")),
        ("likelihood", str(meta["objective"].get("likelihood") or "")),
        ("free", f"{theta['dim']} numbers, {theta['theta_space']}" if theta["dim"] else ""),
        ("steps", str(summary["num_steps_completed"])),
        ("loss", f"{_short(summary['loss_init'], 10)} -> {_short(summary['loss_best'], 10)}"),
        ("chi2/dof", _short(summary.get("reduced_chi_square"), 6)),
        ("seconds", _short(summary.get("runtime_total_s"), 4)),
        (
            "files",
            ", ".join(name.removeprefix("has_") for name, there in summary.items() if name[:4] == "has_" and there),
        ),
    ]


def _diff(arguments: argparse.Namespace, console: Any) -> int:
    from .inference.run_artifacts import load_meta, load_summary
    from .inference.run_comparison import compare_runs

    check_figure(arguments.plot)
    needed = ("meta.json", "summary.json", *(() if arguments.plot is None else ("trace.npz",)))
    folders = [_readable(run_dir, console, *needed) for run_dir in arguments.run_dirs]
    found = compare_runs([load_meta(folder) for folder in folders], [load_summary(folder) for folder in folders])
    names = [str(run_dir) for run_dir in arguments.run_dirs]
    if arguments.plot is not None:
        _draw_difference(arguments.plot, names, folders, found["parameters"])
    console.result({"runs": names, **found}, lambda: _compared(names, found), whole_lines=True)
    return DONE


def _draw_difference(path: Path, names: list[str], folders: list[Path], parameters: list[dict[str, Any]]) -> None:
    from .inference.run_artifacts import load_trace
    from .plotting.run_difference import plot_run_difference

    losses = [load_trace(folder)["loss"] for folder in folders]
    plot_run_difference(names, losses, parameters).savefig(path, dpi=150)


def _compared(names: Sequence[str], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    from rich.console import Group

    from ._console import plain_table

    settings = [(row["name"], _value(row["first"]), _value(row["second"])) for row in found["settings"]]
    outcome = [(row["name"], _value(row["first"]), _value(row["second"])) for row in found["outcome"]
               if not (row["first"] is None and row["second"] is None)]  # fmt: skip
    parameters = [_parameter_cells(row) for row in found["parameters"]]
    parts = [_text("\n".join(_aligned(("setting", *names), settings or [("none differs", "", "")]))), ""]
    if parameters:
        parts += [plain_table(("parameter", "unit", *names, "difference", "in sigmas"), parameters), ""]
    return Group(*parts, _text("\n".join(_aligned(("outcome", *names), outcome))))


def _parameter_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    from .inference.format_values import format_estimate, format_number

    values = ["" if row[side] is None else format_estimate(row[side], row["sigma"])[0] for side in ("first", "second")]
    sigmas = "" if row["sigmas"] is None else f"{row['sigmas']:+.2f}"
    return row["label"], row["unit"], *values, format_number(row["difference"], 3), sigmas


def _value(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
