"""What the commands share: option types, groups of options, refusals before any work, and signals."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
FIGURES = (".png", ".pdf", ".svg")


class Parser(argparse.ArgumentParser):
    """Reports a wrong usage in one line."""

    def error(self, message: str) -> None:
        self.exit(BAD_INPUT, f"{self.prog}: {message}. Try --help.\n")


class Commands:
    """The commands of a parser; every one takes `--quiet` and `--json`.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    """

    def __init__(self, parser: argparse.ArgumentParser):
        self._add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
        self._common = argparse.ArgumentParser(add_help=False)
        self._common.add_argument("--quiet", action="store_true", help="no progress, remarks or warnings")
        self._common.add_argument("--json", action="store_true", help="the result as JSON on standard output")

    def add(self, name: str, run: Callable, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Parser of a new command, which `run(arguments, console)` carries out."""
        sub = self._add(name, parents=[self._common, *parents], help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    def group(self, name: str, text: str) -> "Commands":
        """Commands under a common first word."""
        return Commands(self._add(name, help=text, description=text))


def building() -> argparse.ArgumentParser:
    """Options of commands that build a model."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--set", action="append", default=[], metavar="PATH=VALUE",
                         help="override, with or without a unit: detector.pixel_pitch=4.6um")  # fmt: skip
    options.add_argument("--config", type=Path, metavar="FILE.yaml", help="keys: profile, overrides, theta, engine")
    options.add_argument("--target", metavar="NAME", help='a binary star, for example "61 Cyg"')
    options.add_argument("--seed", type=natural, default=0, metavar="N", help="seed of the noise (default 0)")
    return options


def natural(text: str) -> int:
    """A whole number of zero or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of zero or more, got {text}")
    return value


def positive(text: str) -> int:
    """A whole number of one or more."""
    if natural(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of one or more, got {text}")
    return int(text)


def name_or_number(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def profile_of(arguments: argparse.Namespace, extra: dict[str, Any] | None = None) -> Any:
    """The profile that the options name: config file, then command line; `extra` gives way to both."""
    from .config.settings import read_settings

    return read_settings(getattr(arguments, "profile", None), arguments.config, arguments.set, extra, arguments.target)


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that could not be written, before any work is done."""
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: the folder {path.absolute().parent} does not exist. Make it first.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: exists already. Choose another name, or give --overwrite.")


def check_figure(path: Path | None) -> None:
    """Refuse the file of a figure that could not be written, before any work is done."""
    if path is None:
        return
    if path.suffix.lower() not in FIGURES:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(FIGURES)}, to write a figure to.")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder. Choose another name for the figure.")
    check_output(path, overwrite=True)


def check_folder(path: Path) -> None:
    """Refuse a folder for several files that could not be made, before any work is done."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: expected a folder, got a file. Choose another name.")
    check_output(path, overwrite=True)


def check_run(run_dir: Path, overwrite: bool) -> None:
    """Refuse a run directory that could not be written; only an empty folder or a run is ever replaced."""
    from .inference._artifact_schema import check_folder_name

    check_folder_name(run_dir.absolute().name)
    empty = run_dir.is_dir() and not any(run_dir.iterdir())
    check_output(run_dir, overwrite or empty)
    if run_dir.exists() and not (empty or (run_dir / "MANIFEST.json").is_file()):
        raise ValueError(f"{run_dir}: exists and is not a run directory. Choose another name.")


def write_npz(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays by name to a file, whole or not at all."""
    import os

    import numpy as np

    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "wb") as stream:
            np.savez(stream, **arrays)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


class stop_on_signal:  # noqa: N801 - a context manager, used like a function
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
