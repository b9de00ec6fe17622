"""The shell blocks of README and pages, followed as they stand but on small grids, scans and studies.

What is smaller is said by options at the end of a command: of two the last one counts.
"""

import contextlib
import dataclasses
import io
import re
import shlex
from pathlib import Path

import numpy as np
from astropy.io import fits
from command_line import TINY

from dluxshera.cli import main

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.S | re.M)
# Not followed: what needs a cluster that is there, and the README's campaign, which its own page runs too.
ELSEWHERE = ("--scheduler tcp://", "separation_against_contrast -o contrast")
SETTING_UP = {"make", "python", "pip", "jupyter", "source"}  # what `make test` has done, and a notebook by hand
FRAME = 40  # pixels of a frame of the reader's
SMALLER = {
    "ptycho simulate": "--size 40 --npix 16 --number 24 --margin 10",
    "ptycho reconstruct": "--time 0.2",
    "ptycho train": "--width 0.25 --sweeps 2 --epochs 2 --batch 6 --neighbours 5",
    "ptycho debug": "--only probe",
}
SMALL_STUDY = {
    "doses": (1e6, 1e4), "losses": ("poisson",), "seeds": (0,), "train": 24, "test": 8, "npix": 16, "size": 40,
    "groups": None, "neighbours": 5, "epochs": 1, "batch": 8, "width": 0.25, "sweeps": 2,
}  # fmt: skip


def blocks_of(page, *languages):
    """Language, line number and text of each block of a page in these languages."""
    text = page.read_text(encoding="utf-8")
    return [(m[1], text[: m.start(2)].count("\n"), m[2]) for m in FENCE.finditer(text) if m[1] in languages]


def lines_of(block):
    """The words of each line of a shell block, without its comments."""
    return [words for words in (shlex.split(line, comments=True) for line in block.splitlines()) if words]


def commands_of(block):
    """The words of each `dluxshera ...` of a shell block, without the name of the program."""
    return [words[1:] for words in lines_of(block) if words[0] == "dluxshera"]


def follow(block, page):
    """Run the lines of a block of a page in this folder, one after the other."""
    for program, *words in lines_of(block):
        if program == "mkdir":
            assert words[0] == "-p"
            Path(words[1]).mkdir(exist_ok=True)
        elif program == "dluxshera" and not any(part in " ".join(words) for part in ELSEWHERE):
            for name in READERS_OWN.get(page, {}).keys() & set(words):
                READERS_OWN[page][name](Path(name))
            _run(words)
        else:
            assert program in SETTING_UP | {"dluxshera"}, f"{page}: {program} {words}"


def _run(words):
    """A command in its small form; of a run that is complete nothing is left to resume, which is refused."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main([*words, *_smaller(words)])
    complete = words[0] == "resume" and code == 2 and "is complete:" in said.getvalue()
    assert code == 0 or complete, f"{' '.join(words)}: {said.getvalue()}"


def small_studies(monkeypatch):
    """What a dose study is by default, and what a file says, at the least size there is."""
    from dluxshera import _network_sweep
    from dluxshera.config import dose_study

    read = dose_study.DoseStudy.read
    small = dose_study.DoseStudy(**SMALL_STUDY)
    monkeypatch.setattr(dose_study, "SMALL", small)
    monkeypatch.setattr(dose_study, "FULL", small)
    monkeypatch.setattr(_network_sweep, "DOSES", small.doses)
    monkeypatch.setattr(dose_study.DoseStudy, "read", lambda path: dataclasses.replace(read(path), **SMALL_STUDY))


def _smaller(words):
    """Options of `SMALLER`, and for a tiny instrument, where a command builds one and does not say otherwise itself."""
    builds = words[0] in ("demo", "simulate", "fit", "forecast", "sample") or "separation_against_contrast" in words
    said = {word.partition("=")[0] for word in words}
    by_image = {"optics.psf_npix"} if words[0] in ("fit", "sample") else set()
    grid = {path: value for path, value in TINY.items() if builds and path not in said | by_image}
    name = " ".join(words[: 2 if words[0] in ("ptycho", "campaign") else 1])
    # Out of a frame of the reader's: the pattern of so small a pupil has no brightest place to cut about.
    cut = ["--crop", "24", "--centre", "19.5,19.5"] if "--unit" in words else []
    return SMALLER.get(name, "").split() + cut + [word for path in grid for word in ("--set", f"{path}={grid[path]}")]


def _frame(path):
    """An image in digital units, half the electrons, with a header that says nothing; 24 pixels are to be cut out."""
    electrons = f"electrons-{path}"
    words = f"simulate shera_testbed -o {electrons} --exposures 3600 --set optics.psf_npix={FRAME}"
    _run(words.split())
    fits.PrimaryHDU(np.asarray(fits.getdata(electrons), float) / 2).writeto(path)


READERS_OWN = {
    "README.md": {
        "mine.fits": _frame,
        "scan.cxi": lambda path: _run(["ptycho", "simulate", "-o", str(path)]),
    },
    "fit_a_fits_image.md": {
        "raw.fits": _frame,
        "dead.fits": lambda path: fits.PrimaryHDU(np.eye(FRAME, dtype=np.uint8)).writeto(path),
        "my.yaml": lambda path: path.write_text("extends: shera_testbed\n"),
    },
}
