"""NPZ archives of plain arrays: written the same for the same arrays, read without running code."""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dluxshera.inference._artifact_errors import MAX_BYTES, CorruptArtifact, SchemaError

MAX_DIRECTORY_BYTES = 2**22  # some forty thousand members
_MEMBER = re.compile(r"[A-Za-z0-9._:\[\]-]{1,200}")
_HEADER = re.compile(
    rb"\{'descr': '([<>|][biufcSU]\d{1,9})', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n"
)
UNREADABLE = (ValueError, TypeError, ArithmeticError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)


def plain_array(value: Any, where: str) -> np.ndarray:
    """Give `value` as a NumPy array that can be stored without pickling.

    Raises
    ------
    SchemaError
        If it is not an array of booleans, numbers or text; `where` names it.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biufcSU":
        raise SchemaError(
            f"Expected {where} to be an array of numbers or text, got dtype {array.dtype}. Convert it first."
        )
    return array


def plain_arrays(values: Any, where: str) -> dict[str, np.ndarray]:
    """Give a mapping of arrays as NumPy arrays with checked names; entries that are None are left out.

    Raises
    ------
    SchemaError
        If `values` is no mapping, or a name or an array cannot be stored.
    """
    if not isinstance(values, Mapping):
        raise SchemaError(f"Expected {where} to be a mapping of arrays, got {type(values).__name__}.")
    for name in values:
        if not (isinstance(name, str) and _MEMBER.fullmatch(name)):
            raise SchemaError(
                f"Expected array names of {where} made of letters, digits and ._:[]- (at most 200), "
                f"got {name!r}. Rename it."
            )
    return {name: plain_array(v, f"{where}[{name!r}]") for name, v in values.items() if v is not None}


def encode_npz(arrays: Mapping[str, np.ndarray], where: str) -> bytes:
    """Pack arrays into a compressed NPZ archive; the same arrays always give the same bytes."""
    if sum(array.nbytes + 1024 for array in arrays.values()) > MAX_BYTES:  # 1024: no header is longer
        raise SchemaError(f"Expected at most {MAX_BYTES} bytes of arrays in {where}. Save fewer steps.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # its default date is fixed
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as stream:
                np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def decode_npz(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Unpack an NPZ archive, checking names and declared sizes before any array is read.

    Raises
    ------
    CorruptArtifact
        If `data` is not an archive of plain arrays, or declares more than ``MAX_BYTES``; names `where`.
    """
    try:
        _check_directory(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members)
            return {m.filename.removesuffix(".npy"): read_member(archive, m) for m in members}
    except UNREADABLE as error:
        raise CorruptArtifact(f"{where} is not a sound NPZ file of plain arrays: {error}.") from error


def _check_directory(data: bytes) -> None:
    """Refuse a directory of members that would take long to read, before it is: it is at the end, without a comment."""
    if data[-22:-18] != b"PK\x05\x06" or data[-42:-38] == b"PK\x06\x07":
        raise ValueError("it does not end as an NPZ file does")
    if int.from_bytes(data[-10:-6], "little") > MAX_DIRECTORY_BYTES:
        raise ValueError(f"its directory of members has more than {MAX_DIRECTORY_BYTES} bytes")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise ValueError("a member appears twice")
    for member in members:
        name = member.filename
        if not (name.endswith(".npy") and _MEMBER.fullmatch(name.removesuffix(".npy"))):
            raise ValueError(f"member name {name!r} is not allowed")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"member {name!r} is encrypted or packed by an unknown method")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise ValueError(f"its members declare {total} bytes, more than the limit of {MAX_BYTES}")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read one plain array of an NPZ archive, after checking that it holds what it declares; raises `UNREADABLE`."""
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"member {member.filename!r} has an unknown NPY version")
        length = int.from_bytes(stream.read(2), "little")
        header = _HEADER.fullmatch(stream.read(length))
        if header is None:
            raise ValueError(
                f"member {member.filename!r} is not a plain array of numbers or text (pickled arrays are never loaded)"
            )
        dtype = np.dtype(header[1].decode())
        shape = tuple(int(n) for n in header[3].split(b",") if n.strip())
        declared = math.prod(shape) * dtype.itemsize
        if declared != member.file_size - 10 - length:
            raise ValueError(f"member {member.filename!r} does not hold the {declared} bytes of its shape")
        buffer = bytearray(stream.read())
    return np.ndarray(shape, dtype, buffer, order="F" if header[2] == b"True" else "C")
