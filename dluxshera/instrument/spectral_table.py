"""Tables of filters and spectra, read from CSV files that name their units."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

_WAVELENGTH_UNITS = {"wavelength_m": 1.0, "wavelength_um": 1e-6, "wavelength_nm": 1e-9}
_FILTER, _ENERGY = "transmission", "flux_energy"
_VALUE_NAMES = (_FILTER, "flux_photon", _ENERGY)


class SpectralTable(NamedTuple):
    """A tabulated filter or spectrum.

    Attributes
    ----------
    wavelengths : array (m,), metres, increasing
    values : array (m,)
        Transmission in [0, 1], or photons per wavelength in any unit.
    is_filter : bool
        Whether the values are a transmission.
    name : str
        Where it came from, for messages.
    """

    wavelengths: np.ndarray
    values: np.ndarray
    is_filter: bool
    name: str

    def at(self, wavelengths: np.ndarray) -> np.ndarray:
        """Values at `wavelengths` (metres), by linear interpolation.

        Raises
        ------
        ValueError
            If the table does not cover them.
        """
        low, high = self.wavelengths[[0, -1]]
        if np.min(wavelengths) < low or np.max(wavelengths) > high:
            raise ValueError(
                f"{self.name}: Expected a table that covers {_range_nm(wavelengths)}, got "
                f"{_range_nm(self.wavelengths)}. Extend the table or narrow the band."
            )
        return np.interp(wavelengths, self.wavelengths, self.values)


def read_table(path: str | Path) -> SpectralTable:
    """Read a filter or spectrum from a CSV file of two columns with a header line.

    The header names the units: `wavelength_nm`, `wavelength_um` or `wavelength_m`, then `transmission` (in
    [0, 1]), `flux_photon` (photons per wavelength) or `flux_energy` (energy per wavelength, which becomes
    photons here).
    Blank lines and lines that start with # are skipped.

    Raises
    ------
    ValueError
        Naming file, line and column of the first thing that is wrong.
    """
    lines = _read_lines(Path(path))
    if len(lines) < 3:
        raise ValueError(f"{path}: Expected a header line and at least two rows, got {len(lines)} lines.")
    names = wavelength_name, value_name = _read_header(path, *lines[0])
    rows = np.array([_read_row(path, number, text, names) for number, text in lines[1:]])
    for (number, _), step in zip(lines[2:], np.diff(rows[:, 0]), strict=True):
        if step <= 0:
            where = f"{path}, line {number}, column {wavelength_name}"
            raise ValueError(f"{where}: Expected increasing wavelengths. Sort the rows.")
    wavelengths = rows[:, 0] * _WAVELENGTH_UNITS[wavelength_name]
    values = rows[:, 1] * wavelengths if value_name == _ENERGY else rows[:, 1]
    return SpectralTable(wavelengths, values, value_name == _FILTER, str(path))


def _read_lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: Expected a readable CSV file of text, got: {error}.") from error
    numbered = enumerate(text.splitlines(), start=1)
    return [(number, line) for number, line in numbered if line.strip() and not line.lstrip().startswith("#")]


def _read_header(path: str | Path, number: int, text: str) -> tuple[str, ...]:
    names = [name.strip().lower() for name in text.split(",")]
    for column, allowed in enumerate((tuple(_WAVELENGTH_UNITS), _VALUE_NAMES)):
        name = names[column] if column < len(names) else ""
        if name not in allowed:
            raise ValueError(
                f"{path}, line {number}, column {column + 1}: Expected one of {', '.join(allowed)}, "
                f"got {name!r}. Name the column and its unit in the header."
            )
    if len(names) != 2:
        raise ValueError(f"{path}, line {number}: Expected two columns, got {len(names)}.")
    return tuple(names)


def _read_row(path: str | Path, number: int, text: str, names: tuple[str, ...]) -> list[float]:
    cells = text.split(",")
    if len(cells) != 2:
        raise ValueError(f"{path}, line {number}: Expected two columns ({', '.join(names)}), got {len(cells)}.")
    return [
        _read_cell(f"{path}, line {number}, column {name}", cell, name) for name, cell in zip(names, cells, strict=True)
    ]


def _read_cell(where: str, cell: str, name: str) -> float:
    try:
        value = float(cell)
    except ValueError as error:
        raise ValueError(f"{where}: Expected a number, got {cell.strip()!r}.") from error
    if name == _FILTER:
        fits, wanted = 0 <= value <= 1, "a fraction in [0, 1]"
    elif name in _WAVELENGTH_UNITS:
        fits, wanted = 0 < value < np.inf, "a positive number"
    else:
        fits, wanted = 0 <= value < np.inf, "zero or a positive number"
    if not fits:
        raise ValueError(f"{where}: Expected {wanted}, got {cell.strip()}.")
    return value


def _range_nm(wavelengths: np.ndarray) -> str:
    return f"{np.min(wavelengths) * 1e9:.4g} to {np.max(wavelengths) * 1e9:.4g} nm"
