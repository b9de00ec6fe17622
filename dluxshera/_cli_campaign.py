"""Campaigns on the command line: preview, run, resume, table."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ._cli_options import DONE, FAILED, INTERRUPTED, Commands, check_output, natural, positive, stop_on_signal

EXECUTORS = ("local", "processes", "dask")


def add_commands(commands: Commands) -> None:
    """Declare the commands of this file."""
    campaign = commands.group("campaign", "many simulated fits from one description, in one table")
    names = campaign.add("list", _list, "the packaged campaigns")
    names.set_defaults(size=None)
    preview = campaign.add("preview", _preview, "what a campaign will cost: runs, compile groups, seconds, bytes")
    _add_description(preview)
    preview.add_argument("--fast", action="store_true", help="plan only: nothing is compiled or timed")
    preview.add_argument("--workers", type=positive, default=1, metavar="N", help="predict for so many workers")
    run = campaign.add("run", _run, "run a campaign, or what is missing of it, and write its table")
    _add_description(run)
    run.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: experiments/NAME")
    run.add_argument("--update", action="store_true", help="take over another campaign's folder, or a damaged one")
    _add_executor(run)
    resume = campaign.add("resume", _resume, "do what is missing of an experiment: what is absent, damaged or failed")
    resume.add_argument("experiment", type=Path, metavar="DIR")
    _add_executor(resume)
    table = campaign.add("table", _table, "write the table of an experiment from its runs")
    table.add_argument("experiment", type=Path, metavar="DIR")
    table.add_argument("-o", "--output", type=Path, metavar="FILE", help=".parquet or .csv; default: in DIR")


def _add_description(command: argparse.ArgumentParser) -> None:
    command.add_argument("campaign", metavar="NAME|FILE", help="a packaged campaign, or a YAML file")
    command.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="override of the model")
    command.add_argument("--seed", type=natural, metavar="N", help="seed of the noise, over the campaign's own")
    size = command.add_mutually_exclusive_group()
    size.add_argument("--small", dest="size", action="store_const", const="small", help="(default, where there is one)")
    size.add_argument("--full", dest="size", action="store_const", const="full", help="the full size")


def _add_executor(command: argparse.ArgumentParser) -> None:
    command.add_argument("--executor", choices=EXECUTORS, help="default: as the campaign says, else local")
    command.add_argument("--workers", type=positive, metavar="N", help="processes, or workers of a Dask cluster")
    command.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that is there: tcp://host:8786")
    command.add_argument("--timeout", type=_seconds, metavar="SECONDS",
                         help="longest time of one batch (default: an hour, and ten minutes a run)")  # fmt: skip


def _seconds(text: str) -> float:
    """A time above zero; `inf` for none."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected seconds above zero, or inf, got {text}")
    return value


def _list(arguments: argparse.Namespace, console: Any) -> int:
    from ._console import plain_table
    from .campaigns import Campaign, campaign_names

    docs = {name: str(Campaign.read(name).values["doc"]) for name in campaign_names()}
    console.result(docs, lambda: plain_table(("campaign", "kind"), list(docs.items())))
    return DONE


def _campaign(arguments: argparse.Namespace) -> Any:
    """What the file says, and over it the options."""
    from .campaigns import Campaign
    from .campaigns.campaign import how_to_change
    from .config.settings import assignment

    campaign = Campaign.read(arguments.campaign, arguments.size)
    overrides = {path: value for text in arguments.set for path, value in assignment(text).items()}
    options = {path: f"--set {path}" for path in overrides}
    options |= {} if arguments.seed is None else {"seed": f"--seed {arguments.seed}"}
    for name, option in options.items():
        if name in campaign.settings:
            raise ValueError(f"{option}: this campaign varies it. {how_to_change(name)}")
    return campaign.changed(overrides, arguments.seed) if overrides or arguments.seed is not None else campaign


def _preview(arguments: argparse.Namespace, console: Any) -> int:
    from .campaigns import preview

    found = preview(_campaign(arguments), measure=not arguments.fast)
    seconds = found.seconds_with(arguments.workers)
    data = found._asdict() | {"groups": [group._asdict() for group in found.groups], "workers": arguments.workers,
                              "seconds": seconds}  # fmt: skip
    console.result(data, lambda: "\n".join(_preview_lines(found, seconds, arguments.workers)))
    return DONE


def _preview_lines(found: Any, seconds: float | None, workers: int) -> Iterator[str]:
    varied = ", ".join(f"{name} ({count})" for name, count in found.settings.items()) or "nothing"
    yield f"{found.name}, {found.size}: {found.runs} runs, {len(found.groups)} compile groups; varies: {varied}"
    for group in found.groups:
        cost = "" if group.fit_seconds is None else f"; about {group.fit_seconds:.2g} s a fit"
        yield (
            f"  {group.runs} runs of {group.dim} parameters on {group.npix} x {group.npix} pixels, {group.batch} side "
            f"by side{cost}"
        )
    time = "" if seconds is None else f"about {_duration(seconds)} with {workers} worker{'s'[: workers - 1]}, "
    yield f"{time}about {found.bytes / 1e6:.3g} MB on disk"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _run(arguments: argparse.Namespace, console: Any) -> int:
    from .campaigns import Experiment

    campaign = _campaign(arguments)
    folder = arguments.output
    if folder is None:
        folder = Path("experiments") / campaign.name
        folder.parent.mkdir(exist_ok=True)
    executor = _executor(arguments, campaign)
    return _carried_out(arguments, console, Experiment.create(campaign, folder, arguments.update), executor)


def _resume(arguments: argparse.Namespace, console: Any) -> int:
    from .campaigns import Experiment

    experiment = Experiment.open(arguments.experiment)
    return _carried_out(arguments, console, experiment, _executor(arguments, experiment.campaign))


def _executor(arguments: argparse.Namespace, campaign: Any) -> Any:
    """What the campaign's file says, and over it the options."""
    from .campaigns import executor_of

    given = dict(campaign.values["executor"])
    name = arguments.executor or ("dask" if arguments.scheduler else given.get("name", "local"))
    kept = given if given.get("name", "local") == name else {}
    options = {"workers": arguments.workers, "address": arguments.scheduler, "timeout_s": arguments.timeout}
    return executor_of(kept | {"name": name} | {key: value for key, value in options.items() if value is not None})


def _carried_out(arguments: argparse.Namespace, console: Any, experiment: Any, executor: Any) -> int:
    from .campaigns import resume_campaign
    from .campaigns.table import default_table

    with _meter(console, experiment) as meter, stop_on_signal() as should_stop:
        found = resume_campaign(experiment, executor, on_progress=meter, should_stop=should_stop)
    table = default_table(experiment.folder)
    data = {"experiment": str(experiment.folder), "table": str(table), **found._asdict(), "left": found.left}
    console.result(data, lambda: f"{experiment.folder}: {_state(found)}\ntable in {table}")
    if found.left:
        console.say(f"go on with: dluxshera campaign resume {experiment.folder}")
        return INTERRUPTED
    if found.failed:
        console.warn(f"{found.failed} runs failed; the last: {found.message}")
    return FAILED if found.failed else DONE


def _state(found: Any) -> str:
    parts = {"done": found.done, "there before": found.there, "failed": found.failed, "left": found.left}
    counts = ", ".join(f"{count} {name}" for name, count in parts.items() if count)
    return f"{counts or 'nothing to do'}, of {found.total} runs, in {_duration(found.seconds)}"


@contextlib.contextmanager
def _meter(console: Any, experiment: Any) -> Iterator[Callable[[Any], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    hidden = console.quiet or not console.err.is_terminal
    with Progress(*columns, console=console.err, disable=hidden, transient=True) as bar:
        task = bar.add_task(experiment.manifest["name"], total=len(experiment.rows))

        def show(progress: Any) -> None:
            failed = f"  {progress.failed} failed" if progress.failed else ""
            done = progress.there + progress.done + progress.failed
            bar.update(task, completed=done, description=f"{experiment.manifest['name']}{failed}")

        yield show


def _table(arguments: argparse.Namespace, console: Any) -> int:
    from .campaigns import Experiment, write_table
    from .campaigns.table import check_table, default_table

    experiment = Experiment.open(arguments.experiment)
    if arguments.output is not None:
        check_table(arguments.output)
        check_output(arguments.output, overwrite=True)
    columns = experiment.table()
    path = write_table(columns, arguments.output or default_table(experiment.folder))
    counts = {status: columns["status"].count(status) for status in dict.fromkeys(columns["status"])}
    facts = {"table": str(path), "rows": len(experiment.rows), "columns": list(columns), "status": counts}
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    console.result(facts, lambda: f"{path}: {len(experiment.rows)} rows of {len(columns)} columns; {said}")
    return DONE
