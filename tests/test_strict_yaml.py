"""The strict YAML reader."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dluxshera.config.strict_yaml import MAX_BYTES, ConfigError, parse_value, parse_yaml, read_yaml

SCALARS = [
    ("1e-4", 1e-4),
    ("1E5", 1e5),
    ("-.5", -0.5),
    ("5.", 5.0),
    ("+3", 3),
    ("007", 7),
    ("0o17", 15),
    ("0xff", 255),
    (".inf", math.inf),
    ("-.inf", -math.inf),
    ("true", True),
    ("FALSE", False),
    ("null", None),
    ("~", None),
    ("no", "no"),
    ("on", "on"),
    ("Yes", "Yes"),
    ("1_000", "1_000"),
    ("12:30", "12:30"),
    ("2020-01-01", "2020-01-01"),
    ("'1e-4'", "1e-4"),
    ('"true"', "true"),
    ("[4, 5.0, auto]", [4, 5.0, "auto"]),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_yaml_1_2(text, value):
    found = parse_value(text, "--set")
    assert found == value and type(found) is type(value)


@given(st.floats(allow_nan=False))
def test_floats_come_back(number):
    text = repr(number).replace("inf", ".inf")
    found = parse_yaml(f"a: {text}", "x").values["a"]
    assert found == number and isinstance(found, float)


def test_nan_is_a_number():
    assert math.isnan(parse_value(".nan", "x"))


def test_lines_of_keys():
    document = parse_yaml("a:\n  b: 1\n\n  c: {d: 2}\n", "p.yaml")
    assert document.where(("a", "c", "d")) == "p.yaml:4"
    assert document.where(("a", "b", "nothing")) == "p.yaml:2"
    assert document.where(("z",)) == "p.yaml"


def test_an_alias_repeats_a_value():
    assert parse_yaml("a: &x [1, 2]\nb: *x\n", "p").values == {"a": [1, 2], "b": [1, 2]}


def test_an_empty_text_is_an_empty_mapping():
    assert parse_yaml("# nothing\n", "p").values == {}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{k}: &{k} [{','.join(['*' + chr(ord(k) - 1)] * 9)}]\n" for k in "bcdef"
)
REFUSED = {
    "duplicate": ("a: 1\nb: 2\na: 3\n", "p:3: duplicate key 'a', first given on line 1"),
    "duplicate below": ("s:\n  a: 1\n  a: 1\n", "p:3: duplicate key 'a'"),
    "tag": ("a: !!python/object/apply:os.system [ls]\n", "p:1: tags are not allowed"),
    "core tag": ("a: !!float 3\n", "p:1: tags are not allowed"),
    "bomb": (BOMB, "p:"),
    "many values": ("a: [" + "1," * 30_000 + "]", "at most 20000 values"),
    "many aliases": ("a: &x 1\nb: [" + "*x, " * 51 + "1]", "p:2: expected at most 50 aliases"),
    "circle": ("a: &x [*x]\n", "p:1: "),
    "deep": ("a: " + "[" * 5000 + "]" * 5000, "p:1: expected at most"),
    "list on top": ("- a\n- b\n", "keys and values at the top level"),
    "scalar on top": ("3", "keys and values at the top level"),
    "key is a list": ("[a, b]: 1\n", "p:1: expected a text key"),
    "two documents": ("a: 1\n---\nb: 1\n", "p:2: not valid YAML"),
    "bad indent": ("a: 1\n b: 2\n", "p:2: not valid YAML"),
    "open bracket": ("a: [1, 2\n", "not valid YAML"),
    "unknown alias": ("a: *b\n", "p:1: not valid YAML"),
    "control character": ("a: \x00\n", "p: not valid YAML"),
    "too long": ("a: " + "x" * MAX_BYTES, "at most"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    text, message = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "p")
    assert message in str(caught.value)


@given(st.text(alphabet="ab:-[]{}&*!# \n'\"0e.,?|>", max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        assert isinstance(parse_yaml(text, "p").values, dict)
    except ConfigError as error:
        assert str(error).startswith("p")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="found none"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="found a folder"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="at most"):
        read_yaml(tmp_path / "large.yaml")


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(tmp_path / "bom.yaml").values == {"a": 1}
