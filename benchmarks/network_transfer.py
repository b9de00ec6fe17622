"""A network trained on half of a measured scan infers the other half; judged against the iterative reconstruction.

    python benchmarks/network_transfer.py SCAN -o DIR [--epochs N] [--seconds S] [--start RUN]

SCAN is `siemens_star.npz`. The halves are the patterns above and below the median row. The probe is refined first, on
the training half alone; inference is compared with the iterative reconstruction of the other half with that probe.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

from dluxshera import ptychography as pt
from dluxshera.config.inferred_runs import save_inferred
from dluxshera.config.network_runs import train_to_run
from dluxshera.ptychography import network as nn

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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--start", type=Path, help="fine-tune this bundle")
    arguments = parser.parse_args()
    arguments.output.mkdir(exist_ok=True)
    data = pt.read_scan(arguments.scan)
    above, below = (data.select(rows) for rows in halves(data))
    probe = pt.reconstruct(above, modes=2, refine=("probe",), seconds=arguments.seconds).probe
    above, below = with_probe(above, probe), with_probe(below, probe)
    start = None if arguments.start is None else nn.load_bundle(arguments.start)
    architecture = nn.Architecture(npix=data.npix, gridsize=2, support=96, sweeps=6) if start is None else (
        start.settings.architecture)  # fmt: skip
    settings = nn.TrainingSettings(architecture, epochs=arguments.epochs, batch=8, neighbours=7)
    trained = train_to_run(arguments.output / "training", above, settings, start=start, overwrite=True)
    found, first = (nn.infer(trained.bundle, below, corrected=corrected) for corrected in (True, False))
    save_inferred(arguments.output / "inferred", found, below, trained.bundle, overwrite=True)
    iterated = pt.reconstruct(below, modes=2, refine=(), seconds=arguments.seconds)
    record = {
        "patterns": [len(above), len(below)],
        "training": trained.bundle.facts,
        "patterns_per_second": found.facts["patterns_per_second"],
        "deviance": {
            "network": found.reconstruction.deviance,
            "sweeps": first.reconstruction.deviance,
            "iterations": iterated.deviance,
        },  # fmt: skip
        "iterations_seconds": float(iterated.history["seconds"][-1]),
        "network_against_iterations": pt.judge_halves_of(iterated, found.reconstruction),
        "sweeps_against_iterations": pt.judge_halves_of(iterated, first.reconstruction),
    }
    (arguments.output / "transfer.json").write_text(json.dumps(record, indent=1))
    print(json.dumps({k: v for k, v in record.items() if "against" not in k}, indent=1))
    for name in ("network", "sweeps"):
        reached = record[f"{name}_against_iterations"]["frc_half"]
        print(f"{name} against iterations: ring correlation above 0.5 to {reached}")


if __name__ == "__main__":
    main()
