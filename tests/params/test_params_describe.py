"""The table of parameters."""

import io

import jax.numpy as jnp
import pytest
from params_toys import mirror, two_mirror_instrument

from dluxshera.params import describe

pytestmark = pytest.mark.float32


def test_rows_list_parameters_then_derived_quantities():
    rows = describe(two_mirror_instrument()).rows
    assert [row["path"] for row in rows if row["kind"] == "derived"] == [
        "plate_scale",
        "shortcut",
        "binary.half_separation_as",
        "optics.focal_length",
    ]
    assert [row["kind"] for row in rows] == ["parameter"] * 9 + ["derived"] * 4
    first = rows[0]
    assert (first["path"], first["value"], first["unit"], first["bounds"]) == (
        "binary.separation_as",
        10.0,
        "arcsec",
        (0.0, None),
    )
    assert rows[3]["symbol"] == "f"


def test_text():
    lines = str(describe(two_mirror_instrument())).splitlines()
    assert lines[0].split() == ["path", "value", "unit", "bounds", "prior", "doc"]
    row = next(line for line in lines if line.startswith("binary.separation_as"))
    assert row.split() == [
        "binary.separation_as",
        "10",
        "arcsec",
        "[0,",
        "inf)",
        "Normal(10,",
        "0.1)",
        "Separation",
    ]
    assert next(line for line in lines if line.startswith("plate_scale")).endswith("(derived)")


def test_long_vectors_are_abbreviated():
    text = str(describe(mirror(nolls=tuple(range(4, 40)))))
    assert "..." in text and "(36,)" in text
    assert "[1., 2., 3.]" in str(describe(mirror()))
    assert max(map(len, text.splitlines())) < 120


def test_html_is_escaped():
    html = describe(two_mirror_instrument())._repr_html_()
    assert html.startswith("<table>") and html.count("<tr>") == 14
    assert "The mirror&#x27;s focal length" in html
    assert "<th>symbol</th>" in html and "<td>$f$</td>" in html


def test_rich_table():
    rich_console = pytest.importorskip("rich.console")
    table = describe(two_mirror_instrument()).to_rich()
    console = rich_console.Console(file=io.StringIO(), width=200)
    console.print(table)
    text = console.file.getvalue()
    assert "binary.separation_as" in text and "[0, inf)" in text
    assert table.row_count == 13


def test_values_are_kept_whole():
    rows = describe(mirror(nolls=tuple(range(4, 40)))).rows
    assert jnp.array_equal(rows[1]["value"], jnp.arange(1.0, 37.0))
