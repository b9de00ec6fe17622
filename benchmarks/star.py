"""The measured Siemens star: deviance against time, pixels held out, noise floor; beside pty-chi where it is installed.

    python benchmarks/star.py SCAN.npz [--ptychi PYTHON] [--epochs N] [--figure FILE] [--star FILE] [--markdown FILE]

Two modes for 25 s and five for 90 s of optimisation, probe, positions and background refined, defaults otherwise; again
with 5 % of the pixels held out of the likelihood. `--ptychi` is an interpreter that has pty-chi: its LSQML engine runs
the same scan with as many modes, positions refined, for N epochs; compared are seconds per epoch, and the seconds that
both take to the deviance that it has then.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from dluxshera import plotting
from dluxshera import ptychography as pt

CASES = ((2, 25.0), (5, 90.0))
TICKS = (0.8, 1, 1.5, 2, 3, 5, 8)


def ours(data, modes, seconds):
    """Row of the table, (seconds, deviance) of each epoch, and what was found."""
    found, blind = (pt.reconstruct(data, modes, seconds=seconds, hold_out=part) for part in (0.0, 0.05))
    history = found.history
    epochs = len(history["seconds"]) - 1
    drawn = np.random.default_rng(0).poisson(np.asarray(found.model().model(), float))
    row = {
        "modes": modes,
        "seconds": history["seconds"][-1],
        "epochs": epochs,
        "seconds per epoch": history["seconds"][-1] / epochs,
        "deviance": found.deviance,
        "noise floor": float(pt.mean_deviance(drawn, found.model().model())),
        "fitted, 5 % held out": blind.facts["fitted_deviance"],
        "held out": blind.held_out_deviance,
    }
    return row, (np.asarray(history["seconds"]), np.asarray(history["deviance"])), found


def theirs(python, scan, modes, epochs):
    """Seconds per epoch of pty-chi, and (seconds, deviance) of each."""
    with tempfile.TemporaryDirectory() as folder:
        out, script = Path(folder) / "curve.npz", Path(__file__).with_name("ptychi_lsqml.py")
        subprocess.run([python, script, scan, out, str(epochs), str(modes)], check=True)
        with np.load(out, allow_pickle=False) as file:
            seconds, deviance = file["seconds"], file["deviance"]
    # The first epoch allocates.
    return (seconds[-1] - seconds[0]) / (len(seconds) - 1), (seconds, deviance)


def compared(each, curve, their_each, their_curve):
    """Seconds per epoch, and seconds to where pty-chi ends, of both."""
    goal, their_seconds = their_curve[1][-1], their_curve[0][-1]
    seconds = curve[0][np.argmax(curve[1] <= goal)]
    return {
        "pty-chi, s per epoch": their_each,
        "its s per epoch over ours": their_each / each,
        "pty-chi, deviance at the end": goal,
        "pty-chi, s to there": their_seconds,
        "its s to there over ours": their_seconds / seconds,
    }


def figure(curves):
    """Deviance against seconds of optimisation, one line for each."""
    from matplotlib.figure import Figure

    with plotting.style():
        picture = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = picture.subplots()
        for label, (seconds, deviance) in curves.items():
            axes.loglog(seconds[1:], deviance[1:], label=label)
        axes.set(xlabel="seconds of optimisation", ylabel="Poisson deviance per pixel")
        axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        axes.legend()
    return picture


def star(found):
    """Phase of the object where it is covered."""
    from matplotlib.figure import Figure

    lit = pt.coverage_mask(found.coverage, 0.1)
    inside = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(lit))
    phase = np.where(lit, np.angle(found.object), np.nan)[inside]
    low, high = np.nanpercentile(phase, [1, 99])
    with plotting.style():
        picture = Figure(figsize=(4.2, 3.6), layout="constrained")
        axes = picture.subplots()
        image = axes.imshow(phase, cmap="gray", vmin=low, vmax=high)
        axes.set(xlabel="column, pixels", ylabel="row, pixels")
        picture.colorbar(image, ax=axes, label="phase, radians")
    return picture


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--ptychi", metavar="PYTHON")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--figure", type=Path, help="deviance against time")
    parser.add_argument("--star", type=Path, help="what was found with the most modes")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    data, rows, curves = pt.read_scan(options.scan), [], {}
    for modes, seconds in CASES:
        row, curves[f"dluxshera, {modes} modes"], found = ours(data, modes, seconds)
        if options.ptychi:
            each, curve = theirs(options.ptychi, options.scan, modes, options.epochs)
            curves[f"pty-chi LSQML, {modes} modes"] = curve
            row |= compared(row["seconds per epoch"], curves[f"dluxshera, {modes} modes"], each, curve)
        rows.append(row)
        print(row, flush=True)
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |" for row in rows]
    print("\n".join(lines))
    if options.figure:
        figure(curves).savefig(options.figure, dpi=150)
    if options.star:
        star(found).savefig(options.star, dpi=110)
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
