"""Shared test settings: double or single precision, a headless plot backend, small compiled fixtures."""

import os
import resource
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest


def pytest_addoption(parser):
    parser.addoption("--float32", action="store_true", help="run the tests marked float32, in single precision")
    parser.addoption("--full", action="store_true", help="run the tests marked full, too")


def pytest_configure(config):
    config.addinivalue_line("markers", "float32: holds in single precision too; `pytest --float32` runs only these")
    jax.config.update("jax_enable_x64", not config.getoption("--float32"))


def pytest_collection_modifyitems(config, items):
    """Leave out what is of full size, and in single precision what is not marked for it."""
    if not config.getoption("--full"):
        _leave_out(config, items, [item for item in items if item.get_closest_marker("full")])
    if config.getoption("--float32"):
        _leave_out(config, items, [item for item in items if not item.get_closest_marker("float32")])


def _leave_out(config, items, left_out):
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


MOST_MEMORY_BYTES = 7e9  # of each of two workers, on a machine of 24 GB
MOST_MAPS = 40_000  # compiled functions map memory; Linux gives a process 65530 maps and then ends it


def _memory_bytes():
    """Resident memory now, where the system tells it; else the most there was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


def _maps():
    """How many memory maps this process has, where the system tells it."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return 0


@pytest.fixture(autouse=True)
def precision_of_this_leg(request):
    """The command line turns double precision on for its whole process, and with it for the tests after it."""
    jax.config.update("jax_enable_x64", not request.config.getoption("--float32"))


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Compiled functions are given back after a module, once they have grown to gigabytes or thousands of maps."""
    yield
    if _memory_bytes() > MOST_MEMORY_BYTES or _maps() > MOST_MAPS:
        jax.clear_caches()


# What the fixtures need is imported inside them: the package must not be loaded before it is type-checked.


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """File of a simulated observation of the tiny instrument."""
    from command_line import EXPOSURES, settings

    from dluxshera.cli import main

    path = tmp_path_factory.mktemp("image") / "star.fits"
    assert main(["simulate", "shera_flight", *settings(), "--exposures", str(EXPOSURES), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, image):
    """Directory of a run of the binary's six parameters on that file."""
    from command_line import settings

    from dluxshera.cli import main

    path = tmp_path_factory.mktemp("fitted") / "run"
    options = ["--profile", "shera_flight", *settings(), "--free", "binary.*"]
    assert main(["fit", str(image), *options, "-o", str(path)]) == 0
    return path


@pytest.fixture
def counts(image):
    """Electrons of that file."""
    import numpy as np
    from astropy.io import fits

    with fits.open(image) as hdus:
        return np.array(hdus[0].data, float)


@pytest.fixture(scope="module")
def three():
    """Tiny three-plane telescope with aberrations."""
    from tiny import ABERRATED, tiny

    return tiny(**{key.replace(".", "__"): value for key, value in ABERRATED.items()})


@pytest.fixture(scope="module")
def two():
    """Tiny two-plane telescope with the same aberrations of M1."""
    from tiny import ABERRATED, tiny

    return tiny("shera_flight_two_plane", optics__m1__zernike_coeffs_nm=ABERRATED["optics.m1.zernike_coeffs_nm"])
