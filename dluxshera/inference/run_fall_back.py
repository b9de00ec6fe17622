"""Which generation of a damaged run can still be used, and what is said of it."""

import warnings
from collections.abc import Collection
from pathlib import Path

from . import run_artifacts as artifacts
from ._artifact_manifest import MANIFEST


class DamagedRunWarning(UserWarning):
    """A file of a run is damaged: an earlier generation is used, or the rest of this one."""


def readable_generation(run_dir: artifacts.RunPath, needed: Collection[str] | None = None) -> tuple[Path, str]:
    """Give the folder of the newest generation that can be read without its damaged files, and a word on those.

    Parameters
    ----------
    run_dir : path
    needed : collection of str, optional
        Files that are going to be read: where there is no better generation, the newest will do if these are sound.

    Returns
    -------
    Path
        For the loaders.
    str
        One line; empty if the run is sound.

    Raises
    ------
    CorruptArtifact
        If every generation lacks a file that one cannot do without.
    """
    path = Path(run_dir)
    try:
        folder, damage = artifacts.newest_usable(path)
    except artifacts.CorruptArtifact:
        lost = artifacts.damage_of(path)
        if needed is None or not lost.keys().isdisjoint({MANIFEST, *needed}):
            raise
        folder, damage = path, list(lost.values())
    rest = " ".join(damage)
    if folder == path:
        return folder, f"{rest} The rest is sound." if rest else ""
    return folder, f"{_damage_of_newest(path)} This is generation {folder.name}, an earlier one. {rest}".rstrip()


def newest_with_warning(run_dir: Path) -> Path:
    """Give the folder to go on from: of the newest generation without damage, else of the newest that can be read.

    Warns
    -----
    DamagedRunWarning
        Where that is an earlier one, or files are lost that one can do without.

    Raises
    ------
    CorruptArtifact
        As `readable_generation`.
    """
    try:
        folder = artifacts.newest_valid(run_dir)
    except artifacts.CorruptArtifact:
        folder, notice = readable_generation(run_dir)
        warnings.warn(f"{notice} Going on without what is damaged.", DamagedRunWarning, stacklevel=4)
        return folder
    if folder != run_dir:
        text = f"{_damage_of_newest(run_dir)} Going on from generation {folder.name}."
        warnings.warn(text, DamagedRunWarning, stacklevel=4)
    return folder


def _damage_of_newest(run_dir: Path) -> str:
    """What is wrong with a file that matters, if there is one, else with any."""
    damage = artifacts.damage_of(run_dir)
    return min(damage.items(), key=lambda item: item[0] in artifacts.OPTIONAL_FILES)[1]
