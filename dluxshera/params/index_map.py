"""`IndexMap`: which elements of θ belong to which parameter."""

import dataclasses
import hashlib
import json


@dataclasses.dataclass(frozen=True)
class IndexEntry:
    """One parameter's range of θ: `theta[start:stop]`, of `shape`, in the group `block`."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]
    block: str


@dataclasses.dataclass(frozen=True)
class IndexMap:
    """Ordered entries that cover θ without gaps."""

    entries: tuple[IndexEntry, ...]

    @property
    def dim(self) -> int:
        """Length of θ."""
        return self.entries[-1].stop if self.entries else 0

    @property
    def layout_hash(self) -> str:
        """SHA-256 (hexadecimal) of the names, shapes and order."""
        layout = [[entry.name, list(entry.shape)] for entry in self.entries]
        return hashlib.sha256(json.dumps(layout).encode()).hexdigest()

    def to_dict(self) -> dict:
        """Return plain JSON values: `layout_hash` and `entries`."""
        entries = [{**dataclasses.asdict(entry), "shape": list(entry.shape)} for entry in self.entries]
        return {"layout_hash": self.layout_hash, "entries": entries}


def build_index_map(parts: list[tuple[str, tuple[int, ...], int, str]]) -> IndexMap:
    """Lay `(name, shape, size, block)` parts one after another."""
    entries, start = [], 0
    for name, shape, size, block in parts:
        entries.append(IndexEntry(name, start, start + size, shape, block))
        start += size
    return IndexMap(tuple(entries))
