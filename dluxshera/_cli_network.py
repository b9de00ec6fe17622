"""Networks on the command line: ptycho train, infer, study."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ._cli_options import (
    DONE,
    FAILED,
    INTERRUPTED,
    Commands,
    check_folder,
    check_output,
    check_run,
    natural,
    positive,
    stop_on_signal,
)

LOSSES = ("poisson", "mae", "squared")


def add_commands(group: Commands, add_scan: Any) -> None:
    """Declare the commands of this file in the group `ptycho`; `add_scan` declares the options of a scan file."""
    train = group.add("train", _train, "train a network on the counts of a scan, without its object")
    add_scan(train)
    train.add_argument("-o", "--output", type=Path, required=True, metavar="RUN")
    _add_network(train)
    _add_training(train)
    infer = group.add("infer", _infer, "find the object of a scan by a trained network")
    add_scan(infer)
    infer.add_argument("--bundle", type=Path, required=True, metavar="RUN", help="run of a training, or bundle.npz")
    infer.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="run directory, or a .npz file")
    infer.add_argument("--groups", type=positive, metavar="N", help="default: one for each pattern")
    infer.add_argument("--neighbours", type=positive, metavar="K", help="default: as in the training")
    infer.add_argument("--batch", type=positive, default=32, metavar="N", help="groups at a time (default 32)")
    infer.add_argument("--rescale", type=float, metavar="NUMBER", help="multiply the object; recorded")
    infer.add_argument("--seed", type=natural, default=0, metavar="N", help="of the groups")
    infer.add_argument("--overwrite", action="store_true", help="replace an existing run or file")
    study = group.add("study", _study, "train, infer and judge at several doses and with several losses")
    study.add_argument("config", type=Path, nargs="?", metavar="CONFIG", help="YAML; the full study by default")
    study.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="new, or that of the same study")
    study.add_argument("--small", action="store_true", help="one seed, two doses, two losses: minutes")
    study.add_argument("--squared", action="store_true", help="with --small: the squared amplitude error, too")
    study.add_argument("--sweep", action="store_true", help="many doses, beside iterations and the Cramér-Rao bound")
    study.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (default: this one)")
    debug = group.add("debug", _debug, "train networks that differ in one thing: scan, gridsize, probe, groups, inputs")
    debug.add_argument(
        "config", type=Path, nargs="?", metavar="CONFIG", help="YAML of a study; the small one by default"
    )
    debug.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    debug.add_argument("--only", action="append", metavar="NAME", help="one comparison; may be given again")


def _add_network(command: argparse.ArgumentParser) -> None:
    """Options of the architecture; None where not given, so that those of --start can be told apart."""
    command.add_argument("--gridsize", type=positive, metavar="G", help="G x G patterns in a group (default 2)")
    command.add_argument("--width", type=float, metavar="F", help="factor of the filters (default 1)")
    command.add_argument("--support", type=positive, metavar="N", help="side of a patch (default: half a window)")
    command.add_argument("--inputs", choices=("field", "amplitude"),
                         help="sweeps over a group's counts (default), or the root of the counts as it is")  # fmt: skip
    command.add_argument("--sweeps", type=natural, metavar="K", help="of field inputs (default 4)")
    command.add_argument(
        "--activation", choices=("relu", "leaky_relu", "silu", "gelu"), help="of its layers (default silu)"
    )
    command.add_argument("--normalisation", choices=("none", "channel", "group"), help="of its layers (default none)")
    command.add_argument("--real", action="store_true", default=None, help="the object has no phase")


def _add_training(command: argparse.ArgumentParser) -> None:
    """Options of the training; None where not given: those of --start, else those of the library."""
    command.add_argument("--loss", choices=LOSSES, help="default poisson")
    command.add_argument("--tv", type=float, metavar="WEIGHT", help="of the total variation (default 0)")
    command.add_argument("--epochs", type=positive, metavar="N", help="default 50")
    command.add_argument("--batch", type=positive, metavar="N", help="groups in a minibatch (default 16)")
    command.add_argument("--groups", type=positive, metavar="N", help="default, and at most: one for each pattern")
    command.add_argument("--neighbours", type=positive, metavar="K", help="to draw members from (default 4)")
    command.add_argument("--rate", type=float, metavar="R", help="of Adam (default 0.001)")
    command.add_argument("--validation", type=float, metavar="F", help="share of the groups (default 0.05)")
    command.add_argument("--stop-after", type=natural, metavar="N",
                         help="epochs without a better validation loss (default: never)")  # fmt: skip
    command.add_argument("--start", type=Path, metavar="RUN",
                         help="fine-tune this bundle: its network is kept, its settings are the defaults")  # fmt: skip
    command.add_argument("--seed", type=natural, metavar="N", help="of groups, split, weights and order (default 0)")
    command.add_argument("--overwrite", action="store_true", help="replace an existing run")


def _train(arguments: argparse.Namespace, console: Any) -> int:
    from ._cli_ptycho import _read as read
    from .config.network_runs import train_to_run
    from .ptychography.network import load_bundle

    check_run(arguments.output, arguments.overwrite)
    start = None if arguments.start is None else load_bundle(arguments.start)
    data = read(arguments)
    settings = _settings(arguments, data, start)
    with stop_on_signal() as should_stop:
        found = train_to_run(
            arguments.output,
            data,
            settings,
            start=start,
            overwrite=arguments.overwrite,
            on_epoch=_meter(console, settings.epochs),
            should_stop=should_stop,
        )
    return _concluded(console, found, arguments.output)


def resume(run_dir: Path, epochs: int | None, console: Any) -> int:
    """Go on with the training of a run directory; the rest of `dluxshera resume`."""
    from .config.network_runs import resume_training

    with stop_on_signal() as should_stop:
        found = resume_training(run_dir, epochs=epochs, on_epoch=_meter(console, epochs), should_stop=should_stop)
    return _concluded(console, found, run_dir)


def _settings(arguments: argparse.Namespace, data: Any, start: Any) -> Any:
    """What the options ask for; where they do not, the settings of the start, else the library's defaults."""
    from .ptychography.network import Architecture, TrainingSettings

    asked = _given(arguments, ("gridsize", "width", "support", "inputs", "sweeps", "activation", "normalisation"))
    asked |= {} if arguments.real is None else {"with_phase": False}
    if start is None:
        base = TrainingSettings(Architecture(npix=data.npix, **asked))
    else:
        base = start.settings
        _check_same_network(asked, base.architecture, arguments.start)
        base = dataclasses.replace(base, groups=None if base.groups is None else min(base.groups, len(data)))
    given = _given(arguments, ("groups", "neighbours", "epochs", "batch", "rate", "validation", "stop_after", "seed"))
    given["least_rate"] = min(base.least_rate, given.get("rate", base.rate))
    return dataclasses.replace(base, loss=_loss(arguments, base.loss), **given)


def _given(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _check_same_network(asked: dict[str, Any], architecture: Any, start: Path | None) -> None:
    """Refuse options that contradict the network of a start."""
    for name, value in asked.items():
        kept = getattr(architecture, "side" if name == "support" else name)
        if value != kept:
            option = "--real" if name == "with_phase" else f"--{name}"
            kept, got = ("objects with a phase", "real ones") if name == "with_phase" else (kept, value)
            raise ValueError(f"{option}: expected {kept}, as in the network of {start}, got {got}. Leave it out.")


def _loss(arguments: argparse.Namespace, base: Any) -> Any:
    loss = base if arguments.loss is None else type(base).named(arguments.loss, base.tv)
    return loss if arguments.tv is None else dataclasses.replace(loss, tv=arguments.tv)


def _meter(console: Any, epochs: int | None) -> Any:
    def show(state: Any) -> None:
        if state.epochs:
            last = {name: values[-1] for name, values in state.history.items()}
            of = "" if epochs is None else f"/{epochs}"
            console.say(
                f"epoch {state.epochs}{of}: loss {last['train_loss']:.5g}, validation {last['val_loss']:.5g}, "
                f"scale {last['scale']:.4f}, rate {last['learning_rate']:.2g}, dead {last['dead_fraction']:.0%}, "
                f"{last['seconds']:.3g} s"
            )

    return show


def _concluded(console: Any, found: Any, run_dir: Path) -> int:
    """Write the report of a training, show what it came to, and give its exit code."""
    from ._cli_ptycho import _table as table
    from ._report import write_report

    page, state = write_report(run_dir), found.state
    facts = {"run": str(run_dir), "result": found.result, "message": found.message, **found.bundle.facts,
             "nonfinite": state.nonfinite, "report": str(page)}  # fmt: skip
    console.result(facts, lambda: table(facts))
    return {"interrupted": INTERRUPTED, "nonfinite": FAILED}.get(found.result, DONE)


def _infer(arguments: argparse.Namespace, console: Any) -> int:
    from ._cli_ptycho import _read as read
    from ._cli_ptycho import _table as table
    from .config.inferred_runs import save_inferred
    from .ptychography.network import infer, load_bundle

    is_file = arguments.output.suffix == ".npz"
    (check_output if is_file else check_run)(arguments.output, arguments.overwrite)
    bundle, data = load_bundle(arguments.bundle), read(arguments)
    names = ("groups", "neighbours", "seed", "batch", "rescale")
    found = infer(bundle, data, **{name: getattr(arguments, name) for name in names})
    if is_file:
        found.reconstruction.write(arguments.output, overwrite=arguments.overwrite)
    else:
        save_inferred(arguments.output, found, data, bundle, overwrite=arguments.overwrite)
    facts = {"output": str(arguments.output), "deviance": found.reconstruction.deviance, **found.facts}
    console.result(facts, lambda: table(facts))
    return DONE


def _study(arguments: argparse.Namespace, console: Any) -> int:
    from ._cli_ptycho import _table as table
    from ._network_study import carry_out
    from ._network_sweep import dose_sweep

    study = _study_settings(arguments)
    calls = {"say": console.say}
    with stop_on_signal() as should_stop:
        if arguments.sweep:
            facts = dose_sweep(study, arguments.output, should_stop=should_stop, **calls)
        else:
            facts = carry_out(study, arguments.output, workers=arguments.workers, should_stop=should_stop, **calls)
    console.result(facts, lambda: table(facts))
    return INTERRUPTED if facts["left"] else FAILED if facts["failed"] else DONE


def _study_settings(arguments: argparse.Namespace) -> Any:
    from ._network_sweep import DOSES
    from .config.dose_study import FULL, SMALL, DoseStudy

    if arguments.small and arguments.config is not None:
        raise ValueError("Expected CONFIG or --small, got both. Leave one out.")
    if arguments.sweep and arguments.workers > 1:
        raise ValueError("Expected --sweep or --workers, got both. Leave one out.")
    check_folder(arguments.output)
    study = SMALL if arguments.small else FULL if arguments.config is None else DoseStudy.read(arguments.config)
    if arguments.sweep and arguments.config is None:
        study = dataclasses.replace(study, doses=DOSES, losses=study.losses[:1])
    if arguments.squared and "squared" not in study.losses:
        study = dataclasses.replace(study, losses=(*study.losses, "squared"))
    return study


def _debug(arguments: argparse.Namespace, console: Any) -> int:
    from ._cli_ptycho import _table as table
    from ._network_debug import COMPARISONS, debugging_study
    from .config.dose_study import SMALL, DoseStudy

    check_folder(arguments.output)
    base = SMALL if arguments.config is None else DoseStudy.read(arguments.config)
    names = tuple(COMPARISONS) if arguments.only is None else tuple(arguments.only)
    with stop_on_signal() as should_stop:
        record = debugging_study(base, arguments.output, names, say=console.say, should_stop=should_stop)
    console.result(record, lambda: table(record))
    return INTERRUPTED if record["left"] else DONE
