"""Bad-pixel maps: an array whose pixels other than zero are not used, in the image's file or in one of its own."""

import re
from pathlib import Path

import numpy as np

from .observation_fits import read_image, read_named_image
from .raw_image import RawImage

_FILE = re.compile(r"(?P<file>.+\.(?:npy|fits|fit|fits\.gz|fit\.gz))(?:\[(?P<extension>[^\[\]]+)\])?", re.IGNORECASE)


def without_bad_pixels(raw: RawImage, source: str | Path | int, image_path: Path) -> RawImage:
    """Mask the pixels that a map says are bad: those that are not zero.

    Parameters
    ----------
    raw : RawImage
    source : str, Path or int
        A FITS file, also as `map.fits[DQ]`, an .npy file, or the name or number of an extension of the image's file.
    image_path : Path

    Raises
    ------
    ValueError
        Naming the file and the extension, if there is no map of the image's shape.
    """
    where, bad = _read_map(source, image_path)
    if bad.shape != raw.image.shape:
        raise ValueError(
            f"{where}: Expected a bad-pixel map of the shape {raw.image.shape} of the image, got {bad.shape}."
        )
    good = bad == 0  # so that an undefined value is bad
    return raw._replace(mask=good if raw.mask is None else raw.mask & good)


def _read_map(source: str | Path | int, image_path: Path) -> tuple[str, np.ndarray]:
    match = None if isinstance(source, int) else _FILE.fullmatch(str(source))
    if match is None:
        if image_path.suffix == ".npz":
            raise ValueError(f"{image_path}: Expected the file of a bad-pixel map, got {source!r}. Pass its path.")
        return read_named_image(image_path, str(source) if isinstance(source, Path) else source)
    path, extension = Path(match["file"]), match["extension"]
    if not path.is_file():
        raise ValueError(f"{path}: Expected a bad-pixel map, got no file. Check the path.")
    if path.suffix.lower() == ".npy":
        return str(path), _read_npy(path)
    if extension is None:
        return read_image(path)
    return read_named_image(path, int(extension) if extension.isdigit() else extension)


def _read_npy(path: Path) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: Expected an .npy file with a bad-pixel map, got: {error}.") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
        raise ValueError(f"{path}: Expected an array of numbers, other than zero where a pixel is bad.")
    return found
