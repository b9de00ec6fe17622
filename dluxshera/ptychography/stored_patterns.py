"""Patterns that stay in an HDF5 file and are read where they are asked for."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from .extras import extra
from .scan_errors import ScanError

UNREADABLE = (OSError, ValueError, TypeError, KeyError, RuntimeError)  # what h5py raises on a damaged file


@dataclass(frozen=True, eq=False)
class StoredPatterns:
    """Patterns (n, N, N) in a file, indexed like an array along the first axis; the file is open only meanwhile.

    Parameters
    ----------
    path : str
    name : str
        Of the dataset in the file.
    rows : array of int (n,)
        Which of the stored patterns.
    npix : int
        N.
    dtype : numpy dtype
    corner : bool
        Whether the stored patterns have the zero frequency at [0, 0]; it is moved to [N//2, N//2].
    used : array of bool (N, N) or (n, N, N), optional
        Values elsewhere are read as zero.
    """

    path: str
    name: str
    rows: np.ndarray
    npix: int
    dtype: Any
    corner: bool = False
    used: np.ndarray | None = None

    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, N, N)."""
        return (len(self.rows), self.npix, self.npix)

    def __len__(self) -> int:
        return len(self.rows)

    def masked(self, used: np.ndarray | None) -> "StoredPatterns":
        """The same patterns, read as zero where `used` is False."""
        return dataclasses.replace(self, used=used)

    def select(self, rows: np.ndarray) -> "StoredPatterns":
        """Some of the patterns, still in their file.

        Parameters
        ----------
        rows : array of int (k,)
        """
        used = self.used[rows] if np.ndim(self.used) == 3 else self.used
        return dataclasses.replace(self, rows=self.rows[rows], used=used)

    def __getitem__(self, key: Any) -> np.ndarray:
        key, *rest = key if isinstance(key, tuple) else (key,)
        rows = self.rows[key]
        patterns = self._read(np.atleast_1d(rows))
        if self.used is not None:
            used = self.used if self.used.ndim == 2 else self.used[key].reshape(patterns.shape)
            patterns = np.where(used, patterns, patterns.dtype.type(0))
        patterns = patterns if np.ndim(rows) else patterns[0]
        return patterns[(slice(None), *rest) if np.ndim(rows) else tuple(rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        patterns = self[:]
        return patterns if dtype is None else patterns.astype(dtype)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        if not rows.size:
            return np.zeros((0, self.npix, self.npix), self.dtype)
        unique, inverse = np.unique(rows, return_inverse=True)
        together = unique[-1] - unique[0] + 1 == unique.size
        h5py = extra("h5py")
        try:
            with h5py.File(self.path, "r") as file:
                wanted = slice(int(unique[0]), int(unique[-1]) + 1) if together else unique
                patterns = np.asarray(file[self.name][wanted])
        except UNREADABLE as error:
            raise ScanError(f"{self.path}: {self.name}: Expected patterns that can be read, got: {error}.") from error
        patterns = patterns[inverse.ravel()]
        return np.fft.fftshift(patterns, axes=(1, 2)) if self.corner else patterns
