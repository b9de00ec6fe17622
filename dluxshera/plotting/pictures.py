"""Pictures from files, as arrays."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread
from PIL import UnidentifiedImageError


def read_picture(path: str | Path) -> np.ndarray:
    """Pixels (h, w) or (h, w, 3) of a picture, without its opacity.

    Raises
    ------
    ValueError
        Naming a file that holds no picture.
    """
    try:
        pixels = np.asarray(imread(path))
    except (UnidentifiedImageError, SyntaxError) as error:
        raise ValueError(f"{path}: expected a picture, got: {error}") from error
    return pixels[..., :3] if pixels.ndim == 3 else pixels
