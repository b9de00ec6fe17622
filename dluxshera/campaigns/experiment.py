"""The directory of an experiment: its manifest, its runs, its failures and its table."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import ConfigError
from ..inference._artifact_json import decode_json, encode_json
from ..inference._artifact_provenance import environment, utc_now
from ..inference.run_artifacts import CorruptArtifact, SchemaError
from .campaign import Campaign, Row
from .folders import FAILURES, RUNS, is_valid, write_bytes, write_json
from .provenance import git_of_process
from .table import columns_of

SCHEMA = "dluxshera-experiment-v0"
MANIFEST = "manifest.json"


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
            Whether the folder of another campaign, or of an earlier form of this one, may be taken over. Runs that
            both have stay; others stay too, and leave the table.

        Raises
        ------
        ConfigError
            If the folder holds something else.
        """
        rows = campaign.rows
        if not folder.absolute().parent.is_dir():
            raise ConfigError(f"{folder}: the folder {folder.absolute().parent} does not exist. Make it first.")
        if (folder / MANIFEST).is_file():
            found = cls.open(folder)
            if [row.content for row in found.rows] == [row.content for row in rows]:
                return found
            if not update:
                raise ConfigError(
                    f"{folder}: holds another campaign, {found.manifest['name']!r} with {len(found.rows)} runs, or an "
                    "earlier form of this one. Choose another folder, or give --update (update=True)."
                )
        elif folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder}: exists and is no experiment. Choose another folder.")
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
        (folder / FAILURES).mkdir(exist_ok=True)
        write_bytes(folder / MANIFEST, encode_json(_manifest(campaign, rows), "manifest", indent=1))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> "Experiment":
        """Open an experiment.

        Raises
        ------
        ConfigError
            If the folder is none.
        CorruptArtifact, SchemaError
            If its manifest cannot be read, or is of a newer schema.
        """
        path = Path(folder) / MANIFEST
        if not path.is_file():
            raise ConfigError(f"{folder}: expected the folder of an experiment, with a {MANIFEST}.")
        manifest = decode_json(path.read_bytes(), str(path))
        if not isinstance(manifest, dict) or manifest.get("experiment_schema") != SCHEMA:
            found = manifest.get("experiment_schema") if isinstance(manifest, dict) else None
            raise SchemaError(f"{path}: expected experiment_schema {SCHEMA!r}, got {found!r}. Upgrade dluxshera.")
        try:
            rows = tuple(Row(**row) for row in manifest["rows"])
        except (KeyError, TypeError) as error:
            raise CorruptArtifact(f"{path}: expected the rows of a plan: {error}.") from error
        return cls(Path(folder), manifest, rows)

    @property
    def campaign(self) -> Campaign:
        """The campaign, from the manifest."""
        return Campaign(self.manifest["campaign"], self.manifest["size"])

    @property
    def runs(self) -> Path:
        """The folder of the run directories."""
        return self.folder / RUNS

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


def is_experiment(folder: str | Path) -> bool:
    """Whether a folder is that of an experiment."""
    return (Path(folder) / MANIFEST).is_file() and (Path(folder) / RUNS).is_dir()


def _manifest(campaign: Campaign, rows: tuple[Row, ...]) -> dict[str, Any]:
    plot = {"x": None, "y": None} | campaign.values["plot"]
    return {
        "experiment_schema": SCHEMA,
        "name": campaign.name,
        "doc": campaign.values["doc"],
        "created_at": utc_now(),
        "size": campaign.size,
        "campaign": dict(campaign.values),
        "settings": list(campaign.settings),
        "plot": plot,
        "git": git_of_process(),
        "environment": environment(),
        "rows": [row._asdict() for row in rows],
    }
