"""Libraries of the extra `ptycho`, imported where they are used."""

import importlib
from types import ModuleType

PROJECTS = {"scipy": "scipy", "skimage": "scikit-image", "h5py": "h5py"}


def extra(name: str) -> ModuleType:
    """Import a module of the extra `ptycho` by its dotted name.

    Raises
    ------
    ImportError
        With the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        project = PROJECTS[name.partition(".")[0]]
        raise ImportError(f"This needs {project}. Install it: pip install 'dluxshera[ptycho]'") from error
