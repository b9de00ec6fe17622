"""The directory of an experiment: its manifest, its runs, its failures and its table."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import ConfigError
from ..inference._artifact_schema import check_folder_name
from ..inference.run_artifacts import CorruptArtifact
from ..inference.run_lock import RunLock
from .campaign import Campaign, Row
from .folders import FAILURES, RUNS, is_valid, write_bytes, write_json
from .manifest import MANIFEST, manifest_bytes, read_manifest
from .plot import check_plot
from .table import columns_of


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """A campaign in a folder.

    Attributes
    ----------
    folder : Path
    manifest : dict
        What `manifest.json` says: `campaign` (the description), `size`, `settings` that vary, `plot`, `rows`, `git`
        and `environment`.
    rows : tuple of Row
        The planned runs, as the manifest has them.
    """

    folder: Path
    manifest: Mapping[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def create(cls, campaign: Campaign, folder: Path, update: bool = False) -> "Experiment":
        """Make the folder of a campaign, or open it where it is that campaign's already.

        Parameters
        ----------
        campaign : Campaign
        folder : Path
            Its parent must exist.
        update : bool
            Whether the folder of another campaign, or of an earlier form of this one, may be taken over, and a
            manifest that is damaged or lost made anew. Runs that both have stay; others stay too, and leave the table.

        Raises
        ------
        ConfigError
            If the campaign makes no sense, or the folder holds something else.
        SchemaError
            If the folder cannot be called so.
        CorruptArtifact
            If its manifest is damaged, and not to be made anew.
        RunLocked
            If another process is at it.
        """
        if not folder.absolute().parent.is_dir():
            raise ConfigError(f"{folder}: the folder {folder.absolute().parent} does not exist. Make it first.")
        check_folder_name(folder.absolute().name)
        with RunLock(folder):
            return cls._made(campaign, folder, update)

    @classmethod
    def _made(cls, campaign: Campaign, folder: Path, update: bool) -> "Experiment":
        rows = campaign.rows
        found = _there(folder, update)
        if found is not None:
            same = [row.content for row in found.rows] == [row.content for row in rows]
            if same and "sha256" in found.manifest:
                return found
            if not same and not update:
                raise ConfigError(
                    f"{folder}: holds another campaign, {found.manifest['name']!r} with {len(found.rows)} runs, or an "
                    "earlier form of this one. Choose another folder, or give --update (update=True)."
                )
        check_plot(campaign)
        folder.mkdir(exist_ok=True)
        write_bytes(folder / MANIFEST, manifest_bytes(campaign))
        created = cls.open(folder)
        created.make_folders()
        return created

    @classmethod
    def open(cls, folder: str | Path) -> "Experiment":
        """Open an experiment.

        Raises
        ------
        ConfigError
            If the folder is none.
        CorruptArtifact, SchemaError
            If its manifest is damaged, or of a newer schema.
        """
        path = Path(folder) / MANIFEST
        if not path.is_file():
            raise ConfigError(f"{folder}: expected the folder of an experiment, with a {MANIFEST}.")
        return cls(Path(folder), *read_manifest(path))

    @property
    def campaign(self) -> Campaign:
        """The campaign, from the manifest."""
        return Campaign(self.manifest["campaign"], self.manifest["size"], str(self.folder / MANIFEST))

    @property
    def runs(self) -> Path:
        """The folder of the run directories."""
        return self.folder / RUNS

    def make_folders(self) -> None:
        """Make what is missing of the folders that a campaign writes to."""
        for name in (RUNS, FAILURES):
            (self.folder / name).mkdir(exist_ok=True)

    def is_done(self, row: Row) -> bool:
        """Whether a row has a sound run of its content."""
        return is_valid(self.runs / row.run_id, row.content)

    def note_failure(self, run_id: str, message: str) -> None:
        """Write down why a row has no run."""
        write_json(self._failure(run_id), {"run_id": run_id, "status": "failed", "message": message})

    def forget_failure(self, run_id: str) -> None:
        """A row that had failed has a run now."""
        self._failure(run_id).unlink(missing_ok=True)

    def failure(self, run_id: str) -> str | None:
        """Why a row has no run, if that is known."""
        try:
            return str(json.loads(self._failure(run_id).read_text())["message"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def table(self) -> dict[str, list[Any]]:
        """One row for each planned run, by column; built from the runs themselves."""
        return columns_of(self)

    def _failure(self, run_id: str) -> Path:
        return self.folder / FAILURES / f"{run_id}.json"


def _there(folder: Path, update: bool) -> Experiment | None:
    """The experiment of a folder; None for a new one, and where the manifest may and must be made anew."""
    if not (folder / MANIFEST).is_file():
        lost = update and (folder / RUNS).is_dir()
        if folder.exists() and any(folder.iterdir()) and not lost:
            advice = "Choose another folder, or give --update (update=True) if its manifest is lost."
            raise ConfigError(f"{folder}: exists and is no experiment. {advice}")
        return None
    try:
        return Experiment.open(folder)
    except CorruptArtifact:
        if not update:
            raise
        return None


def is_experiment(folder: str | Path) -> bool:
    """Whether a folder is that of an experiment, in whatever state."""
    return Path(folder).is_dir() and MANIFEST in os.listdir(folder)  # a run's MANIFEST.json is not meant
