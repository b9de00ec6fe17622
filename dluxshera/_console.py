"""What the command line shows: messages, progress and tables. Results go to stdout, everything else to stderr."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .inference._artifact_json import encode_json
from .inference.format_values import format_table

TABLE_WIDTH = 150


class Console:
    """Where a command writes; `quiet` leaves errors and results only, `as_json` makes results JSON."""

    def __init__(self, quiet: bool, as_json: bool):
        from rich.console import Console as RichConsole

        self.quiet, self.as_json = quiet, as_json
        self.out = RichConsole(highlight=False)
        self.out.width = max(self.out.width, TABLE_WIDTH)  # a narrower terminal wraps; a file keeps everything
        self.err = RichConsole(stderr=True, soft_wrap=True, highlight=False)

    def say(self, text: str) -> None:
        """A line about what is going on."""
        if not self.quiet:
            self.err.print(text, markup=False)

    def warn(self, text: str) -> None:
        """A line about what may be wrong with a result."""
        if not self.quiet:
            self.err.print(f"warning: {text}", markup=False)

    def result(self, data: Any, show: Callable[[], Any], *, whole_lines: bool = False) -> None:
        """The result of a command: `data` as JSON, or whatever `show()` makes for people; lines cut, unless whole."""
        if self.as_json:
            sys.stdout.write(encode_json(data, "result").decode())
        else:
            self.out.print(show(), soft_wrap=whole_lines)

    def document(self, data: Any) -> None:
        """Data that is JSON in any case."""
        sys.stdout.write(encode_json(data, "result").decode())

    def show_warning(self, message, category, filename, lineno, file=None, line=None) -> None:
        """One line for a warning, in place of Python's two with a file name."""
        self.warn(str(message))

    @contextlib.contextmanager
    def plain_warnings(self) -> Iterator[None]:
        """Show each distinct warning once, in this console's way."""
        with warnings.catch_warnings():
            warnings.simplefilter("once")
            warnings.showwarning = self.show_warning
            yield

    @contextlib.contextmanager
    def progress(self, max_steps: int | None) -> Iterator[Callable[[Any], None]]:
        """Give an `on_step` for `fit` that shows steps, loss and the step's length, in the engine's metric."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(
            *columns, console=self.err, disable=self.quiet or not self.err.is_terminal, transient=True
        ) as bar:
            task = bar.add_task("compiling")
            of = "" if max_steps is None else f"/{max_steps}"

            def on_step(state) -> None:
                text = f"step {int(state.step)}{of}  loss {float(state.loss):.6g}  "
                bar.update(task, description=text + f"step length {float(state.step_norm):.2g}")

            yield on_step

    @contextlib.contextmanager
    def epochs(self, seconds: float | None, epochs: int | None) -> Iterator[Callable[[Any], None]]:
        """Give an `on_epoch` for a reconstruction that shows epochs, seconds, deviance and loss."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(
            *columns, console=self.err, disable=self.quiet or not self.err.is_terminal, transient=True
        ) as bar:
            task = bar.add_task("compiling")

            def on_epoch(progress: Any) -> None:
                history = progress.history
                spent, done = history["seconds"][-1], len(history["loss"]) - 1
                of = "" if epochs is None else f"/{epochs} epochs"
                limit = f"{spent:.0f} s{of}" if seconds is None else f"{spent:.0f}/{seconds:g} s"
                text = f"{limit}  epoch {done}  deviance {history['deviance'][-1]:.4f}"
                bar.update(task, description=text)

            yield on_epoch


def parameter_table(rows: list[dict[str, Any]]) -> Any:
    """Rich table of a fit: estimate, sigma, Cramér-Rao bound, start and, where known, truth and pull."""
    header, *body = format_table(rows)
    return plain_table(header, body)


def plain_table(header: Sequence[str], body: Sequence[Sequence[str]], title: str | None = None) -> Any:
    """Rich table without rules: words to the left, numbers to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for i, head in enumerate(header):
        words = i == 0 or head in ("unit", "kind")
        table.add_column(head, justify="left" if words else "right", no_wrap=True)
    for cells in body:
        table.add_row(*cells)
    return table
