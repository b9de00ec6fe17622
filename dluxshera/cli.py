"""The command line: a thin shell over the package, with imports where they are used."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from . import _cli_campaign, _cli_fit, _cli_inference, _cli_main_job, _cli_ptycho, _cli_runs
from ._cli_options import BAD_INPUT, FAILED, INTERRUPTED, Commands, Parser

_FILES = (_cli_main_job, _cli_fit, _cli_inference, _cli_ptycho, _cli_campaign, _cli_runs)


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
        return _complain("interrupted; what a run had committed before is kept", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away; Python would complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, TypeError, OSError) as error:
        return _complain(str(error), BAD_INPUT)
    except MemoryError as error:
        return _complain(f"out of memory: {error}. Ask for smaller grids, or fewer of them at once.", FAILED)
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


def _parser() -> Parser:
    parser = Parser(prog="dluxshera", description="Model coherent imaging instruments and fit their images.")
    parser.add_argument("--version", action="version", version=_version())
    commands = Commands(parser)
    for file in _FILES:
        file.add_commands(commands)
    return parser
