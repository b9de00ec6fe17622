"""Simulated lines, reconstructed: how close to the truth, by dose, likelihood, simulation and knowledge of the probe.

    python benchmarks/lines.py [--epochs N] [--markdown FILE]

64 px patterns, 600 positions, lines on 192 px, one mode. The object starts transparent. "Independent" data come from a
grid four times finer with Fourier shifts, and are fitted by the ordinary model. The unknown probe starts as a disc 20 %
too wide with 1 rad of defocus at its radius, and is refined. PSNR and SSIM are of the amplitude over the covered area,
on the truth's own range; nothing is rescaled, but for the unknown probe, whose scale no pattern can tell. An unknown
probe is found in twice the epochs.
"""

import argparse
import time
from pathlib import Path

from dluxshera import ptychography as pt

CASES = (
    ("known probe", 1e9, "poisson"),
    ("known probe", 1e9, "amplitude"),
    ("known probe", 1e4, "poisson"),
    ("known probe", 1e4, "amplitude"),
    ("independent", 1e9, "poisson"),
    ("independent", 1e4, "poisson"),
    ("unknown probe", 1e9, "poisson"),
    ("unknown probe", 1e9, "amplitude"),
    ("unknown probe", 1e4, "poisson"),
)


def wrong_probe(probe):
    """A disc 20 % wider than a probe, with 1 rad of defocus."""
    return pt.defocused_probe(pt.disc_probe(probe.shape[-1], 1.2 * pt.probe_radius(probe)), 1.0)


def judged(case, photons, likelihood, epochs):
    """Record of the amplitude, the deviance and the seconds of one case."""
    data = pt.make_scan("lines", photons=photons, seed=1, independent=case == "independent")
    start = data
    if case == "unknown probe":
        wrong = wrong_probe(data.probe)
        wrong = wrong * (data.photons.mean() / (abs(wrong) ** 2).sum()) ** 0.5
        start = pt.ScanData(data.counts, data.positions, wrong, interpolation=data.interpolation)
    if case == "independent":
        start = pt.ScanData(data.counts, data.positions, data.probe)  # its windows are bilinear, not Fourier
    refine = ("probe",) if case == "unknown probe" else ()
    started = time.perf_counter()
    found = pt.reconstruct(start, 1, refine, likelihood, epochs=2 * epochs if refine else epochs)
    seconds = time.perf_counter() - started
    rescale = "best" if case == "unknown probe" else None
    record = pt.judge_scan(data, found.object, found.positions, found.coverage, rescale=rescale).record
    return record["amplitude"], found.deviance, seconds


def main() -> None:
    """Run every case, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    lines = ["| data | photons | likelihood | PSNR, dB | SSIM | scale | deviance | s |", "|---" * 8 + "|"]
    for case, photons, likelihood in CASES:
        seen, deviance, seconds = judged(case, photons, likelihood, options.epochs)
        lines.append(f"| {case} | {photons:.0e} | {likelihood} | {seen['psnr']:.1f} | {seen['ssim']:.3f} | "
                     f"{seen['scale']:.5f} | {deviance:.3f} | {seconds:.0f} |")  # fmt: skip
        print(lines[-1], flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
