"""`Campaign`: one description, the rows that it plans, and how they fall into groups and batches."""

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..config import ConfigError
from ..config.settings import engine_of
from ..config.strict_yaml import Document
from ..inference.fit_many import BATCH_NUMBERS
from .axes import assignments
from .cases import Case, canonical, case_of
from .description import described, read_description
from .folders import run_name
from .models import Prepared, prepare

MOST_IN_BATCH = 16  # so that several workers share a small campaign, progress is seen, and little is lost with one


class Row(NamedTuple):
    """One planned run: `content` is the hash of everything that decides it, and names it."""

    run_id: str
    content: str
    group: int
    settings: dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Campaign:
    """What is simulated, what is fitted to it, and what varies; see `Campaign.read` for files.

    Parameters
    ----------
    values : mapping
        The description, by the keys of a campaign's file.
    size : str
        `"small"` or `"full"`: which of the two sections, where there is one, is laid over the rest.
    source : str
        The file that it is from, for messages; the name where there is none.

    Raises
    ------
    ConfigError
        Naming the key at fault.
    """

    values: Mapping[str, Any]
    size: str = "full"
    source: str = ""

    def __post_init__(self):
        where = Document(self.source, {}) if self.source else None
        object.__setattr__(self, "values", described(self.values, self.size, where))
        object.__setattr__(self, "source", self.source or self.values["name"])

    @classmethod
    def read(cls, name_or_path: str | os.PathLike, size: str | None = None) -> "Campaign":
        """Read a packaged campaign by name, or a YAML file.

        Parameters
        ----------
        name_or_path : str or path
        size : str, optional
            `"small"` or `"full"`; by default small where the file has a `small` section.
        """
        return cls(*read_description(name_or_path, size), os.fspath(name_or_path))

    def changed(self, overrides: Mapping[str, Any], seed: int | None = None) -> "Campaign":
        """The same with other values by path, over those of the file, and another seed.

        Parameters
        ----------
        overrides : mapping of str to value
            What varies cannot be overridden: its axis decides.
        seed : int, optional
            The same holds for it.

        Raises
        ------
        ConfigError
            For what varies, and for a path or value that makes no sense.
        """
        for name in (*overrides, *(() if seed is None else ("seed",))):
            if name.removeprefix("theta.") in self.settings:
                raise ConfigError(f"{name}: {self.source} varies it. {how_to_change(name)}")
        values = {"overrides": {**self.values["overrides"], **overrides}}
        return Campaign({**self.values, **values} | ({} if seed is None else {"seed": seed}), self.size, self.source)

    @property
    def name(self) -> str:
        """Name of the campaign and of its experiment."""
        return self.values["name"]

    @functools.cached_property
    def settings(self) -> tuple[str, ...]:
        """Names of what varies."""
        found = (name for row in self._assignments for name in row)
        return tuple(dict.fromkeys(found))

    @functools.cached_property
    def rows(self) -> tuple[Row, ...]:
        """The planned runs; what comes to the same is planned once.

        Raises
        ------
        ConfigError
            If a setting makes no sense, naming it.
        """
        groups: dict[str, int] = {}
        rows: dict[str, Row] = {}
        engines: set[str] = set()
        for settings in self._assignments:
            with self._named():
                case = case_of(self.values, settings)
                _check_engine(case, engines)
            group = groups.setdefault(case.structure, len(groups))
            content = case.content
            rows.setdefault(content, Row(run_name(content), content, group, settings))
        return tuple(rows.values())

    @functools.cached_property
    def _assignments(self) -> list[dict[str, Any]]:
        return assignments(self.values["vary"], self.source)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """What is wrong in here is wrong in this campaign's file."""
        try:
            yield
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigError(f"{self.source}: {error}") from error

    def first_of(self, group: int) -> Prepared:
        """The first run of a group, set out.

        Raises
        ------
        ConfigError
            Where it cannot be.
        """
        with self._named():
            return prepare(case_of(self.values, self.groups[group][0].settings))

    @functools.cached_property
    def groups(self) -> tuple[tuple[Row, ...], ...]:
        """The rows that go through one compiled function, group by group."""
        count = 1 + max((row.group for row in self.rows), default=-1)
        return tuple(tuple(row for row in self.rows if row.group == i) for i in range(count))

    def batch_size(self, group: int) -> int:
        """Rows of a group that are fitted side by side: as many as the memory of a small model allows."""
        given = self.values["batch"]
        if given is not None:
            return min(given, len(self.groups[group]))
        try:
            one = self.first_of(group)
        except ConfigError:
            return 1  # it fails by itself, and not the others with it
        numbers = one.objective.space.dim * max(one.objective.image.size, one.start.optics.pupil_npix**2)
        size = max(1, min(BATCH_NUMBERS // numbers, MOST_IN_BATCH))
        return math.ceil(len(self.groups[group]) / math.ceil(len(self.groups[group]) / size))

    def batches(self) -> list[tuple[int, tuple[Row, ...]]]:
        """The rows in the portions that are worked on at once, each with its batch size."""
        found = []
        for i, rows in enumerate(self.groups):
            size = self.batch_size(i)
            found += [(size, rows[k : k + size]) for k in range(0, len(rows), size)]
        return found

    def varied(self, name: str) -> list[Any]:
        """The values that a setting takes.

        Raises
        ------
        ConfigError
            If it does not vary.
        """
        if name not in self.settings:
            raise ConfigError(f"{self.name}: expected one of {', '.join(self.settings)}, got {name!r}.")
        return list(dict.fromkeys(map(_hashable, (row.settings.get(name) for row in self.rows))))


def _check_engine(case: Case, checked: set[str]) -> None:
    """Refuse an engine or an option that does not exist; each choice is looked at once."""
    choice = canonical(case.fit.get("engine", {}))
    if choice not in checked:
        engine_of(case.fit)
        checked.add(choice)


def how_to_change(name: str) -> str:
    """What to do about a setting that varies, and so cannot be given another value."""
    axis = ": list the seeds in vary, as in seeds: [7, 8, 9]" if name == "seed" else ""
    return f"Change the campaign's file{axis}."


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
