"""Pictures from files, as arrays."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread


def read_picture(path: str | Path) -> np.ndarray:
    """Pixels (h, w) or (h, w, 3) of a picture without its opacity, or the array of an NPY file.

    Raises
    ------
    ValueError
        Naming a file that is not there or holds no picture.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected the file of a picture, got none there.")
    try:
        pixels = np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else np.asarray(imread(path))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a picture, or an NPY file of an array, got: {error}") from error
    return pixels[..., :3] if pixels.ndim == 3 and pixels.shape[-1] == 4 else pixels
