"""Running the command line inside the tests, on an instrument small enough to be quick."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from dluxshera.cli import main

EXPOSURES = 1000
TINY = {
    "optics.pupil_npix": 32,
    "optics.psf_npix": 16,
    "optics.oversample": 1,
    "binary.n_wavelengths": 4,
    "binary.separation_as": 0.8,
    "binary.position_angle_deg": 60.0,
    "detector.gain_e_per_adu": 0.0,
    "detector.full_well_e": 1e9,
}


class Outcome(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Everything on standard output, as one strict JSON document."""
        return json.loads(self.out, parse_constant=_refuse)


def run(capsys, *argv):
    """Run a command in this process."""
    capsys.readouterr()
    try:
        code = main([str(word) for word in argv])
    except SystemExit as error:
        code = error.code
    return Outcome(code, *capsys.readouterr())


def settings(**changes):
    """`--set` options for the tiny instrument; `optics__psf_npix=20` changes one, None leaves it out."""
    values = TINY | {path.replace("__", "."): value for path, value in changes.items()}
    return [word for path, value in values.items() if value is not None for word in ("--set", f"{path}={value}")]


def everything_in(folder):
    """Every path below a folder with its bytes, to see that nothing was left behind or changed."""
    paths = sorted(Path(folder).rglob("*"))
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def write_fits(path, image, **header):
    """A file as a user's own software would write it."""
    hdu = fits.PrimaryHDU(None if image is None else np.asarray(image))
    hdu.header.update(header)
    hdu.writeto(path, overwrite=True)
    return path


def _refuse(name):
    raise ValueError(f"{name} is no JSON")
