"""The measured Siemens star: deviance against time, pixels held out, noise floor; beside pty-chi where it is installed.

    python benchmarks/star.py SCAN.npz [--ptychi PYTHON] [--epochs N] [--figure FILE] [--markdown FILE]

Two modes for 25 s and five for 90 s of optimisation, probe, positions and background refined, defaults otherwise; again
with 5 % of the pixels held out of the likelihood. `--ptychi` is an interpreter that has pty-chi: its LSQML engine runs
the same scan with as many modes, positions refined, for N epochs, and seconds per epoch are compared.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from dluxshera import plotting
from dluxshera import ptychography as pt

CASES = ((2, 25.0), (5, 90.0))


def ours(data, modes, seconds):
    """Row of the table, and (seconds, deviance) of each epoch."""
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
    return row, (np.asarray(history["seconds"]), np.asarray(history["deviance"]))


def theirs(python, scan, modes, epochs):
    """Seconds per epoch of pty-chi, and (seconds, deviance) of each."""
    with tempfile.TemporaryDirectory() as folder:
        out, script = Path(folder) / "curve.npz", Path(__file__).with_name("ptychi_lsqml.py")
        subprocess.run([python, script, scan, out, str(epochs), str(modes)], check=True)
        with np.load(out, allow_pickle=False) as file:
            seconds, deviance = file["seconds"], file["deviance"]
    # The first epoch allocates.
    return (seconds[-1] - seconds[0]) / (len(seconds) - 1), (seconds, deviance)


def figure(curves):
    """Deviance against seconds of optimisation, one line for each."""
    from matplotlib.figure import Figure

    with plotting.style():
        picture = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = picture.subplots()
        for label, (seconds, deviance) in curves.items():
            axes.loglog(seconds[1:], deviance[1:], label=label)
        axes.set(xlabel="seconds of optimisation", ylabel="Poisson deviance per pixel")
        axes.legend()
    return picture


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--ptychi", metavar="PYTHON")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    data, rows, curves = pt.read_scan(options.scan), [], {}
    for modes, seconds in CASES:
        row, curves[f"dluxshera, {modes} modes"] = ours(data, modes, seconds)
        if options.ptychi:
            each, curve = theirs(options.ptychi, options.scan, modes, options.epochs)
            row |= {"pty-chi, s per epoch": each, "ratio": each / row["seconds per epoch"],
                    f"pty-chi after {options.epochs} epochs": curve[1][-1]}  # fmt: skip
            curves[f"pty-chi LSQML, {modes} modes"] = curve
        rows.append(row)
        print(row, flush=True)
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |" for row in rows]
    print("\n".join(lines))
    if options.figure:
        figure(curves).savefig(options.figure, dpi=150)
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
