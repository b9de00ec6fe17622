"""When a network pays off: seconds a pattern of inference and of iterations to the same SSIM, and training beside them.

    python benchmarks/network_speed.py STUDY ARM [--epochs N] [--markdown FILE]

STUDY is the folder of `dluxshera ptycho study`, ARM the name of one of its arms. Both reconstruct the scan of another
object, with the known probe, on the same machine, one after the other; compilation is left out of both.
"""

import argparse
import json
from pathlib import Path

from dluxshera import ptychography as pt
from dluxshera.config.dose_study import Arm, DoseStudy
from dluxshera.config.dose_study_arms import ArmFolders
from dluxshera.inference.run_artifacts import load_summary
from dluxshera.ptychography import network as nn

REPEATS = 3


def similarity(data, made):
    """SSIM of the amplitude."""
    return pt.judge_scan(data, made.object, made.positions, made.coverage).record["amplitude"]["ssim"]


def iterated_to(data, wanted, most):
    """Seconds and epochs after which the iterative reconstruction is as similar to the truth."""
    for epochs in range(1, most + 1):
        made = pt.reconstruct(data, refine=(), epochs=epochs)
        found = similarity(data, made)
        if found >= wanted:
            return float(made.history["seconds"][-1]), epochs, found
    return None, most, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("arm")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    study = DoseStudy.from_record(json.loads((arguments.study / "study.json").read_text()))
    arm: Arm = next(arm for arm in study.arms() if arm.name == arguments.arm)
    training = ArmFolders(arguments.study, arm.name).training
    data, bundle = study.scans_of(arm).new, nn.load_bundle(training)
    rows = []
    iterative = {}
    for share in (1.0, 0.5, 0.25):
        groups = max(1, round(share * len(data)))
        found = min((nn.infer(bundle, data, groups=groups) for _ in range(REPEATS)), key=lambda f: f.facts["seconds"])
        ssim = similarity(data, found.reconstruction)
        iterative[share] = iterated_to(data, ssim, arguments.epochs)
        rows.append((groups, found.facts["seconds"] / found.facts["patterns"], ssim, *iterative[share]))
    spent = load_summary(training)["runtime_total_s"]
    lines = ["| groups | network, ms a pattern | SSIM | iterations, ms a pattern | epochs | ratio | pays off after |",
             "|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for groups, network, ssim, seconds, epochs, _ in rows:
        each = None if seconds is None else seconds / len(data)
        ratio = "" if each is None else f"{each / network:.1f}"
        after = "never" if each is None or each <= network else f"{spent / (each - network):.0f} patterns"
        shown = f"over {arguments.epochs}" if each is None else f"{1e3 * each:.2f}"
        lines.append(f"| {groups} | {1e3 * network:.3f} | {ssim:.4f} | {shown} | {epochs} | {ratio} | {after} |")
    text = "\n".join([f"{len(data)} patterns, training {spent:.0f} s", "", *lines, ""])
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
