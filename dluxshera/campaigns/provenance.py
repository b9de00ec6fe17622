"""Where the runs of a process come from; asked once, for it takes processes of its own."""

import functools

from ..inference._artifact_provenance import git_state


@functools.cache
def git_of_process() -> dict:
    """Commit of the package's checkout, `{commit, dirty}`."""
    return git_state()
