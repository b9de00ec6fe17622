"""Reconstruct a scan with pty-chi's least-squares maximum-likelihood engine; run by an interpreter that has ptychi.

    python ptychi_lsqml.py SCAN.npz OUTPUT.npz EPOCHS MODES

Writes `seconds` and `deviance` (Poisson deviance per pixel by pty-chi's own forward model) after every epoch. The
time of the evaluation is not counted. pty-chi takes one Gaussian blur from torchvision; where that has no build for
the torch at hand, scipy's stands in.
"""

import importlib.util
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch


def _provide_blur() -> bool:
    """Whether torchvision had to be replaced."""
    try:
        from torchvision.transforms import GaussianBlur  # noqa: F401

        return False
    except (ImportError, RuntimeError):
        pass
    from scipy.ndimage import gaussian_filter

    class GaussianBlur:
        def __init__(self, kernel_size, sigma):
            self.sigma = sigma[0]

        def __call__(self, image):
            axes = (0,) * (image.ndim - 2) + (self.sigma,) * 2
            return torch.as_tensor(gaussian_filter(image.numpy(), axes), dtype=image.dtype)

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    vision, transforms = types.ModuleType("torchvision"), types.ModuleType("torchvision.transforms")
    for module in (vision, transforms):
        module.__spec__ = importlib.util.spec_from_loader(module.__name__, None)
    transforms.GaussianBlur = GaussianBlur
    vision.transforms = transforms
    sys.modules |= {"torchvision": vision, "torchvision.transforms": transforms}
    return True


def task_of(scan, modes: int):
    """pty-chi's task for a scan, positions refined, its recommended settings otherwise."""
    import ptychi.api as api
    from ptychi.api.task import PtychographyTask

    counts, probe = scan["counts"].astype(np.float32), scan["probeGuess"].astype(np.complex64)
    rng = np.random.default_rng(0)
    small = [0.1 * probe * np.exp(2j * np.pi * rng.random()) * np.roll(np.linspace(-1, 1, probe.shape[0]), k)[:, None]
             for k in range(modes - 1)]  # fmt: skip
    probes = np.stack([probe, *small])[None].astype(np.complex64)
    y, x = scan["ycoords"], scan["xcoords"]
    size = [int(np.ceil(np.ptp(axis))) + probe.shape[0] + 20 for axis in (y, x)]
    options = api.LSQMLOptions()
    options.object_options.pixel_size_m = 1.0
    options.probe_position_options.optimizable = True
    options.reconstructor_options.batch_size = 43
    options.reconstructor_options.num_epochs = 1
    options.reconstructor_options.default_device = api.Devices.CPU
    options.reconstructor_options.random_seed = 0
    return PtychographyTask(
        options,
        diffraction_data=counts,
        object_data=np.ones((1, *size), np.complex64),
        probe_data=probes,
        probe_position_x_px=(x - (x.max() + x.min()) / 2).astype(np.float32),
        probe_position_y_px=(y - (y.max() + y.min()) / 2).astype(np.float32),
    )


def deviance(task, counts: np.ndarray) -> float:
    """2 mean(lambda - n + n log(n / lambda)) over all patterns, by the task's own forward model."""
    total, model = 0.0, task.reconstructor.forward_model
    with torch.no_grad():
        for first in range(0, len(counts), 43):
            chosen = torch.arange(first, min(first + 43, len(counts)))
            expected = np.fft.fftshift(model(chosen).cpu().numpy().astype(float), axes=(-2, -1)).clip(1e-9)
            n = counts[chosen.numpy()].astype(float)
            total += 2 * np.sum(expected - n + n * np.log(np.where(n > 0, n, 1) / np.where(n > 0, expected, 1)))
    return total / counts.size


def main(scan_file: str, output: str, epochs: int, modes: int) -> None:
    """Run and write the curve."""
    replaced = _provide_blur()
    torch.set_num_threads(2)
    with np.load(Path(scan_file)) as stored:
        scan = {key: stored[key] for key in ("counts", "xcoords", "ycoords", "probeGuess")}
    task = task_of(scan, modes)
    seconds, deviances, spent = [], [], 0.0
    for epoch in range(epochs):
        started = time.perf_counter()
        task.run(1)
        spent += time.perf_counter() - started
        seconds.append(spent)
        deviances.append(deviance(task, scan["counts"]))
        print(f"epoch {epoch + 1}: {spent:.1f} s, deviance {deviances[-1]:.3f}", flush=True)
    np.savez(output, seconds=seconds, deviance=deviances, modes=modes, blur_replaced=replaced)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
