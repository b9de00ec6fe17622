"""The table of an experiment: one row for each planned run, as Parquet or CSV."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..inference.run_artifacts import CorruptArtifact, SchemaError, load_meta, load_summary
from .folders import write_bytes

if TYPE_CHECKING:
    from .campaign import Row
    from .experiment import Experiment

_OUTCOME = ("converged", "steps", "seconds", "loss_init", "loss_final", "loss_best", "reduced_chi_square")
_IN_SUMMARY = {"steps": "num_steps_completed", "seconds": "runtime_total_s"}
_PARAMETER = ("estimate", "sigma", "truth", "start")
_WORDS = ("run_id", "status", "message", "content", "data")


def columns_of(experiment: "Experiment") -> dict[str, list[Any]]:
    """The table by column; what is not known of a row is None."""
    rows = [_row(experiment, row) for row in experiment.rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _row(experiment: "Experiment", row: "Row") -> dict[str, Any]:
    settings = {f"set.{name}": _flat(row.settings.get(name)) for name in experiment.manifest["settings"]}
    known = {"run_id": row.run_id, **_ended(experiment, row.run_id), "group": row.group, "content": row.content}
    run_dir = experiment.runs / row.run_id
    if known["status"] == "missing":
        return known | {"data": None} | settings | dict.fromkeys(_OUTCOME)
    try:
        summary, meta = load_summary(run_dir), load_meta(run_dir)
    except (CorruptArtifact, SchemaError) as error:
        said = {"status": "failed", "message": experiment.failure(row.run_id) or str(error)}
        return known | said | {"data": None} | settings | dict.fromkeys(_OUTCOME)
    own = meta.get("campaign", {})
    if own.get("content") != row.content:
        return known | {"status": "missing", "message": "a run of another content", "data": None} | settings
    outcome = {name: summary.get(_IN_SUMMARY.get(name, name)) for name in _OUTCOME}
    known |= {"status": summary["status"], "message": summary.get("message", ""), "data": meta["objective"].get("data")}
    return known | settings | outcome | _parameters(summary.get("parameters", []), own.get("truth", {}))


def _ended(experiment: "Experiment", run_id: str) -> dict[str, str]:
    """Status and message of a row without a run; a placeholder where there is one."""
    if (experiment.runs / run_id).is_dir():
        return {"status": "ok", "message": ""}
    why = experiment.failure(run_id)
    return {"status": "missing", "message": ""} if why is None else {"status": "failed", "message": why}


def _parameters(rows: list[Mapping[str, Any]], truth: Mapping[str, float]) -> dict[str, float | None]:
    found = {}
    for row in rows:
        values = dict(row) | {"truth": row.get("truth") if row.get("truth") is not None else truth.get(row["label"])}
        found |= {f"{row['label']}.{column}": values[column] for column in _PARAMETER}
    return found


def _flat(value: Any) -> Any:
    """Numbers and texts as they are, what has parts as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def write_table(columns: Mapping[str, list[Any]], path: Path) -> Path:
    """Write a table, all of it or nothing.

    Parameters
    ----------
    columns : mapping of str to list
    path : Path
        Ending in `.parquet`, which needs pyarrow, or `.csv`.

    Raises
    ------
    ValueError
        For another ending.
    ImportError
        Without pyarrow.
    """
    check_table(path)
    write_bytes(path, _parquet(columns) if path.suffix == ".parquet" else _csv(columns))
    return path


def check_table(path: Path) -> None:
    """Refuse a file that is no table by its ending.

    Raises
    ------
    ValueError
        Naming it.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path}: expected a file ending in .parquet or .csv.")


def default_table(folder: Path) -> Path:
    """Where an experiment's table goes: Parquet where pyarrow is installed, else CSV."""
    from importlib.util import find_spec

    return folder / ("table.csv" if find_spec("pyarrow") is None else "table.parquet")


def read_table(folder: str | Path) -> dict[str, list[Any]]:
    """Read the table of an experiment as columns of Python values, None where empty.

    Parameters
    ----------
    folder : path
        Of the experiment, or the file itself.

    Raises
    ------
    ValueError
        If there is none.
    """
    path = Path(folder)
    known = [path] if path.is_file() else [path / "table.parquet", path / "table.csv"]
    found = next((file for file in known if file.is_file()), None)
    if found is None:
        raise ValueError(f"{folder}: expected table.parquet or table.csv. Make it with dluxshera campaign table.")
    if found.suffix == ".csv":
        return _from_csv(found.read_text(encoding="utf-8"))
    return _pyarrow().read_table(found).to_pydict()


def _parquet(columns: Mapping[str, list[Any]]) -> bytes:
    parquet = _pyarrow()
    import pyarrow

    stream = io.BytesIO()
    arrays = {name: pyarrow.array(_one_kind(values)) for name, values in columns.items()}
    parquet.write_table(pyarrow.table(arrays), stream)
    return stream.getvalue()


def _one_kind(values: list[Any]) -> list[Any]:
    """Text where numbers and texts are mixed; floats where some are."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return values if len(kinds) <= 1 else [None if value is None else str(value) for value in values]


def _csv(columns: Mapping[str, list[Any]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(value) for value in row] for row in zip(*columns.values(), strict=True))
    return stream.getvalue().encode()


def _text(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _from_csv(text: str) -> dict[str, list[Any]]:
    names, *rows = csv.reader(io.StringIO(text, newline=""))
    return {name: [_value(row[i], name) for row in rows] for i, name in enumerate(names)}


def _value(text: str, name: str) -> Any:
    if text == "":
        return "" if name == "message" else None
    if name in _WORDS:
        return text
    if text in ("True", "False"):
        return text == "True"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("pyarrow is not installed. Install it with pip install 'dluxshera[table]'.") from error
    return parquet
