"""Bias by unmodelled high-order error of M2: forecast against refit, as the error grows.

    python benchmarks/bias.py [--markdown FILE]

Three-plane testbed, 128 px pupil, 64 px image, three Gauss-Legendre wavelengths, 30 minutes, all 23
parameters free. The data come from a telescope whose M2 carries a 1/f^2.5 map that the fitted model does not know.
"""

import argparse
import warnings
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402

GRID = {"optics.pupil_npix": 128, "optics.psf_npix": 64, "optics.oversample": 1, "binary.n_wavelengths": 3}
WATCHED = ("binary.separation_as", "plate_scale_as", "binary.contrast")
EXPOSURES = 36_000


def load(amplitude_nm):
    """The testbed with a map of so many nm RMS on M2; None without one."""
    error = "none" if amplitude_nm is None else {"rms_nm": amplitude_nm, "alpha": 2.5, "seed": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.SamplingWarning)
        return ds.load_profile("shera_testbed", overrides=GRID | {"optics.m2.wavefront_error": error})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    model = load(None)
    space = ds.ThetaSpace(model, ds.read_profile("shera_testbed").get("theta.free"))
    lines = ["| error of M2, nm RMS | parameter | forecast, σ | refit, σ | refit / forecast |", "|---" * 5 + "|"]
    for amplitude in (0.01, 0.1, 1.0):
        found = ds.bias_forecast(model, space, load(amplitude), EXPOSURES, refit=True)
        for row in found.rows:
            if row["label"] in WATCHED:
                pair = row["linear"] / row["sigma"], row["refit"] / row["sigma"]
                cells = (
                    f"{amplitude:g}",
                    f"`{row['label']}`",
                    *(f"{v:+.4g}" for v in pair),
                    f"{pair[1] / pair[0]:.3f}",
                )
                lines.append("| " + " | ".join(cells) + " |")
                print(lines[-1], flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
