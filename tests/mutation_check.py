"""Break one formula at a time in a copy of the package, and see that a test fails.

Run by hand: `python tests/mutation_check.py [PART OF A NAME ...]`. The tree itself is never touched. Exit code 1
where a broken formula goes unnoticed, or where the text to break is no longer there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Mutation(NamedTuple):
    """A formula, the file it is in, its text, what it is replaced by, and the tests that should notice."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


def _image(*names: str) -> tuple[str, ...]:
    return ("tests/properties/test_properties_image.py", "-k", " or ".join(names))


MUTATIONS = (
    Mutation(
        "plate scale",
        "instrument/instrument.py",
        "rad2arcsec(self.detector.pixel_pitch / jnp.abs(self.optics.focal_length))",
        "rad2arcsec(self.detector.pixel_pitch / jnp.abs(self.optics.focal_length * 1.001))",
        _image("pixels_further"),
    ),
    Mutation(
        "magnification",
        "optics/three_plane.py",
        "return 1 / self._marginal_ray().heights[0]",
        "return self._marginal_ray().heights[0]",
        ("tests/test_config.py", "tests/test_reference_images.py", "-k", "magnification or derived or table"),
    ),
    Mutation(
        "sign of a tilt",
        "optics/telescope.py",
        "phasor(wavenumbers * (position * x",
        "phasor(wavenumbers * (-position * x",
        _image("lands"),
    ),
    Mutation(
        "columns and rows of a tilt",
        "optics/telescope.py",
        "return axis_phase(1), axis_phase(0)",
        "return axis_phase(0), axis_phase(1)",
        _image("lands", "pixels_further"),
    ),
    Mutation(
        "sign of the defocus",
        "optics/telescope.py",
        "(1 / focus.detector_distance - 1 / focus.back_focal_distance)",
        "(1 / focus.back_focal_distance - 1 / focus.detector_distance)",
        ("tests/test_telescope_geometry.py", "-k", "defocus"),
    ),
    Mutation(
        "beam walk on the mirrors",
        "optics/telescope.py",
        "centres = surface.height * travelled * stars.positions",
        "centres = 0 * surface.height * travelled * stars.positions",
        ("tests/test_telescope_geometry.py", "-k", "walks"),
    ),
    Mutation(
        "area of a focal cell",
        "optics/telescope.py",
        "photons * phase_step**2",
        "photons * phase_step",
        _image("no_light"),
    ),
    Mutation(
        "diffractive pupil",
        "optics/telescope.py",
        "(1 + pupil.fraction * (step.real - 1)",
        "(1 + pupil.fraction * (step.real + 1)",
        ("tests/test_telescope.py", "-k", "steps_finer"),
    ),
    Mutation(
        "transfer function",
        "optics/propagation.py",
        "phasor(-jnp.pi * wavelength * distance * frequency**2)",
        "phasor(-2 * jnp.pi * wavelength * distance * frequency**2)",
        ("tests/test_propagation.py", "-k", "gaussian"),
    ),
    Mutation(
        "direction of the propagation",
        "optics/propagation.py",
        "phasor(-jnp.pi * wavelength * distance * frequency**2)",
        "phasor(jnp.pi * wavelength * distance * frequency**2)",
        ("tests/test_propagation.py", "tests/test_four_plane.py", "-k", "gaussian or defocus_and_a_star"),
    ),
    Mutation(
        "derivative of the focal transform",
        "optics/focal.py",
        "slope = -2j * jnp.pi",
        "slope = -1j * jnp.pi",
        ("tests/test_propagation.py", "-k", "derivative"),
    ),
    Mutation(
        "Zernike of unit RMS",
        "optics/zernikes.py",
        "norm = math.sqrt(n + 1) if m == 0",
        "norm = math.sqrt(n + 2) if m == 0",
        ("tests/test_zernikes.py",),
    ),
    Mutation(
        "collimated-equivalent distance",
        "optics/paraxial.py",
        "distances.append(separation / (before * height))",
        "distances.append(separation / height**2)",
        ("tests/test_paraxial.py", "tests/test_four_plane.py", "-k", "train or worked or aberrations"),
    ),
    Mutation(
        "separation for a focal length",
        "optics/paraxial.py",
        "difference = relay_power - 1 / focal_length",
        "difference = relay_power + 1 / focal_length",
        ("tests/test_paraxial.py",),
    ),
    Mutation(
        "normalised spectrum",
        "instrument/source.py",
        "weights = weights / weights.sum(axis=1, keepdims=True)",
        "weights = weights / weights.sum(keepdims=True)",
        ("tests/test_telescope.py", "-k", "spectra"),
    ),
    Mutation(
        "contrast from the fluxes",
        "instrument/source.py",
        "value[0] / value[1]",
        "value[1] / value[0]",
        ("tests/properties/test_properties_derived.py", "-k", "raw_fluxes and set_to"),
    ),
    Mutation(
        "angle from the positions",
        "instrument/source.py",
        "jnp.arctan2(dx, dy)",
        "jnp.arctan2(dy, dx)",
        ("tests/properties/test_properties_derived.py", "-k", "positions_as and set_to"),
    ),
    Mutation(
        "width of the jitter",
        "instrument/pixels.py",
        "jnp.fft.fftfreq(rows) * sigma) ** 2)",
        "jnp.fft.fftfreq(rows) * sigma) ** 2 / 2)",
        ("tests/test_detector.py", "-k", "jitter"),
    ),
    Mutation(
        "what quantum efficiency acts on",
        "instrument/detector.py",
        "self.quantum_efficiency * self.pixel_response * photons + floor",
        "self.quantum_efficiency * self.pixel_response * (photons + floor)",
        ("tests/test_detector.py", "-k", "quantum"),
    ),
    Mutation(
        "quantisation noise",
        "instrument/detector.py",
        "self.gain_e_per_adu**2 / 12",
        "self.gain_e_per_adu**2",
        ("tests/test_detector.py", "-k", "variance"),
    ),
    Mutation(
        "weight of the information",
        "inference/objective.py",
        "_above_rounding((flat * weight.ravel()) @ flat.T",
        "_above_rounding((flat * weight.ravel() ** 2) @ flat.T",
        ("tests/test_fisher.py", "-k", "hessian"),
    ),
    Mutation(
        "number of exposures",
        "inference/objective.py",
        "return self.exposures * self.space.unpack(theta, self.model).model()",
        "return self.space.unpack(theta, self.model).model()",
        ("tests/test_objective.py", "-k", "exposures"),
    ),
    Mutation(
        "prior in the loss",
        "inference/objective.py",
        "- self.space.log_prior(theta)\n",
        "+ self.space.log_prior(theta)\n",
        ("tests/test_objective.py", "-k", "priors"),
    ),
    Mutation(
        "slope of a bijector",
        "params/bijectors.py",
        "jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u)",
        "jax.nn.log_sigmoid(u)",
        ("tests/params/test_params_bijectors.py", "-k", "log_det"),
    ),
    Mutation(
        "metres of an old map",
        "legacy/models.py",
        "1e9 * params.get",
        "1e6 * params.get",
        ("tests/test_legacy.py", "-k", "maps_have"),
    ),
)


def broken_copy(mutation: Mutation, folder: Path) -> None:
    """Copy package and tests, and break the formula."""
    for name in ("dluxshera", "tests", "docs", "pyproject.toml", "README.md"):
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__", ".hypothesis")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, folder)
    path = folder / "dluxshera" / mutation.path
    path.write_text(path.read_text(encoding="utf-8").replace(mutation.old, mutation.new), encoding="utf-8")


def first_failure(mutation: Mutation) -> str:
    """The first test that fails on the broken copy; empty where none does."""
    with tempfile.TemporaryDirectory() as folder:
        broken_copy(mutation, Path(folder))
        options = ["-x", "-q", "-n", "0", "--tb=no", "-p", "no:cacheprovider", "-o", "addopts=", "-rfE"]
        found = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *mutation.tests],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": folder},
            capture_output=True,
            text=True,
        )
    failed = [line for line in found.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if found.returncode not in (0, 1) or (found.returncode and not failed):
        return f"no tests ran: {found.stdout[-300:]}{found.stderr[-300:]}"
    return failed[0].partition(" - ")[0] if failed else ""


def stale() -> list[str]:
    """Names of mutations whose text is not in its file exactly once."""
    return [m.name for m in MUTATIONS if (ROOT / "dluxshera" / m.path).read_text(encoding="utf-8").count(m.old) != 1]


def main(parts: list[str]) -> int:
    """Run the chosen mutations, all by default, and say what noticed each."""
    unnoticed = [f"{name}: the text to break is not there" for name in stale()]
    for mutation in MUTATIONS:
        if mutation.name in stale() or (parts and not any(part in mutation.name for part in parts)):
            continue
        failure = first_failure(mutation)
        print(f"{mutation.name}: {failure or 'NOTHING FAILED'}", flush=True)
        if not failure.startswith("FAILED"):
            unnoticed.append(mutation.name)
    print("\n".join(unnoticed))
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
