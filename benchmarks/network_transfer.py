"""A network trained on half of a measured scan infers the other half; judged against the iterative reconstruction.

    python benchmarks/network_transfer.py SCAN -o DIR [--epochs N] [--tune N] [--seconds S]

SCAN is `siemens_star.npz`. The halves are the patterns above and below the median row. The probe is refined first, on
the training half alone; inference is compared with the iterative reconstruction of the other half with that probe. Then
the network is fine-tuned on the other half for a few epochs, beside a fresh one that is trained there for as many.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from dluxshera import plotting
from dluxshera import ptychography as pt
from dluxshera.config.inferred_runs import save_inferred
from dluxshera.config.network_runs import train_to_run
from dluxshera.ptychography import network as nn

SLOW = 3  # rings of the lowest frequencies
BORDER = 24  # pixels between the halves that neither has


def halves(data):
    """Patterns above and below the median row, (n,) of int each."""
    middle = np.median(data.positions[:, 0])
    return [np.flatnonzero(side) for side in
            (data.positions[:, 0] < middle - BORDER / 2, data.positions[:, 0] > middle + BORDER / 2)]  # fmt: skip


def with_probe(data, probe):
    """The scan with another probe."""
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data) if field.init}
    return pt.ScanData(**fields | {"probe": probe})


def judged(iterated, made):
    """What a reconstruction of the other half is worth; the slowest rings, where phases drift, are apart."""
    found = pt.judge_halves_of(iterated, made)
    rings, frequency = np.asarray(found["frc"]), np.asarray(found["frequency"])
    lost = np.flatnonzero(rings[SLOW:] < 0.5)
    reached = frequency[SLOW:][lost[0]] if len(lost) else frequency[-1]
    return {"deviance": made.deviance, "slow_rings": rings[:SLOW].tolist(), "correlated_to": float(reached)}


def draw(iterated, made, path):
    """Amplitude and phase of both."""
    with plotting.style():
        figure, panels = plt.subplots(2, 2, figsize=(7.2, 4.4), layout="constrained")
        for row, (title, each) in zip(panels, {"iterations": iterated, "network": made}.items(), strict=True):
            lit = pt.coverage_mask(each.coverage)
            turned = np.where(lit, each.object * np.exp(-1j * np.angle(np.sum(each.object[lit]))), np.nan)
            for ax, part, name in zip(row, (np.abs, np.angle), ("amplitude", "phase (radians)"), strict=True):
                image = part(turned)
                low, high = np.nanpercentile(image, (0.5, 99.5))
                shown = ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
                figure.colorbar(shown, ax=ax, shrink=0.8)
                ax.set(title=f"{title}: {name}", xticks=[], yticks=[])
        figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--tune", type=int, default=3, help="epochs of fine-tuning")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each iterative reconstruction")
    arguments = parser.parse_args()
    arguments.output.mkdir(exist_ok=True)
    data = pt.read_scan(arguments.scan)
    above, below = (data.select(rows) for rows in halves(data))
    probe = pt.reconstruct(above, modes=2, refine=("probe",), seconds=arguments.seconds).probe
    above, below = with_probe(above, probe), with_probe(below, probe)
    iterated = pt.reconstruct(below, modes=2, refine=(), seconds=arguments.seconds)
    architecture = nn.Architecture(npix=data.npix, gridsize=2, support=96, sweeps=6)
    settings = nn.TrainingSettings(architecture, epochs=arguments.epochs, batch=8, neighbours=7)
    shorter = dataclasses.replace(settings, epochs=arguments.tune)
    trained = train_to_run(arguments.output / "training", above, settings, overwrite=True)
    tuned = train_to_run(arguments.output / "tuned", below, shorter, start=trained.bundle, overwrite=True)
    fresh = train_to_run(arguments.output / "fresh", below, shorter, overwrite=True)
    found = {name: nn.infer(each.bundle, below) for name, each in
             {"transferred": trained, "fine-tuned": tuned, "fresh": fresh}.items()}  # fmt: skip
    found["sweeps alone"] = nn.infer(trained.bundle, below, corrected=False)
    save_inferred(arguments.output / "inferred", found["transferred"], below, trained.bundle, overwrite=True)
    draw(iterated, found["transferred"].reconstruction, arguments.output / "transfer.png")
    record = {
        "patterns": [len(above), len(below)],
        "training": trained.bundle.facts,
        "inference_seconds": found["transferred"].facts["seconds"],
        "iterations": {"deviance": iterated.deviance, "seconds": float(iterated.history["seconds"][-1])},
        **{name: judged(iterated, each.reconstruction) for name, each in found.items()},
    }
    (arguments.output / "transfer.json").write_text(json.dumps(record, indent=1))
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
