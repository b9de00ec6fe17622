"""Reference images of an independent simulator, as models of this package."""

import json
from pathlib import Path

import numpy as np

import dluxshera as ds


def load_model(path: Path, overrides: dict | None = None):
    """Model of a reference file, with the file's own masks and spectrum, and its image.

    Returns
    -------
    Instrument, ndarray (n, n)
    """
    with np.load(path, allow_pickle=False) as data:
        meta = json.loads(str(data["meta"]))
        step = data["diffractive_pupil_opd_m"]
        arrays = {
            "optics.m1.transmission": data["m1_transmission"],
            "optics.diffractive_pupil_fraction": (step > 0).astype(float),
            "optics.diffractive_pupil_step_m": float(step.max()),
            "detector.gain_e_per_adu": 0.0,  # the files know photon noise only
            "binary.wavelengths_m": data["wavelengths_m"],
            "binary.spectral_weights": data["spectral_weights"],
        }
        image = data["image"] if "image" in data.files else data["expected"]
    model = ds.load_profile(meta["profile"], {**meta["overrides"], **arrays, **(overrides or {})})
    return model, image
