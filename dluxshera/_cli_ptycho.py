"""Ptychography on the command line: simulate, info, reconstruct, judge, diagnose; the networks of `_cli_network`."""

import argparse
from pathlib import Path
from typing import Any

from . import _cli_network
from ._cli_options import (
    DONE,
    FAILED,
    INTERRUPTED,
    Commands,
    check_figure,
    check_folder,
    check_output,
    check_run,
    natural,
    positive,
    stop_on_signal,
)

OBJECTS = ("lines", "phase", "mixed")
SCANS = ("nongrid", "raster", "spiral")
LIKELIHOODS = ("poisson", "amplitude")
DEFAULT_MODES, DEFAULT_SECONDS = 2, 60.0


def add_commands(commands: Commands) -> None:
    """Declare the commands of this file."""
    group = commands.group("ptycho", "scanning coherent diffraction: simulate, reconstruct, train, infer, judge")
    _add_simulate(group)
    info = group.add("info", _info, "what a scan file holds")
    _add_scan(info)
    info.add_argument("--plot", type=Path, metavar="FILE", help="mean pattern, positions and probe (.png, .pdf, .svg)")
    _add_reconstruct(group)
    judge = group.add("judge", _judge, "compare a reconstruction with the truth in its data, or halves of the scan")
    judge.add_argument("run_dir", type=Path, metavar="RUN")
    judge.add_argument("--halves", action="store_true", help="of the scan, even where its data hold an object: a guess")
    judge.add_argument("--rescale", metavar="best|NUMBER", help="multiply the object before judging; recorded")
    judge.add_argument(
        "--epochs", type=positive, default=60, metavar="N", help="for each half, where no truth is known"
    )
    judge.add_argument("--plot", type=Path, metavar="FILE", help="object beside the truth, or ring correlation")
    diagnose = group.add("diagnose", _diagnose, "why a reconstruction goes wrong: tables, JSON and pictures")
    _add_scan(diagnose, "FILE|RUN", "scan file, as for info, or a run directory")
    diagnose.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the pictures and JSON")
    diagnose.add_argument("--gridsize", type=positive, default=2, metavar="G", help="G x G patterns in a group")
    diagnose.add_argument("--neighbours", type=positive, default=7, metavar="K", help="to choose group members from")
    diagnose.add_argument("--groups", type=positive, metavar="N", help="groups asked for (default: all there can be)")
    diagnose.add_argument("--canvas", type=positive, metavar="SIDE", help="nominal canvas to compare with, pixels")
    diagnose.add_argument("--seed", type=natural, default=0, metavar="N")
    _cli_network.add_commands(group, _add_scan)


def _add_scan(
    command: argparse.ArgumentParser, metavar: str = "FILE", text: str = ".npz, .cxi, .h5, .hdf5 or .nxs"
) -> None:
    command.add_argument("scan", type=Path, metavar=metavar, help=text)
    command.add_argument("--dc", choices=("centre", "corner"), default="centre", help="where the zero frequency is")
    command.add_argument("--find-bad", action="store_true", help="mask gaps, dead and hot pixels that can be found")
    command.add_argument("--drop-empty", action="store_true", help="leave out patterns without a count")
    command.add_argument("--photons", type=float, metavar="N", help="per pattern, where amplitudes do not say")


def _add_simulate(group: Commands) -> None:
    simulate = group.add("simulate", _simulate, "make a scan with noise")
    simulate.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=".npz, .cxi, .h5")
    simulate.add_argument("--object", default="lines", metavar="KIND|IMAGE", help=f"{', '.join(OBJECTS)}, or a picture")
    simulate.add_argument("--scan", choices=SCANS, default="nongrid")
    simulate.add_argument("--photons", type=float, default=1e9, metavar="N", help="mean per pattern (default 1e9)")
    simulate.add_argument("--number", type=positive, default=600, metavar="N", help="patterns (default 600)")
    simulate.add_argument("--step", type=float, default=6.0, metavar="PIXELS", help="of a raster (default 6)")
    simulate.add_argument("--npix", type=positive, default=64, metavar="N", help="pixels of a pattern (default 64)")
    simulate.add_argument("--size", type=positive, default=192, metavar="N", help="pixels of the object (default 192)")
    simulate.add_argument("--margin", type=float, default=15.0, metavar="PIXELS", help="about the scan (default 15)")
    simulate.add_argument("--background", type=float, metavar="N", help="photons per pixel")
    simulate.add_argument("--independent", action="store_true", help="a finer object grid and Fourier shifts")
    simulate.add_argument("--amplitudes", action="store_true", help="dose-normalised amplitudes in place of counts")
    simulate.add_argument("--seed", type=natural, default=0, metavar="N", help="of object, trajectory and noise")
    simulate.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _add_reconstruct(group: Commands) -> None:
    command = group.add("reconstruct", _reconstruct, "find the object of a scan")
    _add_scan(command)
    command.add_argument("-o", "--output", type=Path, required=True, metavar="RUN")
    command.add_argument("--modes", type=positive, default=DEFAULT_MODES, metavar="M",
                         help=f"incoherent modes of the probe (default {DEFAULT_MODES})")  # fmt: skip
    command.add_argument("--refine", metavar="LIST", help="some of probe,positions,background (default all), or none")
    command.add_argument("--likelihood", choices=LIKELIHOODS, default="poisson")
    command.add_argument("--time", type=float, metavar="SECONDS",
                         help=f"of optimisation, besides compilation (default {DEFAULT_SECONDS:g})")  # fmt: skip
    command.add_argument("--epochs", type=positive, metavar="N", help="passes through the data, in place of --time")
    command.add_argument("--hold-out", type=float, default=0.0, metavar="F", help="fraction of pixels not fitted")
    command.add_argument("--tv", type=float, metavar="WEIGHT", help="of the object's total variation (default 0.1)")
    command.add_argument("--batch", type=positive, default=16, metavar="N", help="patterns in a minibatch (default 16)")
    command.add_argument("--from-object", action="store_true",
                         help="begin with the object in the file; of a simulation that is the truth")  # fmt: skip
    command.add_argument("--seed", type=natural, default=0, metavar="N", help="of the order of the patterns")
    command.add_argument("--overwrite", action="store_true", help="replace an existing run")


def _door(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `read_scan` is asked for besides the file."""
    return {name: getattr(arguments, name) for name in ("dc", "find_bad", "drop_empty", "photons")}


def _read(arguments: argparse.Namespace) -> Any:
    from .ptychography import read_scan

    return read_scan(arguments.scan, **_door(arguments))


def _table(record: dict[str, Any], title: str | None = None) -> Any:
    from ._console import plain_table
    from .ptychography import table_rows

    return plain_table(("quantity", "value"), table_rows(record), title)


def _simulate(arguments: argparse.Namespace, console: Any) -> int:
    from .ptychography import make_scan, scan_facts, write_scan
    from .ptychography.scan_files import check_format

    check_output(arguments.output, arguments.overwrite)
    check_format(arguments.output, arguments.amplitudes)
    options = {"background": arguments.background, "independent": arguments.independent}
    data = make_scan(
        arguments.object if arguments.object in OBJECTS else _picture(Path(arguments.object)),
        size=arguments.size,
        npix=arguments.npix,
        scan=arguments.scan,
        number=arguments.number,
        step=arguments.step,
        margin=arguments.margin,
        photons=arguments.photons,
        seed=arguments.seed,
        **options,
    )
    write_scan(arguments.output, data, overwrite=arguments.overwrite, amplitudes=arguments.amplitudes)
    facts = {"file": str(arguments.output), **scan_facts(data)}
    console.result(facts, lambda: _table(facts))
    return DONE


def _picture(path: Path) -> Any:
    """A complex array as it is, a picture as the amplitude of an object."""
    import numpy as np

    from .plotting.pictures import read_picture
    from .ptychography import ScanError, image_object

    if not path.is_file():
        raise ValueError(f"--object {path}: expected {', '.join(OBJECTS)}, or the file of a picture (or .npy).")
    pixels = read_picture(path)
    if np.iscomplexobj(pixels):
        return pixels
    try:
        return image_object(pixels)
    except ScanError as error:
        raise ValueError(f"--object {path}: {error}") from error


def _info(arguments: argparse.Namespace, console: Any) -> int:
    from .ptychography import info

    check_figure(arguments.plot)
    data = _read(arguments)
    record = info(data)
    if arguments.plot is not None:
        from .plotting.ptychography import plot_scan

        plot_scan(data.mean_pattern, data.positions, data.probe).savefig(arguments.plot, dpi=150)
    console.result(record, lambda: _table(record))
    return DONE


def _refined(text: str | None) -> tuple[str, ...]:
    from .ptychography.reconstruct import REFINED

    if text is None:
        return REFINED
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return () if names in ((), ("none",)) else names


def _reconstruct(arguments: argparse.Namespace, console: Any) -> int:
    from .config.scan_run_writer import reconstruct_to_run

    check_run(arguments.output, arguments.overwrite)
    if arguments.time is not None and arguments.epochs is not None:
        raise ValueError("Expected --time or --epochs, got both. Leave one out.")
    data = _read(arguments)
    seconds = DEFAULT_SECONDS if arguments.time is None else arguments.time
    seconds = None if arguments.epochs is not None else seconds
    with console.epochs(seconds, arguments.epochs) as on_epoch, stop_on_signal() as should_stop:
        found = reconstruct_to_run(
            arguments.output,
            data,
            arguments.modes,
            _refined(arguments.refine),
            arguments.likelihood,
            seconds=seconds,
            epochs=arguments.epochs,
            seed=arguments.seed,
            hold_out=arguments.hold_out,
            **_penalties(arguments.tv),
            batch=arguments.batch,
            from_object=arguments.from_object,
            overwrite=arguments.overwrite,
            on_epoch=on_epoch,
            should_stop=should_stop,
        )
    return _conclude(console, found, arguments.output)


def resume(run_dir: Path, epochs: int | None, console: Any) -> int:
    """Go on with the reconstruction of a run directory; the rest of `dluxshera resume`."""
    from .config.scan_run_writer import resume_reconstruction

    with console.epochs(None, epochs) as on_epoch, stop_on_signal() as should_stop:
        found = resume_reconstruction(run_dir, epochs=epochs, on_epoch=on_epoch, should_stop=should_stop)
    return _conclude(console, found, run_dir)


def _conclude(console: Any, found: Any, run_dir: Path) -> int:
    """Write the report of a reconstruction, show what it came to, and give its exit code."""
    from ._report import write_report

    page, interrupted, failure = write_report(run_dir), found.facts["interrupted"], found.facts["failure"]
    facts = {"run": str(run_dir), "deviance": found.deviance, "held_out_deviance": found.held_out_deviance,
             "epochs": len(found.history["loss"]) - 1, "optimisation_s": float(found.history["seconds"][-1]),
             "report": str(page), "interrupted": interrupted, "failure": failure}  # fmt: skip
    console.result(facts, lambda: _table(facts))
    return INTERRUPTED if interrupted else FAILED if failure else DONE


def _penalties(total_variation: float | None) -> dict[str, float]:
    if total_variation is not None and not 0 <= total_variation < float("inf"):
        raise ValueError(f"--tv: expected a weight of zero or more, got {total_variation:g}.")
    return {} if total_variation is None else {"total_variation": total_variation}


def _judge(arguments: argparse.Namespace, console: Any) -> int:
    from .config.scan_runs import open_scan_run
    from .ptychography import judge_scan

    check_figure(arguments.plot)
    rescale = _rescale(arguments.rescale)
    run = open_scan_run(arguments.run_dir)
    data, found = run.data(), run.reconstruction()
    if data.object is None or arguments.halves:
        return _judge_halves(arguments, console, run, data)
    judgement = judge_scan(data, found.object, found.positions, found.coverage, rescale=rescale)
    if arguments.plot is not None:
        from .plotting.ptychography import plot_judgement

        seen = judgement.registered
        plot_judgement(seen.object, seen.reference, seen.covered).savefig(arguments.plot, dpi=150)
    console.result(judgement.record, lambda: _table(judgement.record))
    return DONE


def _rescale(text: str | None) -> str | float | None:
    try:
        return text if text in (None, "best") else float(text)
    except ValueError:
        raise ValueError(f"--rescale: expected best or a number, got {text!r}.") from None


def _judge_halves(arguments: argparse.Namespace, console: Any, run: Any, data: Any) -> int:
    """Without a truth: each half of the scan by itself, from the settings of the run, and their ring correlation."""
    from .ptychography import Regularisers, half_scans, judge_halves_of, reconstruct

    settings = run.meta["optimizer"]
    if arguments.rescale is not None:
        raise ValueError("--rescale: expected only where the true object is compared with, got halves. Leave it out.")
    console.say("no true object to compare with: reconstructing each half of the scan")
    halves = half_scans(data, settings["seed"])
    same = {name: settings[name] for name in ("modes", "refine", "likelihood", "seed", "batch")}
    penalties = Regularisers(settings["total_variation"])
    found = [reconstruct(half, **same, epochs=arguments.epochs, regularisers=penalties) for half in halves]
    record = judge_halves_of(*found)
    if arguments.plot is not None and record["frc"] is None:
        console.warn(f"{arguments.plot}: not drawn, for no ring has power in both halves")
    elif arguments.plot is not None:
        from .plotting.ptychography import plot_ring_correlation

        curves = {"half against half": record["frc"]}
        plot_ring_correlation(record["frequency"], curves).savefig(arguments.plot, dpi=150)
    console.result(record, lambda: _table(record))
    return DONE


def _diagnose(arguments: argparse.Namespace, console: Any) -> int:
    from ._diagnosis import diagnose

    if arguments.output is not None:
        check_folder(arguments.output)
    record = diagnose(
        arguments.scan,
        _door(arguments),
        gridsize=arguments.gridsize,
        neighbours=arguments.neighbours,
        groups=arguments.groups,
        canvas=arguments.canvas,
        seed=arguments.seed,
        output=arguments.output,
    )
    console.result(record, lambda: _table(record))
    return DONE
